// Depthwise convolution with AVX-512 VNNI, int8 inputs.
//
// vpdpbusd adds four products: four rows of the kernel. So four rows of the input are interleaved
// byte by byte once, and each column of the kernel takes one product for 16 outputs. Where a kernel
// has fewer rows than a multiple of four, neighbouring output rows share the interleaved ones, with
// weights that are moved by a row. Inputs are shifted by 128, as in conv_avx512.cpp.
//
// A vector holds 64 bytes in 4 lanes of 16 channels: 64 channels of a pixel or, of the last
// channels of a tensor, 32 of 2 pixels or 16 of 4. Interleaving leaves, of each lane, channels
// 4 g .. 4 g + 3 in vector g of 4, and saturated packing takes the sums back in order. Constants
// lie in that order, too.
#if defined(__x86_64__)

// GCC 12 takes the undefined lanes in its own header for uninitialised variables.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "kernels/conv_depthwise_avx512.h"

#include "kernels/conv_epilogue_avx512.h"
#include "kernels/conv_plan.h"
#include "kernels/parts.h"

namespace horizon {
namespace {

constexpr std::int64_t kBlock = 64;   // channels of weights that lie together
constexpr std::int64_t kVector = 64;  // bytes
constexpr int kQuarters = 4;          // vectors of interleaved rows
constexpr std::int64_t kColumn = kQuarters * kVector;
constexpr int kMostRows = 8, kMostColumns = 16;  // of a kernel
// Bytes of maps that caches hold. Larger ones are read from row to row, all channels of a row, as
// memory is quickest; in smaller ones a block of channels is prepared by one part alone.
constexpr std::int64_t kInCaches = 1 << 19;
constexpr std::int64_t kMostSlots = 64;  // interleaved columns that are kept at once

// How a layer is cut: the same for all of its channels.
struct Plan {
  int rows;   // of the output that share interleaved rows
  int quads;  // groups of four interleaved rows
  std::int64_t taps;

  explicit Plan(const ConvArgs& a)
      : rows(a.stride[0] == 1 && a.dilation[0] == 1 ? (4 - a.kernel[0] % 4) % 4 + 1 : 1),
        quads((a.kernel[0] + rows - 1 + 3) / 4),
        taps(std::int64_t{quads} * a.kernel[1]) {}
};

std::int64_t bytes_of(const Tensor& t) {
  return std::int64_t{t.shape[0]} * t.shape[1] * t.shape[2] * t.shape[3] * size_of(t.type);
}

// The constants of 64 channels in the order of interleaved vectors.
struct alignas(64) Lanes {
  std::int32_t start[kBlock];       // bias - 128 sum w
  std::int32_t multiplier[kBlock];  // M 2^7
  std::int32_t half[kBlock];        // 2^(s-26)
  std::int32_t shift[kBlock];       // s - 25
};

// Columns that are interleaved for the pixels of some output vectors: vector v meets kernel column
// kx in slot v * step + kx * tap. Shared: slot s is for input pixels left + s, ...; vectors
// meet the same slots. Otherwise each has its own.
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
    // Rows that the next output rows read and these do not: nothing else asks for them in time,
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

// Compilers would put the sums off to where they are stored, and run out of registers.
template <int P>
HORIZON_INLINE void settle(__m512i (&values)[P]) {
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) asm volatile("" : "+v"(values[p]));
}

// Sums of quarter g of P output vectors; kTaps: of the weights, 0 where only the plan knows.
template <int P, int kTaps>
HORIZON_INLINE void accumulate(const std::uint8_t* const* inputs, const std::int8_t* weights,
                               std::int64_t step, std::int64_t taps, int g, const Lanes& lanes,
                               __m512i (&acc)[P]) {
  const __m512i start = _mm512_load_si512(lanes.start + 16 * g);
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) acc[p] = start;
  const std::int64_t count = kTaps == 0 ? taps : kTaps;
#pragma GCC unroll 3
  for (std::int64_t tap = 0; tap < count; ++tap) {
    const __m512i w = _mm512_load_si512(weights + tap * kColumn + g * kVector);
    const std::uint8_t* in = inputs[tap] + g * kVector;
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      acc[p] = _mm512_dpbusd_epi32(acc[p], _mm512_load_si512(in + p * step), w);
    }
  }
}

