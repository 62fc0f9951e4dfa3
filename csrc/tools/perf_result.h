// The measurements of `perf`, as text and as JSON.
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
  std::vector<std::uint64_t> instructions;  // nanoseconds of each, sum of all frames; may be empty
  std::uint64_t load_bytes, store_bytes;    // of a frame
};

void print(const PerfResult& result);

// The profile begins with it.
inline constexpr char kProfileStart[] = "{\n  \"model\": ";

// JSON with running_condition, perf_result, layers (sums of their instructions) and instructions.
// Each layer and instruction has its time per frame, its share of all time, its LOAD and STORE
// bytes and its multiply-accumulates per second.
std::string profile_json(const Program& program, const PerfResult& result);

}  // namespace horizon
