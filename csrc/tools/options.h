// Command line options as `--key value` or `--key=value`.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace horizon {

// The user's mistake: the message says what was found, what was expected and the next step.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Options {
 public:
  // Throws UsageError for a key that is not among `known` or occurs twice.
  Options(std::span<char* const> arguments, const std::vector<std::string>& known);

  std::optional<std::string> text(const std::string& key) const;
  std::string required(const std::string& key) const;
  // The value as a whole number in low..high.
  int number(const std::string& key, int otherwise, int low, int high) const;
  // The value as a number of threads, 1..kMaxThreads. A number above the CPUs that this process may
  // use is reduced to theirs, with a message on standard error.
  int cpus(const std::string& key, int otherwise) const;

 private:
  std::map<std::string, std::string> values_;
};

// Splits a text at commas.
std::vector<std::string> split(const std::string& list);

}  // namespace horizon
