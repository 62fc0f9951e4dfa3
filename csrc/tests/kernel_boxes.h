// Random tensors in memories of their own, whose sanitizer or comparison shows every stray access.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace horizon {

using Random = std::mt19937;

inline int between(Random& random, int lo, int hi) {
  return lo + static_cast<int>(random() % static_cast<unsigned>(hi - lo + 1));
}
inline bool chance(Random& random, int percent) { return between(random, 1, 100) <= percent; }
inline int pick(Random& random, std::initializer_list<int> values) {
  return values.begin()[between(random, 0, static_cast<int>(values.size()) - 1)];
}

// Exactly so many bytes from an aligned address, so that the sanitizer sees the first one beyond.
class Memory {
 public:
  explicit Memory(std::size_t bytes)
      : bytes_(bytes),
        data_(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64}))) {}
  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
  };
  std::size_t bytes_;
  std::unique_ptr<std::byte, Free> data_;
};

inline const char* name_of(Type type) {
  constexpr const char* kNames[] = {"int8", "int16", "int32", "uint8"};
  return kNames[static_cast<int>(type)];
}

// A view of a memory of its own. Pixels, rows and images may be further apart than they are long.
struct Box {
  Tensor tensor;
  std::shared_ptr<Memory> memory;

  std::string text() const {
    std::ostringstream out;
    out << name_of(tensor.type);
    for (int i = 0; i < 4; ++i) out << (i == 0 ? " (" : ", ") << tensor.shape[i];
    for (int i = 0; i < 4; ++i) out << (i == 0 ? ") strides " : " ") << tensor.stride[i];
    return out.str();
  }
};

// `order` lists the axes from the outermost to the innermost; `gaps` leaves room between elements
// of all axes but the innermost.
inline Box make_box(Random& random, Type type, const int (&shape)[4], bool gaps,
                    const int (&order)[4] = {0, 1, 2, 3}) {
  Box box;
  Tensor& t = box.tensor;
  t.type = type;
  const std::int64_t size = size_of(type);
  std::int64_t stride = size, end = size;
  for (int i = 3; i >= 0; --i) {
    const int axis = order[i];
    t.shape[axis] = shape[axis];
    t.stride[axis] = stride;
    end += (shape[axis] - 1) * stride;
    stride *= shape[axis];
    if (gaps) stride += size * between(random, 0, 5);
  }
  const std::int64_t offset = gaps ? size * between(random, 0, 3) : 0;
  box.memory = std::make_shared<Memory>(static_cast<std::size_t>(offset + end));
  t.data = box.memory->data() + offset;
  return box;
}

// Mostly random bits; now and then only the extremes, or only small numbers.
inline void fill(Random& random, const Box& box) {
  const int kind = between(random, 0, 9);
  std::byte* data = box.memory->data();
  const std::size_t bytes = box.memory->size(), size = size_of(box.tensor.type);
  for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(random());
  if (kind > 2) return;
  for (std::size_t i = 0; i + size <= bytes; i += size) {
    std::uint32_t value = 1u << (8 * size - 1);       // -128, -32768, -2^31
    if (kind == 1 && chance(random, 50)) value -= 1;  // 127, ...
    if (kind == 2) value = static_cast<std::uint32_t>(between(random, -2, 2));
    std::memcpy(data + i, &value, size);
  }
}

// What a ReLU leaves: no byte of the memory is negative, or none of every second run of them.
inline void without_signs(Random& random, const Box& box) {
  const auto run = static_cast<std::size_t>(chance(random, 50) ? 0 : pick(random, {1, 4, 16, 40}));
  std::byte* data = box.memory->data();
  for (std::size_t i = 0; i < box.memory->size(); ++i) {
    if (run == 0 || i / run % 2 == 0) data[i] &= std::byte{127};
  }
}

inline void limits_of(Random& random, Type type, std::int32_t& lo, std::int32_t& hi) {
  lo = type == Type::int8 ? -128 : type == Type::int16 ? -32768 : INT32_MIN;
  hi = type == Type::int8 ? 127 : type == Type::int16 ? 32767 : INT32_MAX;
  if (chance(random, 40)) lo = 0;
}

// A ratio that brings sums of about `bits` bits into the output's range, or any that is legal.
inline Channel make_channel(Random& random, int bits, Type out, int bias) {
  Channel channel;
  channel.multiplier = between(random, 1 << 23, (1 << 24) - 1);
  const int out_bits = out == Type::int8 ? 7 : out == Type::int16 ? 15 : 30;
  channel.shift = 24 + bits - out_bits + between(random, -2, 1);
  if (chance(random, 10)) channel.shift = between(random, 1, 47);
  if (chance(random, 10)) channel.shift = between(random, 23, 26);  // ratios about 1
  if (channel.shift < 1) channel.shift = 1;
  if (channel.shift > 47) channel.shift = 47;
  channel.bias = between(random, -bias, bias);
  channel.residual_multiplier = chance(random, 10) ? 0 : between(random, 1, (1 << 24) - 1);
  if (chance(random, 10)) channel.multiplier = 1 << 24;  // legal, and one bit longer
  if (chance(random, 10)) channel.residual_multiplier = 1 << 24;
  if (chance(random, 5)) channel.multiplier = 0;
  // not read where there is one slope
  const auto negative = [&] {
    return chance(random, 10) ? pick(random, {-(1 << 24), -1, 0, 1, 1 << 24})
                              : between(random, -(1 << 24) + 1, (1 << 24) - 1);
  };
  channel.negative_multiplier = negative();
  channel.negative_residual_multiplier = negative();
  return channel;
}

// The channel with ratios below 2, as nearly all of a network are: kernels have a quicker way where
// every channel of a layer is such.
inline Channel usual_channel(Channel channel) {
  constexpr std::int32_t kMost = (1 << 24) - 1;
  for (std::int32_t* value :
       {&channel.multiplier, &channel.residual_multiplier, &channel.negative_multiplier,
        &channel.negative_residual_multiplier}) {
    *value = std::min(*value, kMost);
  }
  channel.shift = std::max(channel.shift, 23);
  return channel;
}

inline Type any_type(Random& random) { return static_cast<Type>(pick(random, {0, 0, 0, 1, 1, 2})); }
inline Type narrow_type(Random& random, int int16_percent) {
  return chance(random, int16_percent) ? Type::int16 : Type::int8;
}
inline int any_channels(Random& random) {
  return pick(random, {1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 48, 64, 81, 97, 130});
}

}  // namespace horizon
