// The preparation of an AVX-512 convolution: packed input rows and the constants of each output.
#pragma once

#include <immintrin.h>

#include "kernels/conv_constants_avx512.h"
#include "kernels/conv_plan.h"
#include "kernels/requantize_lean_avx512.h"

namespace horizon {
namespace {

constexpr int kMaxTaps = 64;

// The working memory of a part, laid out in its scratch.
struct Work : Constants {  // start: bias - 128 sum w
  std::uint8_t* rows;      // packed rows
  std::int64_t row_bytes;
  std::int64_t pixel;  // bytes of a packed pixel
  bool lean;           // requantize_lean_avx512.h
};

// Few input channels of neighbouring pixels share a vector (conv_narrow_avx512.h).
bool is_narrow(const ConvArgs& a) {
  return a.weight_layout == WeightLayout::rows && a.in.shape[3] <= 32 &&
         (a.transposed || a.stride[1] == 1) && a.residual.data == nullptr;
}

// Bytes of the weights of one tap, for one output or for 16 outputs and 4 inputs a vector.
std::int64_t weight_pixel(const ConvArgs& a) {
  return round_up(a.in.shape[3], a.weight_layout == WeightLayout::blocked ? 4 : 64);
}

// Bytes of a packed pixel.
std::int64_t channels_padded(const ConvArgs& a) {
  if (is_narrow(a)) return a.in.shape[3] <= 16 ? 16 : 32;
  return weight_pixel(a);
}

std::int64_t longest_row(const ConvArgs& a) {
  std::int64_t longest = 0;
  for (std::int32_t i = 0; i < phase_count(a); ++i) {
    const std::int64_t span = make_phase(a, i).x.span();
    if (span > longest) longest = span;
  }
  return round_up(longest * channels_padded(a), 64) + 64;
}

Work make_work(const ConvArgs& a, std::byte* scratch) {
  Work work{Constants(a, scratch), nullptr, longest_row(a), channels_padded(a), fits_lean(a)};
  work.rows = reinterpret_cast<std::uint8_t*>(scratch) + constants_bytes(a);
  return work;
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
  const std::int64_t steps = weight_pixel(a) / (blocked ? 4 : 64);  // vectors of a tap
  const std::int64_t tap_count = std::int64_t{a.kernel[0]} * a.kernel[1];
  const std::int32_t outputs = a.out.shape[3];
  alignas(64) std::int32_t sums[kLanes];
  for (std::int64_t first = 0; first < outputs; first += kLanes) {
    __m512i sum[4] = {};  // blocked: lanes are outputs, in the first; rows: one for each output
    for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
      for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
        const std::int64_t tap =
            std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1] +
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
      work.set(a, first + lane, 128u * static_cast<std::uint32_t>(sums[lane]));
    }
  }
}

// Pixels of 3 bytes to pixels of 4, shifted by 128.
void pack_triples(const std::byte* from, std::uint8_t* to, std::int64_t pixels) {
  const __m512i shift = _mm512_set1_epi8(static_cast<char>(0x80));
  // 12 bytes to each 128-bit lane, then every third followed by a zero.
  const __m512i words = _mm512_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11);
  const __m512i bytes =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
  for (std::int64_t i = 0; i < pixels; i += 16) {
    const std::int64_t count = pixels - i < 16 ? pixels - i : 16;
    const __m512i triples =
        _mm512_maskz_loadu_epi8((std::uint64_t{1} << (3 * count)) - 1, from + 3 * i);
    const __m512i spread = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, triples), bytes);
    _mm512_mask_storeu_epi32(to + 4 * i, static_cast<__mmask16>((1u << count) - 1),
                             _mm512_xor_si512(spread, shift));
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
  if (channels == 3 && a.in.stride[2] == 3 && pixel == 4) {
    pack_triples(from, to, end - begin);
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

// One output row of a phase for one image.
struct Row {
  const std::uint8_t* packed[kMaxTaps];  // the rows of its taps, at column x.lowest()
  std::byte* out;                        // output pixel x.out_first
  const std::byte* residual;             // null where there is none
};

}  // namespace
}  // namespace horizon
