// Convolution with AVX-512 VNNI, int8 inputs.
//
// vpdpbusd multiplies unsigned by signed bytes, so inputs are shifted by 128 when a row is packed:
// acc = sum w (x + 128) - 128 sum w. Packed rows are padded with the shifted zero, so that the
// kernels know no borders. Sums are taken modulo 2^32; the true sum is proven to be below 2^28.
//
// blocked weights: lanes are 16 output channels, 4 input channels a step; 8 pixels x 2 vectors of
//   outputs stay in registers, each weight vector serves 8 pixels and each input 2 vectors.
// rows weights (few outputs): lanes are 64 input channels, summed across at the end.
#if defined(__x86_64__)

// GCC 12 takes the undefined lanes in its own header for uninitialised variables.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <immintrin.h>

#include "kernels/avx512.h"
#include "kernels/conv_plan.h"
#include "kernels/requantize_avx512.h"

namespace horizon {
namespace {

constexpr int kMaxTaps = 64;
constexpr int kLanes = 16;

// What a part works with, laid out in its scratch.
struct Work {
  std::int32_t* start;  // per output: bias - 128 sum w
  double* ratio;        // M 2^-s
  double* residual_ratio;
  std::uint8_t* rows;  // packed rows
  std::int64_t row_bytes;
  std::int64_t pixel;  // bytes of a packed pixel
};

std::int64_t channels_padded(const ConvArgs& a) {
  return round_up(a.in.shape[3], a.weight_layout == WeightLayout::blocked ? 4 : 64);
}

std::int64_t longest_row(const ConvArgs& a) {
  std::int64_t longest = 0;
  for (std::int32_t i = 0; i < phase_count(a); ++i) {
    const std::int64_t span = make_phase(a, i).x.span();
    if (span > longest) longest = span;
  }
  return round_up(longest * channels_padded(a), 64) + 64;
}

std::int64_t outputs_padded(const ConvArgs& a) { return round_up(a.out.shape[3], kLanes); }

Work make_work(const ConvArgs& a, std::byte* scratch) {
  const std::int64_t outputs = outputs_padded(a);
  Work work;
  work.start = reinterpret_cast<std::int32_t*>(scratch);
  work.ratio = reinterpret_cast<double*>(scratch + outputs * 4);
  work.residual_ratio = work.ratio + outputs;
  work.rows = reinterpret_cast<std::uint8_t*>(work.residual_ratio + outputs);
  work.pixel = channels_padded(a);
  work.row_bytes = longest_row(a);
  return work;
}

double power_of_two(std::int32_t exponent) {
  return _mm_cvtsd_f64(_mm_castsi128_pd(_mm_cvtsi64_si128((std::int64_t{1023} + exponent) << 52)));
}

// Adds 64 weights of `steps` vectors in groups of four.
__m512i sum_weights(const std::int8_t* weight, std::int64_t steps, __m512i sum) {
  const __m512i ones = _mm512_set1_epi8(1);
  for (std::int64_t k = 0; k < steps; ++k) {
    sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(weight + k * 64));
  }
  return sum;
}

// The constants of all outputs for the taps of a phase.
void prepare(const ConvArgs& a, const Work& work, const Phase& phase) {
  const bool blocked = a.weight_layout == WeightLayout::blocked;
  const std::int64_t steps = blocked ? work.pixel / 4 : work.pixel / 64;  // vectors of a tap
  const std::int64_t tap_count = std::int64_t{a.kernel[0]} * a.kernel[1];
  const std::int32_t outputs = a.out.shape[3];
  alignas(64) std::int32_t sums[kLanes];
  for (std::int64_t first = 0; first < outputs; first += kLanes) {
    __m512i sum[4] = {};  // blocked: lanes are outputs, in the first; rows: one for each output
    for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
      for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
        const std::int64_t tap = std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} *
                                     a.kernel[1] +
                                 phase.x.kernel_first + kx * phase.x.kernel_step;
        const std::int8_t* weight = a.weight + (first / kLanes * tap_count + tap) * steps * 64;
        for (std::int32_t o = 0; o < (blocked ? 1 : outputs); ++o) {
          sum[o] = sum_weights(weight + o * tap_count * steps * 64, steps, sum[o]);
        }
      }
    }
    _mm512_store_si512(sums, sum[0]);
    for (std::int32_t o = 0; o < 4 && !blocked; ++o) sums[o] = _mm512_reduce_add_epi32(sum[o]);
    for (std::int32_t lane = 0; lane < kLanes; ++lane) {
      const std::int64_t o = first + lane;
      const Channel channel = o < outputs ? a.table[o] : Channel{0, 0, 0, 1};
      const double unit = power_of_two(-channel.shift);
      work.start[o] = static_cast<std::int32_t>(static_cast<std::uint32_t>(channel.bias) -
                                                128u * static_cast<std::uint32_t>(sums[lane]));
      work.ratio[o] = channel.multiplier * unit;
      work.residual_ratio[o] = channel.residual_multiplier * unit;
    }
  }
}

