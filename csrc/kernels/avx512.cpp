#include "kernels/avx512.h"

#include "kernels/scalar.h"

namespace horizon {

const Kernels* avx512_kernels() { return nullptr; }

}  // namespace horizon
