// Files that this program writes: whole or not at all, and over nobody else's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace horizon {

// Makes the directory, with its parents. Throws UsageError if it cannot.
void make_directory(const std::string& path);

// Throws UsageError if something is at `path` that an earlier run has not written: anything but a
// file that begins with `start` and, where one is given, has this size in bytes.
void check_replaceable(const std::string& path, std::string_view start,
                       std::optional<std::uint64_t> size = std::nullopt);

// Writes beside `path` first. Throws UsageError, and leaves nothing, if that fails.
void write_whole(const std::string& path, std::string_view content);

}  // namespace horizon
