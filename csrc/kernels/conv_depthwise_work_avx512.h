// The preparation of a depthwise convolution with AVX-512: interleaved rows, weights and constants.
//
// vpdpbusd adds four products; here these are four rows of the kernel (conv_depthwise_plan.h). Each
// column of the kernel takes one vpdpbusd for 16 outputs. Inputs are offset by 128, as in
// conv_avx512.cpp.
//
// A vector holds 64 bytes in 4 lanes of 16 channels: 64 channels of a pixel or, for the last
// channels of a tensor, 32 channels of 2 pixels or 16 of 4. Interleaving puts channels 4 g .. 4 g +
// 3 of every lane into vector g of 4. Saturated packing restores the order of the sums. The
// constants are kept in the interleaved order.
#pragma once

#include "kernels/conv_depthwise_plan.h"
#include "kernels/conv_epilogue_avx512.h"

namespace horizon {
namespace {

constexpr std::int64_t kBlock = kWeightBlock;
constexpr std::int64_t kVector = 64;  // bytes
constexpr int kQuarters = 4;          // vectors of interleaved rows
constexpr std::int64_t kColumn = kQuarters * kVector;

// The constants of 64 channels in the order of interleaved vectors.
struct alignas(64) Lanes {
  std::int32_t start[kBlock];       // bias - 128 sum w
  std::int32_t multiplier[kBlock];  // M 2^7
  std::int32_t half[kBlock];        // 2^(s-26)
  std::int32_t shift[kBlock];       // s - 25
};

// The interleaved columns for the pixels of some output vectors. Vector v finds kernel column kx in
// slot v * step + kx * tap. If shared, slot s holds input pixels left + s, ..., and vectors read
// the same slots. Otherwise each vector has its own slots.
struct Slots {
  bool shared;
  std::int64_t step, tap, vectors;
  unsigned used;  // of `step` slots those that vectors meet, if shared

  Slots(const ConvArgs& a, int pixels) {
    const std::int64_t columns = a.kernel[1], next = std::int64_t{pixels} * a.stride[1];
    shared = next <= 8 && a.dilation[1] * (columns - 1) < kMostSlots / 2;
    step = shared ? next : columns;
    tap = shared ? a.dilation[1] : 1;
    vectors = (kMostSlots - 1 - tap * (columns - 1)) / step + 1;
    if (vectors > 4) vectors = vectors / 4 * 4;
    used = 0;
    for (std::int64_t kx = 0; shared && kx < columns; ++kx) used |= 1u << kx * tap % step;
  }
  std::int64_t count(const ConvArgs& a, std::int64_t of) const {
    return (of - 1) * step + (a.kernel[1] - 1) * tap + 1;
  }
};

// Scratch begins with the constants in the natural order.
struct Scratch {
  Lanes* lanes;
  std::int8_t* weights;  // [rows][quads][kernel columns][4 vectors]
  std::uint8_t* inputs;  // [quads][slots][4 vectors]

  static std::int64_t blocks(const ConvArgs& a) { return (a.out.shape[3] + kBlock - 1) / kBlock; }
  static std::int64_t constants_bytes_of(const ConvArgs& a) {
    return round_up(constants_bytes(a), kVector);
  }
  // Lanes and weights of a block.
  static std::int64_t block_bytes(const Plan& plan) {
    return static_cast<std::int64_t>(sizeof(Lanes)) + plan.rows * plan.taps * kColumn;
  }
  static std::int64_t bytes(const ConvArgs& a) {
    const Plan plan(a);
    return constants_bytes_of(a) + blocks(a) * block_bytes(plan) +
           plan.quads * kMostSlots * kColumn;
  }
  Scratch(const ConvArgs& a, const Plan& plan, std::byte* data, std::int64_t block)
      : lanes(reinterpret_cast<Lanes*>(data + constants_bytes_of(a) + block * block_bytes(plan))),
        weights(reinterpret_cast<std::int8_t*>(lanes + 1)),
        inputs(reinterpret_cast<std::uint8_t*>(data + constants_bytes_of(a) +
                                               blocks(a) * block_bytes(plan))) {}
};

// Four rows of 64 bytes, byte by byte, to 4 vectors.
HORIZON_INLINE void interleave(const __m512i (&row)[4], void* to) {
  const __m512i low = _mm512_unpacklo_epi8(row[0], row[1]);
  const __m512i high = _mm512_unpackhi_epi8(row[0], row[1]);
  const __m512i lower = _mm512_unpacklo_epi8(row[2], row[3]);
  const __m512i higher = _mm512_unpackhi_epi8(row[2], row[3]);
  __m512i* out = static_cast<__m512i*>(to);
  _mm512_store_si512(out, _mm512_unpacklo_epi16(low, lower));
  _mm512_store_si512(out + 1, _mm512_unpackhi_epi16(low, lower));
  _mm512_store_si512(out + 2, _mm512_unpacklo_epi16(high, higher));
  _mm512_store_si512(out + 3, _mm512_unpackhi_epi16(high, higher));
}

// F pixels share a vector: the channels from `first` on, at most 64 / F.
template <int F>
struct Depthwise {
  static constexpr std::int64_t kShare = kVector / F;  // channels of a pixel in a vector

