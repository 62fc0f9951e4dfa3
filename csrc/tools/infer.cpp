#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "executor/executor.h"
#include "executor/names.h"
#include "hbm/program.h"
#include "kernels/amx.h"
#include "tools/array_file.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/own_file.h"
#include "tools/provenance.h"

namespace horizon {
namespace {

std::int32_t value_at(const Bytes& data, Type type, std::size_t index) {
  const std::byte* const at = data.data() + index * static_cast<std::size_t>(size_of(type));
  switch (type) {
    case Type::int8:
      return static_cast<std::int8_t>(*at);
    case Type::uint8:
      return static_cast<std::uint8_t>(*at);
    case Type::int16: {
      std::int16_t value;
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    case Type::int32:
      break;
  }
  std::int32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Prints the least, greatest and mean value of each channel, as real numbers.
void print_summary(const Program& program, std::size_t index, const Bytes& data) {
  const TensorRecord& tensor = program.outputs()[index];
  const auto scales = program.scales(tensor);
  const bool nchw = tensor.layout == Layout::nchw;
  const std::size_t channels = tensor.shape[nchw ? 1 : 3];
  const std::size_t inner = nchw ? std::size_t{tensor.shape[2]} * tensor.shape[3] : 1;
  const std::size_t count = data.size() / static_cast<std::size_t>(size_of(tensor.type));
  struct Summary {
    double least = std::numeric_limits<double>::infinity();
    double greatest = -std::numeric_limits<double>::infinity();
    double sum = 0;
  };
  std::vector<Summary> summaries(channels);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t channel = i / inner % channels;
    const double scale = scales[scales.size() == 1 ? 0 : channel];
    const double value = (value_at(data, tensor.type, i) - double{1} * tensor.zero_point) * scale;
    Summary& summary = summaries[channel];
    summary.least = std::min(summary.least, value);
    summary.greatest = std::max(summary.greatest, value);
    summary.sum += value;
  }
  std::printf("output[%zu] %s: %s %s %s\n", index, std::string(program.text(tensor.name)).c_str(),
              name_of(tensor.type), shape_text(tensor).c_str(), name_of(tensor.layout));
  const std::size_t shown = std::min<std::size_t>(channels, 8);
  for (std::size_t channel = 0; channel < shown; ++channel) {
    const Summary& summary = summaries[channel];
    std::printf("  channel %zu: min %.6g, max %.6g, mean %.6g\n", channel, summary.least,
                summary.greatest,
                summary.sum * static_cast<double>(channels) / static_cast<double>(count));
  }
  if (shown < channels) std::printf("  and %zu more channels\n", channels - shown);
}

// A tensor's name in a form that can be part of a file name.
std::string file_name(std::string_view name) {
  std::string safe(name);
  for (char& c : safe) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && c != '-' && c != '.') c = '_';
  }
  return safe;
}

}  // namespace

void infer(std::span<char* const> arguments) {
  const Options options(
      arguments, {"model_file", "input_file", "output_dir", "dump_dir", "dump_format", "core_num"});
  if (options.text("output_dir") && options.text("dump_dir")) {
    throw UsageError("--output_dir and --dump_dir mean the same; give one of them");
  }
  const auto directory = options.text(options.text("output_dir") ? "output_dir" : "dump_dir");
  const std::string format = options.text("dump_format").value_or("bin");
  if (format != "bin" && format != "npy") {
    throw UsageError("option --dump_format: found " + format + ", expected bin or npy");
  }
  const int threads = options.cpus("core_num", 0);
  const Program program = Program::open(options.required("model_file"));
  warn_of_random_weights(program);
  const std::vector<Bytes> inputs = read_inputs(options.required("input_file"), program);

  std::vector<std::string> paths;
  if (directory) {
    make_directory(*directory);
    for (const TensorRecord& tensor : program.outputs()) {
      paths.push_back(*directory + "/model_infer_output_" + std::to_string(paths.size()) + "_" +
                      file_name(program.text(tensor.name)) + "." + format);
      check_array_file(paths.back(), tensor);
    }
  }

  std::vector<const void*> in;
  for (const Bytes& input : inputs) in.push_back(input.data());
  std::vector<Bytes> outputs;
  std::vector<void*> out;
  for (const TensorRecord& tensor : program.outputs()) outputs.emplace_back(bytes_of(tensor));
  for (Bytes& output : outputs) out.push_back(output.data());
  Session session(program, threads);
  session.run(in, out);

  std::printf("kernels %s%s, %d threads, %.3f ms\n", session.kernels().name, amx_remark(),
              session.threads(), static_cast<double>(session.counters().nanoseconds) * 1e-6);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    print_summary(program, i, outputs[i]);
    if (!directory) continue;
    write_array(paths[i], program.outputs()[i], outputs[i]);
    std::printf("  written to %s\n", paths[i].c_str());
  }
}

}  // namespace horizon
