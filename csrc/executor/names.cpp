#include "executor/names.h"

namespace horizon {

const char* name_of(Layout layout) { return layout == Layout::nchw ? "NCHW" : "NHWC"; }

const char* name_of(Opcode opcode) {
  switch (opcode) {
    case Opcode::load:
      return "load";
    case Opcode::store:
      return "store";
    case Opcode::copy:
      return "copy";
    case Opcode::conv:
      return "conv";
    case Opcode::correlation:
      return "correlation";
    case Opcode::warp:
      return "warp";
    case Opcode::rescale:
      return "rescale";
    case Opcode::add:
      return "add";
  }
  return "unknown";
}

std::string shape_text(const TensorRecord& tensor) {
  std::string text = "(";
  for (int axis = 0; axis < 4; ++axis) {
    text += (axis == 0 ? "" : ", ") + std::to_string(tensor.shape[axis]);
  }
  return text + ")";
}

}  // namespace horizon
