// Pictures as the planes that a flow network reads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace horizon::images {

// Three planes of height x width bytes each, one behind the other.
struct Planes {
  std::uint8_t* data;
  std::size_t height, width;
};

// Writes Y, U and V of a picture, dense (height, width, 3), and repeats its last row and column
// where the planes are larger. YUV444, BT.601 full range, in the integers of
// horizon_flow/colour.py. bgr: the channels are B, G, R instead of R, G, B.
void fill_planes(const std::uint8_t* picture, std::size_t height, std::size_t width, bool bgr,
                 const Planes& planes);

}  // namespace horizon::images
