#include "images/planes.h"

#include <algorithm>
#include <cstring>

#include "images/for_avx2.h"

namespace horizon::images {
namespace {

constexpr std::size_t kBlock = 64;  // pixels that are converted together

// (sum + 128) >> 8 of a sum to which 32768 has been added, and 255 where that is 256: the sum plus
// 128 would not fit into 16 bits.
std::uint8_t rounded(std::uint16_t sum) {
  const std::uint16_t value = (sum >> 8) + ((sum >> 7) & 1);
  return static_cast<std::uint8_t>(value > 255 ? 255 : value);
}

HORIZON_BODY convert_block_body(const std::uint8_t* pixels, std::size_t count, bool bgr,
                                std::uint8_t* y, std::uint8_t* u, std::uint8_t* v) {
  std::uint16_t first[kBlock], green[kBlock], last[kBlock];
  for (std::size_t i = 0; i < count; ++i) {
    first[i] = pixels[3 * i];
    green[i] = pixels[3 * i + 1];
    last[i] = pixels[3 * i + 2];
  }
  const std::uint16_t* red = bgr ? last : first;
  const std::uint16_t* blue = bgr ? first : last;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t r = red[i], g = green[i], b = blue[i];
    y[i] =
        static_cast<std::uint8_t>(static_cast<std::uint16_t>(77 * r + 150 * g + 29 * b + 128) >> 8);
    u[i] = rounded(static_cast<std::uint16_t>(32768 - 43 * r - 85 * g + 128 * b));
    v[i] = rounded(static_cast<std::uint16_t>(32768 + 128 * r - 107 * g - 21 * b));
  }
}
HORIZON_FOR_AVX2(convert_block,
                 (const std::uint8_t* pixels, std::size_t count, bool bgr, std::uint8_t* y,
                  std::uint8_t* u, std::uint8_t* v),
                 (pixels, count, bgr, y, u, v))

}  // namespace

void fill_planes(const std::uint8_t* picture, std::size_t height, std::size_t width, bool bgr,
                 const Planes& planes) {
  const std::size_t area = planes.height * planes.width;
  for (std::size_t row = 0; row < height; ++row) {
    std::uint8_t* const line = planes.data + row * planes.width;
    const std::uint8_t* const pixels = picture + 3 * row * width;
    for (std::size_t x = 0; x < width; x += kBlock) {
      convert_block(pixels + 3 * x, std::min(kBlock, width - x), bgr, line + x, line + area + x,
                    line + 2 * area + x);
    }
    for (int plane = 0; plane < 3; ++plane) {
      std::uint8_t* const end = line + plane * area + width;
      std::memset(end, end[-1], planes.width - width);
    }
  }
  for (int plane = 0; plane < 3; ++plane) {
    const std::uint8_t* const last = planes.data + plane * area + (height - 1) * planes.width;
    for (std::size_t row = height; row < planes.height; ++row) {
      std::memcpy(planes.data + plane * area + row * planes.width, last, planes.width);
    }
  }
}

}  // namespace horizon::images
