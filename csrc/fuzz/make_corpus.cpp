// Writes the programs that fuzzing starts from: the small program of the tests, and one for each of
// its instructions with only that one and what the outputs need.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "tests/small_program.h"

namespace {

using namespace horizon;
using namespace horizon::test;

bool write(const std::filesystem::path& path, const Parts& parts) {
  const Bytes file = file_of(parts);
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(file.data()),
               static_cast<std::streamsize>(file.size()));
  stream.close();
  return stream.good();
}

Parts only(const Parts& whole, std::size_t kept) {
  Parts parts = whole;
  parts.instructions.clear();
  for (std::size_t i = 0; i < whole.instructions.size(); ++i) {
    if (i != kLoadWeight && i != kept && i != kStoreFlow && i != kStoreFeature) continue;
    InstructionRecord instruction = whole.instructions[i];
    for (auto& wait : instruction.wait) wait = 0;
    parts.instructions.push_back(instruction);
  }
  return parts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || !std::filesystem::is_directory(argv[1])) {
    std::cerr << "make_corpus: expected one argument, an existing directory for the files\n";
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  const Parts whole = SmallProgram::build();
  bool good = write(directory / "whole.hbm", whole);
  for (std::size_t i = 0; i < whole.instructions.size(); ++i) {
    good = write(directory / ("only_" + std::to_string(i) + ".hbm"), only(whole, i)) && good;
  }
  if (!good) std::cerr << "make_corpus: cannot write to " << directory << "\n";
  return good ? 0 : 1;
}
