// What `perf` measured, and the two forms it is given in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hbm/program.h"

namespace horizon {

struct PerfResult {
  std::string kernels;
  int thread_num;                           // frames in flight
  int core_num;                             // CPU threads of each frame
  std::uint64_t wall_nanoseconds;           // of all frames
  std::vector<std::uint64_t> latencies;     // nanoseconds of each frame, ascending
  std::vector<std::uint64_t> instructions;  // nanoseconds of each, over all frames; may be empty
  std::uint64_t load_bytes, store_bytes;    // of a frame
};

void print(const PerfResult& result);

// JSON: running_condition, perf_result, layers (the instructions' sums) and instructions, each with
// its time per frame, its share, its LOAD and STORE bytes and its multiply-accumulates per second.
std::string profile_json(const Program& program, const PerfResult& result);

}  // namespace horizon
