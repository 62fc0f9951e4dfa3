// The compiled program as it lies in a .hbm file: little-endian records of fixed size.
//
// Made by `python -m horizon.isa.generate` from the tables of horizon/isa: change those.
// docs/hbm_format.md describes the fields. The structures have no padding of their own, so that a
// validated section can be read in place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace horizon {

inline constexpr char kMagic[8] = {'H', 'B', 'M', 'F', 'L', 'O', 'W', '\0'};
inline constexpr std::uint32_t kVersion = 3;                    // of the file
inline constexpr std::size_t kAlignment = 64;                   // of sections, constants and memory
inline constexpr std::uint64_t kLargestMemory = 1099511627776;  // bytes; of arena and arrays
inline constexpr std::size_t kLongestString = 4096;             // bytes, without the NUL
inline constexpr std::uint32_t kHighestOpt = 3;                 // level of optimisation
inline constexpr std::uint32_t kLargestSide = 65536;            // of views of windowed operators
inline constexpr std::int32_t kLargestStep = 256;               // kernel, stride, dilation, reach
inline constexpr std::int32_t kLargestPad = 1048576;            // in either direction
inline constexpr std::int32_t kLargestSpan = 67108864;          // step, offset, divisor of a resize
inline constexpr std::int32_t kMostFractionBits = 8;            // of a place between pixels
inline constexpr std::int32_t kLargestMultiplier = 16777216;    // of a channel
inline constexpr std::int32_t kLargestShift = 47;               // of a channel, at least 1
inline constexpr std::uint64_t kAccumulatorLimit = 268435456;   // no accumulator reaches it
inline constexpr std::uint32_t kRowsOutputs = 4;                // at most, of weights in rows
inline constexpr std::uint32_t kLookupEntries = 256;            // one for each value of int8

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

enum class Layout : std::uint8_t { nchw = 0, nhwc = 1 };

enum class Space : std::uint8_t {
  none = 0,      // a missing operand
  constant = 1,  // the section, without the scales
  input = 2,     // the caller's arrays
  output = 3,    // the caller's arrays
  ddr = 4,       // the arena's first part
  sram = 5,      // the arena's second part
};

enum class Unit : std::uint8_t {
  load = 0,
  store = 1,
  tensor = 2,
  vector = 3,
  aux = 4,
  transform = 5
};

enum class Opcode : std::uint8_t {
  load = 1,
  store = 2,
  copy = 3,
  conv = 4,
  correlation = 5,
  warp = 6,
  rescale = 7,
  add = 8,
  resize = 9,
  max_pool = 10,
  lookup = 11,
  mul = 12,
  avg_pool = 13,
  matmul = 14,
  transpose = 15
};

enum class WeightLayout : std::int32_t {
  blocked = 0,    // [ceil(O / 16)][kh][kw][ceil(I / 4)][16 outputs][4 inputs], rest 0
  rows = 1,       // [O][kh][kw][I rounded up to 64], rest 0
  depthwise = 2,  // [ceil(O / 64)][kh][kw][64 outputs], rest 0; one input each
};

inline constexpr int kUnits = 6;
inline constexpr std::size_t kSections = 6;
inline constexpr std::size_t kOpcodes = 15;

// clang-format off
// By opcode - 1.
inline constexpr Unit kUnitOf[] = {
    Unit::load,
    Unit::store,
    Unit::transform,
    Unit::tensor,
    Unit::tensor,
    Unit::aux,
    Unit::vector,
    Unit::vector,
    Unit::vector,
    Unit::vector,
    Unit::vector,
    Unit::vector,
    Unit::vector,
    Unit::tensor,
    Unit::transform,
};
inline constexpr const char* kOpcodeNames[] = {
    "load",
    "store",
    "copy",
    "conv",
    "correlation",
    "warp",
    "rescale",
    "add",
    "resize",
    "max_pool",
    "lookup",
    "mul",
    "avg_pool",
    "matmul",
    "transpose",
};

// By number.
inline constexpr const char* kTypeNames[] = {"int8", "int16", "int32", "uint8"};
inline constexpr const char* kSpaceNames[] = {"none", "constant", "input", "output", "ddr", "sram"};
inline constexpr const char* kUnitNames[] = {
    "load",
    "store",
    "tensor",
    "vector",
    "aux",
    "transform",
};

// By section kind - 1.
inline constexpr const char* kSectionNames[] = {
    "program",
    "strings",
    "tensors",
    "instructions",
    "constants",
    "metadata",
};
// clang-format on

inline constexpr std::int64_t size_of(Type type) {
  constexpr std::int64_t sizes[] = {1, 2, 4, 1};
  return sizes[static_cast<std::size_t>(type)];
}

