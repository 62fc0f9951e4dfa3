// Random instructions of each operator: tails, sides of 1, extremes, views with gaps, both types.
#pragma once

#include <algorithm>
#include <functional>
#include <type_traits>
#include <utility>

#include "kernels/elements.h"
#include "kernels/parts.h"
#include "tests/kernel_boxes.h"

namespace horizon {

// One instruction: what it is, how much scratch it needs and how to run it into `out`.
struct Case {
  std::string text;
  Box out;
  std::function<std::size_t(const Kernels&)> scratch;
  std::function<void(const Kernels&, const Tensor& out, Part)> run;
  std::function<void(const Tensor& out)> naive;  // of operators that have it: another definition
};

inline std::string pair(const char* name, const std::int32_t* values) {
  std::ostringstream out;
  out << ' ' << name << ' ' << values[0] << ',' << values[1];
  return out.str();
}

// A side of a picture; often 1.
inline int side(Random& random, int longest) {
  return chance(random, 15) ? 1 : between(random, 1, longest);
}

// The instruction of these arguments; without scratch that is null. `kept` owns the memories that
// the arguments point to.
template <class Args, class... Kept>
Case make_case(std::string text, const std::shared_ptr<Args>& args, const Box& out,
               void (*Kernels::*run)(const Args&, Part),
               std::size_t (*Kernels::*scratch)(const std::type_identity_t<Args>&),
               const Kept&... kept) {
  args->out = out.tensor;
  return {
      std::move(text), out,
      [args, scratch](const Kernels& k) { return scratch == nullptr ? 0 : (k.*scratch)(*args); },
      [args, run, kept...](const Kernels& k, const Tensor& to, Part part) {
        Args into = *args;
        into.out = to;
        (k.*run)(into, part);
      },
      nullptr};
}

// Weights of the magnitude `largest`, zero where the layout has no weight.
inline std::shared_ptr<Memory> make_weights(Random& random, const ConvArgs& a, int largest) {
  const bool depthwise = a.weight_layout == WeightLayout::depthwise;
  const std::int64_t outputs = a.out.shape[3], inputs = depthwise ? 1 : a.in.shape[3];
  const std::int64_t taps = std::int64_t{a.kernel[0]} * a.kernel[1];
  const bool blocked = a.weight_layout == WeightLayout::blocked;
  const std::int64_t padded = depthwise ? 1
                              : blocked ? (inputs + 3) / 4 * 4
                                        : (inputs + 63) / 64 * 64;
  const std::int64_t rows = depthwise ? (outputs + 63) / 64 * 64
                            : blocked ? (outputs + 15) / 16 * 16
                                      : outputs;
  auto memory = std::make_shared<Memory>(static_cast<std::size_t>(rows * taps * padded));
  std::memset(memory->data(), 0, memory->size());
  if (chance(random, 30)) largest = std::min(largest, between(random, 1, 20));
  const bool extreme = chance(random, 15);
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t i = 0; i < inputs; ++i) {
        const std::int64_t at =
            depthwise ? (o / 64 * taps + tap) * 64 + o % 64
            : blocked ? ((o / 16 * taps + tap) * (padded / 4) + i / 4) * 64 + o % 16 * 4 + i % 4
                      : (o * taps + tap) * padded + i;
        const int value = extreme ? (chance(random, 80) ? largest : -largest)
                                  : between(random, -largest, largest);
        memory->data()[at] = static_cast<std::byte>(value);
      }
    }
  }
  return memory;
}

