// Well-formed UTF-8, as table 3-7 of the Unicode standard defines it.
#pragma once

#include <string_view>

namespace horizon {

// False for overlong forms, surrogates, and code points above U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace horizon
