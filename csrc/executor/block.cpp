#include "executor/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace horizon {
namespace {

constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;

}  // namespace

Block::Block(std::uint64_t bytes, const std::string& purpose) {
  // huge pages save most of the address look-ups that strided reads of a large arena cost
  const std::uint64_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const std::uint64_t rounded =
      (std::max<std::uint64_t>(bytes, 1) + kAlignment - 1) & ~std::uint64_t{kAlignment - 1};
  void* data = nullptr;
  if (rounded >= bytes && posix_memalign(&data, alignment, rounded) == 0) {
    data_.reset(static_cast<std::byte*>(data));
  }
  if (!data_) {
    throw OutOfMemory("no memory for " + purpose + ": " + std::to_string(bytes) +
                      " bytes asked for; free memory or raise the process's limit");
  }
  if (alignment == kHugePage) madvise(data_.get(), rounded & ~(kHugePage - 1), MADV_HUGEPAGE);
  std::memset(data_.get(), 0, rounded);
}

}  // namespace horizon
