// The operators for AVX2.
#pragma once

#include "kernels/kernels.h"

namespace horizon {

std::size_t conv_scratch_avx2(const ConvArgs&);
void conv_avx2(const ConvArgs&, Part);
std::size_t correlation_scratch_avx2(const CorrelationArgs&);
void correlation_avx2(const CorrelationArgs&, Part);
void warp_avx2(const WarpArgs&, Part);
void rescale_avx2(const RescaleArgs&, Part);
void add_avx2(const AddArgs&, Part);
void copy_avx2(const CopyArgs&, Part);

}  // namespace horizon
