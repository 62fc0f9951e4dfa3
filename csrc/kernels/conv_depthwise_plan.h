// How a depthwise convolution of int8 is cut, where four rows of the input are interleaved byte by
// byte. Four products are then added at once, and each column of the kernel takes one step.
//
// If the number of kernel rows is not a multiple of four, neighbouring output rows share the
// interleaved rows, with weights that are shifted by a row.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/conv_plan.h"
#include "kernels/elements.h"
#include "kernels/parts.h"

namespace horizon {
namespace {

constexpr std::int64_t kWeightBlock = 64;        // channels of weights that lie together
constexpr int kMostRows = 8, kMostColumns = 16;  // of a kernel
// Maps up to this many bytes are assumed to fit the caches; one part prepares a block of channels
// alone. Larger maps are read row by row with all channels of a row, which is fastest for memory.
constexpr std::int64_t kInCaches = 1 << 19;
constexpr std::int64_t kMostSlots = 64;  // interleaved columns that are kept at once

// The same for all channels of a layer.
struct Plan {
  int rows;   // of the output that share interleaved rows
  int quads;  // groups of four interleaved rows
  std::int64_t taps;

  explicit Plan(const ConvArgs& a)
      : rows(a.stride[0] == 1 && a.dilation[0] == 1 ? (4 - a.kernel[0] % 4) % 4 + 1 : 1),
        quads((a.kernel[0] + rows - 1 + 3) / 4),
        taps(std::int64_t{quads} * a.kernel[1]) {}
};

inline std::int64_t bytes_of(const Tensor& t) {
  return pixels_of(t) * t.shape[3] * element_bytes(t.type);
}

// Does the work of a part: prepare(block) before the first rows(block, first, last) of a block of
// channels, for groups of plan.rows output rows of all images.
template <class Prepare, class Rows>
void by_blocks(const ConvArgs& a, const Plan& plan, std::int64_t blocks, const Part& part,
               Prepare prepare, Rows rows) {
  const std::int64_t groups = (a.out.shape[1] + plan.rows - 1) / plan.rows;
  const std::int64_t of_block = groups * a.out.shape[0];
  if (bytes_of(a.in) + bytes_of(a.out) > kInCaches && of_block >= part.count) {
    const Range mine = share(of_block, part);
    for (std::int64_t block = 0; block < blocks; ++block) prepare(block);
    for (std::int64_t unit = mine.begin; unit < mine.end; ++unit) {
      for (std::int64_t block = 0; block < blocks; ++block) rows(block, unit, unit + 1);
    }
    return;
  }
  const Range mine = share(blocks * of_block, part);
  for (std::int64_t block = mine.begin / of_block; block * of_block < mine.end; ++block) {
    const std::int64_t start = block * of_block;
    prepare(block);
    rows(block, mine.begin > start ? mine.begin - start : 0,
         mine.end - start < of_block ? mine.end - start : of_block);
  }
}

}  // namespace
}  // namespace horizon
