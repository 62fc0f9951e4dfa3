#include "hbm/check_view.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

namespace horizon {
namespace {

constexpr int kDimensions = 4;

// The number of bytes of the view's memory.
std::uint64_t size_of_space(const View& view, const char* name, const Memory& memory) {
  const bool is_tensor = view.space == Space::input || view.space == Space::output;
  if (!is_tensor && view.index != 0) refuse(text_of(name, ": index ", view.index), "0");
  switch (view.space) {
    case Space::constant:
      return memory.constant;
    case Space::ddr:
      return memory.ddr;
    case Space::sram:
      return memory.sram;
    default:
      break;
  }
  const auto tensors = view.space == Space::input ? memory.inputs : memory.outputs;
  if (view.index >= tensors.size()) {
    refuse(text_of(name, ": ", name_of(view.space), " number ", view.index),
           text_of("less than ", tensors.size()));
  }
  const TensorRecord& tensor = tensors[view.index];
  if (tensor.type != view.type) {
    refuse(text_of(name, ": ", name_of(view.type), " values of an ", name_of(view.space)),
           text_of("its type, ", name_of(tensor.type)));
  }
  std::uint64_t bytes = static_cast<std::uint64_t>(size_of(tensor.type));
  for (const std::uint32_t side : tensor.shape) bytes *= side;  // validated: no overflow
  return bytes;
}

// False if the end does not fit 64 bits.
bool find_end(const View& view, std::uint64_t& end) {
  end = static_cast<std::uint64_t>(size_of(view.type));
  if (__builtin_add_overflow(end, view.offset, &end)) return false;
  for (int i = 0; i < kDimensions; ++i) {
    // Less than 2^64: both factors have 32 bits.
    const std::uint64_t span = static_cast<std::uint64_t>(view.shape[i] - 1) * view.stride[i];
    if (__builtin_add_overflow(end, span, &end)) return false;
  }
  return true;
}

// The bytes of a view are at offset + sum of stride_i * k_i + w, 0 <= k_i <= last_i, 0 <= w <
// width.
struct Box {
  std::uint64_t width;
  std::array<std::pair<std::uint32_t, std::uint32_t>, kDimensions>
      steps;  // (stride, last), falling
  int count = 0;
};

Box box_of(const View& view) {
  Box box;
  box.width = static_cast<std::uint64_t>(size_of(view.type));
  int dimensions = kDimensions;
  if (view.stride[3] == box.width) {
    box.width *= view.shape[3];
    dimensions = 3;
  }
  for (int i = 0; i < dimensions; ++i) {
    if (view.shape[i] == 1) continue;
    int place = box.count++;
    for (; place > 0 && box.steps[place - 1].first < view.stride[i]; --place) {
      box.steps[place] = box.steps[place - 1];
    }
    box.steps[place] = {view.stride[i], view.shape[i] - 1};
  }
  return box;
}

// `stride` times a number in `low`..`high`: the distance of two views' positions along a dimension.
struct Term {
  std::int64_t stride, low, high;
};

// The terms, one for each stride, sorted by falling stride. The sum of two intervals of integers is
// an interval, so dimensions with the same stride become one term, whichever view they belong to.
class Terms {
 public:
  void add(std::int64_t stride, std::int64_t low, std::int64_t high) {
    if (stride == 0) return;  // the same element for every index
    int place = count_;
    while (place > 0 && terms_[place - 1].stride < stride) --place;
    if (place > 0 && terms_[place - 1].stride == stride) {
      terms_[place - 1].low += low;
      terms_[place - 1].high += high;
      return;
    }
    for (int i = count_++; i > place; --i) terms_[i] = terms_[i - 1];
    terms_[place] = {stride, low, high};
  }

  std::span<const Term> all() const { return {terms_.data(), static_cast<std::size_t>(count_)}; }

 private:
  std::array<Term, 2 * kDimensions> terms_;
  int count_ = 0;
};

// Whether some choice of multiples brings `distance` + their sum into the open range (-before,
// after). Terms are sorted by falling stride, so for each term only few multiples leave a distance
// that the remaining terms can cover. If there are many such multiples, the views are not slices of
// one buffer; the result is then true without a search.
bool can_meet(std::span<const Term> terms, std::int64_t distance, std::int64_t before,
              std::int64_t after) {
  if (terms.empty()) return -before < distance && distance < after;
  const Term& term = terms.front();
  std::int64_t rest_low = 0, rest_high = 0;
  for (const Term& rest : terms.subspan(1)) {
    rest_low += static_cast<std::int64_t>(rest.stride) * rest.low;
    rest_high += static_cast<std::int64_t>(rest.stride) * rest.high;
  }
  int tried = 0;
  // Multiples m with -before < distance + m * stride + rest < after for some rest.
  const auto floor_div = [](std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); };
  const std::int64_t first = floor_div(-before - distance - rest_high, term.stride) + 1;
  const std::int64_t last = floor_div(after - 1 - distance - rest_low, term.stride);
  for (std::int64_t m = std::max<std::int64_t>(first, term.low);
       m <= std::min<std::int64_t>(last, term.high); ++m) {
    if (++tried > 3) return true;
    if (can_meet(terms.subspan(1), distance + m * term.stride, before, after)) return true;
  }
  return false;
}

}  // namespace

