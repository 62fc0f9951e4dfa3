// The rules of the instructions that compute, one by one, and the proofs.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/refusals.h"

namespace horizon::test {
namespace {

std::int8_t* weights_of(Parts& parts, Place place) {
  // The weights in sram come from the first load.
  const InstructionRecord& i = parts.instructions[place];
  const View& view = i.weight.space == Space::sram ? parts.instructions[kLoadWeight].a : i.weight;
  return reinterpret_cast<std::int8_t*>(parts.constants.data() + view.offset);
}

void test_tables() {
  refused(kConv, "a table of 1 channels; expected 5", [](auto& i) { i.table_count = 1; });
  refused(kAdd, "a table of 2 channels; expected 1", [](auto& i) { i.table_count = 2; });
  refused(kRescale, "a table of 3 channels; expected 1 or 2", [](auto& i) { i.table_count = 3; });
  refused(kConv, "a multiple of 32", [](auto& i) { i.table += 8; });
  refused(kConv, "bytes of constants", [](auto& i) { i.table = ~std::uint64_t{31}; });
  refused_channel(kConv, "multiplier -1", [](auto& c) { c.multiplier = -1; });
  refused_channel(kConv, "multiplier 16777217", [](auto& c) { c.multiplier = (1 << 24) + 1; });
  refused_channel(kConv, "residual multiplier 1", [](auto& c) { c.residual_multiplier = 1; });
  refused_channel(kAdd, "residual multiplier -1", [](auto& c) { c.residual_multiplier = -1; });
  refused_channel(kWarp, "shift 0", [](auto& c) { c.shift = 0; });
  refused_channel(kWarp, "shift 48", [](auto& c) { c.shift = 48; });
  refused_channel(kRescale, "bias 1", [](auto& c) { c.bias = 1; });
  refused(kConv, "limits -129..127", [](auto& i) { i.lo = -129; });
  refused(kConv, "limits -128..128", [](auto& i) { i.hi = 128; });
  refused(kConv, "limits 5..4", [](auto& i) { i.lo = 5, i.hi = 4; });
  accepted("one entry for all channels", [](auto& p) { p.instructions[kRescale].table_count = 1; });
  accepted("the largest multiplier and shift", [](auto& p) {
    const Channel channel{0, 1 << 24, 0, 47};
    std::memcpy(p.constants.data() + p.instructions[kWarp].table, &channel, sizeof(channel));
  });
}

void test_slopes() {
  for (const Place place : {kConv, kTransposed, kCorrelation, kRescale}) {
    refused_channel(place, "channel 0: negative multiplier -1; expected 0",
                    [](auto& c) { c.negative_multiplier = -1; });
    refused(place, "two slopes 2; expected 0 or 1", [](auto& i) { i.two_slopes = 2; });
    accepted("two slopes", [&](auto& p) { p.instructions[place].two_slopes = 1; });
  }
  refused_channel(kWarp, "negative multiplier 1", [](auto& c) { c.negative_multiplier = 1; });
  refused_channel(kAdd, "a reserved field", [](auto& c) { c.zero = 1; });
  refused_channel(kConv, "channel 0: count 1; expected 0", [](auto& c) { c.count = 1; });
  // With two slopes: both multipliers of an addition, and none of a second summand without one.
  const auto with_slopes = [](Place place, Channel channel) {
    return [place, channel](Parts& p) {
      p.instructions[place].two_slopes = 1;
      std::memcpy(p.constants.data() + p.instructions[place].table, &channel, sizeof(channel));
    };
  };
  constexpr std::int32_t kMost = 1 << 24;
  for (const Place place : {kResidual, kAdd}) {
    accepted("the steepest", with_slopes(place, {0, 1, 1, 20, kMost, -kMost}));
    refused("instruction", "negative multiplier -16777217",
            with_slopes(place, {0, 1, 1, 20, -kMost - 1, 0}));
    refused("instruction", "negative residual multiplier 16777217",
            with_slopes(place, {0, 1, 1, 20, 0, kMost + 1}));
  }
  accepted("a falling slope", with_slopes(kConv, {5, 1, 0, 24, -kMost, 0}));
  refused("instruction 3", "negative residual multiplier 1; expected 0",
          with_slopes(kConv, {5, 1, 0, 24, 1, 1}));
}

void test_conv() {
  refused(kConv, "kernel 0", [](auto& i) { i.kernel[0] = 0; });
  refused(kConv, "kernel 257", [](auto& i) { i.kernel[1] = 257; });
  refused(kConv, "stride -1", [](auto& i) { i.stride[1] = -1; });
  refused(kConv, "dilation 257", [](auto& i) { i.dilation[0] = 257; });
  refused(kConv, "pad 1048577", [](auto& i) { i.pad[0] = (1 << 20) + 1; });
  refused(kConv, "pad -2147483648", [](auto& i) { i.pad[1] = INT32_MIN; });
  refused(kConv, "transposed 2", [](auto& i) { i.transposed = 2; });
  refused(kTransposed, "dilation, transposed, 2", [](auto& i) { i.dilation[0] = 2; });
  refused(kConv, "weight layout 3", [](auto& i) { i.weight_layout = WeightLayout{3}; });
  refused(kConv, "depthwise weights for 6 inputs and 5 outputs; expected as many",
          [](auto& i) { i.weight_layout = WeightLayout::depthwise; });
  refused(kTransposed, "depthwise weights, transposed; expected not transposed",
          [](auto& i) { i.weight_layout = WeightLayout::depthwise; });
  refused(kConv, "weight: shape", [](auto& i) { i.kernel[0] = 1; });
  refused(kOffsets, "weight: stride 2", [](auto& i) { i.weight.stride[3] = 2; });
  refused(kOffsets, "weight: offset", [](auto& i) { i.weight.offset += 16; });
  refused(kConv, "weight: uint8", [](auto& i) { i.weight.type = Type::uint8; });
  refused(kOffsets, "weight: in ddr", [](auto& i) {
    i.weight = view_of(Space::ddr, Type::int8, 0, {1, 1, 1, i.weight.shape[3]});
  });
  refused(kOffsets, "weights in rows for int16", [](auto& i) { i.a = i.out, i.out.offset += 64; });
  refused(kConv, "weights in rows for 5 outputs; expected at most 4",
          [](auto& i) { i.weight_layout = WeightLayout::rows; });
  refused(kConv, "out: uint8", [](auto& i) { i.out.type = Type::uint8; });
  refused(kConv, "a: uint8; expected int8 or int16", [](auto& i) { i.a.type = Type::uint8; });
  refused(kResidual, "b: shape 1x4x6x1; expected 1x4x6x2", [](auto& i) { i.b.shape[3] = 1; });
  refused(kResidual, "b: uint8", [](auto& i) {
    i.b.type = Type::uint8;
    i.b.stride[3] = 1;
  });
  refused(kConv, "a: shape 1x65537x6x6; expected sides of at most 65536", [](auto& i) {
    i.a.shape[1] = 65537;
    i.a.stride[1] = 0;
  });
}

void test_matching() {
  refused(kCorrelation, "reach -1", [](auto& i) { i.reach = -1; });
  refused(kCorrelation, "reach 257", [](auto& i) { i.reach = 257; });
  refused(kCorrelation, "out: shape 1x4x6x9; expected 1x4x6x25", [](auto& i) { i.reach = 2; });
  refused(kCorrelation, "b: shape 1x4x6x4", [](auto& i) { i.b.shape[3] = 4; });
  refused(kCorrelation, "b: in none", [](auto& i) { i.b = View{}; });
  accepted("fewer rows of the second map", [](auto& p) {
    p.instructions[kCorrelation].b.shape[1] = 2;
    p.instructions[kCorrelation].pad[0] = -1;
  });
  refused(kWarp, "fraction bits 7; expected 8", [](auto& i) { i.fraction_bits = 7; });
  refused(kWarp, "origin -1", [](auto& i) { i.origin[0] = -1; });
  refused(kWarp, "origin 1", [](auto& i) { i.origin[1] = 1; });
  refused(kWarp, "b: int8; expected int16",
          [](auto& i) { i.b.type = Type::int8, i.b.stride[3] = 1; });
  refused(kWarp, "b: shape", [](auto& i) { i.b.shape[1] = 3; });
  refused(kWarp, "out: uint8; expected the type of a, int8",
          [](auto& i) { i.out.type = Type::uint8; });
  refused(kWarp, "out: shape", [](auto& i) { i.out.shape[3] = 4; });
  refused(kRescale, "a: shape", [](auto& i) { i.a.shape[1] = 3; });
  refused(kAdd, "b: shape", [](auto& i) { i.b.shape[2] = 3; });
  refused(kAdd, "b: in none", [](auto& i) { i.b = View{}; });
}

void test_lookup() {
  refused(kLookup, "a: int16; expected int8", [](auto& i) {
    i.a.type = Type::int16;
    i.a.shape[3] = i.out.shape[3] = 2;
    i.a.stride[3] = 2, i.a.stride[2] = 4, i.a.stride[1] = 24, i.a.stride[0] = 96;
  });
  refused(kLookup, "out: int32; expected int8 or int16", [](auto& i) {
    i.out.type = Type::int32;
    i.out.shape[3] = i.a.shape[3] = 2;
    i.out.stride[3] = 4, i.out.stride[2] = 8, i.out.stride[1] = 48, i.out.stride[0] = 192;
  });
  refused(kLookup, "a: shape 1x3x6x5; expected 1x4x6x5", [](auto& i) { i.a.shape[1] = 3; });
  refused(kLookup, "a table of 255 entries; expected 256", [](auto& i) { i.table_count = 255; });
  refused(kLookup, "a table of 512 bytes at", [](auto& i) { i.table += 8; });
  refused("instruction " + std::to_string(kLookup), "bytes of constants",
          [](auto& p) { p.instructions[kLookup].table = p.constants.size() / 32 * 32 - 480; });
  refused(kLookup, "a table of 512 bytes at", [](auto& i) { i.table = ~std::uint64_t{31}; });
  refused(kLookup, "limits: a value", [](auto& i) { i.lo = -1; });
  refused(kLookup, "two slopes: a value", [](auto& i) { i.two_slopes = 1; });
  refused(kLookup, "b: an operand that this", [](auto& i) { i.b = i.a; });
  accepted("entries of bytes", [](auto& p) {
    InstructionRecord& i = p.instructions[kLookup];
    i.out.type = Type::int8;
    std::copy(std::begin(i.a.stride), std::end(i.a.stride), i.out.stride);
  });
}

void test_mul() {
  refused(kMul, "a: shape 1x3x6x5; expected 1x4x6x5", [](auto& i) { i.a.shape[1] = 3; });
  refused(kMul, "b: in none", [](auto& i) { i.b = View{}; });
  refused(kMul, "b: shape 1x2x1x5; expected sides of 1 or those of out, 1x4x6x5",
          [](auto& i) { i.b.shape[1] = 2; });
  refused(kMul, "b: shape 1x1x1x2; expected sides of 1", [](auto& i) { i.b.shape[3] = 2; });
  for (const bool second : {false, true}) {
    refused(kMul, "int32; expected int8 or int16", [second](auto& i) {
      View& view = second ? i.b : i.a;
      view.type = Type::int32;
      for (auto& stride : view.stride) stride *= 4;
      view.offset = 0;
    });
  }
  refused(kMul, "two slopes: a value that this operation does not use",
          [](auto& i) { i.two_slopes = 1; });
  refused(kMul, "a table of 5 channels; expected 1", [](auto& i) { i.table_count = 5; });
  refused_channel(kMul, "residual multiplier 1; expected 0",
                  [](auto& c) { c.residual_multiplier = 1; });
  refused_channel(kMul, "bias 1", [](auto& c) { c.bias = 1; });
  for (int axis = 0; axis < 4; ++axis) {
    accepted("a factor of another form", [axis](auto& p) {
      View& b = p.instructions[kMul].b;
      b = p.instructions[kMul].a;
      b.shape[axis] = 1;
    });
  }
}

void test_matmul() {
  refused(kMatMul, "out: shape 1x3x6x12; expected 1x4x6x12", [](auto& i) { i.out.shape[1] = 3; });
  refused(kMatMul, "b: in none", [](auto& i) { i.b = View{}; });
  refused(kMatMul, "b: shape 1x2x6x4; expected 1x2x6x5", [](auto& i) { i.b.shape[3] = 4; });
  refused(kMatMul, "12 channels of out for b of 1x3x6x5; expected 18 for each of some equal groups",
          [](auto& i) { i.b.shape[1] = 3; });
  refused(kMatMul, "12 channels of out for b of 1x1x6x5; expected 6 for each of some equal groups",
          [](auto& i) { i.b.shape[1] = 1; });
  refused(kMatMul, "transposed 2; expected 0..1", [](auto& i) { i.transposed = 2; });
  refused(kMatMul, "b: shape 1x2x6x5; expected 1x2x6x12", [](auto& i) { i.transposed = 0; });
  refused(kMatMul, "pad: a value that this operation does not use", [](auto& i) { i.pad[0] = 1; });
  refused(kMatMul, "two slopes: a value that this operation does not use",
          [](auto& i) { i.two_slopes = 1; });
  refused(kMatMul, "a table of 12 channels; expected 1", [](auto& i) { i.table_count = 12; });
  refused_channel(kMatMul, "bias 1", [](auto& c) { c.bias = 1; });
  refused(kMul, "transposed: a value that this operation does not use",
          [](auto& i) { i.transposed = 1; });
  accepted("a group for each channel", [](auto& p) {
    InstructionRecord& i = p.instructions[kMatMul];
    i.b.shape[1] = 1;
    i.b.shape[2] = 2;
    i.a.shape[3] = i.b.shape[3] = 4;
    i.out.shape[3] = 8;
  });
  accepted("without transposition", [](auto& p) {
    InstructionRecord& i = p.instructions[kMatMul];
    i.transposed = 0;
    i.b.shape[1] = 1;
    i.b.shape[2] = i.a.shape[3];
    i.out.shape[3] = i.b.shape[3];
  });
}

void test_transpose() {
  refused(kTranspose, "out of 1x3x3x24 for a of 1x4x6x12; expected one batch, 24 channels of out",
          [](auto& i) { i.out.shape[2] = 3; });
  refused(kTranspose, "and 12 of a for each of equal groups", [](auto& i) { i.a.shape[3] = 11; });
  refused(kTranspose, "30 channels of out", [](auto& i) { i.a.shape[1] = 5; });
  refused(kTranspose, "out: int16; expected the type of a, int32", [](auto& i) {
    i.out.type = Type::int16;
    i.out.stride[3] = 2;
  });
  refused(kTranspose, "limits: a value that this operation does not use",
          [](auto& i) { i.hi = 1; });
  refused(kTranspose, "b: an operand that this", [](auto& i) { i.b = i.a; });
  accepted("groups of channels", [](auto& p) {
    InstructionRecord& i = p.instructions[kTranspose];
    i.a.shape[1] = 2;
    i.out.shape[1] = 1;
    i.out.shape[2] = 6;
  });
}

void test_weights() {
  refused("instruction 3", "weight: a value of -128",
          [](auto& p) { weights_of(p, kConv)[0] = -128; });
  // Output 5 of 5, input 6 of 6: filling in the blocked layout.
  refused("instruction 3", "filling", [](auto& p) { weights_of(p, kConv)[5 * 4] = 1; });
  refused("instruction 3", "filling", [](auto& p) { weights_of(p, kConv)[64 + 2] = 1; });
  refused("instruction 4", "filling", [](auto& p) { weights_of(p, kOffsets)[5] = 1; });
  refused("instruction 4", "a value of -128",
          [](auto& p) { weights_of(p, kOffsets)[64 + 4] = -128; });
  refused(kLoadWeight, "", [](auto& i) { i.a.offset = 1 << 20; });
  refused("instruction 3", "bytes of unknown value", [](auto& p) {
    p.instructions[kLoadWeight].out.shape[3] -= 1;
    p.instructions[kLoadWeight].a.shape[3] -= 1;
  });
  refused("instruction 3", "bytes of unknown value", [](auto& p) {
    View weight = p.instructions[kLoadWeight].out;
    p.instructions[kCopy].out = weight;  // written over between its load and its use
    p.instructions[kCopy].out.offset += 70;
    p.instructions[kCopy].out.shape[3] = p.instructions[kCopy].a.shape[3] = 3;
    p.instructions[kCopy].a = p.instructions[kCopy].out;
    p.instructions[kCopy].a.offset += 3;
  });
  accepted("weights in two loads", [](auto& p) {
    InstructionRecord second = p.instructions[kLoadWeight];
    auto& first = p.instructions[kLoadWeight];
    first.a.shape[3] = first.out.shape[3] = 64;
    for (View* view : {&second.a, &second.out}) {
      view->offset += 64;
      view->shape[3] -= 64;
    }
    second.wait[0] = 0;
    p.instructions.insert(p.instructions.begin() + kLoadWeight, second);
    std::swap(p.instructions[0], p.instructions[1]);
  });
}

// Convolutions whose weights begin 64 bytes later each: nothing that a compiler does.
void test_readings() {
  const auto add_convs = [](int count) {
    return [count](Parts& parts) {
      InstructionRecord conv = parts.instructions[kTransposed];
      constexpr std::uint32_t kBytes = 16 * 64 * 128;  // of 2 groups of inputs
      conv.weight.shape[3] = kBytes;
      conv.weight.offset = parts.add_constants(std::vector<std::int8_t>(2 * kBytes));
      conv.kernel[0] = 16;
      conv.kernel[1] = 64;
      for (int i = 0; i < count; ++i) {
        parts.instructions.insert(parts.instructions.begin() + kTransposed, conv);
        conv.weight.offset += 64;
      }
    };
  };
  accepted("a hundred readings of half the constants", add_convs(100));
  refused("instruction", "convolutions of many shapes", add_convs(140));
}

// The largest weights and inputs that the proof lets pass, and one more.
void test_bounds() {
  // Five int8 inputs of magnitude 128 and one tap: 2^28 - 1 - 5 * 2 * 128 is left for the bias.
  const auto set_bias = [](std::int32_t bias) {
    return [bias](Parts& parts) {
      std::int8_t* weights = weights_of(parts, kOffsets);
      std::fill(weights, weights + 5, static_cast<std::int8_t>(-2));
      std::byte* entry = parts.constants.data() + parts.instructions[kOffsets].table;
      std::memcpy(entry, &bias, sizeof(bias));
    };
  };
  constexpr std::int32_t kLargest = (1 << 28) - 1 - 5 * 2 * 128;
  accepted("the largest bias", set_bias(kLargest));
  accepted("the smallest bias", set_bias(-kLargest));
  refused("instruction 4", "channel 0: an accumulator that can reach 268435456",
          set_bias(kLargest + 1));
  refused("instruction 4", "channel 0: an accumulator that can reach", set_bias(INT32_MIN));
  // int16 times int16 is too much for a single channel.
  refused(kCorrelation, "an accumulator that can reach", [](auto& i) {
    for (View* view : {&i.a, &i.b}) {
      view->type = Type::int16;
      view->shape[3] = 1;
      view->stride[3] = 2;
      view->stride[2] = 2;
      view->stride[1] = 12;
      view->stride[0] = 48;
    }
  });
}

}  // namespace

int run() {
  test_tables();
  test_lookup();
  test_slopes();
  test_conv();
  test_matching();
  test_mul();
  test_matmul();
  test_transpose();
  test_weights();
  test_readings();
  test_bounds();
  return finish("rules of operators");
}

}  // namespace horizon::test

int main() { return horizon::test::run(); }
