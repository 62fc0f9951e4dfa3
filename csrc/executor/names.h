// Words for the numbers of a program.
#pragma once

#include <string>

#include "hbm/check_view.h"  // name_of(Type), name_of(Opcode)
#include "hbm/format.h"

namespace horizon {

const char* name_of(Layout layout);

// "(1, 6, 384, 512)"
std::string shape_text(const TensorRecord& tensor);

}  // namespace horizon
