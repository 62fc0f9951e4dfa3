#include "tools/own_file.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tools/options.h"

namespace horizon {
namespace {

bool begins_with(const std::string& path, std::string_view start) {
  std::string begin(start.size(), '\0');
  std::ifstream stream(path, std::ios::binary);
  stream.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return stream && begin == start;
}

}  // namespace

void make_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!std::filesystem::is_directory(path, error)) {
    throw UsageError(path + ": cannot be made; choose a directory that you may write");
  }
}

void check_replaceable(const std::string& path, std::string_view start,
                       std::optional<std::uint64_t> size) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, error);
  if (!std::filesystem::exists(status)) return;
  const bool own = std::filesystem::is_regular_file(status) &&
                   (!size || std::filesystem::file_size(path, error) == *size) &&
                   begins_with(path, start);
  if (!own) {
    throw UsageError(path +
                     ": exists and is not what this program writes there; choose another "
                     "directory, or move it away");
  }
}

void write_whole(const std::string& path, std::string_view content) {
  const std::string partial = path + "." + std::to_string(getpid()) + ".partial";
  std::ofstream stream(partial, std::ios::binary | std::ios::trunc);
  stream.write(content.data(), static_cast<std::streamsize>(content.size()));
  stream.close();
  std::error_code error;
  if (stream) std::filesystem::rename(partial, path, error);
  if (!stream || error) {
    std::filesystem::remove(partial, error);
    throw UsageError(path + ": cannot be written; check the directory and its space");
  }
}

}  // namespace horizon
