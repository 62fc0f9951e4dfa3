// Convolution with AVX-512 VNNI, int8 inputs.
//
// vpdpbusd multiplies unsigned by signed bytes. So 128 is added to the inputs when a row is packed:
// acc = sum w (x + 128) - 128 sum w. Packed rows are padded with 128, which stands for zero, so the
// kernels have no special case for borders. Sums are computed modulo 2^32; the true sum is proven
// to be below 2^28.
#if defined(__x86_64__)

// GCC 12 takes the undefined lanes in its own header for uninitialised variables.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "kernels/conv_blocked_avx512.h"
#include "kernels/conv_columns_avx512.h"
#include "kernels/conv_depthwise_avx512.h"
#include "kernels/conv_narrow_avx512.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

// VNNI multiplies bytes only. Networks have no kernels with more rows than are kept.
bool fits_vnni(const ConvArgs& a) {
  return a.in.type == Type::int8 && a.kernel[0] <= kMaxTaps &&
         a.weight_layout != WeightLayout::depthwise;
}

// R: the ratios of one slope or of two.
template <class R>
void finish_row(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                std::int64_t first_vector, std::int64_t last_vector, const Epilogue& epilogue) {
  if (a.weight_layout == WeightLayout::blocked) {
    blocked_row<R>(a, work, phase, row, first_vector, last_vector, epilogue);
    return;
  }
  constexpr decltype(&rows_row<R, 1>) kRows[2][4] = {
      {rows_row<R, 1>, rows_row<R, 2>, rows_row<R, 3>, rows_row<R, 4>},
      {narrow_row<R, 1>, narrow_row<R, 2>, narrow_row<R, 3>, narrow_row<R, 4>}};
  kRows[is_narrow(a)][a.out.shape[3] - 1](a, work, phase, row, epilogue);
}

template <class R>
void convolve(const ConvArgs& a, const Part& part) {
  const Work work = make_work(a, part.scratch);
  // A unit of work is one output row and up to two vectors of outputs.
  const std::int64_t vectors = outputs_padded(a) / kLanes;
  const std::int64_t groups = (vectors + kVectors - 1) / kVectors;
  std::int64_t units = 0;
  for (std::int32_t i = 0; i < phase_count(a); ++i) units += make_phase(a, i).y.count;
  const std::int64_t images = a.in.shape[0];
  const Range mine = share(units * images * groups, part);
  if (mine.begin == mine.end) return;
  const Epilogue epilogue(a, work);

  std::int64_t unit = 0;  // of the row that comes next
  for (std::int32_t index = 0; index < phase_count(a); ++index) {
    const Phase phase = make_phase(a, index);
    const std::int64_t phase_units = phase.y.count * images * groups;
    if (phase.x.count == 0 || mine.end <= unit || unit + phase_units <= mine.begin) {
      unit += phase_units;
      continue;
    }
    prepare(a, work, phase);
    for (std::int32_t image = 0; image < images; ++image) {
      RowCache<kMaxTaps> cache;
      cache.clear(phase.y.taps);
      for (std::int32_t j = 0; j < phase.y.count; ++j, unit += groups) {
        const std::int64_t first = mine.begin > unit ? mine.begin - unit : 0;
        const std::int64_t last = mine.end < unit + groups ? mine.end - unit : groups;
        if (first >= last) continue;
        Row row;
        const std::int32_t top = phase.y.in_first + j * phase.y.in_step;
        for (std::int32_t k = 0; k < phase.y.taps; ++k) {
          bool fresh;
          const std::int32_t y = top + k * phase.y.tap_step;
          const std::int32_t slot = cache.find(y, top, phase.y.tap_step, fresh);
          std::uint8_t* rows = work.rows + slot * work.row_bytes;
          if (fresh) pack_row(a, work, phase.x, image, y, rows);
          row.packed[k] = rows;
        }
        const std::int64_t out_y = phase.y.out_first + std::int64_t{j} * phase.y.out_step;
        row.out = a.out.data + image * a.out.stride[0] + out_y * a.out.stride[1] +
                  phase.x.out_first * a.out.stride[2];
        row.residual = a.residual.data == nullptr ? nullptr
                                                  : a.residual.data + image * a.residual.stride[0] +
                                                        out_y * a.residual.stride[1] +
                                                        phase.x.out_first * a.residual.stride[2];
        const std::int64_t until = last * kVectors < vectors ? last * kVectors : vectors;
        finish_row<R>(a, work, phase, row, first * kVectors, until, epilogue);
      }
    }
  }
}

}  // namespace

std::size_t avx512::conv_scratch(const ConvArgs& a) {
  if (conv_fits_depthwise(a)) return conv_depthwise_scratch(a);
  if (conv_fits_columns(a)) return conv_columns_scratch(a);
  if (!fits_vnni(a)) return avx2::conv_scratch(a);
  return static_cast<std::size_t>(constants_bytes(a) + a.kernel[0] * longest_row(a));
}

void avx512::conv(const ConvArgs& a, Part part) {
  if (conv_fits_depthwise(a)) return conv_depthwise(a, part);
  if (conv_fits_columns(a)) return conv_columns(a, part);
  if (!fits_vnni(a)) return avx2::conv(a, part);
  return a.two_slopes ? convolve<SlopedRatios>(a, part) : convolve<Ratios>(a, part);
}

}  // namespace horizon

#endif
