// Vectors of elements in portable C++, as wide as the instruction set that a file is compiled for.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace horizon {
namespace {

#if defined(__AVX512BW__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// kBytes bytes of T; a plain T where there is one.
template <class T, int kBytes>
struct VectorOf {
  using type [[gnu::vector_size(kBytes)]] = T;
};
template <class T>
struct VectorOf<T, sizeof(T)> {
  using type = T;
};

// As many T as there are Like in kBytes bytes.
template <class T, class Like, int kBytes>
using AsMany = typename VectorOf<T, kBytes / static_cast<int>(sizeof(Like)) *
                                        static_cast<int>(sizeof(T))>::type;

#if defined(__AVX2__) && !defined(__AVX512BW__)
// The lowest bytes of each lane. GCC would narrow lane by lane if the instruction set has no
// instruction for it.
template <class To, class From, int... kLanes>
inline To narrowed(From value, std::integer_sequence<int, kLanes...>) {
  constexpr int kRatio = static_cast<int>(sizeof(From) / sizeof(To));
  using Element = std::remove_reference_t<decltype(std::declval<To&>()[0])>;
  const auto all = reinterpret_cast<typename VectorOf<Element, sizeof(From)>::type>(value);
  return __builtin_shufflevector(all, all, kLanes * kRatio...);
}
#endif

// Converts such vectors, and numbers, to each other.
template <class To, class From>
inline To converted(From value) {
  if constexpr (!requires { value[0]; }) {
    return static_cast<To>(value);
  } else {
#if defined(__AVX2__) && !defined(__AVX512BW__)
    if constexpr (sizeof(To) < sizeof(From)) {
      constexpr int kCount = static_cast<int>(sizeof(From) / sizeof(value[0]));
      return narrowed<To>(value, std::make_integer_sequence<int, kCount>{});
    }
#endif
    return __builtin_convertvector(value, To);
  }
}

template <class V>
inline V load_as(const std::byte* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof(V));
  return value;
}
template <class V>
inline void store_as(std::byte* to, V value) {
  __builtin_memcpy(to, &value, sizeof(V));
}

// Calls step.operator()<width, count>(offset) for `count` vectors of `width` bytes that together
// cover `bytes` bytes: kMany at a time, then single ones; the last may overlap the previous one.
// Data that is shorter than a vector is covered by narrower vectors.
template <class T, int kMany, int kWidth = kVectorBytes, class Step>
inline void for_each_vector(std::int64_t bytes, Step step) {
  if (bytes < kWidth) {
    if constexpr (kWidth > sizeof(T)) for_each_vector<T, kMany, kWidth / 2>(bytes, step);
    return;
  }
  std::int64_t at = 0;
  if constexpr (kMany > 1) {
    for (; at + kMany * kWidth <= bytes; at += kMany * kWidth) {
      step.template operator()<kWidth, kMany>(at);
    }
  }
  for (; at + kWidth <= bytes; at += kWidth) step.template operator()<kWidth, 1>(at);
  if (at < bytes) step.template operator()<kWidth, 1>(bytes - kWidth);
}

}  // namespace
}  // namespace horizon
