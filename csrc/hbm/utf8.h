// Well-formed UTF-8, as the Unicode standard has it in its table 3-7.
#pragma once

#include <string_view>

namespace horizon {

// Refused are overlong forms, surrogates, and code points above U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace horizon
