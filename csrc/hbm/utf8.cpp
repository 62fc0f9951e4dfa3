#include "hbm/utf8.h"

#include <cstddef>

namespace horizon {
namespace {

// The number of bytes after the first one, and the range of the second byte. All further bytes are
// in 80..BF.
struct Form {
  std::size_t following;
  unsigned char low, high;
};

bool form_of(unsigned char first, Form& form) {
  if (first >= 0xC2 && first <= 0xDF) {
    form = {1, 0x80, 0xBF};
  } else if (first >= 0xE0 && first <= 0xEF) {
    form = {2, static_cast<unsigned char>(first == 0xE0 ? 0xA0 : 0x80),
            static_cast<unsigned char>(first == 0xED ? 0x9F : 0xBF)};
  } else if (first >= 0xF0 && first <= 0xF4) {
    form = {3, static_cast<unsigned char>(first == 0xF0 ? 0x90 : 0x80),
            static_cast<unsigned char>(first == 0xF4 ? 0x8F : 0xBF)};
  } else {
    return false;
  }
  return true;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t place = 0; place < text.size(); ++place) {
    const auto first = static_cast<unsigned char>(text[place]);
    if (first < 0x80) continue;
    Form form;
    if (!form_of(first, form) || form.following >= text.size() - place) return false;
    for (std::size_t step = 1; step <= form.following; ++step) {
      const auto byte = static_cast<unsigned char>(text[place + step]);
      const unsigned char low = step == 1 ? form.low : 0x80;
      const unsigned char high = step == 1 ? form.high : 0xBF;
      if (byte < low || byte > high) return false;
    }
    place += form.following;
  }
  return true;
}

}  // namespace horizon
