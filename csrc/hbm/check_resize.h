// The check of a resize.
#pragma once

#include "hbm/format.h"

namespace horizon {

// Checks operands and parameters, and that every place that the resize reads is inside `a`. Throws
// InvalidProgram.
void check_resize(const InstructionRecord& instruction);

}  // namespace horizon
