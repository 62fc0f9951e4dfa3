// The cost volume in float32 and its exact gradients, for training on CPUs.
//
//   volume[n, d, y, x] = factor * sum_c first[n, c, y, x] * second[n, c, y + dy, x + dx]
//
// with d = (dy + reach) * (2 reach + 1) + dx + reach; second is 0 outside of the map. All arrays
// are dense, (images, channels, height, width). The order of every sum is fixed, so results do not
// depend on the number of threads.
#pragma once

namespace horizon::training {

struct CorrelationShape {
  int images, channels, height, width, reach;
  int displacements() const { return (2 * reach + 1) * (2 * reach + 1); }
};

void correlation_forward(const CorrelationShape& shape, const float* first, const float* second,
                         float factor, float* volume, int threads);

// The gradients of sum(volume * gradient). A result that is null is not computed.
void correlation_backward(const CorrelationShape& shape, const float* first, const float* second,
                          const float* gradient, float factor, float* to_first, float* to_second,
                          int threads);

}  // namespace horizon::training
