// The flow of a small map at the size of its picture.
#pragma once

#include <cstddef>

namespace horizon::images {

struct FlowMap {
  const float* data;  // (2, height, width), dense
  std::size_t height, width;
};

// Bilinear by exactly `factor`, with half-pixel centres, cropped to height x width, which are at
// most `factor` times those of the map. out: (height, width, 2), dense. Values stay as they are.
void enlarge_flow(const FlowMap& flow, std::size_t factor, std::size_t height, std::size_t width,
                  float* out);

}  // namespace horizon::images
