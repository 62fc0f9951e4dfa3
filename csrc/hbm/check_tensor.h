// Checks of an input or output record.
#pragma once

#include <cstddef>
#include <span>

#include "hbm/format.h"

namespace horizon {

// Everything but the name. Throws InvalidProgram.
void check_tensor(const TensorRecord& tensor, std::span<const std::byte> constants);

// The number of channels, where the layout has it.
inline std::uint32_t channels_of(const TensorRecord& tensor) {
  return tensor.layout == Layout::nchw ? tensor.shape[1] : tensor.shape[3];
}

}  // namespace horizon
