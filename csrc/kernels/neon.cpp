#include "kernels/neon.h"

#include "kernels/scalar.h"

namespace horizon {

const Kernels* neon_kernels() { return nullptr; }

}  // namespace horizon
