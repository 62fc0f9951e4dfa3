#include "training/correlation.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "training/parallel.h"

namespace horizon::training {
namespace {

constexpr int lanes = 16;    // pixels of a row at a time
constexpr int together = 4;  // channels of a gradient at a time
typedef float Pixels __attribute__((vector_size(lanes * sizeof(float))));

// Vectors are only passed to inlined functions, so the calling convention for them does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

__attribute__((always_inline)) inline Pixels load(const float* from) {
  Pixels value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// The planes of one image with `reach` zeros on each side. Rows are filled up to whole groups of
// pixels.
class Padded {
 public:
  Padded(const float* from, int planes, int height, int width, int reach)
      : pitch_((width + lanes - 1) / lanes * lanes + 2 * reach),
        plane_(static_cast<std::size_t>(pitch_) * (height + 2 * reach)),
        reach_(reach),
        values_(plane_ * planes + lanes, 0.0f) {
    for (int plane = 0; plane < planes; ++plane)
      for (int y = 0; y < height; ++y)
        std::memcpy(
            &values_[plane * plane_ + (y + reach) * static_cast<std::size_t>(pitch_) + reach],
            from + (static_cast<std::size_t>(plane) * height + y) * width, width * sizeof(float));
  }
  const float* at(int plane, int y, int x) const {
    return &values_[plane * plane_ + static_cast<std::size_t>(y + reach_) * pitch_ + x + reach_];
  }
  std::ptrdiff_t plane() const { return static_cast<std::ptrdiff_t>(plane_); }

 private:
  int pitch_;
  std::size_t plane_;
  int reach_;
  std::vector<float> values_;
};

__attribute__((always_inline)) inline void store(float* to, const Pixels& value, int count) {
  if (count == lanes)
    std::memcpy(to, &value, sizeof value);
  else
    std::memcpy(to, &value, count * sizeof(float));
}

// All displacements with the same dy at once: side = 2 reach + 1 sums of `lanes` pixels.
template <int side>
HORIZON_FOR_EACH_CPU void volume_row(const float* first, std::ptrdiff_t first_plane,
                                     const float* second, std::ptrdiff_t second_plane, int channels,
                                     float factor, float* to, std::ptrdiff_t volume_plane,
                                     int count) {
  Pixels sums[side] = {};
  for (int channel = 0; channel < channels; ++channel) {
    const Pixels value = load(first + channel * first_plane);
    const float* partner = second + channel * second_plane;
    for (int dx = 0; dx < side; ++dx) sums[dx] += value * load(partner + dx);
  }
  for (int dx = 0; dx < side; ++dx) store(to + dx * volume_plane, sums[dx] * factor, count);
}

void volume_row_of_any_side(int side, const float* first, std::ptrdiff_t first_plane,
                            const float* second, std::ptrdiff_t second_plane, int channels,
                            float factor, float* to, std::ptrdiff_t volume_plane, int count) {
  for (int dx = 0; dx < side; ++dx)
    volume_row<1>(first, first_plane, second + dx, second_plane, channels, factor,
                  to + dx * volume_plane, volume_plane, count);
}

// Sum over d of gradient[d] * partner[c] for `together` channels. In each row of displacements,
// both operands move by a fixed distance from one displacement to the next.
HORIZON_FOR_EACH_CPU void gradient_row(const float* gradient, std::ptrdiff_t gradient_row_step,
                                       std::ptrdiff_t gradient_step, const float* partner,
                                       std::ptrdiff_t partner_row_step, std::ptrdiff_t partner_step,
                                       std::ptrdiff_t partner_plane, int side, int channels,
                                       float factor, float* to, std::ptrdiff_t to_plane,
                                       int count) {
  Pixels sums[together] = {};
  for (int row = 0; row < side; ++row)
    for (int entry = 0; entry < side; ++entry) {
      const Pixels weight = load(gradient + row * gradient_row_step + entry * gradient_step);
      const float* from = partner + row * partner_row_step + entry * partner_step;
      if (channels == together) {
        for (int channel = 0; channel < together; ++channel)
          sums[channel] += weight * load(from + channel * partner_plane);
      } else {
        for (int channel = 0; channel < channels; ++channel)
          sums[channel] += weight * load(from + channel * partner_plane);
      }
    }
  for (int channel = 0; channel < channels; ++channel)
    store(to + channel * to_plane, sums[channel] * factor, count);
}

}  // namespace

void correlation_forward(const CorrelationShape& shape, const float* first, const float* second,
                         float factor, float* volume, int threads) {
  const auto [images, channels, height, width, reach] = shape;
  const int side = 2 * reach + 1;
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(height) * width;
  auto rows = side == 7 ? volume_row<7> : side == 9 ? volume_row<9> : nullptr;
  for_each_image(
      images, threads,
      [&, channels = channels, height = height, width = width, reach = reach](int image) {
        const Padded one(first + image * channels * plane, channels, height, width, reach);
        const Padded two(second + image * channels * plane, channels, height, width, reach);
        float* out = volume + image * side * side * plane;
        for (int y = 0; y < height; ++y)
          for (int dy = -reach; dy <= reach; ++dy)
            for (int x = 0; x < width; x += lanes) {
              float* to =
                  out + (dy + reach) * side * plane + static_cast<std::ptrdiff_t>(y) * width + x;
              const int count = std::min(lanes, width - x);
              const float* a = one.at(0, y, x);
              const float* b = two.at(0, y + dy, x - reach);
              if (rows)
                rows(a, one.plane(), b, two.plane(), channels, factor, to, plane, count);
              else
                volume_row_of_any_side(side, a, one.plane(), b, two.plane(), channels, factor, to,
                                       plane, count);
            }
      });
}

void correlation_backward(const CorrelationShape& shape, const float* first, const float* second,
                          const float* gradient, float factor, float* to_first, float* to_second,
                          int threads) {
  const auto [images, channels, height, width, reach] = shape;
  const int side = 2 * reach + 1;
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(height) * width;
  for_each_image(
      images, threads,
      [&, channels = channels, height = height, width = width, reach = reach](int image) {
        const Padded slope(gradient + image * side * side * plane, side * side, height, width,
                           reach);
        const Padded one(first + image * channels * plane, channels, height, width, reach);
        const Padded two(second + image * channels * plane, channels, height, width, reach);
        const std::ptrdiff_t row = one.at(0, 1, 0) - one.at(0, 0, 0);
        for (int channel = 0; channel < channels; channel += together)
          for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; x += lanes) {
              const int some = std::min(together, channels - channel);
              const int count = std::min(lanes, width - x);
              const std::ptrdiff_t to =
                  (static_cast<std::ptrdiff_t>(image) * channels + channel) * plane +
                  static_cast<std::ptrdiff_t>(y) * width + x;
              if (to_first)
                gradient_row(slope.at(0, y, x), side * slope.plane(), slope.plane(),
                             two.at(channel, y - reach, x - reach), row, 1, two.plane(), side, some,
                             factor, to_first + to, plane, count);
              // Pixel p of the second map was multiplied by pixel p - d of the first, so both
              // operands move in the direction opposite to d.
              if (to_second)
                gradient_row(slope.at(0, y + reach, x + reach), side * slope.plane() - row,
                             slope.plane() - 1, one.at(channel, y + reach, x + reach), -row, -1,
                             one.plane(), side, some, factor, to_second + to, plane, count);
            }
      });
}

}  // namespace horizon::training
