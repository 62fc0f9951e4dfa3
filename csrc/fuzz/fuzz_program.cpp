// Forged programs: the loader refuses them or they run without touching memory that is not theirs,
// with the same outputs from every set of kernels. A libFuzzer target; build and run it with
//
//   csrc/fuzz/build.sh build/fuzz
//   mkdir -p build/fuzz/corpus && build/fuzz/make_corpus build/fuzz/corpus
//   build/fuzz/fuzz_program -max_len=65536 -mutate_depth=1 build/fuzz/corpus
//
// Checksums are corrected before loading, so that changes reach what is behind them.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "executor/executor.h"
#include "fuzz/mutate.h"
#include "hbm/program.h"

namespace horizon {
namespace {

using test::Bytes;

// What a single run may need; with sanitizers that is a fraction of a second.
constexpr std::uint64_t kMostBytes = 1 << 20;
constexpr double kMostSteps = 2e6;

double elements(const View& view) {
  double count = 1;
  for (const std::uint32_t side : view.shape) count *= side;
  return count;
}

// A bound of multiply-accumulates and elements that are moved.
double steps_of(const InstructionRecord& i) {
  const double places = std::max(elements(i.out), elements(i.a));
  if (i.opcode == Opcode::conv) {
    return places * i.kernel[0] * i.kernel[1] * std::max(i.out.shape[3], i.a.shape[3]);
  }
  const bool pairs = i.opcode == Opcode::correlation || i.opcode == Opcode::matmul;
  return pairs ? places * i.a.shape[3] : places;
}

bool is_small(const Program& program) {
  std::uint64_t bytes = program.arena_bytes();
  for (const auto tensors : {program.inputs(), program.outputs()}) {
    for (const TensorRecord& tensor : tensors) bytes += bytes_of(tensor);  // < 2^40 * 2^20
  }
  double steps = 0;
  for (const InstructionRecord& i : program.instructions()) steps += steps_of(i);
  return bytes <= kMostBytes && steps <= kMostSteps;
}

// Buffers of all inputs or outputs, each allocated by itself: the sanitizer sees their ends.
struct Buffers {
  explicit Buffers(std::span<const TensorRecord> tensors) {
    for (const TensorRecord& tensor : tensors) {
      const std::uint64_t seed = data.size() + 1;
      Bytes& buffer = data.emplace_back(bytes_of(tensor));
      for (std::size_t i = 0; i < buffer.size(); ++i) {
        buffer[i] = static_cast<std::byte>((i + seed) * 0x9E3779B97F4A7C15u >> 56);
      }
      pointers.push_back(buffer.data());
    }
  }
  Buffers(const Buffers&) = delete;

  std::vector<Bytes> data;
  std::vector<void*> pointers;
};

std::vector<Bytes> run_with(const char* kernels, const Program& program) {
  ::setenv("HORIZON_KERNELS", kernels, 1);
  Session session(program, 1);
  const Buffers inputs(program.inputs());
  Buffers outputs(program.outputs());
  const std::vector<const void*> sources(inputs.pointers.begin(), inputs.pointers.end());
  session.run(sources, outputs.pointers);
  return std::move(outputs.data);
}

void run(const Program& program) {
  const std::vector<Bytes> expected = run_with("scalar", program);
  for (const Kernels* kernels : available_kernels()) {
    if (kernels != scalar_kernels() && run_with(kernels->name, program) != expected) {
      std::fprintf(stderr, "kernels %s give other outputs than scalar ones\n", kernels->name);
      std::abort();
    }
  }
}

// Reads whatever users of a program read.
void read(const Program& program) {
  std::string text(program.metadata());
  for (const std::uint32_t name : {program.record().name, program.record().march}) {
    text += program.text(name);
  }
  double scales = 0;
  for (const auto tensors : {program.inputs(), program.outputs()}) {
    for (const TensorRecord& tensor : tensors) {
      text += program.text(tensor.name);
      for (const double scale : program.scales(tensor)) scales += scale;
    }
  }
  for (const InstructionRecord& i : program.instructions()) text += program.text(i.layer);
  if (text.empty() || !(scales > 0)) std::abort();
}

}  // namespace
}  // namespace horizon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace horizon;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  test::Bytes file(bytes, bytes + size);
  test::repair(file);
  try {
    const Program program = Program::from_bytes(file);
    read(program);
    if (is_small(program)) run(program);
  } catch (const InvalidProgram&) {
    return 0;
  }
  return 0;
}
