// The functions that training calls: operators on float32 arrays, with their gradients.
#pragma once

#include <nanobind/nanobind.h>

namespace horizon {

void define_training(nanobind::module_& m);

}  // namespace horizon
