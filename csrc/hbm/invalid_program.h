// The error that all code that reads a compiled program throws.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace horizon {

// A file that is not a program, or a program that must not run. The message of Program::open and
// Program::from_bytes names the file, the section or the instruction with its layer, what was
// found, what was expected, and the next step. The checks only know what was found and expected;
// Program adds the rest.
class InvalidProgram : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Concatenates numbers and texts.
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
