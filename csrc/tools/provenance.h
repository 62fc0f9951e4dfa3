// A warning for programs whose values mean nothing, because their weights are random.
#pragma once

#include <cstdio>

#include "hbm/program.h"

namespace horizon {

inline constexpr const char* random_weights_text =
    "random: times and memory are those of the trained network, its values mean nothing";

// Prints to standard error, so the output that scripts read stays the same.
inline void warn_of_random_weights(const Program& program) {
  if (program.has_random_weights()) {
    std::fprintf(stderr, "warning: the program's weights are %s\n", random_weights_text);
  }
}

}  // namespace horizon
