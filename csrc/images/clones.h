// A function that is compiled for AVX2, too, where the processor may have it; which of the two runs
// is decided when the program starts.
#pragma once

#if defined(__x86_64__)
#define HORIZON_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define HORIZON_CLONES
#endif