  const ConvArgs& a;
  const Plan plan;
  const Slots slots;
  const Scratch scratch;
  const std::int64_t first, channels;
  const __mmask64 mask;  // the channels that there are
  const bool in_together, out_together;

  Depthwise(const ConvArgs& args, const Plan& of, const Scratch& at, std::int64_t channel)
      : a(args),
        plan(of),
        slots(args, F),
        scratch(at),
        first(channel),
        channels(args.out.shape[3] - channel < kShare ? args.out.shape[3] - channel : kShare),
        mask(channels == 64 ? ~__mmask64{0} : (__mmask64{1} << channels) - 1),
        in_together(together(args.in) && args.stride[1] == 1),
        out_together(together(args.out)) {}

  // Whether the pixels of a vector lie side by side, and nothing else between them.
  bool together(const Tensor& t) const {
    return F == 1 || (t.stride[2] == kShare && channels == kShare);
  }

  // The channels of a pixel, in the lanes of pixel 0.
  HORIZON_INLINE __m512i load_pixel(const std::byte* from) const {
    if constexpr (F == 1) return _mm512_maskz_loadu_epi8(mask, from);
    if constexpr (F == 2) {
      const auto some = static_cast<__mmask32>(mask);
      return _mm512_zextsi256_si512(_mm256_maskz_loadu_epi8(some, from));
    }
    return _mm512_zextsi128_si512(_mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), from));
  }

  // The same channels for each of the F pixels.
  HORIZON_INLINE static __m512i repeated(__m512i v) {
    if constexpr (F == 2) return _mm512_shuffle_i64x2(v, v, 0x44);
    if constexpr (F == 4) return _mm512_shuffle_i64x2(v, v, 0x00);
    return v;
  }

  // Input pixels at `from` and further ones, all inside; `some` are the bytes that are read: of
  // each pixel or, where they lie together, of the vector.
  HORIZON_INLINE __m512i load_inside(const std::byte* from, __mmask64 some) const {
    if (F == 1 || in_together) return _mm512_maskz_loadu_epi8(some, from);
    const std::int64_t step = a.stride[1] * a.in.stride[2];
    if constexpr (F == 2) {
      const auto half = static_cast<__mmask32>(some);
      return _mm512_inserti64x4(_mm512_zextsi256_si512(_mm256_maskz_loadu_epi8(half, from)),
                                _mm256_maskz_loadu_epi8(half, from + step), 1);
    }
    const auto quarter = static_cast<__mmask16>(some);
    __m512i v = _mm512_zextsi128_si512(_mm_maskz_loadu_epi8(quarter, from));
    v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(quarter, from + step), 1);
    v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(quarter, from + 2 * step), 2);
    return _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(quarter, from + 3 * step), 3);
  }

  // Input pixels x, x + stride, ... of a row, those that are inside of it.
  __m512i load_some(const std::byte* row, std::int64_t x) const {
    alignas(64) std::byte bytes[kVector] = {};
    for (std::int64_t j = 0; j < F; ++j, x += a.stride[1]) {
      if (x < 0 || x >= a.in.shape[2]) continue;
      __builtin_memcpy(bytes + j * kShare, row + x * a.in.stride[2],
                       static_cast<std::size_t>(channels));
    }
    return _mm512_load_si512(bytes);
  }

  void prepare() const;
  void interleave_rows(std::int32_t image, std::int64_t top, std::int64_t vector,
                       std::int64_t count) const;
  template <class Finish>
  void rows(std::int32_t image, std::int64_t y, const Finish& finish) const;
};

