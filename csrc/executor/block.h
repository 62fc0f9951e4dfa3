// A block of zeroed bytes, aligned to 64 bytes, that lives as long as its owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include "hbm/format.h"

namespace horizon {

class OutOfMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Block {
 public:
  // `purpose` completes "no memory for ... " in the error. Throws OutOfMemory.
  Block(std::uint64_t bytes, const std::string& purpose);

  std::byte* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

}  // namespace horizon
