// The check of a resize.
#pragma once

#include "hbm/format.h"

namespace horizon {

// Operands and parameters; every place that it reads is inside `a`. Throws InvalidProgram.
void check_resize(const InstructionRecord& instruction);

}  // namespace horizon
