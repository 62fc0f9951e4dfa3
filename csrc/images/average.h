// A picture at a smaller size.
#pragma once

#include <cstddef>
#include <cstdint>

namespace horizon::images {

struct PictureSize {
  std::size_t height, width;
};

// Each pixel of `out` is the average of the area that it covers, rounded to the nearest, halves up.
// Both are dense, with `channels` bytes for each pixel; no side of `out` is larger.
void average_areas(const std::uint8_t* picture, const PictureSize& from, std::size_t channels,
                   const PictureSize& to, std::uint8_t* out);

}  // namespace horizon::images
