#include "hbm/check_tensor.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "hbm/invalid_program.h"

namespace horizon {
namespace {

void check_size(const TensorRecord& tensor) {
  std::uint64_t bytes = static_cast<std::uint64_t>(size_of(tensor.type));
  for (const std::uint32_t side : tensor.shape) {
    if (side == 0) refuse("a side of 0", "at least 1");
    if (__builtin_mul_overflow(bytes, side, &bytes) || bytes > kLargestMemory) {
      refuse("a tensor of too many elements", text_of("at most ", kLargestMemory, " bytes"));
    }
  }
}

void check_scales(const TensorRecord& tensor, std::span<const std::byte> constants) {
  const std::uint32_t count = tensor.scale_count, channels = channels_of(tensor);
  if (count != 1 && count != channels) {
    refuse(text_of(count, " scales"), text_of("1 or ", channels, ", one for each channel"));
  }
  const std::uint64_t bytes = std::uint64_t{count} * sizeof(double), place = tensor.scale_offset;
  if (place % alignof(double) != 0 || place > constants.size() ||
      bytes > constants.size() - place) {
    refuse(text_of("scales at ", place),
           text_of("a multiple of ", alignof(double), " and an end inside the ", constants.size(),
                   " bytes of constants"));
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    double scale;
    std::memcpy(&scale, constants.data() + place + i * sizeof(double), sizeof(double));
    if (!std::isfinite(scale) || scale <= 0) {
      refuse(text_of("scale ", scale), "a finite number above 0");
    }
  }
}

}  // namespace

void check_tensor(const TensorRecord& tensor, std::span<const std::byte> constants) {
  if (tensor.type > Type::uint8) {
    refuse(text_of("type ", static_cast<int>(tensor.type)), "0..3");
  }
  if (tensor.layout > Layout::nhwc) {
    refuse(text_of("layout ", static_cast<int>(tensor.layout)), "0 or 1");
  }
  if (tensor.zero0 != 0 || tensor.zero1 != 0) refuse("a reserved field that is not 0", "0");
  // A load subtracts 128 from uint8; nothing is subtracted from other types.
  const std::int32_t zero_point = tensor.type == Type::uint8 ? 128 : 0;
  if (tensor.zero_point != zero_point) {
    refuse(text_of("zero point ", tensor.zero_point), text_of(zero_point));
  }
  check_size(tensor);
  check_scales(tensor, constants);
}

}  // namespace horizon