// Packs columns lowest .. lowest + span - 1 of an input row; outside of the input is 128.
void pack_row(const ConvArgs& a, const Work& work, const Axis& x, std::int32_t image,
              std::int32_t y, std::uint8_t* to) {
  const __m512i shift = _mm512_set1_epi8(static_cast<char>(0x80));
  const std::int64_t span = x.span(), lowest = x.lowest();
  const std::int64_t width = a.in.shape[2], channels = a.in.shape[3], pixel = work.pixel;
  std::int64_t begin = -lowest < 0 ? 0 : -lowest;                    // first packed column inside
  std::int64_t end = width - lowest < span ? width - lowest : span;  // one past the last
  if (y < 0 || y >= a.in.shape[1] || begin >= end) begin = end = span;
  const auto fill = [&](std::int64_t from, std::int64_t until) {
    std::int64_t i = from * pixel;
    const std::int64_t stop = until * pixel;
    for (; i + 64 <= stop; i += 64) _mm512_storeu_si512(to + i, shift);
    if (i < stop) _mm512_mask_storeu_epi8(to + i, (std::uint64_t{1} << (stop - i)) - 1, shift);
  };
  fill(0, begin);
  fill(end, span);
  if (begin == end) return;
  const std::byte* from =
      a.in.data + image * a.in.stride[0] + y * a.in.stride[1] + (lowest + begin) * a.in.stride[2];
  to += begin * pixel;
  if (a.in.stride[2] == channels && pixel == channels) {
    const std::int64_t bytes = (end - begin) * channels;
    std::int64_t i = 0;
    for (; i + 64 <= bytes; i += 64) {
      _mm512_storeu_si512(to + i, _mm512_xor_si512(_mm512_loadu_si512(from + i), shift));
    }
    if (i < bytes) {
      const __mmask64 rest = (std::uint64_t{1} << (bytes - i)) - 1;
      _mm512_mask_storeu_epi8(to + i, rest,
                              _mm512_xor_si512(_mm512_maskz_loadu_epi8(rest, from + i), shift));
    }
    return;
  }
  const std::int64_t whole = channels / 64 * 64;
  const __mmask64 rest = (std::uint64_t{1} << (channels - whole)) - 1;
  const std::int64_t padded_rest = pixel - whole;  // 64 with rows weights where channels divide
  const __mmask64 stored =
      padded_rest >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << padded_rest) - 1;
  for (std::int64_t column = begin; column < end; ++column) {
    for (std::int64_t c = 0; c < whole; c += 64) {
      _mm512_storeu_si512(to + c, _mm512_xor_si512(_mm512_loadu_si512(from + c), shift));
    }
    if (padded_rest > 0) {
      const __m512i last = _mm512_maskz_loadu_epi8(rest, from + whole);
      _mm512_mask_storeu_epi8(to + whole, stored, _mm512_xor_si512(last, shift));
    }
    from += a.in.stride[2];
    to += pixel;
  }
}

// Up to 16 finished sums to integers in the output's type.
struct Epilogue {
  const ConvArgs& a;
  const Work& work;
  __m512d lo, hi, half;

  Epilogue(const ConvArgs& args, const Work& w)
      : a(args),
        work(w),
        lo(_mm512_set1_pd(args.lo)),
        hi(_mm512_set1_pd(args.hi)),
        half(_mm512_set1_pd(0.5)) {}