struct Header {
  char magic[8];                // HBMFLOW\0
  std::uint32_t version;        // 3
  std::uint32_t section_count;  // 6
  std::uint64_t file_bytes;     // size of the file
  std::uint32_t sections_crc;   // of the section table
  std::uint32_t header_crc;     // of the header with this field 0
  std::uint8_t zero[32];
};

struct Section {
  SectionKind kind;      // the section
  std::uint32_t crc;     // of the section's bytes
  std::uint64_t offset;  // in the file
  std::uint64_t bytes;   // size of the section
  std::uint64_t count;   // records; bytes where a section has none
};

struct ProgramRecord {
  std::uint32_t name;           // string
  std::uint32_t march;          // string: the machine it was compiled for
  std::uint32_t input_count;    // at least 1
  std::uint32_t output_count;   // at least 1
  std::uint64_t sram_bytes;     // of the arena
  std::uint64_t ddr_bytes;      // sum with sram_bytes: at most 2^40
  std::uint32_t opt;            // 0..3
  std::uint32_t size_multiple;  // of the images' height and width, at least 1
  std::uint8_t zero[24];
};

struct TensorRecord {
  std::uint32_t name;  // string, unique among the inputs, and among the outputs
  Type type;           // of the elements
  Layout layout;       // without gaps
  std::uint16_t zero0;
  std::uint32_t shape[4];      // in the order of the layout; at most 2^40 bytes
  std::uint32_t scale_count;   // 1 or the number of channels
  std::int32_t zero_point;     // 128 for uint8, otherwise 0
  std::uint64_t scale_offset;  // in constants
  std::uint64_t zero1;
};

// A box of a memory, NHWC: (n, y, x, c) is at offset + n s0 + y s1 + x s2 + c s3 bytes.
struct View {
  std::uint64_t offset;     // bytes from the start of the space, or of the input or output
  std::uint32_t shape[4];   // N, H, W, C; 1..2^31-1
  std::uint32_t stride[4];  // bytes
  Space space;              // the memory
  Type type;                // of the elements
  std::uint16_t index;      // which input or output; otherwise 0
  std::uint32_t zero;
};

// One output channel's arithmetic.
struct Channel {
  // conv: magnitude below 2^28; otherwise 0
  std::int32_t bias;
  // 0..2^24
  std::int32_t multiplier;
  // 0..2^24 for add and for conv with a residual; otherwise 0
  std::int32_t residual_multiplier;
  // 1..47
  std::int32_t shift;
  // -2^24..2^24 with two_slopes; otherwise 0
  std::int32_t negative_multiplier = 0;
  // the same with a second summand; otherwise 0
  std::int32_t negative_residual_multiplier = 0;
  // avg_pool with several entries: the elements of its windows; otherwise 0
  std::int32_t count = 0;
  std::int32_t zero = 0;
};

// One instruction. What an opcode does not use is 0, or 1 in kernel, stride, dilation.
struct InstructionRecord {
  Opcode opcode;
  Unit unit;
  std::uint16_t zero0;
  std::uint32_t layer;         // string
  std::uint32_t wait[kUnits];  // that each unit must have completed
  View out;
  View a;
  View b;
  View weight;
  std::int32_t kernel[2];    // (y, x)
  std::int32_t stride[2];    // (y, x)
  std::int32_t dilation[2];  // (y, x)
  std::int32_t pad[2];       // (top, left), may be negative
  std::int32_t lo;           // lower limit of the output
  std::int32_t hi;           // upper limit of the output
  std::int32_t transposed;   // 0 or 1: a transposed convolution; matmul: b is transposed
  WeightLayout weight_layout;
  std::int32_t reach;          // largest displacement
  std::int32_t fraction_bits;  // fraction bits of a sampling position
  std::int32_t origin[2];      // (y, x) of the output's first pixel in the map
  std::int32_t two_slopes;     // 0 or 1: whether negative sums have their own multipliers
  std::int32_t step[2];        // (y, x): position = (step * pixel + offset) / divisor
  std::int32_t offset[2];      // (y, x): see step
  std::int32_t divisor[2];     // (y, x): see step
  std::int32_t last[2];        // (y, x) of the whole input's last pixel
  std::int32_t margin[2];      // (y, x): rows and columns around a that count as elements
  std::int32_t zero1;
  // offset of Channel entries (lookup: of out's type) in constants, a multiple of 32
  std::uint64_t table;
  // entries: 1 or one per channel; avg_pool: one per element count; lookup: 256
  std::uint32_t table_count;
  std::uint32_t zero2;
};

static_assert(sizeof(Header) == 64);
static_assert(sizeof(Section) == 32);
static_assert(sizeof(ProgramRecord) == 64);
static_assert(sizeof(TensorRecord) == 48);
static_assert(sizeof(View) == 48);
static_assert(sizeof(Channel) == 32);
static_assert(sizeof(InstructionRecord) == 352);

}  // namespace horizon
