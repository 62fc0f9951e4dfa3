#include "kernels/neon.h"

#include "kernels/fast.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace horizon {

#if defined(__aarch64__)

const Kernels* neon_kernels() {
  static constexpr Kernels kTable = {
      "neon",           conv_scratch_neon, conv_neon,    correlation_scratch_neon,
      correlation_neon, warp_neon,         rescale_neon, add_neon,
      copy_fast,
  };
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 ? &kTable : nullptr;
}

#else

const Kernels* neon_kernels() { return nullptr; }

#endif

}  // namespace horizon
