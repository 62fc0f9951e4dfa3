// The compiled program as it lies in a .hbm file: little-endian records of fixed size.
//
// docs/hbm_format.md describes them field by field, horizon/hbm/format.py is their Python twin.
// The structures have no padding of their own, so that a validated section can be read in place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace horizon {

inline constexpr char kMagic[8] = {'H', 'B', 'M', 'F', 'L', 'O', 'W', '\0'};
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kAlignment = 64;  // of sections, constants and memory

inline constexpr std::uint64_t round_up(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

enum class SectionKind : std::uint32_t {
  program = 1,       // one ProgramRecord
  strings = 2,       // UTF-8, each ends in NUL; records name a string by its byte offset
  tensors = 3,       // TensorRecord: the inputs, then the outputs
  instructions = 4,  // InstructionRecord
  constants = 5,     // weights, channel tables, scales
  metadata = 6,      // JSON for people and reports; the executor does not read it
};

enum class Type : std::uint8_t { int8 = 0, int16 = 1, int32 = 2, uint8 = 3 };

inline constexpr std::int64_t size_of(Type type) {
  return type == Type::int16 ? 2 : type == Type::int32 ? 4 : 1;
}

enum class Layout : std::uint8_t { nchw = 0, nhwc = 1 };

// constant: the constants section, read only. input, output: the caller's buffers. ddr, sram: the
// arena.
enum class Space : std::uint8_t {
  none = 0,
  constant = 1,
  input = 2,
  output = 3,
  ddr = 4,
  sram = 5
};

// Each unit of a machine carries out its instructions in their order.
enum class Unit : std::uint8_t {
  load = 0,
  store = 1,
  tensor = 2,
  vector = 3,
  aux = 4,
  transform = 5
};
inline constexpr int kUnits = 6;

enum class Opcode : std::uint8_t {
  load = 1,         // out (ddr or sram) = a (input, constant or ddr); unit load
  store = 2,        // out (output or ddr) = a (sram or ddr); unit store
  copy = 3,         // out = a, both in sram; unit transform
  conv = 4,         // unit tensor
  correlation = 5,  // unit tensor
  warp = 6,         // unit aux
  rescale = 7,      // unit vector
  add = 8,          // unit vector
};

enum class WeightLayout : std::int32_t {
  blocked = 0,  // [ceil(O / 16)][kh][kw][ceil(I / 4)][16 outputs][4 inputs], rest 0
  rows = 1,     // [O][kh][kw][I rounded up to 64], rest 0
};

struct Header {
  char magic[8];
  std::uint32_t version;
  std::uint32_t section_count;
  std::uint64_t file_bytes;
  std::uint32_t sections_crc;  // CRC-32 (zlib's) of the section table
  std::uint32_t header_crc;    // of this header with this field 0
  std::uint8_t zero[32];
};

struct Section {
  SectionKind kind;
  std::uint32_t crc;  // of the section's bytes
  std::uint64_t offset;
  std::uint64_t bytes;
  std::uint64_t count;  // records; bytes where a section has none
};

struct ProgramRecord {
  std::uint32_t name;   // offset in strings
  std::uint32_t march;  // offset in strings
  std::uint32_t input_count;
  std::uint32_t output_count;
  std::uint64_t sram_bytes;
  std::uint64_t ddr_bytes;
  std::uint32_t opt;            // 0..3
  std::uint32_t size_multiple;  // of the images' height and width
  std::uint8_t zero[24];
};

struct TensorRecord {
  std::uint32_t name;
  Type type;
  Layout layout;
  std::uint16_t zero0;
  std::uint32_t shape[4];      // in the order of the layout
  std::uint32_t scale_count;   // 1 or the number of channels
  std::int32_t zero_point;     // real value = (integer - zero_point) * scale
  std::uint64_t scale_offset;  // float64 values in constants
  std::uint64_t zero1;
};

// A box of a memory, NHWC. Element (n, y, x, c) is at offset + n s0 + y s1 + x s2 + c s3 bytes.
struct View {
  std::uint64_t offset;
  std::uint32_t shape[4];
  std::uint32_t stride[4];
  Space space;
  Type type;
  std::uint16_t index;  // of the input or output, 0 in other spaces
  std::uint32_t zero;
};

// One output channel's arithmetic; y = clamp(((acc + bias) * multiplier
//   + residual * residual_multiplier + 2^(shift-1)) >> shift, lo, hi).
struct Channel {
  std::int32_t bias;
  std::int32_t multiplier;
  std::int32_t residual_multiplier;
  std::int32_t shift;
};

struct InstructionRecord {
  Opcode opcode;
  Unit unit;
  std::uint16_t zero0;
  std::uint32_t layer;         // offset in strings
  std::uint32_t wait[kUnits];  // instructions that each unit must have completed before
  View out, a, b, weight;      // space none where an operand is missing
  std::int32_t kernel[2];      // conv: (kh, kw)
  std::int32_t stride[2];      // conv
  std::int32_t dilation[2];    // conv
  std::int32_t pad[2];         // conv, correlation: (top, left), may be negative
  std::int32_t lo, hi;         // conv, correlation, rescale, add
  std::int32_t transposed;     // conv: 0 or 1
  WeightLayout weight_layout;  // conv
  std::int32_t reach;          // correlation: max displacement
  std::int32_t fraction_bits;  // warp
  std::int32_t origin[2];      // warp: (y, x) of the output's first pixel in the map
  std::int32_t zero1[4];
  std::uint64_t table;        // offset of Channel entries in constants
  std::uint32_t table_count;  // 0 (no table), 1 (the same for all channels) or the channels
  std::uint32_t zero2;
};

static_assert(sizeof(Header) == 64 && sizeof(Section) == 32);
static_assert(sizeof(ProgramRecord) == 64 && sizeof(TensorRecord) == 48);
static_assert(sizeof(View) == 48 && sizeof(Channel) == 16 && sizeof(InstructionRecord) == 320);

}  // namespace horizon
