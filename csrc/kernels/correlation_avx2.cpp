// Correlation with AVX2, int8 features: vectors of 8 pixels, 2 channels as int16 a step, because
// vpmaddubsw saturates. 9 displacements stay in registers.
#if defined(__x86_64__)

#include <type_traits>

#include "kernels/correlation_plan.h"
#include "kernels/requantize_avx2.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

template <bool kSlopes>
struct Avx2 : CorrelationBytes {
  using Vector = __m256i;
  using Inputs = __m256i;
  static constexpr int kLanes = 8, kChannels = 2, kRows = 1, kOutside = 0;

  struct Scale {
    Channel channel;
    std::conditional_t<kSlopes, SlopedScale8, Scale8> scale;
    __m256i lo, hi;
    std::int32_t least, most;

    explicit Scale(const CorrelationArgs& args)
        : channel(args.table),
          lo(_mm256_set1_epi32(args.lo)),
          hi(_mm256_set1_epi32(args.hi)),
          least(args.lo),
          most(args.hi) {
      Channel eight[8];
      for (Channel& c : eight) c = by_sign(args.table);
      if constexpr (kSlopes) {
        scale = make_sloped_scale8(eight);
      } else {
        scale = make_scale8(eight);
      }
    }
  };

  struct Window {
    const std::byte* b;
    explicit Window(const std::byte* from) : b(from) {}
    __m256i shifted(int d) const { return load(b + 4 * d); }
  };

  static __m256i start(const CorrelationTile&, int) { return _mm256_setzero_si256(); }
  static __m256i load(const std::byte* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static __m256i multiply(__m256i sums, __m256i b, __m256i a) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
  }

  template <int R, int D>
  static void finish(const Scale& scale, const __m256i (&acc)[R][D], const CorrelationTile& t) {
    const std::int64_t displacement = kBlock * (t.narrow ? 1 : 4);
#pragma GCC unroll 9
    for (int d = 0; d < D; ++d) {
      finish_vector(scale, acc[0][d], t.out + d * displacement, t.narrow);
    }
  }

  static void finish_vector(const Scale& scale, __m256i acc, std::byte* out, bool narrow) {
    __m256i y;
    if (scale.scale.integer) {
      y = requantize8(acc, scale.scale, scale.lo, scale.hi);
    } else {
      alignas(32) std::int32_t values[8];
      auto* all = reinterpret_cast<__m256i*>(values);
      _mm256_store_si256(all, acc);
      for (std::int32_t& value : values) {
        value = requantize(static_cast<std::uint32_t>(value), scale.channel, 0, scale.least,
                           scale.most, kSlopes);
      }
      y = _mm256_load_si256(all);
    }
    store8(out, narrow ? Type::int8 : Type::int32, y, 8);
  }

  template <int flip>
  static void pack(const Tensor& tensor, const std::byte* from, std::int64_t pixels, std::byte* to,
                   std::int64_t step) {
    const std::int64_t stride = tensor.stride[2], channels = tensor.shape[3];
    const std::int64_t square = pixels / 4 * 4, whole = channels / 8 * 8;
    for (std::int64_t x = 0; x < square; x += 4) {
      for (std::int64_t c = 0; c < whole; c += 8) {
        Words pairs[4];
        for (int i = 0; i < 4; ++i) {
          const auto* at = reinterpret_cast<const __m128i*>(from + (x + i) * stride + c);
          pairs[i] = reinterpret_cast<Words>(_mm_cvtepi8_epi16(_mm_loadl_epi64(at)));
        }
        transpose(pairs);
        for (int i = 0; i < 4; ++i) {
          store_bytes(to + (c / 2 + i) * step + x * 4, reinterpret_cast<Bytes>(pairs[i]));
        }
      }
    }
    for (std::int64_t x = 0; x < pixels; ++x) {
      for (std::int64_t c = x < square ? whole : 0; c < channels; ++c) {
        const std::int32_t value = read_element(from + x * stride + c, Type::int8);
        write_element(to + c / 2 * step + x * 4 + c % 2 * 2, Type::int16, value);
      }
    }
  }
};

}  // namespace

std::size_t avx2::correlation_scratch(const CorrelationArgs& args) {
  return horizon::correlation_scratch<Avx2<false>>(args);
}

void avx2::correlation(const CorrelationArgs& args, Part part) {
  horizon::correlation<Avx2>(args, part);
}

}  // namespace horizon

#endif
