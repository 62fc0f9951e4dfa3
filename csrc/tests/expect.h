// The few words that native tests need: expectations that count failures, and a seeded generator.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace horizon::test {

inline int failures = 0;

inline void expect(bool condition, const std::string& what) {
  if (condition) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

// The exit code of a test program.
inline int finish(const char* name) {
  std::printf("%s: %s\n", name, failures == 0 ? "passed" : "failed");
  return failures == 0 ? 0 : 1;
}

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers with every standard library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  // 0..limit-1
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }

 private:
  std::uint64_t state_;
};

}  // namespace horizon::test