  static __m512i load_residual(Type type, const std::byte* from, __mmask16 mask) {
    if (type == Type::int8) return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, from));
    return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, from));
  }

  static void store(Type type, std::byte* to, __mmask16 mask, __m512i value) {
    if (type == Type::int8) {
      _mm_mask_storeu_epi8(to, mask, _mm512_cvtepi32_epi8(value));
    } else if (type == Type::int16) {
      _mm256_mask_storeu_epi16(to, mask, _mm512_cvtepi32_epi16(value));
    } else {
      _mm512_mask_storeu_epi32(to, mask, value);
    }
  }

  void finish(__m512i acc, std::int64_t first_output, std::byte* out, const std::byte* residual,
              __mmask16 mask) const {
    const double* ratio = work.ratio + first_output;
    __m512d offset_lo = half, offset_hi = half;
    if (residual != nullptr) {
      const __m512i r = load_residual(a.residual.type, residual, mask);
      const double* other = work.residual_ratio + first_output;
      offset_lo = _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_castsi512_si256(r)),
                                  _mm512_loadu_pd(other), half);
      offset_hi = _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(r, 1)),
                                  _mm512_loadu_pd(other + 8), half);
    }
    store(a.out.type, out, mask,
          requantize16(acc, _mm512_loadu_pd(ratio), _mm512_loadu_pd(ratio + 8), offset_lo,
                       offset_hi, lo, hi));
  }
};

// One output row of a phase for one image.
struct Row {
  const std::uint8_t* packed[kMaxTaps];  // the rows of its taps, at column x.lowest()
  std::byte* out;                        // output pixel x.out_first
  const std::byte* residual;             // null where there is none
};

// P pixels from column `column` on, N vectors of outputs from vector `vector` on.
template <int P, int N>
void blocked_tile(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                  std::int64_t column, std::int64_t vector, const Epilogue& epilogue) {
  const std::int64_t steps = work.pixel / 4;  // of one tap
  const std::int64_t vector_bytes = std::int64_t{a.kernel[0]} * a.kernel[1] * steps * 64;
  const std::int8_t* weights = a.weight + vector * vector_bytes;
  const std::int64_t step_bytes = phase.x.in_step * work.pixel;
  const std::int64_t offset =
      (phase.x.in_first - phase.x.lowest()) * work.pixel + column * step_bytes;

  __m512i acc[P][N];
  for (int n = 0; n < N; ++n) {
    const __m512i start = _mm512_loadu_si512(work.start + (vector + n) * kLanes);
    for (int p = 0; p < P; ++p) acc[p][n] = start;
  }
  // Neighbouring taps read neighbouring bytes unless the convolution is dilated or transposed.
  const bool joined = phase.x.tap_step == 1 && phase.x.kernel_step == 1;
  const std::int64_t length = joined ? steps * phase.x.taps : steps;
  const std::int32_t segments = joined ? 1 : phase.x.taps;
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    const std::int64_t kernel_row =
        std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1];
    for (std::int32_t kx = 0; kx < segments; ++kx) {
      const std::int64_t tap = kernel_row + phase.x.kernel_first + kx * phase.x.kernel_step;
      const std::int8_t* w = weights + tap * steps * 64;
      const std::uint8_t* in =
          row.packed[ky] + offset + std::int64_t{kx} * phase.x.tap_step * work.pixel;
      for (std::int64_t k = 0; k < length; ++k) {
        __m512i weight[N];
        for (int n = 0; n < N; ++n) {
          weight[n] = _mm512_loadu_si512(w + k * 64 + n * vector_bytes);
        }
        for (int p = 0; p < P; ++p) {
          std::int32_t four;
          __builtin_memcpy(&four, in + p * step_bytes + k * 4, 4);
          const __m512i x = _mm512_set1_epi32(four);
          for (int n = 0; n < N; ++n) acc[p][n] = _mm512_dpbusd_epi32(acc[p][n], x, weight[n]);
        }
      }
    }
  }
  const std::int64_t out_pixel = a.out.stride[2] * phase.x.out_step;
  const std::int64_t residual_pixel = a.residual.stride[2] * phase.x.out_step;
  const std::int64_t bytes = size_of(a.out.type), residual_bytes = size_of(a.residual.type);
  for (int n = 0; n < N; ++n) {
    const std::int64_t o = (vector + n) * kLanes;
    const std::int64_t left = a.out.shape[3] - o;
    const __mmask16 mask = left >= kLanes ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    for (int p = 0; p < P; ++p) {
      const std::byte* residual =
          row.residual == nullptr
              ? nullptr
              : row.residual + (column + p) * residual_pixel + o * residual_bytes;
      epilogue.finish(acc[p][n], o, row.out + (column + p) * out_pixel + o * bytes, residual, mask);
    }
  }
}

