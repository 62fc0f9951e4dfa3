// A small valid program with every opcode and every path that the loader follows: weights in
// constants and in sram, both weight layouts, channel slices, a copy in ddr, two outputs.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "tests/program_file.h"

namespace horizon::test {

// Positions of the instructions, for tests that change one.
enum Place : std::size_t {
  kLoadWeight,
  kLoadImage,
  kCopy,
  kConv,
  kOffsets,  // a convolution with weights in rows
  kSpill,
  kReload,
  kWarp,
  kCorrelation,
  kTransposed,
  kResidual,  // a convolution with a residual
  kRescale,
  kAdd,
  kMul,     // by one factor for each channel
  kMatMul,  // of all pixels with those of two rows
  kTranspose,
  kMaxPool,
  kResize,   // bilinear, to twice the size
  kSlopes,   // a rescale with two slopes
  kAverage,  // of windows of 3x3 with padding that does not count: three numbers of elements
  kLookup,   // to int16
  kDepthwise,
  kStoreFlow,
  kStoreFeature,
};

inline std::uint32_t size32(Type type) { return static_cast<std::uint32_t>(size_of(type)); }

// Channels of pixels that are `pixel` bytes apart; 0: side by side.
inline View view_of(Space space, Type type, std::uint64_t offset,
                    std::initializer_list<std::uint32_t> shape, std::uint32_t pixel = 0,
                    std::uint16_t index = 0) {
  View view{};
  view.space = space;
  view.type = type;
  view.index = index;
  view.offset = offset;
  std::copy(shape.begin(), shape.end(), view.shape);
  view.stride[3] = size32(type);
  view.stride[2] = pixel != 0 ? pixel : view.shape[3] * view.stride[3];
  view.stride[1] = view.shape[2] * view.stride[2];
  view.stride[0] = view.shape[1] * view.stride[1];
  return view;
}

// A whole NCHW tensor, seen as NHWC.
inline View planes_of(Space space, Type type, std::initializer_list<std::uint32_t> shape) {
  View view = view_of(space, type, 0, shape);
  view.stride[2] = size32(type);
  view.stride[1] = view.shape[2] * view.stride[2];
  view.stride[3] = view.shape[1] * view.stride[1];
  view.stride[0] = view.shape[3] * view.stride[3];
  return view;
}

class SmallProgram {
 public:
  static Parts build() {
    SmallProgram program;
    program.add_all();
    return program.parts_;
  }

 private:
  static constexpr std::uint32_t kHeight = 4, kWidth = 6;

  View sram(Type type, std::initializer_list<std::uint32_t> shape, std::uint32_t pixel = 0) {
    const View view = view_of(Space::sram, type, parts_.program.sram_bytes, shape, pixel);
    const std::uint64_t bytes = std::uint64_t{view.shape[0]} * view.stride[0];
    parts_.program.sram_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return view;
  }

  // Blocked: 1, -2, 3, ... in the places of real weights, 0 in the filling.
  View weights(std::uint32_t outputs, std::uint32_t taps, std::uint32_t inputs) {
    std::vector<std::int8_t> values;
    for (std::uint32_t o = 0; o < outputs; o += 16) {
      for (std::uint32_t at = 0; at < taps * ((inputs + 3) / 4) * 64; ++at) {
        const std::uint32_t output = o + at / 4 % 16;
        const std::uint32_t input = at / 64 % ((inputs + 3) / 4) * 4 + at % 4;
        const int value = static_cast<int>(at % 7) - 3;
        values.push_back(static_cast<std::int8_t>(output < outputs && input < inputs ? value : 0));
      }
    }
    const auto bytes = static_cast<std::uint32_t>(values.size());
    return view_of(Space::constant, Type::int8, parts_.add_constants(values), {1, 1, 1, bytes});
  }

  View rows(std::uint32_t outputs, std::uint32_t taps, std::uint32_t inputs) {
    const std::uint32_t padded = (inputs + 63) / 64 * 64, bytes = outputs * taps * padded;
    std::vector<std::int8_t> values(bytes);
    for (std::uint32_t at = 0; at < bytes; ++at) {
      if (at % padded < inputs) values[at] = static_cast<std::int8_t>(at % 5 - 2);
    }
    return view_of(Space::constant, Type::int8, parts_.add_constants(values), {1, 1, 1, bytes});
  }

  InstructionRecord& add(Opcode opcode, Unit unit, std::string_view layer, const View& out,
                         const View& a) {
    InstructionRecord i{};
    i.opcode = opcode;
    i.unit = unit;
    i.layer = parts_.add_text(layer);
    for (const InstructionRecord& before : parts_.instructions) {
      ++i.wait[static_cast<std::size_t>(before.unit)];
    }
    i.out = out;
    i.a = a;
    for (int axis = 0; axis < 2; ++axis) i.kernel[axis] = i.stride[axis] = i.dilation[axis] = 1;
    return parts_.instructions.emplace_back(i);
  }

  void set_table(InstructionRecord& i, std::uint32_t count, Channel channel) {
    i.table = parts_.add_constants(std::vector<Channel>(count, channel));
    i.table_count = count;
  }

