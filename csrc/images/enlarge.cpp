#include "images/enlarge.h"

#include <algorithm>
#include <vector>

#include "images/for_avx2.h"

namespace horizon::images {
namespace {

// Where a place of the large side lies on the small one: between `low` and `high`, `weight` from
// the first to the second.
struct Place {
  std::size_t low, high;
  float weight;
};

Place place(std::size_t at, std::size_t factor, std::size_t side) {
  // (at + 1/2) / factor - 1/2, plus 1 so that it is not negative, in steps of 1 / (2 factor)
  const std::size_t steps = 2 * at + 1 + factor, whole = steps / (2 * factor);
  const float weight = static_cast<float>(steps % (2 * factor)) / static_cast<float>(2 * factor);
  return {whole == 0 ? 0 : std::min(whole - 1, side - 1), std::min(whole, side - 1), weight};
}

// One row of the large side, from (u, v) of the columns around it.
HORIZON_BODY widen_body(const float* row, std::size_t width, const std::vector<float>& weights,
                        float* out) {
  const std::size_t factor = weights.size();
  for (std::size_t x = 0; x * factor < width; ++x) {
    const std::size_t count = std::min(factor, width - x * factor);
    for (std::size_t i = 0; i < count; ++i) {
      // the first half of the places lies before the middle of column x, the others behind it
      const float* const low = row + 2 * (2 * i + 1 < factor ? x : x + 1);
      float* const to = out + 2 * (x * factor + i);
      to[0] = low[0] + (low[2] - low[0]) * weights[i];
      to[1] = low[1] + (low[3] - low[1]) * weights[i];
    }
  }
}
HORIZON_FOR_AVX2(widen,
                 (const float* row, std::size_t width, const std::vector<float>& weights,
                  float* out),
                 (row, width, weights, out))

}  // namespace

void enlarge_flow(const FlowMap& flow, std::size_t factor, std::size_t height, std::size_t width,
                  float* out) {
  const std::size_t area = flow.height * flow.width;
  // (u, v) of each column between two rows; the first and the last column once more at the ends
  std::vector<float> row(2 * (flow.width + 2));
  std::vector<float> weights(factor);
  for (std::size_t i = 0; i < factor; ++i) weights[i] = place(i, factor, flow.width).weight;
  for (std::size_t y = 0; y < height; ++y, out += 2 * width) {
    const Place rows = place(y, factor, flow.height);
    for (std::size_t x = 0; x < flow.width; ++x) {
      for (int c = 0; c < 2; ++c) {
        const float* const plane = flow.data + c * area + x;
        const float low = plane[rows.low * flow.width], high = plane[rows.high * flow.width];
        row[2 * (x + 1) + c] = low + (high - low) * rows.weight;
      }
    }
    std::copy_n(&row[2], 2, &row[0]);
    std::copy_n(&row[2 * flow.width], 2, &row[2 * (flow.width + 1)]);
    widen(row.data(), width, weights, out);
  }
}

}  // namespace horizon::images
