// Convolution with AVX2, int8 or int16 inputs.
//
// vpmaddubsw saturates; vpmaddwd, on pairs of int16, is exact. Inputs are packed as int16, each
// group of four in the order 0, 2, 1, 3, because shifting a vector of weights by bytes gives inputs
// 0 and 2 or 1 and 3 of its 8 outputs as such pairs.
//
// blocked weights: lanes are outputs; up to 5 pixels by 16 outputs stay in registers.
// rows weights (few outputs): lanes are input channels, summed across at the end.
#if defined(__x86_64__)

#include "kernels/avx2.h"
#include "kernels/conv_driver.h"
#include "kernels/requantize_avx2.h"
#include "kernels/scalar.h"

namespace horizon {
namespace {

constexpr int kPixels = 5;

__m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

struct Avx2 {
  static constexpr std::int64_t kOutputs = 16;
  const ConvArgs& a;
  Scale8* scales;
  __m256i lo, hi;
  bool blocked;
  std::int64_t channels;  // of a packed pixel

  static bool is_blocked(const ConvArgs& a) { return a.weight_layout == WeightLayout::blocked; }
  static std::int64_t packed_channels(const ConvArgs& a) {
    return round_up(a.in.shape[3], is_blocked(a) ? 4 : 16);
  }
  static std::int64_t pixel_bytes(const ConvArgs& a) { return 2 * packed_channels(a); }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return round_up(a.out.shape[3], kOutputs) / 8 * static_cast<std::int64_t>(sizeof(Scale8));
  }

  Avx2(const ConvArgs& args, std::byte* scratch)
      : a(args),
        scales(reinterpret_cast<Scale8*>(scratch)),
        lo(_mm256_set1_epi32(args.lo)),
        hi(_mm256_set1_epi32(args.hi)),
        blocked(is_blocked(args)),
        channels(packed_channels(args)) {
    const std::int64_t outputs = a.out.shape[3];
    for (std::int64_t o = 0; o < outputs; o += 8) {
      Channel eight[8];
      for (int i = 0; i < 8; ++i) {
        eight[i] = o + i < outputs ? a.table[o + i] : Channel{0, 0, 0, 25};
      }
      scales[o / 8] = make_scale8(eight);
    }
  }

  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const;
  void row(const Phase& phase, const ConvRow& row, std::int64_t first, std::int64_t last) const;
  void finish(__m256i acc, std::int64_t o, std::byte* out, const std::byte* residual) const;
  void finish_element(std::int32_t acc, std::int64_t o, std::byte* out,
                      const std::byte* residual) const;
};

void Avx2::pack(const std::byte* from, std::int64_t pixels, std::byte* to) const {
  const std::int64_t inputs = a.in.shape[3], whole = inputs / 16 * 16;
  const bool bytes = a.in.type == Type::int8;
  for (std::int64_t x = 0; x < pixels; ++x, from += a.in.stride[2], to += 2 * channels) {
    for (std::int64_t c = 0; c < whole; c += 16) {
      __m256i values =
          bytes ? _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + c)))
                : load(from + 2 * c);
      if (blocked) values = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(values, 0xd8), 0xd8);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 2 * c), values);
    }
    for (std::int64_t c = whole; c < channels; c += 4) {
      const std::int64_t left = inputs - c, count = left < 4 ? left : 4;
      std::uint64_t group = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int32_t value = read_element(from + (c + i) * (bytes ? 1 : 2), a.in.type);
        group |= std::uint64_t{static_cast<std::uint16_t>(value)} << 16 * i;
      }
      __m128i values = _mm_cvtsi64_si128(static_cast<std::int64_t>(group));
      if (blocked) values = _mm_shufflelo_epi16(values, 0xd8);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to + 2 * c), values);
    }
  }
}

void Avx2::finish_element(std::int32_t acc, std::int64_t o, std::byte* out,
                          const std::byte* residual) const {
  const std::int64_t size = a.out.type == Type::int32 ? 4 : a.out.type == Type::int16 ? 2 : 1;
  std::int32_t second = 0;
  if (residual != nullptr) {
    const std::int64_t residual_size = a.residual.type == Type::int16 ? 2 : 1;
    second = read_element(residual + o * residual_size, a.residual.type);
  }
  write_element(out + o * size, a.out.type,
                requantize(static_cast<std::uint32_t>(acc), a.table[o], second, a.lo, a.hi));
}

