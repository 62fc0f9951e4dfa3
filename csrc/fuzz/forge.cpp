// Writes forged programs to the standard output, each behind its size as a 64-bit number: files of
// a folder, changed one to three times as fuzz_program changes them. The same seed, the same files.
//
//   forge SEED COUNT FILE...
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/mutate.h"

namespace {

using namespace horizon::test;

// Bytes anyhow: another number of one to eight bytes, a bit, or bytes that go or come.
std::size_t change_bytes(std::uint8_t* data, std::size_t size, std::size_t most, Random& random) {
  if (size == 0) return 0;
  const std::uint64_t kind = size <= 8 ? random.below(4) : random.below(6);
  const std::size_t place = random.below(size);
  if (kind == 0) {
    data[place] ^= static_cast<std::uint8_t>(1u << random.below(8));
  } else if (kind == 1) {
    data[place] = static_cast<std::uint8_t>(data[place] + random.below(33) - 16);
  } else if (kind < 4) {
    constexpr std::uint64_t kValues[] = {0, 1, 2, 3, 63, 64, 127, 128, 255, 256, 65535, 65536};
    const std::uint64_t shifted = std::uint64_t{1} << random.below(64);
    const std::uint64_t value =
        kind == 2 ? kValues[random.below(std::size(kValues))] : shifted - random.below(3);
    for (std::size_t i = 0; i < size && i < 8; ++i) {
      data[i] = static_cast<std::uint8_t>(value >> 8 * i);
    }
  } else if (kind == 4) {
    return size - 1 - random.below(size);
  } else {
    const std::size_t more = 1 + random.below(64);
    if (size + more > most) return size;
    for (std::size_t i = 0; i < more; ++i) data[size + i] = 0;
    return size + more;
  }
  return size;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: forge SEED COUNT FILE...\n";
    return 2;
  }
  std::vector<Bytes> corpus;
  for (int i = 3; i < argc; ++i) {
    std::ifstream stream(argv[i], std::ios::binary);
    const std::vector<char> text(std::istreambuf_iterator<char>(stream), {});
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    corpus.emplace_back(begin, begin + text.size());
    if (text.empty()) {
      std::cerr << "forge: cannot read " << argv[i] << "\n";
      return 2;
    }
  }
  Random random(std::strtoull(argv[1], nullptr, 10));
  constexpr std::size_t kMore = 64;
  for (long long left = std::atoll(argv[2]); left > 0; --left) {
    Bytes file = corpus[random.below(corpus.size())];
    for (std::uint64_t changes = 1 + random.below(3); changes > 0; --changes) {
      const std::size_t size = file.size();
      file.resize(size + kMore);
      auto* const data = reinterpret_cast<std::uint8_t*>(file.data());
      const auto mutate = [&](std::uint8_t* begin, std::size_t bytes, std::size_t most) {
        return change_bytes(begin, bytes, most, random);
      };
      file.resize(change_program(data, size, size + kMore, random, mutate));
    }
    repair(file);
    const std::uint64_t size = file.size();
    std::cout.write(reinterpret_cast<const char*>(&size), sizeof(size));
    std::cout.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(size));
  }
  return std::cout.good() ? 0 : 1;
}
