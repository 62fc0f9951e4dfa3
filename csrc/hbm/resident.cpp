#include "hbm/resident.h"

#include <iterator>

namespace horizon {

void Resident::forget(std::uint64_t begin, std::uint64_t end) {
  auto copy = copies_.lower_bound(begin);
  if (copy != copies_.begin() && std::prev(copy)->second.end > begin) --copy;
  while (copy != copies_.end() && copy->first < end) {
    const std::uint64_t from = copy->first;
    const Copy old = copy->second;
    copy = copies_.erase(copy);
    if (from < begin) copies_[from] = {begin, old.constant};
    if (old.end > end) copies_[end] = {old.end, old.constant + (end - from)};
  }
}

void Resident::remember(std::uint64_t begin, std::uint64_t end, std::uint64_t constant) {
  forget(begin, end);
  const auto next = copies_.lower_bound(begin);
  if (next != copies_.begin()) {
    // A copy in two transfers is one copy.
    const auto before = std::prev(next);
    if (before->second.end == begin &&
        before->second.constant + (begin - before->first) == constant) {
      before->second.end = end;
      return;
    }
  }
  copies_[begin] = {end, constant};
}

std::optional<std::uint64_t> Resident::find(std::uint64_t begin, std::uint64_t end) const {
  auto copy = copies_.upper_bound(begin);
  if (copy == copies_.begin()) return std::nullopt;
  --copy;
  if (copy->second.end < end) return std::nullopt;
  return copy->second.constant + (begin - copy->first);
}

}  // namespace horizon
