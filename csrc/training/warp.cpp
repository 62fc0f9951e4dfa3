#include "training/warp.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "training/parallel.h"

namespace horizon::training {
namespace {

// The four pixels (taps) around a place, row by row: their positions and
// weights. A tap outside the map has no position.
struct Taps {
  std::ptrdiff_t place[4];
  float weight[4], along_x, along_y;

  Taps(const WarpShape& shape, float x, float y) {
    // Two pixels outside the map all taps are 0, so places are clamped there; NaN becomes such a
    // place.
    x = x >= -2 ? std::min(x, static_cast<float>(shape.width + 1)) : -2;
    y = y >= -2 ? std::min(y, static_cast<float>(shape.height + 1)) : -2;
    const float left = std::floor(x), top = std::floor(y);
    along_x = x - left;
    along_y = y - top;
    const int column = static_cast<int>(left), row = static_cast<int>(top);
    for (int tap = 0; tap < 4; ++tap) {
      const int dx = tap & 1, dy = tap >> 1;
      const bool inside =
          column + dx >= 0 && column + dx < shape.width && row + dy >= 0 && row + dy < shape.height;
      place[tap] = inside ? (static_cast<std::ptrdiff_t>(row + dy) * shape.width + column + dx) *
                                shape.channels
                          : -1;
      weight[tap] = (dx ? along_x : 1 - along_x) * (dy ? along_y : 1 - along_y);
    }
  }
};

// The distance of two planes is usually a power of two. Writing a pixel's channels one by one would
// use the same few cache lines for all of them, so a group of pixels is written at once: one cache
// line of each plane.
constexpr int group = 16;

HORIZON_FOR_EACH_CPU void forward_image(const WarpShape& shape, const float* feature,
                                        const float* offset, float* out, float* values) {
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(shape.height) * shape.width;
  const int channels = shape.channels;
  for (std::ptrdiff_t start = 0; start < plane; start += group) {
    const int count = static_cast<int>(std::min<std::ptrdiff_t>(group, plane - start));
    std::fill(values, values + group * channels, 0.0f);
    for (int index = 0; index < count; ++index) {
      const std::ptrdiff_t pixel = start + index;
      const Taps taps(shape, pixel % shape.width + offset[pixel],
                      pixel / shape.width + offset[plane + pixel]);
      float* sums = values + index * channels;
      for (int tap = 0; tap < 4; ++tap) {
        if (taps.place[tap] < 0) continue;
        const float* from = feature + taps.place[tap];
        const float weight = taps.weight[tap];
        for (int channel = 0; channel < channels; ++channel)
          sums[channel] += weight * from[channel];
      }
    }
    for (int channel = 0; channel < channels; ++channel)
      for (int index = 0; index < count; ++index)
        out[channel * plane + start + index] = values[index * channels + channel];
  }
}

HORIZON_FOR_EACH_CPU void backward_image(const WarpShape& shape, const float* feature,
                                         const float* offset, const float* gradient,
                                         float* to_feature, float* to_offset, float* slopes) {
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(shape.height) * shape.width;
  const int channels = shape.channels;
  for (std::ptrdiff_t start = 0; start < plane; start += group) {
    const int count = static_cast<int>(std::min<std::ptrdiff_t>(group, plane - start));
    for (int channel = 0; channel < channels; ++channel)
      for (int index = 0; index < count; ++index)
        slopes[index * channels + channel] = gradient[channel * plane + start + index];
    for (int index = 0; index < count; ++index) {
      const std::ptrdiff_t pixel = start + index;
      const Taps taps(shape, pixel % shape.width + offset[pixel],
                      pixel / shape.width + offset[plane + pixel]);
      const float* slope = slopes + index * channels;
      float products[4] = {};
      for (int tap = 0; tap < 4; ++tap) {
        if (taps.place[tap] < 0) continue;
        const float* from = feature + taps.place[tap];
        float* to = to_feature + taps.place[tap];
        const float weight = taps.weight[tap];
        float sums[8] = {};
        int channel = 0;
        for (; channel + 8 <= channels; channel += 8)
          for (int lane = 0; lane < 8; ++lane)
            sums[lane] += slope[channel + lane] * from[channel + lane];
        for (; channel < channels; ++channel) sums[0] += slope[channel] * from[channel];
        for (channel = 0; channel < channels; ++channel) to[channel] += weight * slope[channel];
        for (const float sum : sums) products[tap] += sum;
      }
      to_offset[pixel] = (products[1] - products[0]) * (1 - taps.along_y) +
                         (products[3] - products[2]) * taps.along_y;
      to_offset[plane + pixel] = (products[2] - products[0]) * (1 - taps.along_x) +
                                 (products[3] - products[1]) * taps.along_x;
    }
  }
}

}  // namespace

void warp_forward(const WarpShape& shape, const float* feature, const float* offset, float* out,
                  int threads) {
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(shape.height) * shape.width;
  for_each_image(shape.images, threads, [&](int image) {
    std::vector<float> values(group * shape.channels);
    forward_image(shape, feature + image * plane * shape.channels, offset + image * plane * 2,
                  out + image * plane * shape.channels, values.data());
  });
}

void warp_backward(const WarpShape& shape, const float* feature, const float* offset,
                   const float* gradient, float* to_feature, float* to_offset, int threads) {
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(shape.height) * shape.width;
  for_each_image(shape.images, threads, [&](int image) {
    const std::ptrdiff_t map = image * plane * shape.channels;
    std::fill(to_feature + map, to_feature + map + plane * shape.channels, 0.0f);
    std::vector<float> slopes(group * shape.channels);
    backward_image(shape, feature + map, offset + image * plane * 2, gradient + map,
                   to_feature + map, to_offset + image * plane * 2, slopes.data());
  });
}

}  // namespace horizon::training
