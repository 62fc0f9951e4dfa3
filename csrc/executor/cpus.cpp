#include "executor/cpus.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

namespace horizon {
namespace {

constexpr int kMost = 1024;

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> split_at(const std::string& text, char separator) {
  std::vector<std::string> parts{""};
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

bool has_cpu(const std::string& names) {
  const auto parts = split_at(names, ',');
  return std::find(parts.begin(), parts.end(), "cpu") != parts.end();
}

// mountinfo writes spaces and the like as three octal digits.
std::string unescaped(const std::string& path) {
  const auto octal = [&](std::size_t i) { return path[i] >= '0' && path[i] <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' && i + 3 < path.size() && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      plain += static_cast<char>((path[i + 1] - '0') * 64 + (path[i + 2] - '0') * 8 +
                                 (path[i + 3] - '0'));
      i += 3;
    } else {
      plain += path[i];
    }
  }
  return plain;
}

// 0 if the text is not a whole number.
long long whole(const std::string& text) {
  if (text.empty() || text.size() > 18) return 0;
  long long value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return 0;
    value = value * 10 + (c - '0');
  }
  return value;
}

std::string first_line(const std::string& path) {
  const auto lines = lines_of(path);
  return lines.empty() ? "" : lines[0];
}

std::optional<double> ratio(const std::string& quota, const std::string& period) {
  const long long a = whole(quota), b = whole(period);
  if (a == 0 || b == 0) return std::nullopt;  // no limit: "max", -1
  return static_cast<double>(a) / static_cast<double>(b);
}

std::optional<double> quota_of(const std::string& folder, int version) {
  if (version == 2) {
    const auto words = split_at(first_line(folder + "/cpu.max"), ' ');
    return words.size() == 2 ? ratio(words[0], words[1]) : std::nullopt;
  }
  return ratio(first_line(folder + "/cpu.cfs_quota_us"), first_line(folder + "/cpu.cfs_period_us"));
}

// The part of a group's path below the root of a mount. In a container, that root may be the group
// itself.
std::string inside(const std::string& group, const std::string& top) {
  if (top == "/") return group;
  if (group == top) return "";
  return group.compare(0, top.size() + 1, top + "/") == 0 ? group.substr(top.size()) : "";
}

}  // namespace

std::optional<double> cpu_quota(const std::string& root) {
  std::map<int, std::string> groups;  // of this process, by version
  for (const std::string& line : lines_of(root + "/proc/self/cgroup")) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controllers.empty() && line.compare(0, first, "0") == 0) {
      groups[2] = line.substr(second + 1);
    } else if (has_cpu(controllers)) {
      groups[1] = line.substr(second + 1);
    }
  }
  std::optional<double> least;
  for (const std::string& line : lines_of(root + "/proc/self/mountinfo")) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto before = split_at(line.substr(0, dash), ' ');
    const auto after = split_at(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const int version = after[0] == "cgroup2"                       ? 2
                        : after[0] == "cgroup" && has_cpu(after[2]) ? 1
                                                                    : 0;
    if (!groups.contains(version)) continue;
    std::string folder = root + unescaped(before[4]);
    const auto look = [&] {
      const auto quota = quota_of(folder, version);
      if (quota) least = least ? std::min(*least, *quota) : *quota;
    };
    look();
    for (const std::string& name : split_at(inside(groups[version], unescaped(before[3])), '/')) {
      if (name.empty() || name == "." || name == "..") continue;
      folder += "/" + name;
      look();
    }
  }
  return least;
}

int usable_cpus() {
  const char* const forced = std::getenv("HORIZON_CPUS");
  if (forced != nullptr && *forced != '\0') {
    const long long count = std::string_view(forced).size() > 4 ? 0 : whole(forced);
    if (count < 1 || count > kMost) {
      throw std::invalid_argument(std::string("HORIZON_CPUS: found ") + forced +
                                  ", expected a whole number from 1 to " + std::to_string(kMost) +
                                  "; unset it to count the CPUs that the system allows");
    }
    return static_cast<int>(count);
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = sched_getaffinity(0, sizeof set, &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(std::thread::hardware_concurrency());
  static const std::optional<double> quota = cpu_quota();  // reading it costs a dozen files
  if (quota && *quota < count) {
    count = static_cast<int>(std::ceil(*quota));
  }
  return std::max(1, count);
}

}  // namespace horizon
