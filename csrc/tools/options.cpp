#include "tools/options.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "executor/cpus.h"
#include "executor/executor.h"

namespace horizon {
namespace {

// Letters to insert, delete, replace or swap with the next until one word is the other.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

std::string nearest(const std::string& key, const std::vector<std::string>& known) {
  constexpr std::size_t kAlike = 2, kLongest = 64;
  if (key.size() > kLongest) return "";
  for (const std::string& one : known) {
    if (distance(key, one) <= kAlike) return ", did you mean --" + one + "?";
  }
  return "";
}

}  // namespace

Options::Options(std::span<char* const> arguments, const std::vector<std::string>& known) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string argument = arguments[i];
    const std::size_t equals = argument.find('=');
    const bool dashes = argument.starts_with("--");
    const std::string name = argument.substr(0, equals);
    const std::string key = dashes ? name.substr(2) : std::string();
    if (!dashes || std::find(known.begin(), known.end(), key) == known.end()) {
      std::string list;
      for (const std::string& one : known) list += " --" + one;
      throw UsageError("unknown option " + argument + nearest(key, known) + "; expected one of" +
                       list);
    }
    std::string value;
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    }
    if (value.empty()) throw UsageError("option --" + key + " has no value; give one after it");
    if (!values_.emplace(key, value).second) {
      throw UsageError("option --" + key + " stands twice; leave one out");
    }
  }
}

std::optional<std::string> Options::text(const std::string& key) const {
  const auto it = values_.find(key);
  if (it == values_.end()) return std::nullopt;
  return it->second;
}

std::string Options::required(const std::string& key) const {
  if (const auto value = text(key)) return *value;
  throw UsageError("option --" + key + " is missing; --help shows how to call this command");
}

int Options::number(const std::string& key, int otherwise, int low, int high) const {
  const auto value = text(key);
  if (!value) return otherwise;
  int found = 0;
  const char* const end = value->data() + value->size();
  const auto [rest, error] = std::from_chars(value->data(), end, found);
  if (error != std::errc() || rest != end || found < low || found > high) {
    throw UsageError("option --" + key + ": found " + *value + ", expected a whole number from " +
                     std::to_string(low) + " to " + std::to_string(high));
  }
  return found;
}

int Options::cpus(const std::string& key, int otherwise) const {
  const int found = number(key, otherwise, 1, kMaxThreads);
  const int usable = usable_cpus();
  if (found <= usable) return found;
  std::fprintf(stderr, "hrt_model_exec: --%s %d: this process may use %d CPU%s; %d %s used\n",
               key.c_str(), found, usable, usable == 1 ? "" : "s", usable,
               usable == 1 ? "is" : "are");
  return usable;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  while (true) {
    const std::size_t comma = list.find(',', start);
    parts.push_back(list.substr(start, comma - start));
    if (comma == std::string::npos) return parts;
    start = comma + 1;
  }
}

}  // namespace horizon