// Outputs o .. o + 7, or those that there are, of the pixel at `out`.
void Avx2::finish(__m256i acc, std::int64_t o, std::byte* out, const std::byte* residual) const {
  const std::int64_t left = a.out.shape[3] - o, count = left < 8 ? left : 8;
  if (count <= 0) return;
  const Scale8& scale = scales[o / 8];
  if (!scale.integer) {
    alignas(32) std::int32_t values[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(values), acc);
    for (std::int64_t i = 0; i < count; ++i) finish_element(values[i], o + i, out, residual);
    return;
  }
  __m256i y;
  if (residual == nullptr) {
    y = requantize8(acc, scale, lo, hi);
  } else {
    const std::int64_t size = a.residual.type == Type::int16 ? 2 : 1;
    y = requantize8(acc, load8(residual + o * size, a.residual.type, count), scale, lo, hi);
  }
  const std::int64_t size = a.out.type == Type::int32 ? 4 : a.out.type == Type::int16 ? 2 : 1;
  store8(out + o * size, a.out.type, y, count);
}

// P pixels from column `column` on, 16 outputs from 16 `block` on.
template <int P>
__attribute__((noinline)) void blocked_tile(const Avx2& c, const Phase& phase, const ConvRow& row,
                                            std::int64_t column, std::int64_t block) {
  const ConvArgs& a = c.a;
  const std::int64_t groups = c.channels / 4, pixel_bytes = 2 * c.channels;
  const std::int64_t step = phase.x.in_step * pixel_bytes;
  const std::int8_t* weights = a.weight + block * a.kernel[0] * a.kernel[1] * groups * 64;
  __m256i acc[P][2];
#pragma GCC unroll 5
  for (int p = 0; p < P; ++p) acc[p][0] = acc[p][1] = _mm256_setzero_si256();
  const Stretches stretches(a, phase, row, column, pixel_bytes, groups);
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    for (std::int32_t kx = 0; kx < stretches.per_row; ++kx) {
      const std::int8_t* w = weights + stretches.tap(ky, kx) * groups * 64;
      const std::byte* in = stretches.input(ky, kx);
      for (std::int64_t k = 0; k < stretches.length; ++k, w += 64, in += 8) {
#pragma GCC unroll 2
        for (int pair = 0; pair < 2; ++pair) {
          __m256i weight[2];
#pragma GCC unroll 2
          for (int n = 0; n < 2; ++n) {
            weight[n] = load(w + 32 * n);
            if (pair == 0) weight[n] = _mm256_slli_epi16(weight[n], 8);
            weight[n] = _mm256_srai_epi16(weight[n], 8);
          }
          // The compiler would add the products of both pairs first and run out of registers.
#pragma GCC unroll 5
          for (int p = 0; p < P; ++p) asm("" : "+x"(acc[p][0]), "+x"(acc[p][1]));
#pragma GCC unroll 5
          for (int p = 0; p < P; ++p) {
            std::int32_t two;
            __builtin_memcpy(&two, in + p * step + 4 * pair, 4);
            const __m256i x = _mm256_set1_epi32(two);
#pragma GCC unroll 2
            for (int n = 0; n < 2; ++n) {
              acc[p][n] = _mm256_add_epi32(acc[p][n], _mm256_madd_epi16(x, weight[n]));
            }
          }
        }
      }
    }
  }
  const std::int64_t out_step = a.out.stride[2] * phase.x.out_step;
  const std::int64_t residual_step = a.residual.stride[2] * phase.x.out_step;
#pragma GCC unroll 5
  for (int p = 0; p < P; ++p) {
    std::byte* out = row.out + (column + p) * out_step;
    const std::byte* residual =
        row.residual == nullptr ? nullptr : row.residual + (column + p) * residual_step;
    c.finish(acc[p][0], 16 * block, out, residual);
    c.finish(acc[p][1], 16 * block + 8, out, residual);
  }
}

