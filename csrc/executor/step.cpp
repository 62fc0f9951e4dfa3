#include "executor/step.h"

namespace horizon {
namespace {

// Below this a thread is done before another one has heard of the work.
constexpr std::uint64_t kBytesAlone = 8192;
constexpr std::uint64_t kMacsAlone = 200000;

std::uint64_t elements(const View& view) {
  return std::uint64_t{view.shape[0]} * view.shape[1] * view.shape[2] * view.shape[3];
}

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;  // Clang before version 17 needs it

ConvArgs prepare_conv(const InstructionRecord& i, const Operands& at) {
  ConvArgs args{};
  args.out = tensor_at(i.out, at.out);
  args.in = tensor_at(i.a, at.a);
  if (i.b.space != Space::none) args.residual = tensor_at(i.b, at.b);
  args.weight = reinterpret_cast<const std::int8_t*>(at.weight);
  args.weight_layout = i.weight_layout;
  args.table = at.table;
  for (int axis = 0; axis < 2; ++axis) {
    args.kernel[axis] = i.kernel[axis];
    args.stride[axis] = i.stride[axis];
    args.dilation[axis] = i.dilation[axis];
    args.pad[axis] = i.pad[axis];
  }
  args.transposed = i.transposed != 0;
  args.lo = i.lo;
  args.hi = i.hi;
  return args;
}

}  // namespace

Tensor tensor_at(const View& view, std::byte* data) {
  Tensor tensor{data, view.type, {}, {}};
  for (int axis = 0; axis < 4; ++axis) {
    tensor.shape[axis] = static_cast<std::int32_t>(view.shape[axis]);
    tensor.stride[axis] = view.stride[axis];
  }
  return tensor;
}

Step prepare(const InstructionRecord& i, const Operands& at) {
  switch (i.opcode) {
    case Opcode::conv:
      return prepare_conv(i, at);
    case Opcode::correlation:
      return CorrelationArgs{tensor_at(i.out, at.out),
                             tensor_at(i.a, at.a),
                             tensor_at(i.b, at.b),
                             *at.table,
                             i.reach,
                             {i.pad[0], i.pad[1]},
                             i.lo,
                             i.hi};
    case Opcode::warp:
      return WarpArgs{tensor_at(i.out, at.out), tensor_at(i.a, at.a),
                      tensor_at(i.b, at.b),     *at.table,
                      i.fraction_bits,          {i.origin[0], i.origin[1]}};
    case Opcode::rescale:
      return RescaleArgs{tensor_at(i.out, at.out),
                         tensor_at(i.a, at.a),
                         at.table,
                         static_cast<std::int32_t>(i.table_count),
                         i.lo,
                         i.hi};
    case Opcode::add:
      return AddArgs{tensor_at(i.out, at.out),
                     tensor_at(i.a, at.a),
                     tensor_at(i.b, at.b),
                     *at.table,
                     i.lo,
                     i.hi};
    case Opcode::load:
    case Opcode::store:
    case Opcode::copy:
      break;
  }
  return CopyArgs{tensor_at(i.out, at.out), tensor_at(i.a, at.a)};
}

std::uint64_t macs(const InstructionRecord& i) {
  switch (i.opcode) {
    case Opcode::conv: {
      // a transposed convolution spreads each input, the other gathers for each output
      const std::uint64_t pixels =
          elements(i.transposed ? i.a : i.out) / (i.transposed ? i.a.shape[3] : i.out.shape[3]);
      return pixels * i.a.shape[3] * i.out.shape[3] * static_cast<std::uint64_t>(i.kernel[0]) *
             static_cast<std::uint64_t>(i.kernel[1]);
    }
    case Opcode::correlation:
      return elements(i.out) * i.a.shape[3];
    case Opcode::warp:
      return elements(i.out) * 4;
    default:
      return 0;
  }
}

std::uint64_t out_bytes(const InstructionRecord& i) {
  return elements(i.out) * static_cast<std::uint64_t>(size_of(i.out.type));
}

bool worth_sharing(const InstructionRecord& i) {
  return out_bytes(i) >= kBytesAlone || macs(i) >= kMacsAlone;
}

std::size_t scratch_bytes(const Kernels& kernels, const Step& step) {
  if (const auto* conv = std::get_if<ConvArgs>(&step)) return kernels.conv_scratch(*conv);
  if (const auto* correlation = std::get_if<CorrelationArgs>(&step)) {
    return kernels.correlation_scratch(*correlation);
  }
  return 0;
}

void run_part(const Kernels& kernels, const Step& step, Part part) {
  std::visit(Overloaded{[&](const CopyArgs& args) { kernels.copy(args, part); },
                        [&](const ConvArgs& args) { kernels.conv(args, part); },
                        [&](const CorrelationArgs& args) { kernels.correlation(args, part); },
                        [&](const WarpArgs& args) { kernels.warp(args, part); },
                        [&](const RescaleArgs& args) { kernels.rescale(args, part); },
                        [&](const AddArgs& args) { kernels.add(args, part); }},
             step);
}

void run_parts(const Kernels& kernels, const Step& step, Threads& threads,
               std::span<const Block> scratch) {
  struct Context {
    const Kernels& kernels;
    const Step& step;
    std::span<const Block> scratch;
    int count;
  };
  const Context context{kernels, step, scratch, threads.count()};
  threads.run(
      [](const void* pointer, int member) {
        const Context& c = *static_cast<const Context*>(pointer);
        const Block& own = c.scratch[static_cast<std::size_t>(member)];
        run_part(c.kernels, c.step, Part{member, c.count, own.data()});
      },
      &context);
}

}  // namespace horizon
