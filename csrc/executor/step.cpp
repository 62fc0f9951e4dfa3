#include "executor/step.h"

#include "hbm/weight_sums.h"

namespace horizon {
namespace {

// With less work than this, one thread is done before another has noticed that there is work.
constexpr std::uint64_t kBytesAlone = 8192;
constexpr std::uint64_t kMacsAlone = 200000;

std::uint64_t elements(const View& view) {
  return std::uint64_t{view.shape[0]} * view.shape[1] * view.shape[2] * view.shape[3];
}

// The kernels' function for arguments of this type, and the scratch that it needs.
#define HORIZON_CALL(function, Args) \
  void call(const Kernels& kernels, const Args& args, Part part) { kernels.function(args, part); }
#define HORIZON_NO_SCRATCH(function, Args) \
  HORIZON_CALL(function, Args)             \
  std::size_t scratch_of(const Kernels&, const Args&) { return 0; }
#define HORIZON_SCRATCH(function, Args)                              \
  HORIZON_CALL(function, Args)                                       \
  std::size_t scratch_of(const Kernels& kernels, const Args& args) { \
    return kernels.function##_scratch(args);                         \
  }
HORIZON_OPERATORS(HORIZON_NO_SCRATCH, HORIZON_SCRATCH)

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
  args.two_slopes = i.two_slopes != 0;
  return args;
}

// The number of kernel taps of all rows (axis 0) or columns of a convolution's output together. A
// row of a transposed convolution has only every stride-th tap.
std::uint64_t taps_along(const InstructionRecord& i, int axis) {
  const std::int64_t side = i.out.shape[1 + axis], kernel = i.kernel[axis];
  if (!i.transposed) return static_cast<std::uint64_t>(side * kernel);
  const std::int64_t stride = i.stride[axis];
  std::int64_t total = 0;
  for (std::int64_t place = 0; place < stride && place < side; ++place) {
    const std::int64_t tap = ((place + i.pad[axis]) % stride + stride) % stride;
    const std::int64_t places = (side - place + stride - 1) / stride;
    total += tap < kernel ? places * ((kernel - tap + stride - 1) / stride) : 0;
  }
  return static_cast<std::uint64_t>(total);
}

// Products of one element of the output.
std::uint64_t products_of_matmul(const InstructionRecord& i) {
  const std::uint64_t pixels = std::uint64_t{i.b.shape[1]} * i.b.shape[2];
  return i.transposed != 0 ? i.a.shape[3] / (i.out.shape[3] / pixels) : pixels;
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
                             i.hi,
                             i.two_slopes != 0};
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
                         i.hi,
                         i.two_slopes != 0};
    case Opcode::add:
      return AddArgs{tensor_at(i.out, at.out),
                     tensor_at(i.a, at.a),
                     tensor_at(i.b, at.b),
                     *at.table,
                     i.lo,
                     i.hi,
                     i.two_slopes != 0};
    case Opcode::mul:
      return MulArgs{tensor_at(i.out, at.out),
                     tensor_at(i.a, at.a),
                     tensor_at(i.b, at.b),
                     *at.table,
                     i.lo,
                     i.hi};
    case Opcode::matmul:
      return MatMulArgs{tensor_at(i.out, at.out),
                        tensor_at(i.a, at.a),
                        tensor_at(i.b, at.b),
                        *at.table,
                        i.transposed != 0,
                        i.lo,
                        i.hi};
    case Opcode::transpose:
      return TransposeArgs{tensor_at(i.out, at.out), tensor_at(i.a, at.a)};
    case Opcode::max_pool:
      return PoolArgs{tensor_at(i.out, at.out),
                      tensor_at(i.a, at.a),
                      {i.kernel[0], i.kernel[1]},
                      {i.stride[0], i.stride[1]},
                      {i.pad[0], i.pad[1]}};
    case Opcode::avg_pool:
      return AvgPoolArgs{tensor_at(i.out, at.out),
                         tensor_at(i.a, at.a),
                         at.table,
                         static_cast<std::int32_t>(i.table_count),
                         {i.kernel[0], i.kernel[1]},
                         {i.stride[0], i.stride[1]},
                         {i.pad[0], i.pad[1]},
                         {i.margin[0], i.margin[1]},
                         i.lo,
                         i.hi};
    case Opcode::resize:
      return ResizeArgs{tensor_at(i.out, at.out),
                        tensor_at(i.a, at.a),
                        {i.step[0], i.step[1]},
                        {i.offset[0], i.offset[1]},
                        {i.divisor[0], i.divisor[1]},
                        {i.last[0], i.last[1]},
                        i.fraction_bits,
                        {i.origin[0], i.origin[1]},
                        {i.pad[0], i.pad[1]}};
    case Opcode::lookup:
      return LookupArgs{tensor_at(i.out, at.out), tensor_at(i.a, at.a),
                        reinterpret_cast<const std::byte*>(at.table)};
    case Opcode::load:
    case Opcode::store:
    case Opcode::copy:
      break;
  }
  return CopyArgs{tensor_at(i.out, at.out), tensor_at(i.a, at.a)};
}

std::uint64_t macs(const InstructionRecord& i) {
  switch (i.opcode) {
    case Opcode::conv:
      return std::uint64_t{i.out.shape[0]} * i.out.shape[3] * weight_shape(i).inputs *
             taps_along(i, 0) * taps_along(i, 1);
    case Opcode::correlation:
      return elements(i.out) * i.a.shape[3];
    case Opcode::matmul:
      return elements(i.out) * products_of_matmul(i);
    case Opcode::warp:
      return elements(i.out) * 4;
    case Opcode::resize:
      return i.fraction_bits == 0 ? 0 : elements(i.out) * 4;
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
  return std::visit([&](const auto& args) { return scratch_of(kernels, args); }, step);
}

void run_part(const Kernels& kernels, const Step& step, Part part) {
  std::visit([&](const auto& args) { call(kernels, args, part); }, step);
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
