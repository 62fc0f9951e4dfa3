// The operators for AVX-512 F, BW, DQ, VL and VNNI.
#pragma once

#include "kernels/kernels.h"

namespace horizon {

std::size_t conv_scratch_avx512(const ConvArgs&);
void conv_avx512(const ConvArgs&, Part);
std::size_t correlation_scratch_avx512(const CorrelationArgs&);
void correlation_avx512(const CorrelationArgs&, Part);
void warp_avx512(const WarpArgs&, Part);
void rescale_avx512(const RescaleArgs&, Part);
void add_avx512(const AddArgs&, Part);
void copy_avx512(const CopyArgs&, Part);

}  // namespace horizon
