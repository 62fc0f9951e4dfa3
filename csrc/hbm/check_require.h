// Conditions on views and fields that the checks of several operators share.
#pragma once

#include <cstdint>

#include "hbm/check_view.h"
#include "hbm/format.h"
#include "hbm/invalid_program.h"

namespace horizon {

inline bool is_narrow(Type type) { return type == Type::int8 || type == Type::int16; }

inline void require_narrow(const View& view, const char* name) {
  if (!is_narrow(view.type)) refuse(text_of(name, ": ", name_of(view.type)), "int8 or int16");
}

inline void require_signed(const View& view, const char* name) {
  if (view.type == Type::uint8) refuse(text_of(name, ": uint8"), "int8, int16 or int32");
}

inline void require_shape(const View& view, const char* name, std::uint64_t n, std::uint64_t h,
                          std::uint64_t w, std::uint64_t c) {
  if (view.shape[0] != n || view.shape[1] != h || view.shape[2] != w || view.shape[3] != c) {
    refuse(text_of(name, ": shape ", shape_of(view)), text_of(n, "x", h, "x", w, "x", c));
  }
}

inline void require_shape(const View& view, const char* name, const View& like) {
  require_shape(view, name, like.shape[0], like.shape[1], like.shape[2], like.shape[3]);
}

inline void require_range(const std::int32_t (&pair)[2], const char* name, std::int32_t low,
                          std::int32_t high) {
  for (const std::int32_t value : pair) {
    if (value < low || value > high) {
      refuse(text_of(name, " ", value), text_of(low, "..", high));
    }
  }
}

inline void check_sides(const View& view, const char* name) {
  for (const std::uint32_t side : view.shape) {
    if (side > kLargestSide) {
      refuse(text_of(name, ": shape ", shape_of(view)), text_of("sides of at most ", kLargestSide));
    }
  }
}

}  // namespace horizon
