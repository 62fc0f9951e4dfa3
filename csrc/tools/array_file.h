// A tensor's data in a file: raw little-endian values, or numpy's .npy where the name ends in that.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "hbm/program.h"

namespace horizon {

using Bytes = std::vector<std::byte>;

// Exactly the tensor's data, in its layout. Throws UsageError for another size, type or shape.
Bytes read_array(const std::string& path, const TensorRecord& tensor);

// Throws UsageError if the file cannot be written.
void write_array(const std::string& path, const TensorRecord& tensor, const Bytes& data);

// The files of all inputs. Throws UsageError if their number differs.
std::vector<Bytes> read_inputs(const std::string& list, const Program& program);

}  // namespace horizon
