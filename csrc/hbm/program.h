// A compiled program, read from a .hbm file and validated.
//
// Nothing in the file is trusted. For a Program, code can rely on the following without checks:
//   - every view lies inside its memory, its shape is positive, offset and strides are multiples of
//     its element's size, and the elements of an output are distinct;
//   - shapes, types and spaces of an instruction's operands agree with its opcode; an output does
//     not overlap the operands that it is computed from;
//   - in operators (all but load, store and copy) the innermost stride is the element's size and
//     coordinates such as y * stride + ky * dilation - pad fit an int32;
//   - no weight is -128, and unused room in a weight layout is 0; no accumulator of a convolution
//   or a correlation
//     reaches 2^28 (fixed point, "Numbers");
//   - if instructions are executed in the order of the list, none waits for a later one;
//   - scales are behind all other constants, and no instruction reads them;
//   - every output is stored to. Only the compiler's verifier proves that every byte is stored.
// The CRC-32 of the bytes is checked too. A CRC finds accidents, not forgery, so the checks above
// are needed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "hbm/format.h"
#include "hbm/invalid_program.h"

namespace horizon {

class Storage;

class Program {
 public:
  // Maps the file read-only; constants are used where they lie in it. The file must not be
  // overwritten in place as long as the Program lives (replacing it by renaming is fine).
  // Throws InvalidProgram, also if the file cannot be read.
  static Program open(const std::string& path);

  // Copies the bytes. Throws InvalidProgram.
  static Program from_bytes(std::span<const std::byte> bytes);

  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;
  ~Program();

  const ProgramRecord& record() const { return *record_; }

  // The string at `offset` of the strings section. Throws InvalidProgram if there is none; the
  // offsets in the program's own records are valid.
  std::string_view text(std::uint32_t offset) const;

  std::span<const TensorRecord> inputs() const { return inputs_; }
  std::span<const TensorRecord> outputs() const { return outputs_; }
  std::span<const InstructionRecord> instructions() const { return instructions_; }
  // Includes the scales, which no instruction reads.
  std::span<const std::byte> constants() const { return constants_; }
  std::string_view metadata() const { return metadata_; }

  // Whether the metadata contain "weights":"random", in the compact form that the writer uses.
  bool has_random_weights() const {
    return metadata_.find("\"weights\":\"random\"") != std::string_view::npos;
  }

  // One scale, or one for each channel.
  std::span<const double> scales(const TensorRecord& tensor) const;

  // ddr_bytes and sram_bytes, each rounded up to 64.
  std::uint64_t arena_bytes() const;

 private:
  Program();
  static Program load(std::unique_ptr<Storage> storage);
  void read();
  void check_tensors() const;
  void check_scales();
  std::string layer_name(const InstructionRecord& instruction) const;
  void check_instructions() const;

  std::unique_ptr<Storage> storage_;
  const ProgramRecord* record_ = nullptr;
  std::string_view strings_;
  std::span<const TensorRecord> inputs_, outputs_;
  std::span<const InstructionRecord> instructions_;
  std::span<const std::byte> constants_;
  std::span<const std::byte> operands_;  // the constants without the scales
  std::string_view metadata_;
};

// The bytes of a tensor's buffer.
std::uint64_t bytes_of(const TensorRecord& tensor);

}  // namespace horizon
