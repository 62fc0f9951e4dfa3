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
#undef HORIZON_SET_OF_KERNELS
#undef HORIZON_FUNCTIONS
#undef HORIZON_FUNCTION

}  // namespace horizon
