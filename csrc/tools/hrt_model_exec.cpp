// hrt_model_exec: shows, runs and times a compiled program on this CPU.
//
// It takes the options of the tool of the same name on the boards. The exit code is 0, or 2 with a
// message on standard error.
#include <cstdio>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "tools/commands.h"
#include "tools/options.h"

namespace {

constexpr char kUsage[] =
    R"(hrt_model_exec COMMAND --model_file FILE.hbm [OPTIONS]     (--key value or --key=value)

model_info  what the program is, needs, takes and gives
infer       runs it once
  --input_file A[,B]   data of each input: raw little-endian values, or .npy; no pictures
  --output_dir DIR     where outputs are written (also --dump_dir)
  --dump_format FORMAT bin (default) or npy
  --core_num N         CPU threads (default: all cores)
perf        runs it many times
  --frame_count N      frames (default 200)
  --thread_num N       frames in flight (default 1)
  --core_num N         CPU threads of each frame (default: all cores for one frame in flight,
                       otherwise 1)
  --core_id N          0: any core (default); N: only the CPU's core N - 1
  --input_file A[,B]   data of each input (default: noise)
  --profile_path DIR   writes DIR/profiler.log, the time of every instruction, as JSON

The environment variable HORIZON_KERNELS forces an instruction set: scalar, avx2, avxvnni,
avx512, amx, neon.
)";

// The part of the usage for one command: the first line, the command's own and the last paragraph.
std::string usage_of(std::string_view command) {
  const std::string_view all = kUsage;
  std::size_t start = std::string_view::npos;
  for (const std::string_view known : {"model_info", "infer", "perf"}) {
    if (command == known) start = all.find("\n" + std::string(known) + " ") + 1;
  }
  if (start == std::string_view::npos) return std::string(all);
  std::size_t end = start;
  do {
    end = all.find('\n', end) + 1;
  } while (all[end] == ' ');
  const std::size_t first = all.find("\n\n") + 2, last = all.rfind("\n\n");
  return std::string(all.substr(0, first))
      .append(all.substr(start, end - start))
      .append(all.substr(last + 1));
}

int run(std::span<char* const> arguments) {
  const std::string_view command = arguments.empty() ? "" : arguments[0];
  bool help = command == "help";
  for (const std::string_view argument : arguments) {
    help = help || argument == "-h" || argument == "--help";
  }
  if (help) {
    std::fputs(usage_of(command).c_str(), stdout);
    return 0;
  }
  if (command == "-v" || command == "--version") {
    std::puts("hrt_model_exec " HORIZON_VERSION);
    return 0;
  }
  if (command == "model_info") {
    horizon::model_info(arguments.subspan(1));
  } else if (command == "infer") {
    horizon::infer(arguments.subspan(1));
  } else if (command == "perf") {
    horizon::perf(arguments.subspan(1));
  } else {
    throw horizon::UsageError(
        (command.empty() ? std::string("no command") : "unknown command " + std::string(command)) +
        "; expected model_info, infer or perf; --help shows more");
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(std::span<char* const>(arguments, static_cast<std::size_t>(count)).subspan(1));
  } catch (const std::bad_alloc&) {
    std::fputs("hrt_model_exec: out of memory; free memory or raise the process's limit\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hrt_model_exec: %s\n", error.what());
  }
  return 2;
}
