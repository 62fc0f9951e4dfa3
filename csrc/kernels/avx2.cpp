#include "kernels/avx2.h"

#include "kernels/fast.h"

namespace horizon {

#if defined(__x86_64__)

const Kernels* avx2_kernels() {
  static constexpr Kernels kTable = {
      "avx2",           conv_scratch_avx2, conv_avx2,    correlation_scratch_avx2,
      correlation_avx2, warp_avx2,         rescale_avx2, add_avx2,
      copy_fast,
  };
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kTable : nullptr;
}

#else

const Kernels* avx2_kernels() { return nullptr; }

#endif

}  // namespace horizon
