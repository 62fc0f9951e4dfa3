#include "python/images.h"

#include <nanobind/ndarray.h>

#include <stdexcept>

#include "images/average.h"
#include "images/enlarge.h"
#include "images/planes.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace horizon {
namespace {

using Picture =
    nb::ndarray<const std::uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;
using PlanesOut = nb::ndarray<std::uint8_t, nb::shape<3, -1, -1>, nb::c_contig, nb::device::cpu>;
using PixelsIn = nb::ndarray<const std::uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using PixelsOut = nb::ndarray<std::uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using FlowIn = nb::ndarray<const float, nb::shape<2, -1, -1>, nb::c_contig, nb::device::cpu>;
using FlowOut = nb::ndarray<float, nb::shape<-1, -1, 2>, nb::c_contig, nb::device::cpu>;

void fill_planes(const Picture& picture, PlanesOut planes, bool bgr) {
  const std::size_t height = picture.shape(0), width = picture.shape(1);
  if (height == 0 || width == 0 || height > planes.shape(1) || width > planes.shape(2))
    throw std::invalid_argument("a picture has no pixels, or the planes are smaller than it");
  const images::Planes to = {planes.data(), planes.shape(1), planes.shape(2)};
  const nb::gil_scoped_release release;
  images::fill_planes(picture.data(), height, width, bgr, to);
}

void enlarge_flow(const FlowIn& flow, std::size_t factor, FlowOut out) {
  const images::FlowMap map = {flow.data(), flow.shape(1), flow.shape(2)};
  const std::size_t height = out.shape(0), width = out.shape(1);
  if (factor == 0 || height == 0 || width == 0 || (height - 1) / factor >= map.height ||
      (width - 1) / factor >= map.width)
    throw std::invalid_argument("the flow does not cover the picture, or the picture is empty");
  const nb::gil_scoped_release release;
  images::enlarge_flow(map, factor, height, width, out.data());
}

void average_areas(const PixelsIn& picture, PixelsOut out) {
  const images::PictureSize from = {picture.shape(0), picture.shape(1)};
  const images::PictureSize to = {out.shape(0), out.shape(1)};
  if (to.height == 0 || to.width == 0 || to.height > from.height || to.width > from.width ||
      picture.shape(2) != out.shape(2))
    throw std::invalid_argument("a picture has no pixels, is larger, or has other channels");
  const nb::gil_scoped_release release;
  images::average_areas(picture.data(), from, picture.shape(2), to, out.data());
}

}  // namespace

void define_images(nb::module_& m) {
  m.def("fill_planes", &fill_planes, "picture"_a, "planes"_a, "bgr"_a);
  m.def("average_areas", &average_areas, "picture"_a, "out"_a);
  m.def("enlarge_flow", &enlarge_flow, "flow"_a, "factor"_a, "out"_a);
}

}  // namespace horizon
