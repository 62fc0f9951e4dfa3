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
  copies_[begin] = {end, constant};
}

std::optional<std::uint64_t> Resident::find(std::uint64_t begin, std::uint64_t end) const {
  auto copy = copies_.upper_bound(begin);
  if (copy == copies_.begin()) return std::nullopt;
  --copy;
  const std::uint64_t first = copy->first, constant = copy->second.constant;
  std::uint64_t known = copy->second.end;
  if (known <= begin) return std::nullopt;
  while (known < end) {  // several transfers can make up one copy
    if (++copy == copies_.end() || copy->first != known ||
        copy->second.constant != constant + (known - first)) {
      return std::nullopt;
    }
    known = copy->second.end;
  }
  return constant + (begin - first);
}

}  // namespace horizon