  void set_limits(InstructionRecord& i) {
    const int bits = 8 * static_cast<int>(size_of(i.out.type));
    i.hi = static_cast<std::int32_t>((std::int64_t{1} << (bits - 1)) - 1);
    i.lo = -i.hi - 1;
  }

  InstructionRecord& add_conv(std::string_view layer, const View& out, const View& a,
                              const View& weight, std::int32_t kernel, std::int32_t pad) {
    InstructionRecord& i = add(Opcode::conv, Unit::tensor, layer, out, a);
    i.weight = weight;
    for (int axis = 0; axis < 2; ++axis) {
      i.kernel[axis] = kernel;
      i.pad[axis] = pad;
    }
    set_limits(i);
    set_table(i, out.shape[3], {5, 1 << 20, 0, 24});
    return i;
  }

  void add_tensor(std::string_view name, Type type, Layout layout,
                  std::initializer_list<std::uint32_t> shape, std::uint32_t scales) {
    TensorRecord tensor{};
    tensor.name = parts_.add_text(name);
    tensor.type = type;
    tensor.layout = layout;
    std::copy(shape.begin(), shape.end(), tensor.shape);
    tensor.scale_count = scales;
    tensor.zero_point = type == Type::uint8 ? 128 : 0;
    parts_.tensors.push_back(tensor);
  }

  void add_all();