// Weights of the channels, interleaved for each output row that shares inputs, and constants.
template <int F>
void Depthwise<F>::prepare() const {
  const std::int8_t* weights =
      a.weight + first / kBlock * a.kernel[0] * a.kernel[1] * kBlock + first % kBlock;
  std::int8_t* to = scratch.weights;
  for (int row = 0; row < plan.rows; ++row) {
    for (int quad = 0; quad < plan.quads; ++quad) {
      for (std::int64_t kx = 0; kx < a.kernel[1]; ++kx, to += kColumn) {
        __m512i four[4];
        for (int i = 0; i < 4; ++i) {
          const std::int64_t ky = 4 * quad + i - row;
          const bool inside = ky >= 0 && ky < a.kernel[0];
          const auto* at =
              reinterpret_cast<const std::byte*>(weights + (ky * a.kernel[1] + kx) * kBlock);
          four[i] = inside ? repeated(load_pixel(at)) : _mm512_setzero_si512();
        }
        interleave(four, to);
      }
    }
  }
  Lanes& lanes = *scratch.lanes;
  for (int i = 0; i < kBlock; ++i) {
    // The i-th of the order: quarter i / 16, lane i / 4 % 4.
    const std::int64_t channel = (i / 4 % 4 * 16 + i / 16 * 4 + i % 4) % kShare;
    const Channel c =
        channel < channels ? a.table[first + channel] : Channel{0, 0, 0, kSmallestIntegerShift};
    lanes.start[i] = c.bias;
    lanes.multiplier[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(c.multiplier) << 7);
    lanes.shift[i] = c.shift - kSmallestIntegerShift;
    lanes.half[i] = lanes.shift[i] > 0 ? 1 << (lanes.shift[i] - 1) : 0;
  }
  const __m512i shifted = _mm512_set1_epi8(-128);
  for (int g = 0; g < kQuarters; ++g) {
    __m512i sum = _mm512_setzero_si512();
    for (std::int64_t tap = 0; tap < plan.taps; ++tap) {
      const void* at = scratch.weights + tap * kColumn + g * kVector;
      sum = _mm512_dpbusd_epi32(sum, shifted, _mm512_load_si512(at));
    }
    auto* start = lanes.start + 16 * g;
    _mm512_store_si512(start, _mm512_sub_epi32(_mm512_load_si512(start), sum));
  }
}

// The slots of output vectors `vector` .. `vector + count - 1`; row `top` of the input is the
// first.
template <int F>
void Depthwise<F>::interleave_rows(std::int32_t image, std::int64_t top, std::int64_t vector,
                                   std::int64_t count) const {
  const __m512i shift = _mm512_set1_epi8(-128);
  const std::int64_t rows = plan.rows + a.kernel[0] - 1, width = a.in.shape[2];
  const std::int64_t last = width - 1 - (F - 1) * a.stride[1];  // where all pixels are inside
  const std::int64_t left = vector * F * a.stride[1] - a.pad[1];
  for (int quad = 0; quad < plan.quads; ++quad) {
    const std::byte* row[4];
    __mmask64 some[4];  // of a row outside nothing is read
    for (int i = 0; i < 4; ++i) {
      const std::int64_t place = 4 * quad + i, y = top + place * a.dilation[0];
      const bool inside = place < rows && y >= 0 && y < a.in.shape[1];
      row[i] = pixel(a.in, image, inside ? y : 0, 0) + first;
      some[i] = !inside ? 0 : F > 1 && in_together ? ~__mmask64{0} : mask;
    }
    std::uint8_t* to = scratch.inputs + quad * kMostSlots * kColumn;
    // Prefetch the rows that only the next output rows read. The CPU does not do so in time,
    // because each piece of a row is short.
    const std::int64_t fresh = std::int64_t{plan.rows} * a.stride[0];
    const std::int64_t next = top + (rows - 1) * a.dilation[0] + 1;
    const bool ahead = quad + 1 == plan.quads && next + fresh <= a.in.shape[1];
    const std::byte* coming = ahead ? pixel(a.in, image, next, 0) + first : nullptr;
    const auto fill = [&](std::int64_t x) {
      __m512i four[4];
      if (x >= 0 && x <= last) {
        for (std::int64_t i = 0; ahead && i < fresh; ++i) {
          __builtin_prefetch(coming + i * a.in.stride[1] + x * a.in.stride[2], 0, 2);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          four[i] = load_inside(row[i] + x * a.in.stride[2], some[i]);
        }
      } else {
        for (int i = 0; i < 4; ++i) {
          four[i] = some[i] == 0 ? _mm512_setzero_si512() : load_some(row[i], x);
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) four[i] = _mm512_xor_si512(four[i], shift);
      interleave(four, to);
    };
    if (slots.shared) {
      const std::int64_t slot_count = slots.count(a, count);
      std::int64_t of_step = 0;
      for (std::int64_t slot = 0; slot < slot_count; ++slot, to += kColumn) {
        if ((slots.used >> of_step & 1) != 0) fill(left + slot);
        if (++of_step == slots.step) of_step = 0;
      }
      continue;
    }
    for (std::int64_t v = 0; v < count; ++v) {
      for (std::int64_t kx = 0; kx < a.kernel[1]; ++kx, to += kColumn) {
        fill(left + v * F * a.stride[1] + kx * a.dilation[1]);
      }
    }
  }
}

}  // namespace
}  // namespace horizon
