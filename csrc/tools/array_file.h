// A tensor's data in a file: numpy's format if the name ends in .npy, otherwise raw little-endian
// values.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "hbm/program.h"

namespace horizon {

using Bytes = std::vector<std::byte>;

// Reads exactly the tensor's data, in its layout. Throws UsageError for another size, type or
// shape.
Bytes read_array(const std::string& path, const TensorRecord& tensor);

// Throws UsageError if there is a file that write_array has not written for such a tensor.
void check_array_file(const std::string& path, const TensorRecord& tensor);

// Throws UsageError if the file cannot be written.
void write_array(const std::string& path, const TensorRecord& tensor, const Bytes& data);

// Reads the files of all inputs. Throws UsageError if there are more or fewer files than inputs.
std::vector<Bytes> read_inputs(const std::string& list, const Program& program);

}  // namespace horizon