  Parts parts_;
};

inline void SmallProgram::add_all() {
  constexpr Type kInt8 = Type::int8, kInt16 = Type::int16, kInt32 = Type::int32;
  ProgramRecord& record = parts_.program;
  record.name = parts_.add_text("small");
  record.march = parts_.add_text("host");
  record.input_count = 1;
  record.output_count = 2;
  record.opt = 2;
  record.size_multiple = 2;
  parts_.metadata = "{\"made\": \"by hand\"}";
  add_tensor("image", Type::uint8, Layout::nchw, {1, 3, kHeight, kWidth}, 1);
  add_tensor("flow", kInt32, Layout::nchw, {1, 2, kHeight, kWidth}, 2);
  add_tensor("feature", kInt8, Layout::nhwc, {1, 2 * kHeight, 2 * kWidth, 3}, 1);

  // Two interleaved channel slices of one buffer: the image and its copy.
  const View both = sram(kInt8, {1, kHeight, kWidth, 6});
  View first = both, second = both;
  first.shape[3] = second.shape[3] = 3;
  second.offset += 3;
  const View weight = weights(5, 9, 6);
  const View loaded = sram(kInt8, {1, 1, 1, weight.shape[3]});
  add(Opcode::load, Unit::load, "encoder", loaded, weight);
  const View planes = planes_of(Space::input, Type::uint8, {1, kHeight, kWidth, 3});
  add(Opcode::load, Unit::load, "image", first, planes);
  add(Opcode::copy, Unit::transform, "concat", second, first);

  const View feature = sram(kInt8, {1, kHeight, kWidth, 5});
  add_conv("encoder", feature, both, loaded, 3, 1);
  const View offsets = sram(kInt16, {1, kHeight, kWidth, 2});
  add_conv("offsets", offsets, feature, rows(2, 1, 5), 1, 0).weight_layout = WeightLayout::rows;

  View spilled = feature;
  spilled.space = Space::ddr;
  spilled.offset = 0;
  record.ddr_bytes = 1024;
  add(Opcode::store, Unit::store, "spill", spilled, feature);
  const View reloaded = sram(kInt8, {1, kHeight, kWidth, 5});
  add(Opcode::load, Unit::load, "spill", reloaded, spilled);

  const View warped = sram(kInt8, {1, kHeight, kWidth, 5});
  InstructionRecord& warp = add(Opcode::warp, Unit::aux, "warp", warped, reloaded);
  warp.b = offsets;
  warp.fraction_bits = 8;
  set_table(warp, 1, {0, 1 << 23, 0, 20});

  const View volume = sram(kInt8, {1, kHeight, kWidth, 9});
  InstructionRecord& correlation =
      add(Opcode::correlation, Unit::tensor, "cost volume", volume, feature);
  correlation.b = warped;
  correlation.reach = 1;
  correlation.pad[0] = correlation.pad[1] = 1;
  set_limits(correlation);
  set_table(correlation, 1, {0, 1 << 23, 0, 26});

  const View wide = sram(kInt8, {1, 2 * kHeight, 2 * kWidth, 3}, 4);
  InstructionRecord& transposed = add_conv("upsample", wide, feature, weights(3, 16, 5), 4, 1);
  transposed.transposed = 1;
  transposed.stride[0] = transposed.stride[1] = 2;

  const View flow = sram(kInt16, {1, kHeight, kWidth, 2});
  InstructionRecord& residual = add_conv("flow", flow, volume, weights(2, 9, 9), 3, 2);
  residual.dilation[0] = residual.dilation[1] = 2;
  residual.b = offsets;
  set_table(residual, 2, {-7, 1 << 23, 1 << 22, 25});

  const View rescaled = sram(kInt32, {1, kHeight, kWidth, 2});
  InstructionRecord& rescale = add(Opcode::rescale, Unit::vector, "rescale", rescaled, flow);
  set_limits(rescale);
  set_table(rescale, 2, {0, 1 << 23, 0, 20});
  const View sum = sram(kInt32, {1, kHeight, kWidth, 2});
  InstructionRecord& add_two = add(Opcode::add, Unit::vector, "add", sum, rescaled);
  add_two.b = offsets;
  set_limits(add_two);
  set_table(add_two, 1, {0, 1 << 23, 1 << 22, 23});

  const View gated = sram(kInt16, {1, kHeight, kWidth, 5});
  InstructionRecord& mul = add(Opcode::mul, Unit::vector, "mul", gated, warped);
  mul.b = feature;
  mul.b.shape[1] = mul.b.shape[2] = 1;
  set_limits(mul);
  set_table(mul, 1, {0, 1 << 23, 0, 24});

  const View scores = sram(kInt32, {1, kHeight, kWidth, 2 * kWidth});
  InstructionRecord& matmul = add(Opcode::matmul, Unit::tensor, "matmul", scores, warped);
  matmul.b = feature;
  matmul.b.shape[1] = 2;
  matmul.transposed = 1;
  set_limits(matmul);
  set_table(matmul, 1, {0, 1 << 23, 0, 24});

  const View exchanged = sram(kInt32, {1, 3, 4, kHeight * kWidth});
  add(Opcode::transpose, Unit::transform, "transpose", exchanged, scores);

  const View pooled = sram(kInt8, {1, kHeight / 2, kWidth / 2, 5});
  InstructionRecord& pool = add(Opcode::max_pool, Unit::vector, "pool", pooled, warped);
  pool.kernel[0] = pool.kernel[1] = 3;
  pool.stride[0] = pool.stride[1] = 2;
  pool.pad[0] = pool.pad[1] = 1;
  const View resized = sram(kInt8, {1, kHeight, kWidth, 5});
  InstructionRecord& resize = add(Opcode::resize, Unit::vector, "resize", resized, pooled);
  resize.fraction_bits = 8;
  for (int axis = 0; axis < 2; ++axis) {
    resize.step[axis] = 512;
    resize.offset[axis] = -254;
    resize.divisor[axis] = 4;
    resize.last[axis] = static_cast<std::int32_t>(pooled.shape[1 + axis]) - 1;
  }
  const View sloped = sram(kInt16, {1, kHeight, kWidth, 5});
  InstructionRecord& slopes = add(Opcode::rescale, Unit::vector, "slopes", sloped, resized);
  slopes.two_slopes = 1;
  set_limits(slopes);
  set_table(slopes, 5, {0, 1 << 23, 0, 20, 1 << 20, 0});

  const View mean = sram(kInt32, {1, kHeight / 2, kWidth / 2, 5});
  InstructionRecord& average = add(Opcode::avg_pool, Unit::vector, "average", mean, sloped);
  average.kernel[0] = average.kernel[1] = 3;
  average.stride[0] = average.stride[1] = 2;
  average.pad[0] = average.pad[1] = 1;
  set_limits(average);
  const std::int32_t counts[] = {4, 6, 9};
  std::vector<Channel> entries;
  for (const std::int32_t count : counts) {
    entries.push_back({0, (1 << 26) / count, 0, 25, 0, 0, count});
  }
  average.table = parts_.add_constants(entries);
  average.table_count = 3;
  const View looked_up = sram(kInt16, {1, kHeight, kWidth, 5});
  InstructionRecord& lookup = add(Opcode::lookup, Unit::vector, "lookup", looked_up, resized);
  std::vector<std::int16_t> squares(kLookupEntries);
  for (int q = -128; q < 128; ++q) {
    squares[static_cast<std::size_t>(q + 128)] = static_cast<std::int16_t>(q * q);
  }
  lookup.table = parts_.add_constants(squares);
  lookup.table_count = kLookupEntries;
  std::vector<std::int8_t> taps(9 * 64);
  for (std::size_t at = 0; at < taps.size(); ++at) {
    if (at % 64 < 5) taps[at] = static_cast<std::int8_t>(at % 7) - 3;
  }
  const View each = view_of(Space::constant, kInt8, parts_.add_constants(taps), {1, 1, 1, 9 * 64});
  const View alone = sram(kInt8, {1, kHeight, kWidth, 5});
  add_conv("depthwise", alone, resized, each, 3, 1).weight_layout = WeightLayout::depthwise;

  View flow_out = planes_of(Space::output, kInt32, {1, kHeight, kWidth, 2});
  add(Opcode::store, Unit::store, "flow", flow_out, sum);
  const View feature_out = view_of(Space::output, kInt8, 0, {1, 2 * kHeight, 2 * kWidth, 3}, 0, 1);
  add(Opcode::store, Unit::store, "feature", feature_out, wide);
  parts_.add_scales(0.25);
}

}  // namespace horizon::test