// int8 outputs of one slope without a residual.
//
// With the shift s at least 26, 2^(s-1) is a multiple of 2^25, so that it may be added after the
// products have been divided by 2^25: floor((acc M + 2^(s-1)) 2^-s) = floor((floor(acc M 2^-25) +
// 2^(s-26)) 2^-(s-25)). The quotient is the upper half of acc (M 2^7), M below 2^24; with acc below
// 2^28 it has less than 28 bits and the sum no overflow. Packing saturates to -32768..32767, then
// to -128..127, and the limits are within these.
struct Lean {
  const __m512i lo, hi;

  explicit Lean(const ConvArgs& a)
      : lo(_mm512_set1_epi8(static_cast<char>(a.lo))),
        hi(_mm512_set1_epi8(static_cast<char>(a.hi))) {}

  static bool fits(const ConvArgs& a) {
    if (a.out.type != Type::int8 || a.residual.data != nullptr || a.two_slopes) return false;
    for (std::int32_t o = 0; o < a.out.shape[3]; ++o) {
      if (!fits_integers(a.table[o], false) || a.table[o].shift == kSmallestIntegerShift) {
        return false;
      }
    }
    return true;
  }

  // The constants of a quarter.
  struct Scale {
    __m512i even, odd, half, shift;

    HORIZON_INLINE Scale(const Lanes& lanes, int g)
        : even(_mm512_load_si512(lanes.multiplier + 16 * g)),
          odd(_mm512_srli_epi64(even, 32)),
          half(_mm512_load_si512(lanes.half + 16 * g)),
          shift(_mm512_load_si512(lanes.shift + 16 * g)) {}

    HORIZON_INLINE __m512i operator()(__m512i acc) const {
      const __m512i low = _mm512_mul_epi32(acc, even);
      const __m512i high = _mm512_mul_epi32(_mm512_srli_epi64(acc, 32), odd);
      // The upper halves of both.
      const __m512i upper = _mm512_mask_shuffle_epi32(high, 0x5555, low, _MM_PERM_DDBB);
      return _mm512_srav_epi32(_mm512_add_epi32(upper, half), shift);
    }
  };

  template <int P, int kTaps, int F>
  HORIZON_INLINE void vectors(const Depthwise<F>& d, const std::uint8_t* const* inputs,
                              const std::int8_t* weights, std::byte* out, const std::byte*,
                              std::int64_t pixels) const {
    const Lanes& lanes = *d.scratch.lanes;
    const std::int64_t step = d.slots.step * kColumn;
    __m512i words[2][P];
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; ++pair) {
      __m512i acc[P], more[P];
      accumulate<P, kTaps>(inputs, weights, step, d.plan.taps, 2 * pair, lanes, acc);
      settle(acc);
      const Scale scale(lanes, 2 * pair);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) acc[p] = scale(acc[p]);
      settle(acc);
      accumulate<P, kTaps>(inputs, weights, step, d.plan.taps, 2 * pair + 1, lanes, more);
      settle(more);
      const Scale second(lanes, 2 * pair + 1);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) words[pair][p] = _mm512_packs_epi32(acc[p], second(more[p]));
      settle(words[pair]);
    }
    const std::int64_t pixel_step = d.a.out.stride[2];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      __m512i y = _mm512_packs_epi16(words[0][p], words[1][p]);
      y = _mm512_min_epi8(_mm512_max_epi8(y, lo), hi);
      std::byte* to = out + p * F * pixel_step;
      if (d.out_together && pixels >= (p + 1) * F) {
        d.channels* F == kVector ? _mm512_storeu_si512(to, y)
                                 : _mm512_mask_storeu_epi8(to, d.mask, y);
        continue;
      }
      if constexpr (F == 2) {
        const auto some = static_cast<__mmask32>(d.mask);
        _mm256_mask_storeu_epi8(to, some, _mm512_castsi512_si256(y));
        if (pixels > p * F + 1) {
          _mm256_mask_storeu_epi8(to + pixel_step, some, _mm512_extracti64x4_epi64(y, 1));
        }
      }
      if constexpr (F == 4) {
        const auto some = static_cast<__mmask16>(d.mask);
        const std::int64_t left = pixels - p * F;
        _mm_mask_storeu_epi8(to, some, _mm512_castsi512_si128(y));
        if (left > 1) {
          _mm_mask_storeu_epi8(to + pixel_step, some, _mm512_extracti32x4_epi32(y, 1));
        }
        if (left > 2) {
          _mm_mask_storeu_epi8(to + 2 * pixel_step, some, _mm512_extracti32x4_epi32(y, 2));
        }
        if (left > 3) {
          _mm_mask_storeu_epi8(to + 3 * pixel_step, some, _mm512_extracti32x4_epi32(y, 3));
        }
      }
    }
  }
};

