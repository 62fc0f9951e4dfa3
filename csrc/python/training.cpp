#include "python/training.h"

#include <nanobind/ndarray.h>

#include <stdexcept>

#include "training/correlation.h"
#include "training/warp.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace horizon {
namespace {

using Maps = nb::ndarray<float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using MapsIn = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

training::CorrelationShape shape_of(const MapsIn& first, const MapsIn& second, int reach) {
  for (int axis = 0; axis < 4; ++axis)
    if (first.shape(axis) != second.shape(axis))
      throw std::invalid_argument("both maps of a correlation must have the same shape");
  if (reach < 0) throw std::invalid_argument("the largest displacement must not be negative");
  return {static_cast<int>(first.shape(0)), static_cast<int>(first.shape(1)),
          static_cast<int>(first.shape(2)), static_cast<int>(first.shape(3)), reach};
}

template <class Array>
void expect(const Array& array, const training::CorrelationShape& shape, int channels) {
  const std::size_t wanted[] = {std::size_t(shape.images), std::size_t(channels),
                                std::size_t(shape.height), std::size_t(shape.width)};
  for (int axis = 0; axis < 4; ++axis)
    if (array.shape(axis) != wanted[axis])
      throw std::invalid_argument("a result or gradient of a correlation has the wrong shape");
}

void forward(const MapsIn& first, const MapsIn& second, int reach, float factor, Maps volume,
             int threads) {
  const auto shape = shape_of(first, second, reach);
  expect(volume, shape, shape.displacements());
  const nb::gil_scoped_release release;
  training::correlation_forward(shape, first.data(), second.data(), factor, volume.data(), threads);
}

void backward(const MapsIn& first, const MapsIn& second, const MapsIn& gradient, int reach,
              float factor, Maps to_first, Maps to_second, int threads) {
  const auto shape = shape_of(first, second, reach);
  expect(gradient, shape, shape.displacements());
  expect(to_first, shape, shape.channels);
  expect(to_second, shape, shape.channels);
  const nb::gil_scoped_release release;
  training::correlation_backward(shape, first.data(), second.data(), gradient.data(), factor,
                                 to_first.data(), to_second.data(), threads);
}

training::WarpShape warp_shape(const MapsIn& feature, const MapsIn& offset) {
  const training::WarpShape shape = {
      static_cast<int>(feature.shape(0)), static_cast<int>(feature.shape(1)),
      static_cast<int>(feature.shape(2)), static_cast<int>(feature.shape(3))};
  if (offset.shape(0) != feature.shape(0) || offset.shape(1) != 2 ||
      offset.shape(2) != feature.shape(1) || offset.shape(3) != feature.shape(2))
    throw std::invalid_argument("the offsets of a warp do not fit its map");
  return shape;
}

template <class Array>
void expect_channels_first(const Array& array, const training::WarpShape& shape) {
  const int wanted[] = {shape.images, shape.channels, shape.height, shape.width};
  for (int axis = 0; axis < 4; ++axis)
    if (static_cast<int>(array.shape(axis)) != wanted[axis])
      throw std::invalid_argument("a result or gradient of a warp has the wrong shape");
}

void warp_forward(const MapsIn& feature, const MapsIn& offset, Maps out, int threads) {
  const auto shape = warp_shape(feature, offset);
  expect_channels_first(out, shape);
  const nb::gil_scoped_release release;
  training::warp_forward(shape, feature.data(), offset.data(), out.data(), threads);
}

void warp_backward(const MapsIn& feature, const MapsIn& offset, const MapsIn& gradient,
                   Maps to_feature, Maps to_offset, int threads) {
  const auto shape = warp_shape(feature, offset);
  expect_channels_first(gradient, shape);
  for (int axis = 0; axis < 4; ++axis)
    if (to_feature.shape(axis) != feature.shape(axis) ||
        to_offset.shape(axis) != offset.shape(axis))
      throw std::invalid_argument("a result of a warp's gradient has the wrong shape");
  const nb::gil_scoped_release release;
  training::warp_backward(shape, feature.data(), offset.data(), gradient.data(), to_feature.data(),
                          to_offset.data(), threads);
}

}  // namespace

void define_training(nb::module_& m) {
  m.def("correlation_forward", &forward, "first"_a, "second"_a, "reach"_a, "factor"_a, "volume"_a,
        "threads"_a);
  m.def("correlation_backward", &backward, "first"_a, "second"_a, "gradient"_a, "reach"_a,
        "factor"_a, "to_first"_a, "to_second"_a, "threads"_a);
  m.def("warp_forward", &warp_forward, "feature"_a, "offset"_a, "out"_a, "threads"_a);
  m.def("warp_backward", &warp_backward, "feature"_a, "offset"_a, "gradient"_a, "to_feature"_a,
        "to_offset"_a, "threads"_a);
}

}  // namespace horizon
