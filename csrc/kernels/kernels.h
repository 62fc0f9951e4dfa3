// The operators on memory, one table of functions for each instruction set.
//
// Every function computes one part of an instruction's output. Parts 0..count-1 together make the
// whole; they may run in any order or at the same time. The result depends neither on the number of
// parts nor on the instruction set. Arguments have been validated: shapes agree, and views lie
// inside their memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hbm/format.h"

namespace horizon {

// An NHWC box in memory; strides are in bytes.
struct Tensor {
  std::byte* data;
  Type type;
  std::int32_t shape[4];
  std::int64_t stride[4];
};

struct Part {
  int index;
  int count;
  std::byte* scratch;  // of this part alone, 64-byte aligned, of the size that *_scratch returned
};

// If `two_slopes` is set, a sum below 0 is computed again with the channel's negative multipliers
// before it is rounded (fixed_point.md, "Two slopes"). Otherwise these multipliers are not read.

// conv:       acc[n,y,x,o] = sum w[o,ky,kx,i] in[n, y*sy - py + ky*dy, x*sx - px + kx*dx, i]
// transposed: acc[n, y*sy - py + ky, x*sx - px + kx, o] += w[o,ky,kx,i] in[n,y,x,i]
// With depthwise weights w[o,ky,kx], output o reads input o only, and the convolution is not
// transposed. Elements outside `in` are 0. in: int8 or int16, innermost stride its size; residual:
// int8 or int16.
struct ConvArgs {
  Tensor out, in, residual;  // residual.data is null where there is none
  const std::int8_t* weight;
  WeightLayout weight_layout;
  const Channel* table;  // one per output channel
  std::int32_t kernel[2], stride[2], dilation[2], pad[2];
  bool transposed;
  std::int32_t lo, hi;
  bool two_slopes;
  bool any_weight;  // -128 too, as in a matrix product; those of a file are -127 .. 127
};

// acc[n,y,x,(ky*(2r+1)+kx)] = sum_c a[n,y,x,c] b[n, y+ky-py, x+kx-px, c], outside of b 0.
struct CorrelationArgs {
  Tensor out, a, b;
  Channel table;
  std::int32_t reach, pad[2];
  std::int32_t lo, hi;
  bool two_slopes;
};

// Offsets o = clamp16((offset * multiplier + 2^(shift-1)) >> shift) in steps of 2^-F pixels;
// samples of `feature` (the whole map) at (origin + (y, x)) + o, see fixed point, "warp".
struct WarpArgs {
  Tensor out, feature, offset;
  Channel table;
  std::int32_t fraction_bits;
  std::int32_t origin[2];
};

// y = clamp((x * multiplier + 2^(shift-1)) >> shift); bias is not read.
struct RescaleArgs {
  Tensor out, in;
  const Channel* table;
  std::int32_t table_count;  // 1 or the channels
  std::int32_t lo, hi;
  bool two_slopes;
};

// y = clamp((a * multiplier + b * residual_multiplier + 2^(shift-1)) >> shift).
struct AddArgs {
  Tensor out, a, b;
  Channel table;
  std::int32_t lo, hi;
  bool two_slopes;
};

// y = clamp((a * b * multiplier + 2^(shift-1)) >> shift). a and b: int8 or int16; each side of b is
// that of a, or 1: then all elements along that side of a are multiplied by the same element.
struct MulArgs {
  Tensor out, a, b;
  Channel table;
  std::int32_t lo, hi;
};

// The pixels of b, counted through its rows and columns as j, and its channels in groups:
// transposed: acc[n, y, x, g*J + j] = sum_c a[n, y, x, g*I + c] b[n, j, g*I + c],  I channels a
// group otherwise:  acc[n, y, x, g*O + o] = sum_j a[n, y, x, g*J + j] b[n, j, g*O + o],  O channels
// a group a, b: int8 or int16; innermost strides are the types' sizes. Sums stay below 2^28.
struct MatMulArgs {
  Tensor out, a, b;
  Channel table;
  bool transposed;
  std::int32_t lo, hi;
};

// Any strides. From uint8 to int8 128 is subtracted; otherwise the types are the same.
struct CopyArgs {
  Tensor out, in;
};

// y[n,y,x,c] = max in[n, y*sy - py + ky, x*sx - px + kx, c] over the taps inside `in`; every window
// has at least one. Both types are the same, and the innermost strides are their size.
struct PoolArgs {
  Tensor out, in;
  std::int32_t kernel[2], stride[2], pad[2];
};

// out = table[a + 128]; `in` is int8, `table` has 256 entries of the output's type, int8 or int16.
struct LookupArgs {
  Tensor out, in;
  const std::byte* table;
};

// y = clamp((sum * multiplier + 2^(shift-1)) >> shift), sum over in[n, y*sy - py + ky, x*sx - px +
// kx, c] of the taps inside `in`; every window has at least one. The table has one entry, or the
// entry is that whose count is the number of the window's taps that lie inside `in` or at most
// `margin` beyond it. in: int8 or int16; innermost strides are the types' sizes. Sums stay below
// 2^28.
struct AvgPoolArgs {
  Tensor out, in;
  const Channel* table;  // by count, the smallest first
  std::int32_t table_count;
  std::int32_t kernel[2], stride[2], pad[2], margin[2];
  std::int32_t lo, hi;
};

// Output row i of the whole map (origin + y) samples the whole input at X = clamp(floor((step i +
// offset) / divisor), 0, last 2^F), in steps of 2^-F rows. It reads row floor(X 2^-F) and the next
// row, at most `last`, weighted by the position of X between them. The same holds for columns. Row
// r of the whole input is row r + pad of `in`, which holds all rows that are read. F is the number
// of fraction bits: 0 (nearest) or 8.
struct ResizeArgs {
  Tensor out, in;  // int8 or int16, the same
  std::int32_t step[2], offset[2], divisor[2], last[2];
  std::int32_t fraction_bits;
  std::int32_t origin[2], pad[2];
};

// Groups of C = out rows * columns channels of `in`, with P pixels, are transposed as matrices:
// out[n, c / W, c % W, g*P + p] = in[n, p, g*C + c], W the columns of out. Both types are the same,
// and the innermost strides are their size.
struct TransposeArgs {
  Tensor out, in;
};

// The operators: OPERATOR(function, arguments), or WITH_SCRATCH if a part needs scratch; then the
// function NAME_scratch gives its bytes. The functions of each instruction set, their tables, the
// steps of a session and the calls are generated from this list.
#define HORIZON_OPERATORS(OPERATOR, WITH_SCRATCH) \
  OPERATOR(copy, CopyArgs)                        \
  WITH_SCRATCH(conv, ConvArgs)                    \
  WITH_SCRATCH(correlation, CorrelationArgs)      \
  OPERATOR(warp, WarpArgs)                        \
  OPERATOR(rescale, RescaleArgs)                  \
  OPERATOR(add, AddArgs)                          \
  OPERATOR(mul, MulArgs)                          \
  WITH_SCRATCH(max_pool, PoolArgs)                \
  WITH_SCRATCH(avg_pool, AvgPoolArgs)             \
  WITH_SCRATCH(resize, ResizeArgs)                \
  OPERATOR(lookup, LookupArgs)                    \
  WITH_SCRATCH(matmul, MatMulArgs)                \
  OPERATOR(transpose, TransposeArgs)

struct Kernels {
  const char* name;
  bool for_comparison;  // for comparison with others; used only if named
#define HORIZON_MEMBER(function, Args) void (*function)(const Args&, Part);
#define HORIZON_MEMBERS(function, Args) \
  HORIZON_MEMBER(function, Args)        \
  std::size_t (*function##_scratch)(const Args&);
  HORIZON_OPERATORS(HORIZON_MEMBER, HORIZON_MEMBERS)
#undef HORIZON_MEMBERS
#undef HORIZON_MEMBER
};

// The sets that this build and this CPU have: the best first, then those for comparison. The last
// is scalar, the reference for the others.
std::span<const Kernels* const> available_kernels();
inline const Kernels* scalar_kernels() { return available_kernels().back(); }

// The best set, or the one that the environment variable HORIZON_KERNELS names. Null if that set is
// unknown or not available here; `error` then says why.
const Kernels* choose_kernels(const char** error);

}  // namespace horizon