// All other outputs, in the natural order of channels. R: the ratios of one slope or of two.
template <class R>
struct Full {
  const Constants constants;
  const Epilogue epilogue;

  Full(const ConvArgs& a, std::byte* scratch) : constants(a, scratch), epilogue(a, constants) {
    for (std::int64_t o = 0; o < outputs_padded(a); ++o) constants.set(a, o, 0);
  }

  template <int P, int kTaps, int F>
  HORIZON_INLINE void vectors(const Depthwise<F>& d, const std::uint8_t* const* inputs,
                              const std::int8_t* weights, std::byte* out, const std::byte* residual,
                              std::int64_t pixels) const {
    for (int p = 0; p < P; ++p) {
      const std::uint8_t* at[kMostRows / 4 * kMostColumns];
      for (std::int64_t tap = 0; tap < d.plan.taps; ++tap) {
        at[tap] = inputs[tap] + p * d.slots.step * kColumn;
      }
      one<kTaps>(d, at, weights, out + p * F * d.a.out.stride[2],
                 residual == nullptr ? nullptr : residual + p * F * d.a.residual.stride[2],
                 pixels - p * F);
    }
  }

 private:
  template <int kTaps, int F>
  void one(const Depthwise<F>& d, const std::uint8_t* const* inputs, const std::int8_t* weights,
           std::byte* out, const std::byte* residual, std::int64_t pixels) const {
    __m512i sum[kQuarters];
#pragma GCC unroll 4
    for (int g = 0; g < kQuarters; ++g) {
      __m512i acc[1];
      accumulate<1, kTaps>(inputs, weights, 0, d.plan.taps, g, *d.scratch.lanes, acc);
      sum[g] = acc[0];
    }
    // 4 x 4 lanes: from channels 4 g .. of each lane to the channels of lane l.
    const __m512i low = _mm512_shuffle_i32x4(sum[0], sum[1], 0x44);
    const __m512i high = _mm512_shuffle_i32x4(sum[0], sum[1], 0xee);
    const __m512i lower = _mm512_shuffle_i32x4(sum[2], sum[3], 0x44);
    const __m512i higher = _mm512_shuffle_i32x4(sum[2], sum[3], 0xee);
    const __m512i natural[4] = {
        _mm512_shuffle_i32x4(low, lower, 0x88), _mm512_shuffle_i32x4(low, lower, 0xdd),
        _mm512_shuffle_i32x4(high, higher, 0x88), _mm512_shuffle_i32x4(high, higher, 0xdd)};
    constexpr int kLanesOfPixel = 4 / F;
#pragma GCC unroll 4
    for (int lane = 0; lane < 4; ++lane) {
      const std::int64_t channel = lane % kLanesOfPixel * 16, pixel = lane / kLanesOfPixel;
      const std::int64_t left = d.channels - channel;
      if (pixel >= pixels || left <= 0) continue;
      const auto some = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
      const std::int64_t o = d.first + channel;
      const R ratios(constants, o);
      __m512i y;
      if (residual == nullptr) {
        y = epilogue.requantize(natural[lane], ratios);
      } else {
        const std::byte* from =
            residual + pixel * d.a.residual.stride[2] + o * d.a.residual.stride[3];
        y = epilogue.requantize(natural[lane], epilogue.load_residual(from, some), ratios);
      }
      std::byte* to = out + pixel * d.a.out.stride[2] + channel * d.a.out.stride[3];
      epilogue.store(to, some, y);
    }
  }
};

