#include "kernels/scalar.h"

namespace horizon {

const Kernels* scalar_kernels() {
  static constexpr Kernels kTable = {
      "scalar",           conv_scratch_scalar, conv_scalar,    correlation_scratch_scalar,
      correlation_scalar, warp_scalar,         rescale_scalar, add_scalar,
      copy_scalar,
  };
  return &kTable;
}

}  // namespace horizon
