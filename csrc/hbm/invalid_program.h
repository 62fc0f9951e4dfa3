// The error of everything that reads a compiled program.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace horizon {

// A file that is no program, or not one that may run. The message of Program::open and
// Program::from_bytes names the file, the section or the instruction and its layer, what was found,
// what was expected, and the next step. The checks below them only know what was found and
// expected; Program puts the rest around it.
class InvalidProgram : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Numbers and texts in a row.
template <typename... Values>
std::string text_of(const Values&... values) {
  std::ostringstream stream;
  (stream << ... << values);
  return stream.str();
}

[[noreturn]] inline void refuse(const std::string& found, const std::string& expected) {
  throw InvalidProgram(found + "; expected " + expected);
}

}  // namespace horizon