// Output rows y .. y + plan.rows - 1, those that there are.
template <int F>
template <class Finish>
void Depthwise<F>::rows(std::int32_t image, std::int64_t y, const Finish& finish) const {
  const std::int64_t width = a.out.shape[2], vectors = (width + F - 1) / F;
  const std::int64_t left = a.out.shape[1] - y, count = left < plan.rows ? left : plan.rows;
  for (std::int64_t begin = 0; begin < vectors; begin += slots.vectors) {
    const std::int64_t some = vectors - begin < slots.vectors ? vectors - begin : slots.vectors;
    interleave_rows(image, y * a.stride[0] - a.pad[0], begin, some);
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int8_t* weights = scratch.weights + row * plan.taps * kColumn;
      const std::uint8_t* inputs[kMostRows / 4 * kMostColumns];
      for (std::int64_t tap = 0; tap < plan.taps; ++tap) {
        const std::int64_t quad = tap / a.kernel[1], kx = tap % a.kernel[1];
        inputs[tap] = scratch.inputs + (quad * kMostSlots + kx * slots.tap) * kColumn;
      }
      std::int64_t x = begin * F;
      std::byte* out = pixel(a.out, image, y + row, x) + first * a.out.stride[3];
      const std::byte* residual =
          a.residual.data == nullptr ? nullptr : pixel(a.residual, image, y + row, x);
      const auto next = [&]<int P>() {
        if (plan.taps == 3) {
          finish.template vectors<P, 3>(*this, inputs, weights, out, residual, width - x);
        } else {
          finish.template vectors<P, 0>(*this, inputs, weights, out, residual, width - x);
        }
        for (std::int64_t tap = 0; tap < plan.taps; ++tap) inputs[tap] += P * slots.step * kColumn;
        x += P * F;
        out += P * F * a.out.stride[2];
        if (residual != nullptr) residual += P * F * a.residual.stride[2];
      };
      std::int64_t v = 0;
      for (; v + 4 <= some; v += 4) next.template operator()<4>();
      for (; v < some; ++v) next.template operator()<1>();
    }
  }
}

// Calls run.operator()<F>(first channel) for a block of channels.
template <class Run>
void with_block(const ConvArgs& a, std::int64_t block, Run run) {
  const std::int64_t left = a.out.shape[3] - block * kBlock;
  if (left > 32) {
    run.template operator()<1>();
  } else if (left > 16) {
    run.template operator()<2>();
  } else {
    run.template operator()<4>();
  }
}

template <class Finish>
void convolve_depthwise(const ConvArgs& a, const Part& part, const Finish& finish) {
  const Plan plan(a);
  const std::int64_t groups = (a.out.shape[1] + plan.rows - 1) / plan.rows;
  const std::int64_t of_block = groups * a.out.shape[0], blocks = Scratch::blocks(a);
  const auto prepare = [&](std::int64_t block) {
    with_block(a, block, [&]<int F>() {
      Depthwise<F>(a, plan, Scratch(a, plan, part.scratch, block), block * kBlock).prepare();
    });
  };
  const auto rows = [&](std::int64_t block, std::int64_t from, std::int64_t to) {
    with_block(a, block, [&]<int F>() {
      const Scratch scratch(a, plan, part.scratch, block);
      const Depthwise<F> some(a, plan, scratch, block * kBlock);
      for (std::int64_t unit = from; unit < to; ++unit) {
        some.rows(static_cast<std::int32_t>(unit / groups), unit % groups * plan.rows, finish);
      }
    });
  };
  if (bytes_of(a.in) + bytes_of(a.out) > kInCaches && of_block >= part.count) {
    const Range mine = share(of_block, part);
    for (std::int64_t block = 0; block < blocks; ++block) prepare(block);
    for (std::int64_t unit = mine.begin; unit < mine.end; ++unit) {
      for (std::int64_t block = 0; block < blocks; ++block) rows(block, unit, unit + 1);
    }
    return;
  }
  const Range mine = share(blocks * of_block, part);
  for (std::int64_t block = mine.begin / of_block; block * of_block < mine.end; ++block) {
    const std::int64_t start = block * of_block;
    prepare(block);
    rows(block, mine.begin > start ? mine.begin - start : 0,
         mine.end - start < of_block ? mine.end - start : of_block);
  }
}

}  // namespace

bool avx512::conv_fits_depthwise(const ConvArgs& a) {
  return a.weight_layout == WeightLayout::depthwise && a.in.type == Type::int8 &&
         a.kernel[0] <= kMostRows && a.kernel[1] <= kMostColumns;
}

std::size_t avx512::conv_depthwise_scratch(const ConvArgs& a) {
  return static_cast<std::size_t>(Scratch::bytes(a));
}

void avx512::conv_depthwise(const ConvArgs& a, const Part& part) {
  if (Lean::fits(a)) return convolve_depthwise(a, part, Lean(a));
  if (a.two_slopes) return convolve_depthwise(a, part, Full<SlopedRatios>(a, part.scratch));
  return convolve_depthwise(a, part, Full<Ratios>(a, part.scratch));
}

}  // namespace horizon

#endif
