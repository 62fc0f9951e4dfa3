#include "hbm/storage.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "hbm/invalid_program.h"

namespace horizon {
namespace {

constexpr const char* kGivePath = "give the path of a compiled .hbm file";

// A file that is closed at the end of the scope. A mapping of the file stays valid.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

[[noreturn]] void refuse_file(const std::string& path, const std::string& found,
                              const std::string& next) {
  throw InvalidProgram(path + ": " + found + "; expected a readable .hbm file; " + next);
}

std::string reason() { return std::generic_category().message(errno); }

}  // namespace

Storage::Storage(std::string name, std::span<const std::byte> bytes, bool mapped)
    : name_(std::move(name)), bytes_(bytes), mapped_(mapped) {}

Storage::~Storage() {
  auto* data = const_cast<std::byte*>(bytes_.data());
  if (mapped_) {
    ::munmap(data, bytes_.size());
  } else {
    ::operator delete (data, std::align_val_t{kAlignment});
  }
}

std::unique_ptr<Storage> Storage::map(const std::string& path) {
  // Non-blocking: otherwise opening a pipe without a writer would hang, before fstat can show that
  // the file is a pipe.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0) refuse_file(path, reason(), kGivePath);
  struct stat status {};
  if (::fstat(file.number, &status) != 0) refuse_file(path, reason(), kGivePath);
  if (!S_ISREG(status.st_mode)) refuse_file(path, "not a regular file", kGivePath);
  if (status.st_size == 0)
    refuse_file(path, "an empty file", "compile the model again with 'hat compile-perf'");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (data == MAP_FAILED) refuse_file(path, "cannot be mapped: " + reason(), kGivePath);
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(data), size);
  return std::unique_ptr<Storage>(new Storage(path, bytes, true));
}

std::unique_ptr<Storage> Storage::copy(std::span<const std::byte> bytes) {
  void* data = ::operator new (bytes.size(), std::align_val_t{kAlignment}, std::nothrow);
  if (data == nullptr) {
    throw InvalidProgram(text_of("program in memory: too little memory for its ", bytes.size(),
                                 " bytes; expected that much free; use a machine with more"));
  }
  if (!bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  const std::span<const std::byte> copied(static_cast<const std::byte*>(data), bytes.size());
  return std::unique_ptr<Storage>(new Storage("program in memory", copied, false));
}

}  // namespace horizon
