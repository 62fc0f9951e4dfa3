// The functions of each instruction set, in a namespace of its name: avx2::conv(args, part).
#pragma once

#include "kernel_sets.h"
#include "kernels/kernels.h"

namespace horizon {

#define HORIZON_FUNCTION(function, Args) void function(const Args&, Part);
#define HORIZON_FUNCTIONS(function, Args) \
  HORIZON_FUNCTION(function, Args)        \
  std::size_t function##_scratch(const Args&);
#define HORIZON_SET_OF_KERNELS(set, needs)               \
  namespace set {                                        \
  HORIZON_OPERATORS(HORIZON_FUNCTION, HORIZON_FUNCTIONS) \
  }
HORIZON_SETS(HORIZON_SET_OF_KERNELS)
HORIZON_SET_OF_KERNELS(scalar, true)

// Sets that have a convolution of their own and all else of another set:
// VARIANT(name, the other set, whether it can be had, whether it is for comparison only).
// One that is not for comparison is better than the other set.
#define HORIZON_X86_VARIANTS(VARIANT)                     \
  VARIANT(amx, avx512, amx_permitted(), false)            \
  VARIANT(avxvnni, avx2, HORIZON_CPU_HAS(avxvnni), false) \
  VARIANT(amx_always, avx512, amx_permitted(), true)      \
  VARIANT(matrix_avx512, avx512, true, true)
#define HORIZON_ANY_VARIANTS(VARIANT) VARIANT(matrix, scalar, true, true)
#if defined(__x86_64__)
#define HORIZON_VARIANTS(VARIANT) \
  HORIZON_X86_VARIANTS(VARIANT)   \
  HORIZON_ANY_VARIANTS(VARIANT)
#else
#define HORIZON_VARIANTS(VARIANT) HORIZON_ANY_VARIANTS(VARIANT)
#endif
#define HORIZON_VARIANT_FUNCTIONS(set, base, needs, compared) \
  namespace set {                                             \
  HORIZON_FUNCTIONS(conv, ConvArgs)                           \
  }
HORIZON_VARIANTS(HORIZON_VARIANT_FUNCTIONS)
#undef HORIZON_VARIANT_FUNCTIONS
#undef HORIZON_SET_OF_KERNELS
#undef HORIZON_FUNCTIONS
#undef HORIZON_FUNCTION

}  // namespace horizon
