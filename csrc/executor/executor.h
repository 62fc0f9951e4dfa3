// Executes a program: all instructions in list order, each in parallel over its output.
//
// The constructor resolves every operand to an address, chooses the kernels, and allocates the
// arena (ddr, then sram) and one scratch for each thread. run() allocates nothing. The outputs
// depend neither on the number of threads nor on the kernels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "executor/block.h"
#include "executor/step.h"
#include "executor/threads.h"
#include "hbm/program.h"
#include "kernels/kernels.h"

namespace horizon {

// Counters of the last run.
struct Counters {
  std::uint64_t load_bytes = 0;   // moved by LOAD instructions
  std::uint64_t store_bytes = 0;  // moved by STORE instructions
  std::uint64_t nanoseconds = 0;  // of the whole run
};

class Session {
 public:
  // `program` must outlive the session. `threads` includes the caller. It is limited to the CPUs
  // that this process may use; 0 takes them all. Throws OutOfMemory, std::system_error (the system
  // refuses a thread) or std::invalid_argument (threads out of range, HORIZON_KERNELS names no
  // kernels of this CPU, HORIZON_CPUS is not a number).
  Session(const Program& program, int threads);

  // Takes one pointer for each input and output, in the program's order, to bytes_of(tensor) bytes.
  // Only one caller at a time.
  void run(std::span<const void* const> inputs, std::span<void* const> outputs);

  int threads() const { return threads_.count(); }
  const Kernels& kernels() const { return *kernels_; }
  const Counters& counters() const { return counters_; }

  // Nanoseconds of each instruction in the last run; empty unless profile(true) was called before.
  void profile(bool on);
  std::span<const std::uint64_t> instruction_nanoseconds() const { return times_; }

 private:
  struct Prepared {
    Step step;
    Space from, to;               // spaces of the caller's arrays, whose addresses only run() gets
    std::uint16_t input, output;  // their indices
    std::uint64_t a_offset, out_offset;
    bool alone;  // too little work to wake other threads
  };

  void execute(const Prepared& prepared, std::span<const void* const> inputs,
               std::span<void* const> outputs);
  void execute(const Step& step, bool alone);

  const Program& program_;
  const Kernels* kernels_;
  Threads threads_;
  Block arena_;
  std::vector<Prepared> steps_;
  std::vector<Block> scratch_;  // one for each thread
  std::vector<std::uint64_t> times_;
  Counters counters_;
};

inline constexpr int kMaxThreads = 1024;

// `threads`, but at most usable_cpus(); 0 means that many. Throws std::invalid_argument outside
// 0..kMaxThreads.
int checked_threads(int threads);

// Kernels by HORIZON_KERNELS or the best. Throws std::invalid_argument.
const Kernels& chosen_kernels();

}  // namespace horizon
