#include "images/average.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "images/for_avx2.h"

namespace horizon::images {
namespace {

// The values first..last-1 of a side that one value of the smaller side covers: all of them
// wholly, but for the first and the last one.
struct Cover {
  std::size_t first, last;
  float begin_weight, end_weight;

  float weight(std::size_t at) const {
    return at == first ? begin_weight : at + 1 == last ? end_weight : 1.0F;
  }
};

std::vector<Cover> covers(std::size_t from, std::size_t to) {
  std::vector<Cover> found;
  for (std::size_t i = 0; i < to; ++i) {
    // in steps of 1 / to of a value: from `begin` to `end`
    const std::size_t begin = i * from, end = begin + from;
    const std::size_t first = begin / to, last = (end + to - 1) / to;
    const auto part = [&](std::size_t steps) {
      return static_cast<float>(steps) / static_cast<float>(to);
    };
    found.push_back(
        {first, last, part(std::min((first + 1) * to, end) - begin), part(end - (last - 1) * to)});
  }
  return found;
}

HORIZON_BODY add_row_body(const std::uint8_t* row, std::size_t count, float weight, float* sums) {
  for (std::size_t i = 0; i < count; ++i) sums[i] += weight * static_cast<float>(row[i]);
}
HORIZON_FOR_AVX2(add_row, (const std::uint8_t* row, std::size_t count, float weight, float* sums),
                 (row, count, weight, sums))

}  // namespace

void average_areas(const std::uint8_t* picture, const PictureSize& from, std::size_t channels,
                   const PictureSize& to, std::uint8_t* out) {
  const std::vector<Cover> rows = covers(from.height, to.height);
  const std::vector<Cover> columns = covers(from.width, to.width);
  const std::size_t line = from.width * channels;
  const double area = static_cast<double>(from.height) / static_cast<double>(to.height) *
                      static_cast<double>(from.width) / static_cast<double>(to.width);
  std::vector<float> sums(line);
  for (const Cover& row : rows) {
    std::fill(sums.begin(), sums.end(), 0.0F);
    for (std::size_t y = row.first; y < row.last; ++y) {
      add_row(picture + y * line, line, row.weight(y), sums.data());
    }
    for (const Cover& column : columns) {
      for (std::size_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (std::size_t x = column.first; x < column.last; ++x) {
          sum += static_cast<double>(column.weight(x)) * sums[x * channels + c];
        }
        *out++ = static_cast<std::uint8_t>(std::floor(sum / area + 0.5));
      }
    }
  }
}

}  // namespace horizon::images
