// How fuzz_program changes files: fuzz/mutate.h, with bytes changed by libFuzzer.
#include <cstddef>
#include <cstdint>

#include "fuzz/mutate.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  horizon::test::Random random(seed);
  return horizon::test::change_program(data, size, max_size, random, LLVMFuzzerMutate);
}