std::string shape_of(const View& view) {
  const auto& shape = view.shape;
  return text_of(shape[0], "x", shape[1], "x", shape[2], "x", shape[3]);
}

const char* name_of(Space space) {
  const auto number = static_cast<std::size_t>(space);
  return number < std::size(kSpaceNames) ? kSpaceNames[number] : "unknown space";
}

const char* name_of(Opcode opcode) {
  const auto number = static_cast<std::size_t>(opcode) - 1;
  return number < kOpcodes ? kOpcodeNames[number] : "unknown opcode";
}

const char* name_of(Type type) {
  const auto number = static_cast<std::size_t>(type);
  return number < std::size(kTypeNames) ? kTypeNames[number] : "unknown type";
}

void check_view(const View& view, const char* name, const Memory& memory) {
  if (view.space == Space::none || view.space > Space::sram) {
    refuse(text_of(name, ": space ", static_cast<int>(view.space)), "1..5");
  }
  if (view.type > Type::uint8)
    refuse(text_of(name, ": type ", static_cast<int>(view.type)), "0..3");
  if (view.zero != 0) refuse(text_of(name, ": a reserved field that is not 0"), "0");
  const auto size = static_cast<std::uint64_t>(size_of(view.type));
  for (int i = 0; i < kDimensions; ++i) {
    if (view.shape[i] == 0 || view.shape[i] > std::numeric_limits<std::int32_t>::max()) {
      refuse(text_of(name, ": side ", i, " is ", view.shape[i]), "1..2^31-1");
    }
    if (view.stride[i] % size != 0) {
      refuse(text_of(name, ": stride ", i, " is ", view.stride[i]),
             text_of("a multiple of ", size, ", the size of ", name_of(view.type)));
    }
  }
  if (view.offset % size != 0) {
    refuse(text_of(name, ": offset ", view.offset),
           text_of("a multiple of ", size, ", the size of ", name_of(view.type)));
  }
  const std::uint64_t bytes = size_of_space(view, name, memory);
  std::uint64_t end;
  if (!find_end(view, end)) {
    refuse(text_of(name, ": an end that does not fit 64 bits"), text_of("at most ", bytes));
  }
  if (end > bytes) {
    refuse(text_of(name, ": ends at byte ", end),
           text_of("at most ", bytes, ", the size of this ", name_of(view.space)));
  }
}

void check_missing(const View& view, const char* name) {
  constexpr View missing{};
  if (std::memcmp(&view, &missing, sizeof(View)) != 0) {
    refuse(text_of(name, ": an operand that this operation does not have"), "zeros");
  }
}

void check_operand(const View& view, const char* name) {
  if (view.space != Space::sram) {
    refuse(text_of(name, ": in ", name_of(view.space)), "sram");
  }
  if (view.stride[3] != static_cast<std::uint32_t>(size_of(view.type))) {
    refuse(text_of(name, ": stride of channels ", view.stride[3]),
           text_of(size_of(view.type), ", they lie side by side"));
  }
}

void check_distinct(const View& view, const char* name) {
  const Box box = box_of(view);
  std::uint64_t span = box.width;
  for (int i = box.count - 1; i >= 0; --i) {
    const auto [stride, last] = box.steps[i];
    if (stride < span) {
      refuse(text_of(name, ": a stride of ", stride, " bytes over elements that span ", span),
             "elements that do not overlap");
    }
    span += static_cast<std::uint64_t>(stride) * last;
  }
}

std::uint64_t end_of(const View& view) {
  std::uint64_t end;
  find_end(view, end);
  return end;
}

bool overlap(const View& a, const View& b) {
  if (a.space != b.space || a.index != b.index) return false;
  if (end_of(a) <= b.offset || end_of(b) <= a.offset) return false;
  const Box first = box_of(a), second = box_of(b);
  Terms terms;
  for (int i = 0; i < first.count; ++i) terms.add(first.steps[i].first, 0, first.steps[i].second);
  for (int i = 0; i < second.count; ++i) {
    terms.add(second.steps[i].first, -static_cast<std::int64_t>(second.steps[i].second), 0);
  }
  const auto distance = static_cast<std::int64_t>(a.offset) - static_cast<std::int64_t>(b.offset);
  // Elements begin at a.offset + x and b.offset + y. With d the difference of these addresses (a's
  // minus b's), they share a byte if -width(a) < d < width(b).
  return can_meet(terms.all(), distance, static_cast<std::int64_t>(first.width),
                  static_cast<std::int64_t>(second.width));
}

bool same_shape(const View& a, const View& b) {
  return std::equal(std::begin(a.shape), std::end(a.shape), std::begin(b.shape));
}

}  // namespace horizon
