// The operators in plain C++, the reference for all other instruction sets and their fallback.
#pragma once

#include "kernels/kernels.h"

namespace horizon {

std::size_t conv_scratch_scalar(const ConvArgs&);
void conv_scalar(const ConvArgs&, Part);
std::size_t correlation_scratch_scalar(const CorrelationArgs&);
void correlation_scalar(const CorrelationArgs&, Part);
void warp_scalar(const WarpArgs&, Part);
void rescale_scalar(const RescaleArgs&, Part);
void add_scalar(const AddArgs&, Part);
void copy_scalar(const CopyArgs&, Part);

}  // namespace horizon
