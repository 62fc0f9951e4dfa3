// Every kernel set against the scalar one on random instructions: `test_kernels [cases] [seed]`.
//
// Each instruction runs whole and in parts. The whole memory around the output must be equal, and
// each part's scratch, exactly as large as was asked for, must not be overrun. Exit code 1 with a
// description at the first difference.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tests/avg_pool_case.h"
#include "tests/kernel_cases.h"
#include "tests/lookup_case.h"
#include "tests/matmul_case.h"
#include "tests/max_pool_case.h"
#include "tests/resize_case.h"
#include "tests/transpose_case.h"

namespace horizon {
namespace {

struct Operator {
  const char* name;
  Case (*make)(Random&);
};

constexpr Operator kOperators[] = {
    {"conv", conv_case},         {"correlation", correlation_case},
    {"warp", warp_case},         {"rescale", rescale_case},
    {"add", add_case},           {"copy", copy_case},
    {"mul", mul_case},           {"max_pool", max_pool_case},
    {"resize", resize_case},     {"lookup", lookup_case},
    {"avg_pool", avg_pool_case}, {"depthwise", depthwise_case},
    {"matmul", matmul_case},     {"transpose", transpose_case},
};

constexpr std::size_t kGuard = 256;
constexpr std::byte kGuardByte{0x5a};

// Runs the parts from the last to the first and returns the memory around the output.
std::vector<std::byte> run(const Case& c, const Kernels& kernels, int parts, bool& overrun) {
  const Memory& memory = *c.out.memory;
  Memory copy(memory.size());
  std::memset(copy.data(), 0xcd, copy.size());
  Tensor out = c.out.tensor;
  out.data = copy.data() + (out.data - memory.data());
  const std::size_t needed = c.scratch(kernels);
  for (int i = parts - 1; i >= 0; --i) {
    Memory scratch(needed + kGuard);
    std::memset(scratch.data(), 0xa5, needed);
    std::memset(scratch.data() + needed, static_cast<int>(kGuardByte), kGuard);
    c.run(kernels, out, Part{i, parts, scratch.data()});
    for (std::size_t k = 0; k < kGuard; ++k) {
      overrun |= scratch.data()[needed + k] != kGuardByte;
    }
  }
  return {copy.data(), copy.data() + copy.size()};
}

std::vector<std::byte> run_naive(const Case& c) {
  const Memory& memory = *c.out.memory;
  std::vector<std::byte> copy(memory.size(), std::byte{0xcd});
  Tensor out = c.out.tensor;
  out.data = copy.data() + (out.data - memory.data());
  c.naive(out);
  return copy;
}

bool same(const Case& c, const std::vector<std::byte>& expected, const Kernels& kernels,
          int parts) {
  bool overrun = false;
  const std::vector<std::byte> found = run(c, kernels, parts, overrun);
  if (overrun) {
    std::printf("%s, %d parts: scratch overrun\n%s\n", kernels.name, parts, c.text.c_str());
    return false;
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i] == expected[i]) continue;
    const auto offset = static_cast<std::size_t>(c.out.tensor.data - c.out.memory->data());
    std::printf("%s, %d parts: byte %td of the output is %d, scalar %d\n%s\nout %s\n", kernels.name,
                parts, static_cast<std::ptrdiff_t>(i) - static_cast<std::ptrdiff_t>(offset),
                static_cast<int>(found[i]), static_cast<int>(expected[i]), c.text.c_str(),
                c.out.text().c_str());
    return false;
  }
  return true;
}

bool compare(std::span<const Kernels* const> sets, const char* name, Case (*make)(Random&),
             int cases, unsigned seed) {
  for (int i = 0; i < cases; ++i) {
    Random random(seed * 1000003u + static_cast<unsigned>(i));
    const Case c = make(random);
    bool overrun = false;
    const std::vector<std::byte> expected = run(c, *scalar_kernels(), 1, overrun);
    const int parts = between(random, 2, 9);
    bool right = !overrun && same(c, expected, *scalar_kernels(), parts);
    if (c.naive && run_naive(c) != expected) {
      std::printf("scalar differs from the definition\n%s\n", c.text.c_str());
      right = false;
    }
    for (const Kernels* kernels : sets) {
      right = right && same(c, expected, *kernels, 1) && same(c, expected, *kernels, parts);
    }
    if (!right) {
      std::printf("%s, case %d of seed %u\n", name, i, seed);
      return false;
    }
  }
  return true;
}

bool choice_is_right(std::span<const Kernels* const> sets) {
  const char* error = nullptr;
  const auto chosen = [&](const char* name) {
    setenv("HORIZON_KERNELS", name, 1);
    return choose_kernels(&error);
  };
  bool right = chosen("scalar") == scalar_kernels() && error == nullptr;
  right = right && chosen("sse") == nullptr && error != nullptr;
  for (const Kernels* kernels : sets) right = right && chosen(kernels->name) == kernels;
  const Kernels* best = scalar_kernels();
  for (const Kernels* kernels : sets) {
    if (best == scalar_kernels() && !kernels->for_comparison) best = kernels;
  }
  right = right && chosen("") == best;
  unsetenv("HORIZON_KERNELS");
  right = right && choose_kernels(&error) != nullptr && error == nullptr;
  if (!right) std::printf("choose_kernels: wrong choice\n");
  return right;
}

}  // namespace
}  // namespace horizon

int main(int argc, char** argv) {
  using namespace horizon;
  const int cases = argc > 1 ? std::atoi(argv[1]) : 300;
  const auto seed = static_cast<unsigned>(argc > 2 ? std::atoi(argv[2]) : 1);
  const std::span<const Kernels*const> all = available_kernels(), sets = all.first(all.size() - 1);
  bool right = choice_is_right(sets);
  for (const auto& [name, make] : kOperators) {
    right = right && compare(sets, name, make, cases, seed);
  }
  if (!right) return 1;
  std::printf("%d cases of each operator:", cases);
  for (const Kernels* kernels : sets) std::printf(" %s", kernels->name);
  std::printf(" equal to scalar\n");
  return 0;
}
