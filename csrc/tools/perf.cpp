#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "executor/cpus.h"
#include "executor/executor.h"
#include "hbm/program.h"
#include "tools/array_file.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/own_file.h"
#include "tools/perf_result.h"
#include "tools/provenance.h"

namespace horizon {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t since(Clock::time_point start) {
  const auto time = Clock::now() - start;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

// Noise, with the same values in every call.
std::vector<Bytes> noise(const Program& program) {
  std::mt19937 random(1);
  std::vector<Bytes> inputs;
  for (const TensorRecord& tensor : program.inputs()) {
    Bytes& input = inputs.emplace_back(bytes_of(tensor));
    for (std::byte& byte : input) byte = static_cast<std::byte>(random() & 0xff);
  }
  return inputs;
}

// Pins this thread to a core. Threads that it makes afterwards stay on this core too.
void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw UsageError("option --core_id: this process may not use core " + std::to_string(core) +
                     "; give 0 for any core, or 1 + the number of a core that it may use");
  }
}

// One frame in flight: a session with its outputs and what was measured.
struct Lane {
  Lane(const Program& program, int threads, bool profile) : session(program, threads) {
    for (const TensorRecord& tensor : program.outputs()) outputs.emplace_back(bytes_of(tensor));
    for (Bytes& output : outputs) out.push_back(output.data());
    session.profile(profile);
  }

  void measure(std::span<const void* const> in) {
    const Clock::time_point start = Clock::now();
    session.run(in, out);
    latencies.push_back(since(start));
    const auto times = session.instruction_nanoseconds();
    instructions.resize(times.size());
    for (std::size_t i = 0; i < times.size(); ++i) instructions[i] += times[i];
  }

  Session session;
  std::vector<Bytes> outputs;
  std::vector<void*> out;
  std::vector<std::uint64_t> latencies, instructions;
};

PerfResult measure(const Program& program, const std::vector<Bytes>& inputs, int frames,
                   int frames_in_flight, int cores, bool profile) {
  std::vector<const void*> in;
  for (const Bytes& input : inputs) in.push_back(input.data());
  std::vector<std::unique_ptr<Lane>> lanes;
  for (int i = 0; i < frames_in_flight; ++i) {
    lanes.push_back(std::make_unique<Lane>(program, cores, profile));
    lanes.back()->session.run(
        in, lanes.back()->out);  // not measured; touches the memory for the first time
  }

  std::atomic<int> left{frames};
  const auto work = [&](Lane& lane) {
    while (left.fetch_sub(1) > 0) lane.measure(in);
  };
  const Clock::time_point start = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < lanes.size(); ++i) threads.emplace_back(work, std::ref(*lanes[i]));
    work(*lanes[0]);
  }
  const Session& first = lanes[0]->session;
  PerfResult result{first.kernels().name,
                    frames_in_flight,
                    first.threads(),
                    since(start),
                    {},
                    std::vector<std::uint64_t>(first.instruction_nanoseconds().size()),
                    first.counters().load_bytes,
                    first.counters().store_bytes};
  for (const auto& lane : lanes) {
    result.latencies.insert(result.latencies.end(), lane->latencies.begin(), lane->latencies.end());
    for (std::size_t i = 0; i < lane->instructions.size(); ++i) {
      result.instructions[i] += lane->instructions[i];
    }
  }
  std::sort(result.latencies.begin(), result.latencies.end());
  return result;
}

}  // namespace

void perf(std::span<char* const> arguments) {
  const Options options(arguments, {"model_file", "input_file", "frame_count", "thread_num",
                                    "core_num", "core_id", "profile_path"});
  const int frames = options.number("frame_count", 200, 1, 100'000'000);
  const int frames_in_flight = options.cpus("thread_num", 1);
  const int core_id = options.number("core_id", 0, 0, CPU_SETSIZE);
  const bool alone = frames_in_flight == 1 && core_id == 0;
  const int cores = options.cpus("core_num", alone ? usable_cpus() : 1);
  if (core_id != 0 && cores != 1) {
    throw UsageError("--core_id " + std::to_string(core_id) + " is one core, --core_num " +
                     std::to_string(cores) + " asks for more; leave one of them out");
  }
  const auto profile_path = options.text("profile_path");
  const Program program = Program::open(options.required("model_file"));
  warn_of_random_weights(program);
  const auto input_file = options.text("input_file");
  const std::vector<Bytes> inputs = input_file ? read_inputs(*input_file, program) : noise(program);
  std::string profile_file;
  if (profile_path) {
    make_directory(*profile_path);
    profile_file = *profile_path + "/profiler.log";
    check_replaceable(profile_file, kProfileStart);
  }
  if (core_id != 0) pin(core_id - 1);

  const PerfResult result =
      measure(program, inputs, frames, frames_in_flight, cores, profile_path.has_value());
  print(result);
  if (profile_path) {
    write_whole(profile_file, profile_json(program, result));
    std::printf("Profile is in: %s\n", profile_file.c_str());
  }
}

}  // namespace horizon
