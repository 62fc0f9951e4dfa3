// Operators that are as fast in portable C++ as with any instruction set's own vectors.
#pragma once

#include "kernels/kernels.h"

namespace horizon {

void copy_fast(const CopyArgs&, Part);

}  // namespace horizon
