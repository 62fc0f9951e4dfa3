// How many CPUs this process may use: horizon/cpus.py says how they are counted.
#pragma once

#include <optional>
#include <string>

namespace horizon {

// Affinity, or the control groups' limit if that is less; the environment variable HORIZON_CPUS
// replaces both. At least 1. Throws std::invalid_argument if HORIZON_CPUS is no number from 1 to
// 1024.
int usable_cpus();

// The CPU time that this process's control groups allow, in CPUs; nothing without a limit. Files
// are looked up below `root`.
std::optional<double> cpu_quota(const std::string& root = "/");

}  // namespace horizon