// P pixels x O outputs for weights in rows.
template <int P, int O>
__attribute__((noinline)) void rows_tile(const Avx2& c, const Phase& phase, const ConvRow& row,
                                         std::int64_t column) {
  const ConvArgs& a = c.a;
  const std::int64_t pixel_bytes = 2 * c.channels, step = phase.x.in_step * pixel_bytes;
  const std::int64_t weight_pixel = round_up(a.in.shape[3], 64);
  const std::int64_t output_bytes = std::int64_t{a.kernel[0]} * a.kernel[1] * weight_pixel;
  __m256i acc[P][O];
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) acc[p][o] = _mm256_setzero_si256();
  }
  const std::int64_t offset = (phase.x.in_first - phase.x.lowest()) * pixel_bytes + column * step;
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    const std::int64_t kernel_row =
        std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1];
    for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
      const std::int64_t tap = kernel_row + phase.x.kernel_first + kx * phase.x.kernel_step;
      const std::int8_t* w = a.weight + tap * weight_pixel;
      const std::byte* in =
          row.packed[ky] + offset + std::int64_t{kx} * phase.x.tap_step * pixel_bytes;
      for (std::int64_t k = 0; k < c.channels; k += 16) {
        __m256i weight[O];
#pragma GCC unroll 4
        for (int o = 0; o < O; ++o) {
          const auto* at = reinterpret_cast<const __m128i*>(w + o * output_bytes + k);
          weight[o] = _mm256_cvtepi8_epi16(_mm_loadu_si128(at));
        }
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) {
          const __m256i x = load(in + p * step + 2 * k);
#pragma GCC unroll 4
          for (int o = 0; o < O; ++o) {
            acc[p][o] = _mm256_add_epi32(acc[p][o], _mm256_madd_epi16(x, weight[o]));
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    std::byte* out = row.out + (column + p) * a.out.stride[2] * phase.x.out_step;
    const std::byte* residual =
        row.residual == nullptr
            ? nullptr
            : row.residual + (column + p) * a.residual.stride[2] * phase.x.out_step;
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) {
      __m128i sum =
          _mm_add_epi32(_mm256_castsi256_si128(acc[p][o]), _mm256_extracti128_si256(acc[p][o], 1));
      sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
      sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
      c.finish_element(_mm_cvtsi128_si32(sum), o, out, residual);
    }
  }
}

template <int O>
void rows_row(const Avx2& c, const Phase& phase, const ConvRow& row) {
  constexpr int P = O == 4 ? 3 : 4;
  std::int64_t column = 0;
  for (; column + P <= phase.x.count; column += P) rows_tile<P, O>(c, phase, row, column);
  for (; column < phase.x.count; ++column) rows_tile<1, O>(c, phase, row, column);
}

void Avx2::row(const Phase& phase, const ConvRow& row, std::int64_t first,
               std::int64_t last) const {
  if (!blocked) {
    constexpr decltype(&rows_row<1>) kRows[] = {rows_row<1>, rows_row<2>, rows_row<3>, rows_row<4>};
    kRows[a.out.shape[3] - 1](*this, phase, row);
    return;
  }
  constexpr decltype(&blocked_tile<1>) kTiles[kPixels] = {
      blocked_tile<1>, blocked_tile<2>, blocked_tile<3>, blocked_tile<4>, blocked_tile<5>};
  for (std::int64_t block = first; block < last; ++block) {
    for (std::int64_t column = 0; column < phase.x.count; column += kPixels) {
      const std::int64_t left = phase.x.count - column;
      kTiles[(left < kPixels ? left : kPixels) - 1](*this, phase, row, column, block);
    }
  }
}

bool fast(const ConvArgs& a) {
  return a.kernel[0] <= kMaxTaps && (Avx2::is_blocked(a) || a.out.shape[3] <= 4);
}

}  // namespace

std::size_t conv_scratch_avx2(const ConvArgs& a) {
  return fast(a) ? convolution_scratch<Avx2>(a) : conv_scratch_scalar(a);
}

void conv_avx2(const ConvArgs& a, Part part) {
  fast(a) ? convolve<Avx2>(a, part) : conv_scalar(a, part);
}

}  // namespace horizon

#endif
