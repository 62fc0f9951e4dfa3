#include "tools/options.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "executor/cpus.h"
#include "executor/executor.h"

namespace horizon {

Options::Options(std::span<char* const> arguments, const std::vector<std::string>& known) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string argument = arguments[i];
    const std::size_t equals = argument.find('=');
    const bool dashes = argument.starts_with("--");
    const std::string name = argument.substr(0, equals);
    const std::string key = dashes ? name.substr(2) : std::string();
    if (!dashes || std::find(known.begin(), known.end(), key) == known.end()) {
      std::string list;
      for (const std::string& name : known) list += " --" + name;
      throw UsageError("unknown option " + argument + "; expected one of" + list);
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
