#include "hbm/program.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "hbm/check.h"
#include "hbm/check_tensor.h"
#include "hbm/check_view.h"
#include "hbm/proof.h"
#include "hbm/sections.h"
#include "hbm/storage.h"
#include "hbm/utf8.h"

namespace horizon {
namespace {

constexpr const char* kNextStep = "; compile the model again with 'hat compile-perf'";

// The records, used where they lie in the file. That is valid: sections begin at multiples of 64 of
// an aligned file, the records have no padding, and enumerations with a fixed type can hold unknown
// values.
template <typename Record>
std::span<const Record> records_in(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const Record*>(bytes.data()), bytes.size() / sizeof(Record)};
}

std::string_view text_in(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void check_strings(std::string_view strings) {
  if (strings.empty() || strings.back() != '\0') {
    refuse("section strings: no NUL at its end", "one");
  }
  if (!is_utf8(strings)) refuse("section strings: bytes that are not UTF-8", "UTF-8");
}

void check_record(const ProgramRecord& record, std::size_t tensors) {
  const std::uint64_t count = std::uint64_t{record.input_count} + record.output_count;
  if (record.input_count == 0 || record.output_count == 0 || count != tensors) {
    refuse(text_of("section program: ", record.input_count, " inputs and ", record.output_count,
                   " outputs"),
           text_of("at least one of each, together ", tensors));
  }
  if (record.ddr_bytes > kLargestMemory || record.sram_bytes > kLargestMemory ||
      record.ddr_bytes + record.sram_bytes > kLargestMemory) {
    refuse(text_of("section program: ", record.ddr_bytes, " and ", record.sram_bytes,
                   " bytes of ddr and sram"),
           text_of("at most ", kLargestMemory));
  }
  if (record.opt > kHighestOpt) {
    refuse(text_of("section program: opt ", record.opt), text_of("0..", kHighestOpt));
  }
  if (record.size_multiple == 0) refuse("section program: a size multiple of 0", "at least 1");
  if (std::any_of(std::begin(record.zero), std::end(record.zero), [](auto b) { return b != 0; })) {
    refuse("section program: a reserved field that is not 0", "0");
  }
}

// Counts the instructions of each unit that the list has had so far.
class Waits {
 public:
  void follow(const InstructionRecord& i) {
    for (int unit = 0; unit < kUnits; ++unit) {
      if (i.wait[unit] > done_[unit]) {
        refuse(text_of("waits for ", i.wait[unit], " instructions of unit ", unit),
               text_of("at most ", done_[unit], ", those before it"));
      }
    }
    ++done_[static_cast<std::size_t>(i.unit)];
  }

 private:
  std::uint32_t done_[kUnits] = {};
};

}  // namespace

Program::Program() = default;
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

Program Program::open(const std::string& path) { return load(Storage::map(path)); }

Program Program::from_bytes(std::span<const std::byte> bytes) { return load(Storage::copy(bytes)); }

Program Program::load(std::unique_ptr<Storage> storage) {
  Program program;
  program.storage_ = std::move(storage);
  try {
    program.read();
    program.check_tensors();
    program.check_scales();
    program.check_instructions();
  } catch (const InvalidProgram& problem) {
    throw InvalidProgram(program.storage_->name() + ": " + problem.what() + kNextStep);
  }
  return program;
}

void Program::read() {
  const Sections sections = read_sections(storage_->bytes());
  strings_ = text_in(sections[SectionKind::strings]);
  check_strings(strings_);
  const auto records = records_in<ProgramRecord>(sections[SectionKind::program]);
  if (records.size() != 1) refuse(text_of("section program: ", records.size(), " records"), "1");
  record_ = records.data();
  const auto tensors = records_in<TensorRecord>(sections[SectionKind::tensors]);
  check_record(*record_, tensors.size());
  inputs_ = tensors.first(record_->input_count);
  outputs_ = tensors.subspan(record_->input_count);
  instructions_ = records_in<InstructionRecord>(sections[SectionKind::instructions]);
  constants_ = sections[SectionKind::constants];
  metadata_ = text_in(sections[SectionKind::metadata]);
  if (!is_utf8(metadata_)) refuse("section metadata: bytes that are not UTF-8", "UTF-8");
  text(record_->name);
  text(record_->march);
}

void Program::check_tensors() const {
  for (const auto& [kind, tensors] : {std::pair{"input", inputs_}, std::pair{"output", outputs_}}) {
    std::set<std::string_view> names;
    for (std::size_t index = 0; index < tensors.size(); ++index) {
      try {
        const std::string_view name = text(tensors[index].name);
        if (!names.insert(name).second) refuse(text_of("a second ", name), "different names");
        check_tensor(tensors[index], constants_);
      } catch (const InvalidProgram& problem) {
        throw InvalidProgram(text_of("section tensors: ", kind, " ", index, ": ", problem.what()));
      }
    }
  }
}

// The scales of all tensors lie behind the other constants, in the order of the tensors, up to the
// end of the section.
void Program::check_scales() {
  const std::uint64_t begin = inputs_.front().scale_offset;
  if (begin % kAlignment != 0) {
    refuse(text_of("section tensors: scales at ", begin), text_of("a multiple of ", kAlignment));
  }
  std::uint64_t end = begin;
  for (const auto tensors : {inputs_, outputs_}) {
    for (const TensorRecord& tensor : tensors) {
      if (tensor.scale_offset != end) {
        refuse(text_of("section tensors: ", text(tensor.name), ": scales at ", tensor.scale_offset),
               text_of(end, ", behind those before"));
      }
      end += tensor.scale_count * sizeof(double);
    }
  }
  if (end != constants_.size()) {
    refuse(text_of("section constants: ", constants_.size(), " bytes"),
           text_of(end, ", the scales' end"));
  }
  operands_ = constants_.first(begin);
}

std::string Program::layer_name(const InstructionRecord& instruction) const {
  try {
    return std::string(text(instruction.layer));
  } catch (const InvalidProgram&) {
    return "unknown";
  }
}

void Program::check_instructions() const {
  const Memory memory{operands_.size(), record_->ddr_bytes, record_->sram_bytes, inputs_, outputs_};
  Waits waits;
  Proof proof(operands_);
  std::vector<bool> stored(outputs_.size());
  for (std::size_t index = 0; index < instructions_.size(); ++index) {
    const InstructionRecord& instruction = instructions_[index];
    try {
      text(instruction.layer);
      check_instruction(instruction, memory, operands_);
      waits.follow(instruction);
      proof.follow(instruction);
    } catch (const InvalidProgram& problem) {
      throw InvalidProgram(text_of("instruction ", index, " (", name_of(instruction.opcode),
                                   ", layer ", layer_name(instruction), "): ", problem.what()));
    }
    if (instruction.out.space == Space::output) stored[instruction.out.index] = true;
  }
  const auto missing = std::find(stored.begin(), stored.end(), false) - stored.begin();
  if (missing != static_cast<std::ptrdiff_t>(stored.size())) {
    refuse(text_of("section instructions: output ", text(outputs_[missing].name),
                   " is never stored to"),
           "a store for each output");
  }
}

std::string_view Program::text(std::uint32_t offset) const {
  if (offset >= strings_.size()) {
    refuse(text_of("a string at ", offset), text_of("less than ", strings_.size()));
  }
  if (offset > 0 && strings_[offset - 1] != '\0') {
    refuse(text_of("a string at ", offset, ", inside another"), "the first byte of one");
  }
  const std::string_view rest = strings_.substr(offset, kLongestString + 1);
  const std::size_t length = rest.find('\0');
  if (length == 0 || length == std::string_view::npos) {
    refuse(text_of("a string at ", offset, " that is empty or too long"),
           text_of("1..", kLongestString, " bytes"));
  }
  return rest.substr(0, length);
}

std::span<const double> Program::scales(const TensorRecord& tensor) const {
  const std::byte* begin = constants_.data() + tensor.scale_offset;
  return {reinterpret_cast<const double*>(begin), tensor.scale_count};
}

std::uint64_t Program::arena_bytes() const {
  return round_up(record_->ddr_bytes) + round_up(record_->sram_bytes);
}

std::uint64_t bytes_of(const TensorRecord& tensor) {
  std::uint64_t bytes = static_cast<std::uint64_t>(size_of(tensor.type));
  for (const std::uint32_t side : tensor.shape) bytes *= side;
  return bytes;
}

}  // namespace horizon
