// Narrow convolutions of int16, for those that fit; see conv_columns.h.
#pragma once

#include "kernels/kernels.h"

namespace horizon::avx512 {

bool conv_fits_columns(const ConvArgs& a);
std::size_t conv_columns_scratch(const ConvArgs& a);
void conv_columns(const ConvArgs& a, Part part);

}  // namespace horizon::avx512
