#include "executor/names.h"

namespace horizon {

const char* name_of(Layout layout) { return layout == Layout::nchw ? "NCHW" : "NHWC"; }

std::string shape_text(const TensorRecord& tensor) {
  std::string text = "(";
  for (int axis = 0; axis < 4; ++axis) {
    text += (axis == 0 ? "" : ", ") + std::to_string(tensor.shape[axis]);
  }
  return text + ")";
}

}  // namespace horizon
