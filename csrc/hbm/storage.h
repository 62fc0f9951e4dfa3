// The bytes of a file: mapped, or copied to aligned memory.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "hbm/format.h"

namespace horizon {

class Storage {
 public:
  // Both throw InvalidProgram with a complete message if the file cannot be read or memory is
  // short.
  static std::unique_ptr<Storage> map(const std::string& path);
  static std::unique_ptr<Storage> copy(std::span<const std::byte> bytes);

  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& name() const { return name_; }

 private:
  Storage(std::string name, std::span<const std::byte> bytes, bool mapped);

  std::string name_;                  // for messages
  std::span<const std::byte> bytes_;  // aligned to kAlignment
  bool mapped_;
};

}  // namespace horizon
