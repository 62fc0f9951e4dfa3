// Matrix product: for each image and group of channels a convolution of 1x1, whose weights are the
// second operand.
//
// Each part packs the whole matrix for itself; that is one step of what each pixel of its share
// takes. Convolutions have weights of 8 bits: products by a second operand of int16 are scalar.
#include <algorithm>
#include <vector>

#include "kernels/elements.h"
#include "kernels/matmul_matrix.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

constexpr std::int64_t kOutputs = 16, kInputs = 4;  // of a block of weights
constexpr std::int64_t kBlock = kOutputs * kInputs;
constexpr std::int64_t kAlignment = 64;

inline std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// One group of one image as a convolution; a part's scratch is [weights][table][the convolution's].
class Product {
 public:
  explicit Product(const MatMulArgs& args)
      : args_(args),
        groups_(groups_of(args)),
        inputs_(args.a.shape[3] / groups_),
        outputs_(args.out.shape[3] / groups_),
        quads_((inputs_ + kInputs - 1) / kInputs) {}

  std::int64_t groups() const { return groups_; }
  std::int64_t outputs() const { return outputs_; }
  std::int64_t weight_bytes() const {
    return (outputs_ + kOutputs - 1) / kOutputs * quads_ * kBlock;
  }
  std::int64_t own_bytes() const {
    return weight_bytes() + aligned(outputs_ * static_cast<std::int64_t>(sizeof(Channel)));
  }

  ConvArgs convolution(std::int64_t n, std::int64_t group, const std::byte* weights,
                       const Channel* table) const {
    ConvArgs conv{};
    conv.in = part_of(args_.a, n, group * inputs_, inputs_);
    conv.out = part_of(args_.out, n, group * outputs_, outputs_);
    conv.weight = reinterpret_cast<const std::int8_t*>(weights);
    conv.weight_layout = WeightLayout::blocked;
    conv.table = table;
    for (int axis = 0; axis < 2; ++axis) {
      conv.kernel[axis] = conv.stride[axis] = conv.dilation[axis] = 1;
    }
    conv.lo = args_.lo;
    conv.hi = args_.hi;
    conv.any_weight = true;
    return conv;
  }

  void fill(Channel* table) const { std::fill(table, table + outputs_, args_.table); }

  // The weights; places without an input or an output are 0.
  void pack(std::int64_t n, std::int64_t group, std::byte* weights) const {
    __builtin_memset(weights, 0, static_cast<std::size_t>(weight_bytes()));
    const std::int64_t channels = args_.b.shape[3] / groups_, pixels = pixels_of_b(args_);
    for (std::int64_t j = 0; j < pixels; ++j) {
      const std::byte* from = pixel_of_b(args_, n, j) + group * channels;
      args_.transposed ? pack_output(from, j, weights) : pack_input(from, j, weights);
    }
  }

 private:
  static Tensor part_of(Tensor tensor, std::int64_t n, std::int64_t first, std::int64_t channels) {
    tensor.data += n * tensor.stride[0] + first * tensor.stride[3];
    tensor.shape[0] = 1;
    tensor.shape[3] = static_cast<std::int32_t>(channels);
    return tensor;
  }

  // All inputs of output o, which lie side by side.
  void pack_output(const std::byte* from, std::int64_t o, std::byte* weights) const {
    std::byte* to = weights + o / kOutputs * quads_ * kBlock + o % kOutputs * kInputs;
    const std::int64_t whole = inputs_ / kInputs;
    for (std::int64_t q = 0; q < whole; ++q) {
      __builtin_memcpy(to + q * kBlock, from + q * kInputs, kInputs);
    }
    for (std::int64_t i = whole * kInputs; i < inputs_; ++i) {
      to[whole * kBlock + i % kInputs] = from[i];
    }
  }

  // Input i of all outputs, which lie side by side.
  void pack_input(const std::byte* from, std::int64_t i, std::byte* weights) const {
    std::byte* to = weights + i / kInputs * kBlock + i % kInputs;
    for (std::int64_t o = 0; o < outputs_; ++o) {
      to[o / kOutputs * quads_ * kBlock + o % kOutputs * kInputs] = from[o];
    }
  }

  const MatMulArgs& args_;
  std::int64_t groups_, inputs_, outputs_, quads_;
};

}  // namespace

std::size_t HORIZON_SET::matmul_scratch(const MatMulArgs& args) {
  if (args.b.type != Type::int8) return scalar::matmul_scratch(args);
  const Product product(args);
  // What a convolution needs depends on its ratios.
  const std::vector<Channel> table(static_cast<std::size_t>(product.outputs()), args.table);
  return static_cast<std::size_t>(product.own_bytes()) +
         conv_scratch(product.convolution(0, 0, nullptr, table.data()));
}

void HORIZON_SET::matmul(const MatMulArgs& args, Part part) {
  if (args.b.type != Type::int8) return scalar::matmul(args, part);
  const Product product(args);
  std::byte* const weights = part.scratch;
  Channel* const table = reinterpret_cast<Channel*>(weights + product.weight_bytes());
  product.fill(table);
  part.scratch += product.own_bytes();
  for (std::int64_t n = 0; n < args.a.shape[0]; ++n) {
    for (std::int64_t group = 0; group < product.groups(); ++group) {
      product.pack(n, group, weights);
      conv(product.convolution(n, group, weights, table), part);
    }
  }
}

}  // namespace horizon
