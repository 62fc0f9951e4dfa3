// The convolution for AMX on any processor: tiles in plain C++, and scalar requantisation.
#include "kernels/conv_matrix.h"
#include "kernels/elements.h"
#include "kernels/matrix_unit.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

class ScalarFinish {
 public:
  static std::int64_t scratch_bytes(const ConvArgs&) { return 0; }

  ScalarFinish(const ConvArgs& a, std::byte*) : a_(a) {}

  void pixel(const std::int32_t* sums, std::int64_t block, std::int64_t count, std::byte* out,
             const std::byte* residual) const {
    const std::int64_t first = 16 * block, outputs = a_.out.shape[3];
    const std::int64_t last = first + 16 * count < outputs ? first + 16 * count : outputs;
    for (std::int64_t o = first; o < last; ++o) {
      std::int32_t second = 0;
      if (residual != nullptr) {
        second = read_element(residual + o * element_bytes(a_.residual.type), a_.residual.type);
      }
      write_element(out + o * element_bytes(a_.out.type), a_.out.type,
                    requantize(static_cast<std::uint32_t>(sums[o - first]), a_.table[o], second,
                               a_.lo, a_.hi, a_.two_slopes));
    }
  }

 private:
  const ConvArgs& a_;
};

using Convolution = MatrixConvolution<PlainUnit, ScalarFinish>;

}  // namespace

std::size_t matrix::conv_scratch(const ConvArgs& a) {
  return fits_matrix(a) ? convolution_scratch<Convolution>(a) : scalar::conv_scratch(a);
}

void matrix::conv(const ConvArgs& a, Part part) {
  fits_matrix(a) ? convolve<Convolution>(a, part) : scalar::conv(a, part);
}

}  // namespace horizon
