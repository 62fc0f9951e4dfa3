#include <array>
#include <cstdio>
#include <string>

#include "executor/names.h"
#include "executor/step.h"
#include "hbm/program.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/provenance.h"

namespace horizon {
namespace {

void print_line(const char* label, const std::string& value) {
  std::printf("%-22s%s\n", label, value.c_str());
}

void print_tensor(const Program& program, const char* kind, std::size_t index,
                  const TensorRecord& tensor) {
  std::printf("\n%s[%zu]:\n", kind, index);
  print_line("name:", std::string(program.text(tensor.name)));
  print_line("valid shape:", shape_text(tensor));
  print_line("tensor type:", name_of(tensor.type));
  print_line("tensor layout:", name_of(tensor.layout));
  print_line("bytes:", std::to_string(bytes_of(tensor)));
  print_line("zero point:", std::to_string(tensor.zero_point));
  std::string scales;
  for (const double scale : program.scales(tensor)) {
    std::array<char, 32> number;
    std::snprintf(number.data(), number.size(), "%.9g", scale);
    scales += (scales.empty() ? "" : ", ") + std::string(number.data());
  }
  print_line("scale:", scales);
}

}  // namespace

void model_info(std::span<char* const> arguments) {
  const Options options(arguments, {"model_file"});
  const std::string path = options.required("model_file");
  const Program program = Program::open(path);
  const ProgramRecord& record = program.record();
  print_line("model file:", path);
  print_line("model name:", std::string(program.text(record.name)));
  if (program.has_random_weights()) print_line("weights:", random_weights_text);
  print_line("march:", std::string(program.text(record.march)));
  print_line("opt:", "O" + std::to_string(record.opt));
  print_line("size multiple:", std::to_string(record.size_multiple));
  print_line("arena bytes:", std::to_string(program.arena_bytes()) + " (sram " +
                                 std::to_string(record.sram_bytes) + ", ddr " +
                                 std::to_string(record.ddr_bytes) + ")");
  print_line("constant bytes:", std::to_string(program.constants().size()));
  for (std::size_t i = 0; i < program.inputs().size(); ++i) {
    print_tensor(program, "input", i, program.inputs()[i]);
  }
  for (std::size_t i = 0; i < program.outputs().size(); ++i) {
    print_tensor(program, "output", i, program.outputs()[i]);
  }
  std::array<std::size_t, kOpcodes + 1> count{};  // by opcode
  std::uint64_t total = 0;
  for (const InstructionRecord& instruction : program.instructions()) {
    ++count[static_cast<std::size_t>(instruction.opcode)];
    total += macs(instruction);
  }
  std::printf("\n");
  print_line("instructions:", std::to_string(program.instructions().size()));
  for (std::size_t opcode = 1; opcode < count.size(); ++opcode) {
    if (count[opcode] == 0) continue;
    print_line(("  " + std::string(name_of(static_cast<Opcode>(opcode))) + ":").c_str(),
               std::to_string(count[opcode]));
  }
  print_line("multiply-accumulates:", std::to_string(total));
}

}  // namespace horizon
