// Sampling of a feature map at shifted places in float32 and its exact gradients, for training on
// CPUs.
//
//   out[n, c, y, x] = feature[n, y + offset[n, 1, y, x], x + offset[n, 0, y, x], c]
//
// The sampling is bilinear; a tap outside of the map is 0. The map has its channels innermost, so
// the channels of a tap are read together. All other arrays are (images, channels, height, width).
#pragma once

namespace horizon::training {

struct WarpShape {
  int images, height, width, channels;
};

void warp_forward(const WarpShape& shape, const float* feature, const float* offset, float* out,
                  int threads);

// The gradients of sum(out * gradient). Both results are overwritten.
void warp_backward(const WarpShape& shape, const float* feature, const float* offset,
                   const float* gradient, float* to_feature, float* to_offset, int threads);

}  // namespace horizon::training
