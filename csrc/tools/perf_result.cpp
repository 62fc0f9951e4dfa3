#include "tools/perf_result.h"

#include <cstdarg>
#include <cstdio>
#include <map>
#include <string_view>

#include "executor/names.h"
#include "executor/step.h"
#include "kernels/amx.h"

namespace horizon {
namespace {

double milliseconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-6; }

double mean(const PerfResult& result) {
  double sum = 0;
  for (const std::uint64_t latency : result.latencies) sum += milliseconds(latency);
  return sum / static_cast<double>(result.latencies.size());
}

// The percentile by nearest rank.
double percentile(const PerfResult& result, std::size_t percent) {
  const std::size_t count = result.latencies.size();
  return milliseconds(result.latencies[(count * percent + 99) / 100 - 1]);
}

double frames_per_second(const PerfResult& result) {
  return static_cast<double>(result.latencies.size()) * 1e9 /
         static_cast<double>(result.wall_nanoseconds);
}

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...) {
  std::va_list arguments;
  va_start(arguments, pattern);
  char text[512];
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

std::string quoted(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      json += format("\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      json += c;
    }
  }
  return json + '"';
}

// The figures of one instruction, or of all instructions of a layer.
struct Share {
  std::uint64_t nanoseconds = 0, macs = 0, load_bytes = 0, store_bytes = 0;
};

// The members of a JSON object.
std::string json_of(const Share& share, std::size_t frames, double total) {
  const auto time = static_cast<double>(share.nanoseconds);
  const double rate = time > 0 ? static_cast<double>(share.macs * frames) / time : 0;
  return format(
      "\"ms\": %.6f, \"share\": %.6f, \"load_bytes\": %llu, \"store_bytes\": %llu, "
      "\"macs\": %llu, \"gmac_per_s\": %.3f",
      time * 1e-6 / static_cast<double>(frames), total > 0 ? time / total : 0,
      static_cast<unsigned long long>(share.load_bytes),
      static_cast<unsigned long long>(share.store_bytes),
      static_cast<unsigned long long>(share.macs), rate);
}

}  // namespace

void print(const PerfResult& result) {
  std::printf("Running condition:\n");
  std::printf("  Thread number is: %d\n", result.thread_num);
  std::printf("  Frame count   is: %zu\n", result.latencies.size());
  std::printf("  Core number   is: %d\n", result.core_num);
  std::printf("  Kernels      are: %s%s\n", result.kernels.c_str(), amx_remark());
  std::printf("  Program run time: %.3f ms\n", milliseconds(result.wall_nanoseconds));
  std::printf("Perf result:\n");
  std::printf("  Average latency is: %.3f ms\n", mean(result));
  std::printf("  Latency min, 50 %%, 90 %%, 99 %%, max: %.3f, %.3f, %.3f, %.3f, %.3f ms\n",
              milliseconds(result.latencies.front()), percentile(result, 50),
              percentile(result, 90), percentile(result, 99),
              milliseconds(result.latencies.back()));
  std::printf("  Frame rate      is: %.3f FPS\n", frames_per_second(result));
}

std::string profile_json(const Program& program, const PerfResult& result) {
  const std::size_t frames = result.latencies.size();
  std::string text = kProfileStart;
  text += quoted(program.text(program.record().name)) + ",\n";
  text += "  \"march\": " + quoted(program.text(program.record().march)) + ",\n";
  text += format(
      "  \"running_condition\": {\"thread_num\": %d, \"frame_count\": %zu, \"core_num\": %d, "
      "\"kernels\": \"%s\", \"run_time_ms\": %.6f},\n",
      result.thread_num, frames, result.core_num, result.kernels.c_str(),
      milliseconds(result.wall_nanoseconds));
  text += format(
      "  \"perf_result\": {\"average_latency_ms\": %.6f, \"min_latency_ms\": %.6f, "
      "\"p50_latency_ms\": %.6f, \"p90_latency_ms\": %.6f, \"p99_latency_ms\": %.6f, "
      "\"max_latency_ms\": %.6f, \"FPS\": %.6f, \"load_bytes\": %llu, \"store_bytes\": %llu},\n",
      mean(result), milliseconds(result.latencies.front()), percentile(result, 50),
      percentile(result, 90), percentile(result, 99), milliseconds(result.latencies.back()),
      frames_per_second(result), static_cast<unsigned long long>(result.load_bytes),
      static_cast<unsigned long long>(result.store_bytes));

  double total = 0;
  for (const std::uint64_t nanoseconds : result.instructions) {
    total += static_cast<double>(nanoseconds);
  }
  std::vector<std::string_view> order;  // of the layers
  std::map<std::string_view, Share> layers;
  std::string instructions;
  for (std::size_t i = 0; i < result.instructions.size(); ++i) {
    const InstructionRecord& record = program.instructions()[i];
    Share own{result.instructions[i], macs(record), 0, 0};
    if (record.opcode == Opcode::load) own.load_bytes = out_bytes(record);
    if (record.opcode == Opcode::store) own.store_bytes = out_bytes(record);
    const std::string_view layer = program.text(record.layer);
    const auto [at, first] = layers.try_emplace(layer);
    if (first) order.push_back(layer);
    at->second.nanoseconds += own.nanoseconds;
    at->second.macs += own.macs;
    at->second.load_bytes += own.load_bytes;
    at->second.store_bytes += own.store_bytes;
    instructions += i == 0 ? "" : ",\n";
    instructions += "    {\"opcode\": \"" + std::string(name_of(record.opcode)) +
                    "\", \"layer\": " + quoted(layer) + ", " + json_of(own, frames, total) + "}";
  }
  text += "  \"layers\": [\n";
  for (std::size_t i = 0; i < order.size(); ++i) {
    text += (i == 0 ? "" : ",\n");
    text += "    {\"layer\": " + quoted(order[i]) + ", " +
            json_of(layers[order[i]], frames, total) + "}";
  }
  return text + "\n  ],\n  \"instructions\": [\n" + instructions + "\n  ]\n}\n";
}

}  // namespace horizon
