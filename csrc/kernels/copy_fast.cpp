// Copies: whole runs where elements are contiguous; images of a few planes 16 pixels at a time;
// otherwise one column of elements after the other.
#include "kernels/bytes.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

constexpr std::int64_t kPiece = 4096;  // elements of one pixel that one part copies at least
constexpr std::int64_t kPlanes = 8;

void copy_run(std::byte* out, const std::byte* in, std::int64_t bytes, std::byte flip) {
  if (flip == std::byte{0}) {
    __builtin_memcpy(out, in, static_cast<std::size_t>(bytes));
    return;
  }
  for (std::int64_t i = 0; i < bytes; ++i) out[i] = in[i] ^ flip;
}

// Pixels of many channels are shared among the parts in pieces: weights are one such pixel.
void copy_pixels(const CopyArgs& args, std::byte flip, const Part& part) {
  const std::int64_t size = args.out.stride[3], channels = args.out.shape[3];
  const std::int64_t width = args.out.shape[2], pixel_bytes = channels * size;
  if (channels <= kPiece) {
    const bool joined = args.out.stride[2] == pixel_bytes && args.in.stride[2] == pixel_bytes;
    for_each_run(
        args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
          const std::int64_t pixels = joined ? end - x : 1;
          for (; x < end; x += pixels) {
            copy_run(pixel(args.out, n, y, x), pixel(args.in, n, y, x), pixels * pixel_bytes, flip);
          }
        });
    return;
  }
  const std::int64_t pieces = (channels + kPiece - 1) / kPiece;
  const Range range = share(pixels_of(args.out) * pieces, part);
  for (std::int64_t at = range.begin; at < range.end; ++at) {
    const std::int64_t from = at % pieces * kPiece, x = at / pieces % width;
    const std::int64_t row = at / pieces / width;
    const std::int64_t n = row / args.out.shape[1], y = row % args.out.shape[1];
    const std::int64_t count = channels - from < kPiece ? channels - from : kPiece;
    copy_run(pixel(args.out, n, y, x) + from * size, pixel(args.in, n, y, x) + from * size,
             count * size, flip);
  }
}

template <class T>
void copy_columns(const Tensor& out, const Tensor& in, std::byte* to, const std::byte* from,
                  std::int64_t pixels, T flip) {
  for (std::int64_t c = 0; c < out.shape[3]; ++c) {
    std::byte* column = to + c * out.stride[3];
    const std::byte* source = from + c * in.stride[3];
    for (std::int64_t x = 0; x < pixels; ++x) {
      const T value = *reinterpret_cast<const T*>(source + x * in.stride[2]);
      *reinterpret_cast<T*>(column + x * out.stride[2]) = value ^ flip;
    }
  }
}

// Interleaves planes of bytes into contiguous pixels. Each pixel is stored as 8 bytes; the
// following pixels overwrite the surplus. Returns the number of pixels that are done.
std::int64_t interleave(std::int64_t channels, std::byte* out, const std::byte* in,
                        std::int64_t plane, std::int64_t pixels, std::byte flip) {
  const Bytes flips = Bytes{} + static_cast<std::uint8_t>(flip);
  std::int64_t x = 0;
  for (; pixels - x >= 16 + 8; x += 16) {
    Bytes rows[kPlanes];
    for (std::int64_t c = 0; c < kPlanes; ++c) {
      rows[c] = load_bytes(in + (c < channels ? c : 0) * plane + x) ^ flips;
    }
    transpose(rows);
    for (std::int64_t i = 0; i < 16; ++i) {
      __builtin_memcpy(out + (x + i) * channels,
                       reinterpret_cast<const std::byte*>(rows) + i * kPlanes, kPlanes);
    }
  }
  return x;
}

}  // namespace

void HORIZON_SET::copy(const CopyArgs& args, Part part) {
  const std::int64_t size = args.out.type == Type::int32 ? 4 : args.out.type == Type::int16 ? 2 : 1;
  const std::byte flip{static_cast<std::uint8_t>(
      args.in.type == Type::uint8 && args.out.type == Type::int8 ? 0x80 : 0)};
  if (args.in.stride[3] == size && args.out.stride[3] == size) {
    copy_pixels(args, flip, part);
    return;
  }
  const std::int64_t channels = args.out.shape[3];
  const bool planes = size == 1 && channels <= kPlanes && args.in.stride[2] == 1 &&
                      args.out.stride[3] == 1 && args.out.stride[2] == channels;
  for_each_run(args.out, part,
               [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                 std::byte* to = pixel(args.out, n, y, x);
                 const std::byte* from = pixel(args.in, n, y, x);
                 if (planes) {
                   const std::int64_t done =
                       interleave(channels, to, from, args.in.stride[3], end - x, flip);
                   x += done;
                   to += done * args.out.stride[2];
                   from += done;
                 }
                 if (size == 4) {
                   copy_columns<std::uint32_t>(args.out, args.in, to, from, end - x, 0);
                 } else if (size == 2) {
                   copy_columns<std::uint16_t>(args.out, args.in, to, from, end - x, 0);
                 } else {
                   copy_columns<std::uint8_t>(args.out, args.in, to, from, end - x,
                                              static_cast<std::uint8_t>(flip));
                 }
               });
}

}  // namespace horizon