// The output, what is added to it and how it is rounded, of a convolution whose input and shapes
// are known. `products` are those of an output.
inline Case finished_conv_case(Random& random, const std::shared_ptr<ConvArgs>& a, const Box& in,
                               const int (&shape)[4], std::int64_t products) {
  const Box out = make_box(random, any_type(random), shape, chance(random, 50));
  Box residual{};
  if (chance(random, 30)) {
    residual = make_box(random, narrow_type(random, 50), shape, chance(random, 50));
    fill(random, residual);
  }
  a->in = in.tensor;
  a->out = out.tensor;
  a->residual = residual.tensor;
  // Sums stay below 2^28.
  const std::int64_t bound = (1 << 27) / (products * (in.tensor.type == Type::int8 ? 128 : 32768));
  const int largest = bound > 127 ? 127 : bound < 1 ? 1 : static_cast<int>(bound);
  const auto weights = make_weights(random, *a, largest);
  a->weight = reinterpret_cast<const std::int8_t*>(weights->data());
  limits_of(random, out.tensor.type, a->lo, a->hi);
  a->two_slopes = chance(random, 40);
  const auto table = std::make_shared<std::vector<Channel>>();
  int bits = in.tensor.type == Type::int8 ? 13 : 21;
  for (std::int64_t k = products; k > 1; k /= 4) ++bits;
  const bool usual = chance(random, 60);
  const int most_bias = chance(random, 10) ? (1 << 27) - 1 : 1 << 20;  // with the sums, up to 2^28
  for (int o = 0; o < shape[3]; ++o) {
    table->push_back(make_channel(random, bits, out.tensor.type, most_bias));
    if (usual) table->back() = usual_channel(table->back());
  }
  a->table = table->data();
  const std::string text = "conv in " + in.text() + pair("kernel", a->kernel) +
                           pair("stride", a->stride) + pair("dilation", a->dilation) +
                           pair("pad", a->pad) + (a->transposed ? " transposed" : "") +
                           (residual.memory ? " residual " + residual.text() : "") +
                           (a->two_slopes ? " two slopes" : "");
  return make_case(text, a, out, &Kernels::conv, &Kernels::conv_scratch, in, residual, weights,
                   table);
}

inline Case conv_case(Random& random) {
  auto a = std::make_shared<ConvArgs>();
  a->transposed = chance(random, 25);
  for (int i = 0; i < 2; ++i) {
    a->kernel[i] = pick(random, {1, 2, 3, 3, 3, 4, 5});
    a->stride[i] = pick(random, {1, 1, 2, 2, 3});
    a->dilation[i] = a->transposed ? 1 : pick(random, {1, 1, 1, 2, 4});
    a->pad[i] = between(random, -3, 5);
  }
  const bool flow = chance(random, 10);  // int16 of one or two channels, to a few
  const int batch = pick(random, {1, 1, 2});
  const int inputs = flow ? between(random, 1, 2) : any_channels(random);
  const int outputs = flow || chance(random, 25) ? between(random, 1, 4) : any_channels(random);
  const Type in_type = flow ? Type::int16 : narrow_type(random, 25);
  a->weight_layout =
      outputs <= 4 && in_type == Type::int8 ? WeightLayout::rows : WeightLayout::blocked;
  const Box in = make_box(random, in_type, {batch, side(random, 9), side(random, 20), inputs},
                          chance(random, 50));
  fill(random, in);
  if (in_type == Type::int8 && chance(random, 50)) without_signs(random, in);
  const int width = side(random, chance(random, 20) ? 90 : 30);
  const int shape[4] = {batch, side(random, 9), width, outputs};
  const std::int64_t products = std::int64_t{a->kernel[0]} * a->kernel[1] * inputs;
  return finished_conv_case(random, a, in, shape, products);
}

// Outputs that read one input each.
inline Case depthwise_case(Random& random) {
  auto a = std::make_shared<ConvArgs>();
  a->weight_layout = WeightLayout::depthwise;
  const int square = pick(random, {0, 3, 3, 3, 5, 7});
  for (int i = 0; i < 2; ++i) {
    a->kernel[i] = square > 0 ? square : between(random, 1, 9);
    a->stride[i] = pick(random, {1, 1, 1, 2, 2, 3});
    a->dilation[i] = pick(random, {1, 1, 1, 2, 4});
    a->pad[i] = between(random, -3, 5);
  }
  if (chance(random, 50)) {  // as networks have them
    a->stride[1] = a->stride[0];
    a->dilation[0] = a->dilation[1] = 1;
  }
  const int batch = pick(random, {1, 1, 2});
  const int channels = chance(random, 10) ? between(random, 129, 400) : any_channels(random);
  const Box in =
      make_box(random, narrow_type(random, 25),
               {batch, side(random, 12), side(random, 24), channels}, chance(random, 50));
  fill(random, in);
  const int width = side(random, chance(random, 20) ? 150 : 30);
  const std::int64_t products = std::int64_t{a->kernel[0]} * a->kernel[1];
  return finished_conv_case(random, a, in, {batch, side(random, 9), width, channels}, products);
}

