#include "tools/array_file.h"

#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "executor/names.h"
#include "tools/options.h"
#include "tools/own_file.h"

namespace horizon {
namespace {

// Format version 1.0 of "NEP 1: a simple file format for NumPy arrays".
constexpr char kNpyMagic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
constexpr std::size_t kNpyPrefix = 10;  // magic, version, uint16 length of the header

const char* npy_type(Type type) {
  switch (type) {
    case Type::int8:
      return "'|i1'";
    case Type::int16:
      return "'<i2'";
    case Type::int32:
      return "'<i4'";
    case Type::uint8:
      return "'|u1'";
  }
  return "";
}

// The dictionary as numpy writes it, without the padding behind it.
std::string npy_dictionary(const TensorRecord& tensor) {
  return std::string("{'descr': ") + npy_type(tensor.type) +
         ", 'fortran_order': False, 'shape': " + shape_text(tensor) + ", }";
}

bool is_npy(const std::string& path) { return path.ends_with(".npy"); }

// Recognises JPEG, PNG, PPM, GIF, BMP and WebP by their first bytes.
bool is_picture(const std::string& path) {
  char begin[12] = {};
  std::ifstream(path, std::ios::binary).read(begin, sizeof begin);
  const std::string_view text(begin, sizeof begin);
  std::string name = path;
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (text.starts_with("RIFF") && text.substr(8) == "WEBP") return true;
  for (const char* magic : {"\xff\xd8\xff", "\x89PNG", "GIF8"}) {
    if (text.starts_with(magic)) return true;
  }
  for (const char* end : {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp", ".gif"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

std::string expectation(const TensorRecord& tensor) {
  return std::string(name_of(tensor.type)) + " " + shape_text(tensor) + " " +
         name_of(tensor.layout);
}

// The offset of the data in a .npy file that holds an array of this tensor's type and shape.
std::size_t npy_data_offset(const std::string& path, const Bytes& file,
                            const TensorRecord& tensor) {
  const char* const text = reinterpret_cast<const char*>(file.data());
  if (file.size() < kNpyPrefix || std::memcmp(text, kNpyMagic, sizeof kNpyMagic) != 0 ||
      text[6] != 1) {
    throw UsageError(path + ": no .npy file of version 1.0; write it with numpy.save");
  }
  const std::size_t length =
      static_cast<unsigned char>(text[8]) + std::size_t{256} * static_cast<unsigned char>(text[9]);
  if (file.size() < kNpyPrefix + length) throw UsageError(path + ": the header is cut off");
  std::string header(text + kNpyPrefix, length);
  header.erase(header.find_last_not_of(" \n") + 1);
  if (header != npy_dictionary(tensor)) {
    throw UsageError(path + ": found " + header + ", expected " + npy_dictionary(tensor) +
                     "; save a C-contiguous array of the input's type and shape");
  }
  return kNpyPrefix + length;
}

}  // namespace

Bytes read_array(const std::string& path, const TensorRecord& tensor) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = stream ? static_cast<std::streamoff>(stream.tellg()) : -1;
  const std::uint64_t expected = bytes_of(tensor);
  constexpr std::uint64_t kLongestHeader = kNpyPrefix + 65535;
  if (size < 0 || std::filesystem::is_directory(path)) {
    throw UsageError(path + ": cannot be read; give an existing file as --input_file");
  }
  const auto found = static_cast<std::uint64_t>(size);
  if (is_picture(path)) {
    throw UsageError(path + ": a picture; expected the input's values, " + expectation(tensor) +
                     ", as " + std::to_string(expected) +
                     " bytes of raw data or as a .npy file. 'hat infer --model FILE.hbm' takes "
                     "pictures; BoardProgram.prepare (hat.deploy) makes the array of two of them, "
                     "and numpy.save writes it");
  }
  if (is_npy(path) ? found > expected + kLongestHeader : found != expected) {
    throw UsageError(path + ": found " + std::to_string(found) + " bytes, expected " +
                     std::to_string(expected) + ", " + expectation(tensor) +
                     "; give the input's raw data, or a .npy file");
  }
  Bytes file(found);
  stream.seekg(0);
  stream.read(reinterpret_cast<char*>(file.data()), size);
  if (!stream) throw UsageError(path + ": reading failed; check the file");
  if (is_npy(path)) {
    file.erase(file.begin(),
               file.begin() + static_cast<std::ptrdiff_t>(npy_data_offset(path, file, tensor)));
    if (file.size() != expected) {
      throw UsageError(path + ": found " + std::to_string(file.size()) +
                       " bytes of data, expected " + std::to_string(expected) +
                       "; the file is cut off, save it again");
    }
  }
  return file;
}

void check_array_file(const std::string& path, const TensorRecord& tensor) {
  if (is_npy(path)) {
    check_replaceable(path, {kNpyMagic, sizeof kNpyMagic});
  } else {
    check_replaceable(path, {}, bytes_of(tensor));
  }
}

void write_array(const std::string& path, const TensorRecord& tensor, const Bytes& data) {
  std::string content;
  if (is_npy(path)) {
    std::string header = npy_dictionary(tensor);
    header.append(kAlignment - (kNpyPrefix + header.size() + 1) % kAlignment, ' ');
    header += '\n';
    const char rest[] = {1, 0, static_cast<char>(header.size() % 256),
                         static_cast<char>(header.size() / 256)};
    content.append(kNpyMagic, sizeof kNpyMagic).append(rest, sizeof rest).append(header);
  }
  content.append(reinterpret_cast<const char*>(data.data()), data.size());
  write_whole(path, content);
}

std::vector<Bytes> read_inputs(const std::string& list, const Program& program) {
  const std::vector<std::string> paths = split(list);
  const auto tensors = program.inputs();
  if (paths.size() != tensors.size()) {
    throw UsageError("--input_file: found " + std::to_string(paths.size()) + " files, expected " +
                     std::to_string(tensors.size()) + ", one for each input, between commas");
  }
  std::vector<Bytes> inputs;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    inputs.push_back(read_array(paths[i], tensors[i]));
  }
  return inputs;
}

}  // namespace horizon
