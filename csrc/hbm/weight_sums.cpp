#include "hbm/weight_sums.h"

#include <algorithm>
#include <numeric>

#include "hbm/invalid_program.h"

namespace horizon {
namespace {

constexpr std::uint64_t kBlock = 64;
// 512 * 127 fits the 16-bit sums of the inner loop.
constexpr std::uint64_t kRun = 512;

// Adds the magnitudes of `count` blocks of 64 weights: one sum for each of the 64 places.
void add_blocks(const std::int8_t* weights, std::uint64_t count, std::uint64_t (&sums)[kBlock]) {
  std::uint8_t lowest = 0;
  for (std::uint64_t begin = 0; begin < count; begin += kRun) {
    std::uint16_t run[kBlock] = {};
    const std::uint64_t end = std::min(count, begin + kRun);
    for (std::uint64_t block = begin; block < end; ++block) {
      const std::int8_t* at = weights + block * kBlock;
      for (std::uint64_t i = 0; i < kBlock; ++i) {
        const std::int16_t w = at[i];
        run[i] = static_cast<std::uint16_t>(run[i] + (w < 0 ? -w : w));
        lowest |= static_cast<std::uint8_t>(at[i] == -128);
      }
    }
    for (std::uint64_t i = 0; i < kBlock; ++i) sums[i] += run[i];
  }
  if (lowest != 0) refuse("weight: a value of -128", "-127..127");
}

void require_zero(const std::int8_t* begin, const std::int8_t* end) {
  if (!std::all_of(begin, end, [](std::int8_t w) { return w == 0; })) {
    refuse("weight: a value in the filling that is not 0", "0");
  }
}

// [outputs / 16][taps][inputs / 4][16][4]
std::vector<std::uint64_t> sums_of_blocked(const std::int8_t* weights, const WeightShape& shape) {
  constexpr std::uint64_t kOutputs = 16, kInputs = 4;
  const std::uint64_t groups = (shape.inputs + kInputs - 1) / kInputs;
  const std::uint64_t blocks = shape.taps * groups;
  const std::uint64_t last_inputs = shape.inputs - (groups - 1) * kInputs;
  std::vector<std::uint64_t> result;
  for (std::uint64_t first = 0; first < shape.outputs; first += kOutputs) {
    std::uint64_t sums[kBlock] = {};
    add_blocks(weights, blocks, sums);
    for (std::uint64_t o = 0; o < kOutputs; ++o) {
      const std::uint64_t* of_output = sums + o * kInputs;
      const std::uint64_t sum = std::accumulate(of_output, of_output + kInputs, std::uint64_t{0});
      if (first + o < shape.outputs) {
        result.push_back(sum);
      } else if (sum != 0) {
        refuse("weight: a value in the filling that is not 0", "0");
      }
    }
    for (std::uint64_t tap = 0; tap < shape.taps && last_inputs < kInputs; ++tap) {
      const std::int8_t* block = weights + ((tap + 1) * groups - 1) * kBlock;
      for (std::uint64_t o = 0; o < kOutputs; ++o) {
        require_zero(block + o * kInputs + last_inputs, block + (o + 1) * kInputs);
      }
    }
    weights += blocks * kBlock;
  }
  return result;
}

// [outputs][taps][inputs rounded up to 64]
std::vector<std::uint64_t> sums_of_rows(const std::int8_t* weights, const WeightShape& shape) {
  const std::uint64_t blocks = (shape.inputs + kBlock - 1) / kBlock;
  std::vector<std::uint64_t> result;
  for (std::uint64_t o = 0; o < shape.outputs; ++o) {
    std::uint64_t sums[kBlock] = {};
    add_blocks(weights, shape.taps * blocks, sums);
    result.push_back(std::accumulate(std::begin(sums), std::end(sums), std::uint64_t{0}));
    for (std::uint64_t tap = 0; tap < shape.taps; ++tap) {
      require_zero(weights + shape.inputs, weights + blocks * kBlock);
      weights += blocks * kBlock;
    }
  }
  return result;
}

// [outputs / 64][taps][64]
std::vector<std::uint64_t> sums_of_depthwise(const std::int8_t* weights, const WeightShape& shape) {
  std::vector<std::uint64_t> result;
  for (std::uint64_t first = 0; first < shape.outputs; first += kBlock) {
    std::uint64_t sums[kBlock] = {};
    add_blocks(weights, shape.taps, sums);
    const std::uint64_t count = std::min(kBlock, shape.outputs - first);
    for (std::uint64_t tap = 0; tap < shape.taps; ++tap) {
      require_zero(weights + count, weights + kBlock);
      weights += kBlock;
    }
    result.insert(result.end(), sums, sums + count);
  }
  return result;
}

}  // namespace

std::uint64_t packed_bytes(const WeightShape& shape) {
  if (shape.layout == WeightLayout::rows) {
    return shape.outputs * shape.taps * ((shape.inputs + kBlock - 1) / kBlock * kBlock);
  }
  if (shape.layout == WeightLayout::depthwise) {
    return (shape.outputs + kBlock - 1) / kBlock * shape.taps * kBlock;
  }
  return (shape.outputs + 15) / 16 * shape.taps * ((shape.inputs + 3) / 4) * kBlock;
}

std::vector<std::uint64_t> weight_sums(std::span<const std::int8_t> weights,
                                       const WeightShape& shape) {
  if (shape.layout == WeightLayout::rows) return sums_of_rows(weights.data(), shape);
  return shape.layout == WeightLayout::depthwise ? sums_of_depthwise(weights.data(), shape)
                                                 : sums_of_blocked(weights.data(), shape);
}

WeightShape weight_shape(const InstructionRecord& i) {
  const auto taps =
      static_cast<std::uint64_t>(i.kernel[0]) * static_cast<std::uint64_t>(i.kernel[1]);
  const std::uint64_t inputs = i.weight_layout == WeightLayout::depthwise ? 1 : i.a.shape[3];
  return {i.weight_layout, i.out.shape[3], taps, inputs};
}

}  // namespace horizon
