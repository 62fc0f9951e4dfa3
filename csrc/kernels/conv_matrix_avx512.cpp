// The convolution for AMX on any CPU with AVX-512: tiles in plain C++, everything else unchanged.
#if defined(__x86_64__)

// GCC 12 takes the undefined lanes in its own header for uninitialised variables.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "kernels/conv_matrix_avx512.h"

#include "kernels/matrix_unit.h"
#include "kernels/sets.h"

namespace horizon {

std::size_t matrix_avx512::conv_scratch(const ConvArgs& a) {
  return fits_matrix(a) ? matrix_scratch<PlainUnit>(a) : avx512::conv_scratch(a);
}

void matrix_avx512::conv(const ConvArgs& a, Part part) {
  fits_matrix(a) ? matrix_conv<PlainUnit>(a, part) : avx512::conv(a, part);
}

}  // namespace horizon

#endif
