// The loader on whole files: what is valid loads; cut, changed and forged files are refused or, if
// they still keep every rule, accepted, but never crash. The argument "all" tries all 255 other
// values of every byte.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

#include "hbm/program.h"
#include "tests/expect.h"
#include "tests/small_program.h"

namespace horizon::test {
namespace {

enum class Outcome { accepted, refused, other };

Outcome load(const Bytes& file, std::string* message = nullptr) {
  try {
    Program::from_bytes(file);
    return Outcome::accepted;
  } catch (const InvalidProgram& error) {
    if (message != nullptr) *message = error.what();
    return Outcome::refused;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "unexpected: %s\n", error.what());
    return Outcome::other;
  }
}

void test_accessors(const Parts& parts, const Bytes& file) {
  Program loaded = Program::from_bytes(file);
  const Program program = std::move(loaded);  // what it refers to moves along
  expect(program.text(program.record().name) == "small", "name");
  expect(program.inputs().size() == 1 && program.outputs().size() == 2, "tensors");
  expect(program.text(program.outputs()[0].name) == "flow", "name of an output");
  expect(program.scales(program.outputs()[0]).size() == 2, "scales");
  expect(program.scales(program.outputs()[0])[1] == 0.25, "value of a scale");
  expect(program.instructions().size() == parts.instructions.size(), "instructions");
  expect(program.metadata() == parts.metadata, "metadata");
  expect(program.constants().size() == parts.constants.size(), "constants");
  expect(reinterpret_cast<std::uintptr_t>(program.constants().data()) % kAlignment == 0,
         "alignment of constants");
  expect(bytes_of(program.outputs()[0]) == 4 * 2 * 4 * 6, "bytes of an output");
  expect(program.arena_bytes() == parts.program.sram_bytes + parts.program.ddr_bytes, "arena");
}

void test_truncations(const Bytes& file) {
  for (std::size_t size = 0; size < file.size(); ++size) {
    const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    expect(load(cut) == Outcome::refused, "cut to " + std::to_string(size) + " bytes");
  }
  Bytes longer = file;
  longer.push_back(std::byte{});
  expect(load(longer) == Outcome::refused, "one byte more");
}

void test_byte_changes(Bytes file, bool all) {
  Random random(1);
  for (std::size_t place = 0; place < file.size(); ++place) {
    const std::byte old = file[place];
    for (int step = 1; step < 256; ++step) {
      const bool one_bit = (step & (step - 1)) == 0;
      if (!all && !one_bit && random.below(64) != 0) continue;
      file[place] = old ^ static_cast<std::byte>(step);
      if (load(file) != Outcome::refused) {
        expect(false, "byte " + std::to_string(place) + " changed by " + std::to_string(step));
      }
    }
    file[place] = old;
  }
}

// Behind correct checksums: one to four changes of bytes, words or bits.
void test_forgeries(const Bytes& file) {
  Random random(2);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    Bytes forged = file;
    const std::uint64_t changes = 1 + random.below(4);
    for (std::uint64_t change = 0; change < changes; ++change) {
      // Mostly records: there are more constants than rules about them.
      const std::size_t place = random.below(round % 4 == 0 ? file.size() : file.size() * 2 / 3);
      const std::uint64_t kind = random.below(3);
      if (kind == 0) {
        forged[place] = static_cast<std::byte>(random.next());
      } else if (kind == 1) {
        forged[place] ^= static_cast<std::byte>(1 << random.below(8));
      } else {
        const std::uint32_t extremes[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000};
        const std::size_t word = place / 4 * 4;
        if (word + 4 <= forged.size()) std::memcpy(&forged[word], &extremes[random.below(6)], 4);
      }
    }
    reseal(forged);
    const Outcome outcome = load(forged);
    expect(outcome != Outcome::other, "forgery " + std::to_string(round));
    ++(outcome == Outcome::accepted ? accepted : refused);
  }
  // Otherwise checksums or rules have been missed.
  expect(accepted > 50 && refused > 3000, "both outcomes of forgeries");
  std::printf("forgeries: %d accepted, %d refused\n", accepted, refused);
}

void expect_unreadable(const std::string& path, const char* reason) {
  try {
    Program::open(path);
    expect(false, path + " was opened");
  } catch (const InvalidProgram& error) {
    const std::string message = error.what();
    expect(message.starts_with(path + ": ") && message.find(reason) != std::string::npos, message);
  }
}

void test_files(const Bytes& file) {
  const auto pattern = std::filesystem::temp_directory_path() / "loader_XXXXXX";
  std::string directory = pattern.string();
  if (::mkdtemp(directory.data()) == nullptr) {
    expect(false, "no temporary directory");
    return;
  }
  const auto write = [&](const char* name, std::size_t bytes) {
    const std::string path = directory + "/" + name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(bytes));
    return path;
  };
  const Program program = Program::open(write("whole.hbm", file.size()));
  expect(program.text(program.record().march) == "host", "mapped");
  expect_unreadable(write("half.hbm", file.size() / 2), "the file is incomplete");
  expect_unreadable(write("empty.hbm", 0), "an empty file");
  expect_unreadable(directory + "/missing.hbm", "No such file");
  expect_unreadable(directory, "not a regular file");
  const std::string pipe = directory + "/pipe";
  if (::mkfifo(pipe.c_str(), 0600) == 0) expect_unreadable(pipe, "not a regular file");
  std::filesystem::remove_all(directory);
}

int run(bool all) {
  const Parts parts = SmallProgram::build();
  const Bytes file = file_of(parts);
  std::string message;
  if (load(file, &message) != Outcome::accepted) {
    expect(false, "the valid program: " + message);
    return finish("loader");
  }
  test_accessors(parts, file);
  test_truncations(file);
  test_byte_changes(file, all);
  test_forgeries(file);
  test_files(file);
  return finish("loader");
}

}  // namespace
}  // namespace horizon::test

int main(int argc, char** argv) {
  return horizon::test::run(argc > 1 && std::strcmp(argv[1], "all") == 0);
}
