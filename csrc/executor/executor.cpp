#include "executor/executor.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>

#include "executor/cpus.h"

namespace horizon {
namespace {

// Nothing writes through the pointers to constants and inputs: only LOADs have them, as source.
std::byte* writable(const void* data) {
  return const_cast<std::byte*>(static_cast<const std::byte*>(data));
}

std::uint64_t now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

// The memories whose addresses are known before a run.
struct Spaces {
  std::byte* constant;
  std::byte* ddr;
  std::byte* sram;

  std::byte* operator()(const View& view) const {
    switch (view.space) {
      case Space::constant:
        return constant + view.offset;
      case Space::ddr:
        return ddr + view.offset;
      case Space::sram:
        return sram + view.offset;
      default:
        return nullptr;
    }
  }
};

}  // namespace

int checked_threads(int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    throw std::invalid_argument("threads: found " + std::to_string(threads) + ", expected 0 to " +
                                std::to_string(kMaxThreads) + "; 0 takes all CPUs");
  }
  const int usable = usable_cpus();
  return threads == 0 ? usable : std::min(threads, usable);
}

const Kernels& chosen_kernels() {
  const char* error = nullptr;
  const Kernels* kernels = choose_kernels(&error);
  if (kernels == nullptr) throw std::invalid_argument(error != nullptr ? error : "no kernels");
  return *kernels;
}

Session::Session(const Program& program, int threads)
    : program_(program),
      kernels_(&chosen_kernels()),
      threads_(checked_threads(threads)),
      arena_(program.arena_bytes(), "the arena of a session") {
  const ProgramRecord& record = program.record();
  const Spaces address{writable(program.constants().data()), arena_.data(),
                       arena_.data() + round_up(record.ddr_bytes)};
  std::size_t scratch = 0;
  steps_.reserve(program.instructions().size());
  for (const InstructionRecord& i : program.instructions()) {
    const Operands operands{address(i.out), address(i.a), address(i.b), address(i.weight),
                            i.table_count == 0
                                ? nullptr
                                : reinterpret_cast<const Channel*>(address.constant + i.table)};
    const Prepared prepared{prepare(i, operands), i.a.space,  i.out.space,  i.a.index,
                            i.out.index,          i.a.offset, i.out.offset, !worth_sharing(i)};
    scratch = std::max(scratch, scratch_bytes(*kernels_, prepared.step));
    steps_.push_back(prepared);
  }
  scratch_.reserve(static_cast<std::size_t>(threads_.count()));
  for (int i = 0; i < threads_.count(); ++i) scratch_.emplace_back(scratch, "a thread's scratch");
}

void Session::profile(bool on) { times_.assign(on ? steps_.size() : 0, 0); }

void Session::run(std::span<const void* const> inputs, std::span<void* const> outputs) {
  const std::uint64_t start = now();
  counters_ = Counters{};
  std::uint64_t before = start;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    execute(steps_[i], inputs, outputs);
    const InstructionRecord& record = program_.instructions()[i];
    if (record.opcode == Opcode::load) counters_.load_bytes += out_bytes(record);
    if (record.opcode == Opcode::store) counters_.store_bytes += out_bytes(record);
    if (!times_.empty()) {
      const std::uint64_t after = now();
      times_[i] = after - before;
      before = after;
    }
  }
  counters_.nanoseconds = now() - start;
}

void Session::execute(const Prepared& prepared, std::span<const void* const> inputs,
                      std::span<void* const> outputs) {
  if (prepared.from != Space::input && prepared.to != Space::output) {
    execute(prepared.step, prepared.alone);
    return;
  }
  CopyArgs copy = std::get<CopyArgs>(prepared.step);
  if (prepared.from == Space::input) {
    copy.in.data = writable(inputs[prepared.input]) + prepared.a_offset;
  }
  if (prepared.to == Space::output) {
    copy.out.data = static_cast<std::byte*>(outputs[prepared.output]) + prepared.out_offset;
  }
  execute(Step{copy}, prepared.alone);
}

void Session::execute(const Step& step, bool alone) {
  if (alone) {
    run_part(*kernels_, step, Part{0, 1, scratch_[0].data()});
  } else {
    run_parts(*kernels_, step, threads_, scratch_);
  }
}

}  // namespace horizon
