// The operators for AArch64 NEON with the dot product extension.
#pragma once

#include "kernels/kernels.h"

namespace horizon {

std::size_t conv_scratch_neon(const ConvArgs&);
void conv_neon(const ConvArgs&, Part);
std::size_t correlation_scratch_neon(const CorrelationArgs&);
void correlation_neon(const CorrelationArgs&, Part);
void warp_neon(const WarpArgs&, Part);
void rescale_neon(const RescaleArgs&, Part);
void add_neon(const AddArgs&, Part);
void copy_neon(const CopyArgs&, Part);

}  // namespace horizon
