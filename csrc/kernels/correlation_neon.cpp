// Correlation with the dot product extension, int8 features: vectors of 4 pixels, 4 channels a
// step. Up to 3 rows of a by 9 displacements stay in registers.
#if defined(__aarch64__)

#include "kernels/bytes.h"
#include "kernels/correlation_plan.h"
#include "kernels/neon.h"
#include "kernels/requantize_neon.h"
#include "kernels/scalar.h"

namespace horizon {
namespace {

int8x16_t load(const std::byte* from) {
  return vld1q_s8(reinterpret_cast<const std::int8_t*>(from));
}

struct Neon {
  static constexpr int kLanes = 4, kChannels = 4, kRows = 3, kOutside = 0;

  struct Scale {
    Scale4 scale;
    int32x4_t lo, hi;

    explicit Scale(const CorrelationArgs& args)
        : lo(vdupq_n_s32(args.lo)), hi(vdupq_n_s32(args.hi)) {
      const Channel four[4] = {args.table, args.table, args.table, args.table};
      scale = make_scale4(four);
    }
  };

  template <int R, int D>
  __attribute__((noinline)) static void tile(const Scale& scale, const CorrelationTile& t) {
    int32x4_t acc[R][D];
#pragma GCC unroll 9
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 9
      for (int d = 0; d < D; ++d) acc[r][d] = vdupq_n_s32(0);
    }
    const std::byte* a = t.a;
    const std::byte* b = t.b;
    for (std::int64_t g = 0; g < t.groups; ++g, a += t.a_step, b += t.b_step) {
      int8x16_t first[R];
#pragma GCC unroll 9
      for (int r = 0; r < R; ++r) first[r] = load(a + r * t.a_row);
#pragma GCC unroll 9
      for (int d = 0; d < D; ++d) {
        const int8x16_t second = load(b + 4 * d);
#pragma GCC unroll 9
        for (int r = 0; r < R; ++r) acc[r][d] = vdotq_s32(acc[r][d], second, first[r]);
      }
    }
    const Type type = t.narrow ? Type::int8 : Type::int32;
    const std::int64_t displacement = kBlock * (t.narrow ? 1 : 4);
#pragma GCC unroll 9
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 9
      for (int d = 0; d < D; ++d) {
        store4(t.out + r * t.out_row + d * displacement, type,
               requantize4(acc[r][d], scale.scale, scale.lo, scale.hi), 4);
      }
    }
  }

  template <int flip>
  static void pack(const Tensor& tensor, const std::byte* from, std::int64_t pixels, std::byte* to,
                   std::int64_t step) {
    pack_bytes<flip>(
        tensor, from, pixels, to, step,
        [](const std::byte* in, std::int64_t stride, std::byte* out, std::int64_t out_step) {
          int32x4_t x[4];
          for (int i = 0; i < 4; ++i) {
            x[i] = vreinterpretq_s32_s8(load(in + i * stride));
          }
          const int32x4_t low0 = vzip1q_s32(x[0], x[2]), high0 = vzip2q_s32(x[0], x[2]);
          const int32x4_t low1 = vzip1q_s32(x[1], x[3]), high1 = vzip2q_s32(x[1], x[3]);
          const int32x4_t y[4] = {vzip1q_s32(low0, low1), vzip2q_s32(low0, low1),
                                  vzip1q_s32(high0, high1), vzip2q_s32(high0, high1)};
          for (int i = 0; i < 4; ++i) {
            vst1q_s8(reinterpret_cast<std::int8_t*>(out + i * out_step),
                     vreinterpretq_s8_s32(y[i]));
          }
        });
  }

  static void prepare(const std::byte*, std::int64_t, std::int64_t, std::int64_t, std::int32_t*) {}

  static void store(const std::byte* result, std::int64_t count, std::byte* out,
                    std::int64_t stride, std::int64_t pixels) {
    store_transposed(result, count, out, stride, pixels);
  }
};

bool fast(const CorrelationArgs& args) {
  return args.a.type == Type::int8 && args.b.type == Type::int8;
}

}  // namespace

std::size_t correlation_scratch_neon(const CorrelationArgs& args) {
  if (!fast(args)) return correlation_scratch_scalar(args);
  return static_cast<std::size_t>(CorrelationPlan<Neon>(args).bytes);
}

void correlation_neon(const CorrelationArgs& args, Part part) {
  if (!fast(args)) return correlation_scalar(args, part);
  correlate<Neon>(args, part);
}

}  // namespace horizon

#endif
