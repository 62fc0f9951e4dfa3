// Convolution with AMX, for layers that are faster with it than with AVX-512 VNNI.
#if defined(__x86_64__)

// GCC 12 takes the undefined lanes in its own header for uninitialised variables.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <algorithm>

#include "kernels/conv_matrix_avx512.h"
#include "kernels/matrix_unit_amx.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

// Estimated cycles for the middle rows of an output. A product of tiles takes as many cycles as it
// has rows, and a load half as many. VPDPBUSD computes 64 products, twice per cycle. To store sums
// and load them again costs about two cycles for a pixel of 16 outputs. To set up the unit costs a
// thread a few hundred cycles.
bool faster_with_tiles(const ConvArgs& a) {
  constexpr double kStep = 2, kStart = 500;
  double tiles = kStart, vectors = 0;
  const auto groups = static_cast<double>((a.in.shape[3] + 3) / 4);
  const auto blocks = static_cast<double>((a.out.shape[3] + 15) / 16);
  for (std::int32_t i = 0; i < phase_count(a); ++i) {
    const Phase phase = make_phase(a, i);
    const double pixels = double{1} * phase.x.count * phase.y.count;
    const bool joined = phase.x.tap_step == 1 && phase.x.kernel_step == 1;
    const double taps = double{1} * phase.y.taps * phase.x.taps;
    const double run = joined ? groups * phase.x.taps : groups;
    const double runs = joined ? phase.y.taps : taps;
    const double products = runs * static_cast<double>((static_cast<std::int64_t>(run) + 15) / 16);
    const double rows = std::min<double>(16, phase.x.count);
    // Loads per product: half a tile of pixels and, as two tiles of pixels share it, half a tile of
    // weights.
    const double cycles = std::max(1.0, 0.25 + 4 / rows);
    tiles += pixels * blocks * (products * cycles + kStep);
    vectors += pixels * blocks * taps * groups / 2;
  }
  return tiles < vectors;
}

}  // namespace

std::size_t amx::conv_scratch(const ConvArgs& a) {
  return fits_matrix(a) && faster_with_tiles(a) ? matrix_scratch<AmxUnit>(a)
                                                : avx512::conv_scratch(a);
}

void amx::conv(const ConvArgs& a, Part part) {
  fits_matrix(a) && faster_with_tiles(a) ? matrix_conv<AmxUnit>(a, part) : avx512::conv(a, part);
}

std::size_t amx_always::conv_scratch(const ConvArgs& a) {
  return fits_matrix(a) ? matrix_scratch<AmxUnit>(a) : avx512::conv_scratch(a);
}

void amx_always::conv(const ConvArgs& a, Part part) {
  fits_matrix(a) ? matrix_conv<AmxUnit>(a, part) : avx512::conv(a, part);
}

}  // namespace horizon

#endif
