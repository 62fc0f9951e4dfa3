#include "kernels/avx2.h"

#include "kernels/scalar.h"

namespace horizon {

const Kernels* avx2_kernels() { return nullptr; }

}  // namespace horizon
