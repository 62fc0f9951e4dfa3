// The functions that horizon_flow calls: pictures to planes, and flow to the size of its picture.
#pragma once

#include <nanobind/nanobind.h>

namespace horizon {

void define_images(nanobind::module_& m);

}  // namespace horizon