inline Case correlation_case(Random& random) {
  auto a = std::make_shared<CorrelationArgs>();
  a->reach = pick(random, {0, 1, 2, 3, 4, 4, 4, 5});
  for (int i = 0; i < 2; ++i) a->pad[i] = between(random, -3, 6);
  const int batch = pick(random, {1, 1, 2}), channels = any_channels(random);
  const int height = side(random, 10), width = side(random, 40);
  const int displacements = (2 * a->reach + 1) * (2 * a->reach + 1);
  const Box first = make_box(random, narrow_type(random, 10), {batch, height, width, channels},
                             chance(random, 50));
  const Box second =
      make_box(random, narrow_type(random, 10),
               {batch, side(random, 14), side(random, 45), channels}, chance(random, 50));
  const Box out =
      make_box(random, any_type(random), {batch, height, width, displacements}, chance(random, 50));
  fill(random, first);
  fill(random, second);
  int bits = 6;
  for (const Box* box : {&first, &second}) {
    if (box->tensor.type == Type::int16) bits += 8;
  }
  bits += 8;
  if (bits > 26) {  // two int16 features: the product of 2^15 values each has 30 bits
    for (const Box* box : {&first, &second}) {
      std::memset(box->memory->data(), static_cast<int>(random() % 2), box->memory->size());
    }
  }
  a->a = first.tensor;
  a->b = second.tensor;
  limits_of(random, out.tensor.type, a->lo, a->hi);
  a->two_slopes = chance(random, 40);
  a->table = make_channel(random, bits, out.tensor.type, 1 << 10);
  const std::string text =
      "correlation a " + first.text() + " b " + second.text() + pair("pad", a->pad);
  return make_case(text, a, out, &Kernels::correlation, &Kernels::correlation_scratch, first,
                   second);
}

inline Case warp_case(Random& random) {
  auto a = std::make_shared<WarpArgs>();
  const int batch = pick(random, {1, 1, 2}), channels = any_channels(random);
  const int height = side(random, 30), width = chance(random, 10) ? 300 : side(random, 30);
  const int shape[4] = {batch, between(random, 1, height), between(random, 1, width), channels};
  const Type type = narrow_type(random, 30);
  const Box feature = make_box(random, type, {batch, height, width, channels}, chance(random, 50));
  const Box offset =
      make_box(random, Type::int16, {batch, shape[1], shape[2], 2}, chance(random, 50));
  const Box out = make_box(random, type, shape, chance(random, 50));
  fill(random, feature);
  fill(random, offset);
  a->feature = feature.tensor;
  a->offset = offset.tensor;
  a->out = out.tensor;
  for (int i = 0; i < 2; ++i) {
    a->origin[i] = between(random, 0, (i == 0 ? height : width) - shape[1 + i]);
  }
  a->fraction_bits = chance(random, 70) ? 8 : between(random, 0, 8);
  a->table = make_channel(random, 15, Type::int8, 0);
  a->table.shift = between(random, 18, 30);  // from far outside to less than a pixel
  const std::string text = "warp feature " + feature.text() + " offset " + offset.text() +
                           pair("origin", a->origin) + " bits " + std::to_string(a->fraction_bits);
  return make_case(text, a, out, &Kernels::warp, nullptr, feature, offset);
}

inline Case rescale_case(Random& random) {
  auto a = std::make_shared<RescaleArgs>();
  const int shape[4] = {pick(random, {1, 1, 2}), side(random, 5), side(random, 9),
                        any_channels(random)};
  const Box in = make_box(random, any_type(random), shape, chance(random, 50));
  const Box out = make_box(random, any_type(random), shape, chance(random, 50));
  fill(random, in);
  a->in = in.tensor;
  a->out = out.tensor;
  a->table_count = chance(random, 50) ? 1 : shape[3];
  limits_of(random, out.tensor.type, a->lo, a->hi);
  a->two_slopes = chance(random, 40);
  const auto table = std::make_shared<std::vector<Channel>>();
  for (int c = 0; c < a->table_count; ++c) {
    const int bits = static_cast<int>(8 * size_of(in.tensor.type)) - 2;
    table->push_back(make_channel(random, bits, out.tensor.type, 0));
  }
  a->table = table->data();
  const std::string text = "rescale in " + in.text() + " table " + std::to_string(a->table_count);
  return make_case(text, a, out, &Kernels::rescale, nullptr, in, table);
}

