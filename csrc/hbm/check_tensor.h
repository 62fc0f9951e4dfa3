// Checks of an input or output record.
#pragma once

#include <cstddef>
#include <span>

#include "hbm/format.h"

namespace horizon {

// Checks everything but the name. Throws InvalidProgram.
void check_tensor(const TensorRecord& tensor, std::span<const std::byte> constants);

// The number of channels; its place in the shape depends on the layout.
inline std::uint32_t channels_of(const TensorRecord& tensor) {
  return tensor.layout == Layout::nchw ? tensor.shape[1] : tensor.shape[3];
}

}  // namespace horizon
