// Depthwise convolution with AVX-512 VNNI, int8 inputs.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace horizon::avx512 {

bool conv_fits_depthwise(const ConvArgs& a);
std::size_t conv_depthwise_scratch(const ConvArgs& a);
void conv_depthwise(const ConvArgs& a, const Part& part);

}  // namespace horizon::avx512