using BlockedTile = void (*)(const ConvArgs&, const Work&, const Phase&, const Row&, std::int64_t,
                             std::int64_t, const Epilogue&);
constexpr int kPixels = 8;
constexpr int kVectors = 2;
constexpr BlockedTile kBlockedTiles[kVectors][kPixels] = {
    {blocked_tile<1, 1>, blocked_tile<2, 1>, blocked_tile<3, 1>, blocked_tile<4, 1>,
     blocked_tile<5, 1>, blocked_tile<6, 1>, blocked_tile<7, 1>, blocked_tile<8, 1>},
    {blocked_tile<1, 2>, blocked_tile<2, 2>, blocked_tile<3, 2>, blocked_tile<4, 2>,
     blocked_tile<5, 2>, blocked_tile<6, 2>, blocked_tile<7, 2>, blocked_tile<8, 2>}};

// Adds the lanes of each of 16 vectors: lane i of the result is the sum of v[i].
__m512i sums_of(const __m512i* v) {
  __m512i a[8], b[4], c[2];
  for (int i = 0; i < 8; ++i) {  // lanes: (2i, 2i+1) alternately, each of 8 partial sums
    a[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                            _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
  }
  for (int i = 0; i < 4; ++i) {  // in each 128 bits: v[4i .. 4i+3]
    b[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(a[2 * i], a[2 * i + 1]),
                            _mm512_unpackhi_epi64(a[2 * i], a[2 * i + 1]));
  }
  for (int i = 0; i < 2; ++i) {  // 128-bit groups: b[2i], b[2i], b[2i+1], b[2i+1]
    c[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0x44),
                            _mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0xee));
  }
  return _mm512_add_epi32(_mm512_shuffle_i32x4(c[0], c[1], 0x88),
                          _mm512_shuffle_i32x4(c[0], c[1], 0xdd));
}

