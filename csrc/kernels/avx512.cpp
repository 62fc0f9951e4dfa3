#include "kernels/avx512.h"

#include "kernels/avx2.h"
#include "kernels/fast.h"

namespace horizon {

#if defined(__x86_64__)

namespace {

// VNNI multiplies bytes; taller kernels than its rows are kept for do not occur in networks.
bool bytes(const ConvArgs& args) { return args.in.type == Type::int8 && args.kernel[0] <= 64; }

std::size_t conv_scratch(const ConvArgs& args) {
  return bytes(args) ? conv_scratch_avx512(args) : conv_scratch_avx2(args);
}

void conv(const ConvArgs& args, Part part) {
  return bytes(args) ? conv_avx512(args, part) : conv_avx2(args, part);
}

}  // namespace

const Kernels* avx512_kernels() {
  static constexpr Kernels kTable = {
      "avx512",           conv_scratch, conv,           correlation_scratch_avx512,
      correlation_avx512, warp_avx512,  rescale_avx512, add_avx512,
      copy_fast,
  };
  // The compiler's run-time library also asks the operating system whether it saves the registers.
  const bool available = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
  return available ? &kTable : nullptr;
}

#else

const Kernels* avx512_kernels() { return nullptr; }

#endif

}  // namespace horizon
