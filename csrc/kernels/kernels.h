// The operators on memory, one table of functions for each instruction set.
//
// Every function computes its part of an instruction's output; parts 0..count-1 together make the
// whole, in any order and at the same time. The result does not depend on the number of parts or on
// the instruction set. Arguments have been validated: shapes agree, views are inside their memory.
#pragma once

#include <cstddef>
#include <cstdint>

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

// conv:       acc[n,y,x,o] = sum w[o,ky,kx,i] in[n, y*sy - py + ky*dy, x*sx - px + kx*dx, i]
// transposed: acc[n, y*sy - py + ky, x*sx - px + kx, o] += w[o,ky,kx,i] in[n,y,x,i]
// Outside of `in` is 0. in: int8 or int16, innermost stride its size; residual: int8 or int16.
struct ConvArgs {
  Tensor out, in, residual;  // residual.data is null where there is none
  const std::int8_t* weight;
  WeightLayout weight_layout;
  const Channel* table;  // one per output channel
  std::int32_t kernel[2], stride[2], dilation[2], pad[2];
  bool transposed;
  std::int32_t lo, hi;
};

// acc[n,y,x,(ky*(2r+1)+kx)] = sum_c a[n,y,x,c] b[n, y+ky-py, x+kx-px, c], outside of b 0.
struct CorrelationArgs {
  Tensor out, a, b;
  Channel table;
  std::int32_t reach, pad[2];
  std::int32_t lo, hi;
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
};

// y = clamp((a * multiplier + b * residual_multiplier + 2^(shift-1)) >> shift).
struct AddArgs {
  Tensor out, a, b;
  Channel table;
  std::int32_t lo, hi;
};

// Any strides. From uint8 to int8 128 is subtracted; otherwise the types are the same.
struct CopyArgs {
  Tensor out, in;
};

struct Kernels {
  const char* name;
  std::size_t (*conv_scratch)(const ConvArgs&);
  void (*conv)(const ConvArgs&, Part);
  std::size_t (*correlation_scratch)(const CorrelationArgs&);
  void (*correlation)(const CorrelationArgs&, Part);
  void (*warp)(const WarpArgs&, Part);
  void (*rescale)(const RescaleArgs&, Part);
  void (*add)(const AddArgs&, Part);
  void (*copy)(const CopyArgs&, Part);
};

// Null where this build or this CPU has no such instructions.
const Kernels* scalar_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();  // AVX-512 F, BW, DQ, VL and VNNI
const Kernels* neon_kernels();    // AArch64 with the dot product extension

// The best of them, or the one that the environment variable HORIZON_KERNELS names (scalar, avx2,
// avx512, neon). Null if it names one that is unknown or not to be had; `error` then says why.
const Kernels* choose_kernels(const char** error);

}  // namespace horizon