inline Case add_case(Random& random) {
  auto a = std::make_shared<AddArgs>();
  const int shape[4] = {pick(random, {1, 1, 2}), side(random, 5), side(random, 9),
                        any_channels(random)};
  const Box first = make_box(random, any_type(random), shape, chance(random, 50));
  const Box second = make_box(random, any_type(random), shape, chance(random, 50));
  const Box out = make_box(random, any_type(random), shape, chance(random, 50));
  fill(random, first);
  fill(random, second);
  a->a = first.tensor;
  a->b = second.tensor;
  limits_of(random, out.tensor.type, a->lo, a->hi);
  a->two_slopes = chance(random, 40);
  const int bits = static_cast<int>(8 * size_of(first.tensor.type)) - 2;
  a->table = make_channel(random, bits, out.tensor.type, 0);
  return make_case("add a " + first.text() + " b " + second.text(), a, out, &Kernels::add, nullptr,
                   first, second);
}

// The second factor as large as the first, or with sides of 1.
inline Case mul_case(Random& random) {
  auto a = std::make_shared<MulArgs>();
  const int shape[4] = {pick(random, {1, 1, 2}), side(random, 5), side(random, 9),
                        any_channels(random)};
  int other[4];
  for (int axis = 0; axis < 4; ++axis) other[axis] = chance(random, 40) ? 1 : shape[axis];
  const Box first = make_box(random, narrow_type(random, 40), shape, chance(random, 50));
  const Box second = make_box(random, narrow_type(random, 40), other, chance(random, 50));
  const Box out = make_box(random, any_type(random), shape, chance(random, 50));
  fill(random, first);
  fill(random, second);
  a->a = first.tensor;
  a->b = second.tensor;
  limits_of(random, out.tensor.type, a->lo, a->hi);
  const int bits = static_cast<int>(8 * (size_of(first.tensor.type) + size_of(second.tensor.type)));
  a->table = make_channel(random, bits - 3, out.tensor.type, 0);
  Case result = make_case("mul a " + first.text() + " b " + second.text(), a, out, &Kernels::mul,
                          nullptr, first, second);
  result.naive = [a](const Tensor& to) {
    for (std::int64_t at = 0; at < pixels_of(to) * to.shape[3]; ++at) {
      const std::int64_t c = at % to.shape[3], x = at / to.shape[3] % to.shape[2];
      const std::int64_t row = at / to.shape[3] / to.shape[2];
      const std::int64_t n = row / to.shape[1], y = row % to.shape[1];
      const auto read = [&](const Tensor& t) -> std::int64_t {
        const auto place = [&](std::int64_t i, int axis) { return t.shape[axis] == 1 ? 0 : i; };
        return read_element(
            pixel(t, place(n, 0), place(y, 1), place(x, 2)) + place(c, 3) * t.stride[3], t.type);
      };
      write_element(
          pixel(to, n, y, x) + c * to.stride[3], to.type,
          round_shift(read(a->a) * read(a->b) * a->table.multiplier, a->table.shift, a->lo, a->hi));
    }
  };
  return result;
}

inline Case copy_case(Random& random) {
  auto a = std::make_shared<CopyArgs>();
  const bool shifted = chance(random, 40);
  const Type type = shifted ? Type::uint8 : static_cast<Type>(between(random, 0, 3));
  const bool weights = chance(random, 10);
  const int shape[4] = {
      weights ? 1 : pick(random, {1, 1, 2}), weights ? 1 : side(random, 5),
      weights ? 1 : side(random, 70),
      weights ? between(random, 4000, 13000) : pick(random, {1, 2, 3, 3, 4, 6, 7, 8, 9, 31})};
  const auto box = [&](Type of) {
    return chance(random, 50) ? make_box(random, of, shape, chance(random, 50))
                              : make_box(random, of, shape, chance(random, 50), {0, 3, 1, 2});
  };
  const Box in = box(type);
  const Box out = box(shifted ? Type::int8 : type);
  fill(random, in);
  a->in = in.tensor;
  return make_case("copy in " + in.text(), a, out, &Kernels::copy, nullptr, in);
}

}  // namespace horizon