// P pixels x O outputs, P * O <= 16, for weights in rows.
template <int P, int O>
void rows_tile(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
               std::int64_t column, const Epilogue& epilogue) {
  const std::int64_t steps = work.pixel / 64;
  const std::int64_t output_bytes = std::int64_t{a.kernel[0]} * a.kernel[1] * work.pixel;
  const std::int64_t step_bytes = phase.x.in_step * work.pixel;
  const std::int64_t offset =
      (phase.x.in_first - phase.x.lowest()) * work.pixel + column * step_bytes;
  __m512i acc[16];
  for (int i = 0; i < 16; ++i) acc[i] = _mm512_setzero_si512();
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    const std::int64_t kernel_row =
        std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1];
    for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
      const std::int64_t tap = kernel_row + phase.x.kernel_first + kx * phase.x.kernel_step;
      const std::int8_t* w = a.weight + tap * work.pixel;
      const std::uint8_t* in =
          row.packed[ky] + offset + std::int64_t{kx} * phase.x.tap_step * work.pixel;
      for (std::int64_t k = 0; k < steps; ++k) {
        __m512i weight[O];
        for (int o = 0; o < O; ++o) weight[o] = _mm512_loadu_si512(w + o * output_bytes + k * 64);
        for (int p = 0; p < P; ++p) {
          const __m512i x = _mm512_loadu_si512(in + p * step_bytes + k * 64);
          for (int o = 0; o < O; ++o) {
            acc[p * O + o] = _mm512_dpbusd_epi32(acc[p * O + o], x, weight[o]);
          }
        }
      }
    }
  }
  // Lane p O + o holds pixel p, output o; the epilogue's constants repeat in that order.
  alignas(64) std::int32_t start[16] = {}, residual[16] = {}, result[16];
  alignas(64) double ratio[16] = {}, other[16] = {};
  const std::int64_t residual_pixel = a.residual.stride[2] * phase.x.out_step;
  for (int p = 0; p < P; ++p) {
    for (int o = 0; o < O; ++o) {
      const int lane = p * O + o;
      start[lane] = work.start[o];
      ratio[lane] = work.ratio[o];
      other[lane] = work.residual_ratio[o];
      if (row.residual != nullptr) {
        const std::byte* from = row.residual + (column + p) * residual_pixel;
        residual[lane] = a.residual.type == Type::int8
                             ? reinterpret_cast<const std::int8_t*>(from)[o]
                             : reinterpret_cast<const std::int16_t*>(from)[o];
      }
    }
  }
  const __m512i sum = _mm512_add_epi32(sums_of(acc), _mm512_load_si512(start));
  const __m512d offset_lo = _mm512_fmadd_pd(
      _mm512_cvtepi32_pd(_mm256_load_si256(reinterpret_cast<const __m256i*>(residual))),
      _mm512_load_pd(other), epilogue.half);
  const __m512d offset_hi = _mm512_fmadd_pd(
      _mm512_cvtepi32_pd(_mm256_load_si256(reinterpret_cast<const __m256i*>(residual + 8))),
      _mm512_load_pd(other + 8), epilogue.half);
  _mm512_store_si512(result, requantize16(sum, _mm512_load_pd(ratio), _mm512_load_pd(ratio + 8),
                                          offset_lo, offset_hi, epilogue.lo, epilogue.hi));
  const std::int64_t out_pixel = a.out.stride[2] * phase.x.out_step;
  for (int p = 0; p < P; ++p) {
    std::byte* to = row.out + (column + p) * out_pixel;
    for (int o = 0; o < O; ++o) {
      const std::int32_t value = result[p * O + o];
      if (a.out.type == Type::int8) {
        reinterpret_cast<std::int8_t*>(to)[o] = static_cast<std::int8_t>(value);
      } else if (a.out.type == Type::int16) {
        reinterpret_cast<std::int16_t*>(to)[o] = static_cast<std::int16_t>(value);
      } else {
        reinterpret_cast<std::int32_t*>(to)[o] = value;
      }
    }
  }
}

template <int O>
void rows_row(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
              const Epilogue& epilogue) {
  constexpr int P = 16 / O < 8 ? 16 / O : 8;
  std::int64_t column = 0;
  for (; column + P <= phase.x.count; column += P) {
    rows_tile<P, O>(a, work, phase, row, column, epilogue);
  }
  for (; column < phase.x.count; ++column) {
    rows_tile<1, O>(a, work, phase, row, column, epilogue);
  }
}

void blocked_row(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                 std::int64_t first_vector, std::int64_t last_vector, const Epilogue& epilogue) {
  for (std::int64_t v = first_vector; v < last_vector;) {
    const int n = last_vector - v >= kVectors ? kVectors : 1;
    for (std::int64_t column = 0; column < phase.x.count; column += kPixels) {
      const std::int64_t left = phase.x.count - column;
      const int p = left < kPixels ? static_cast<int>(left) : kPixels;
      kBlockedTiles[n - 1][p - 1](a, work, phase, row, column, v, epilogue);
    }
    v += n;
  }
}

void finish_row(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                std::int64_t first_vector, std::int64_t last_vector, const Epilogue& epilogue) {
  if (a.weight_layout == WeightLayout::blocked) {
    blocked_row(a, work, phase, row, first_vector, last_vector, epilogue);
  } else if (a.out.shape[3] == 1) {
    rows_row<1>(a, work, phase, row, epilogue);
  } else if (a.out.shape[3] == 2) {
    rows_row<2>(a, work, phase, row, epilogue);
  } else if (a.out.shape[3] == 3) {
    rows_row<3>(a, work, phase, row, epilogue);
  } else {
    rows_row<4>(a, work, phase, row, epilogue);
  }
}

}  // namespace

std::size_t conv_scratch_avx512(const ConvArgs& a) {
  const std::int64_t outputs = outputs_padded(a);
  std::int64_t taps = a.kernel[0];
  return static_cast<std::size_t>(round_up(outputs * (4 + 8 + 8), 64) + taps * longest_row(a));
}

void conv_avx512(const ConvArgs& a, Part part) {
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
        finish_row(a, work, phase, row, first * kVectors, until, epilogue);
      }
    }
  }
}

}  // namespace horizon

#endif
