// The commands of hrt_model_exec. Each prints to standard output.
#pragma once

#include <span>

namespace horizon {

// Throw UsageError, InvalidProgram, OutOfMemory, std::invalid_argument, std::system_error.
void model_info(std::span<char* const> arguments);
void infer(std::span<char* const> arguments);
void perf(std::span<char* const> arguments);

}  // namespace horizon
