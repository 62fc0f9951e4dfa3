// One body, compiled twice: for AVX2, where the processor may have it, and for any processor.
#pragma once

#include "kernels/cpu.h"

// HORIZON_FOR_AVX2(name, (parameters), (arguments)) makes the function name(parameters) of the
// function name_body(parameters) above it, which is inline and returns nothing.
#if defined(__x86_64__)
#define HORIZON_BODY __attribute__((always_inline)) inline void
#define HORIZON_FOR_AVX2(name, parameters, arguments)                                    \
  __attribute__((target("avx2"))) void name##_avx2 parameters { name##_body arguments; } \
  void name##_any parameters { name##_body arguments; }                                  \
  void name parameters {                                                                 \
    if (cpu_has_avx2())                                                                  \
      name##_avx2 arguments;                                                             \
    else                                                                                 \
      name##_any arguments;                                                              \
  }
#else
#define HORIZON_BODY inline void
#define HORIZON_FOR_AVX2(name, parameters, arguments) \
  void name parameters { name##_body arguments; }
#endif
