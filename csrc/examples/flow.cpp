// Optical flow of two pictures with the C API.
//
//   g++ -std=c++20 flow.cpp -I INCLUDE -L LIB -lhorizon_runtime -Wl,-rpath,LIB -o flow
//   ./flow model.hbm first.ppm second.ppm flow.flo
//
// The pictures are binary PPM (P6) of the program's size. The flow has a quarter of their height
// and width and is in pixels of the pictures. INCLUDE and LIB: c_include_directory() and the
// directory of c_library() in horizon.runtime.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "horizon_runtime.h"

namespace {

struct Picture {
  std::uint32_t width = 0, height = 0;
  std::vector<unsigned char> rgb;
};

Picture read_ppm(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string magic;
  Picture picture;
  int greatest = 0;
  stream >> magic >> picture.width >> picture.height >> greatest;
  stream.get();  // the one white space before the data
  if (!stream || magic != "P6" || greatest != 255) {
    throw std::runtime_error(path + ": no binary PPM of 8 bits; convert the picture");
  }
  picture.rgb.assign(std::istreambuf_iterator<char>(stream), {});
  if (picture.rgb.size() != std::size_t{3} * picture.width * picture.height) {
    throw std::runtime_error(path + ": the data is cut off, or there is more than one picture");
  }
  return picture;
}

unsigned char clamp(int value) { return static_cast<unsigned char>(std::clamp(value, 0, 255)); }

// YUV444, BT.601 full range, in the integers that the network was validated with: planes Y, U, V.
void append_yuv(const Picture& picture, std::vector<unsigned char>& planes) {
  const std::size_t count = picture.rgb.size() / 3;
  const std::size_t start = planes.size();
  planes.resize(start + 3 * count);
  unsigned char* const y = planes.data() + start;
  for (std::size_t i = 0; i < count; ++i) {
    const int r = picture.rgb[3 * i], g = picture.rgb[3 * i + 1], b = picture.rgb[3 * i + 2];
    y[i] = clamp((77 * r + 150 * g + 29 * b + 128) >> 8);
    y[i + count] = clamp(((-43 * r - 85 * g + 128 * b + 128) >> 8) + 128);
    y[i + 2 * count] = clamp(((128 * r - 107 * g - 21 * b + 128) >> 8) + 128);
  }
}

void check(hrt_status status) {
  if (status != HRT_OK) throw std::runtime_error(hrt_last_error());
}

struct Close {
  void operator()(hrt_model* model) const { hrt_model_close(model); }
  void operator()(hrt_session* session) const { hrt_session_close(session); }
};

// The .flo format of the Middlebury benchmark: "PIEH", width, height, (u, v) pairs of float32.
void write_flo(const std::string& path, std::uint32_t width, std::uint32_t height,
               const std::vector<float>& flow) {
  std::ofstream stream(path, std::ios::binary);
  stream.write("PIEH", 4);
  stream.write(reinterpret_cast<const char*>(&width), 4);
  stream.write(reinterpret_cast<const char*>(&height), 4);
  stream.write(reinterpret_cast<const char*>(flow.data()),
               static_cast<std::streamsize>(flow.size() * sizeof(float)));
  if (!stream.flush()) throw std::runtime_error(path + ": cannot be written");
}

void run(const std::string& model_path, const std::string& first, const std::string& second,
         const std::string& flow_path) {
  hrt_model* opened = nullptr;
  check(hrt_model_open(model_path.c_str(), &opened));
  const std::unique_ptr<hrt_model, Close> model(opened);
  hrt_tensor image, result;
  check(hrt_model_input(model.get(), 0, &image));
  check(hrt_model_output(model.get(), 0, &result));
  if (image.layout != HRT_NCHW || image.shape[1] != 6 || result.layout != HRT_NCHW ||
      result.shape[1] != 2 || result.type != HRT_INT32) {
    throw std::runtime_error(model_path + ": not from two images to their optical flow");
  }

  std::vector<unsigned char> planes;
  for (const std::string& path : {first, second}) {
    const Picture picture = read_ppm(path);
    if (picture.height != image.shape[2] || picture.width != image.shape[3]) {
      std::ostringstream message;
      message << path << ": found " << picture.width << " x " << picture.height << ", expected "
              << image.shape[3] << " x " << image.shape[2]
              << "; resize it, or compile for its size";
      throw std::runtime_error(message.str());
    }
    append_yuv(picture, planes);
  }
  if (image.type == HRT_INT8) {
    for (unsigned char& value : planes) value ^= 0x80;  // subtracts 128
  }

  hrt_session* created = nullptr;
  check(hrt_session_create(model.get(), 0, &created));
  const std::unique_ptr<hrt_session, Close> session(created);
  std::vector<std::int32_t> integers(result.bytes / sizeof(std::int32_t));
  const hrt_input in{planes.data(), planes.size()};
  const hrt_output out{integers.data(), result.bytes};
  check(hrt_session_run(session.get(), &in, 1, &out, 1));

  const std::uint32_t height = result.shape[2], width = result.shape[3];
  const std::size_t count = std::size_t{height} * width;
  std::vector<float> flow(2 * count);
  double sum[2] = {0, 0};
  for (std::size_t channel = 0; channel < 2; ++channel) {
    const double scale = result.scales[result.scale_count == 1 ? 0 : channel];
    for (std::size_t i = 0; i < count; ++i) {
      const double value = integers[channel * count + i] * scale;
      flow[2 * i + channel] = static_cast<float>(value);
      sum[channel] += value;
    }
  }
  write_flo(flow_path, width, height, flow);
  std::cout << "mean flow: u " << sum[0] / static_cast<double>(count) << ", v "
            << sum[1] / static_cast<double>(count) << " pixels\n";
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    std::cerr << "usage: flow MODEL.hbm FIRST.ppm SECOND.ppm FLOW.flo\n";
    return 2;
  }
  try {
    run(arguments[1], arguments[2], arguments[3], arguments[4]);
  } catch (const std::exception& error) {
    std::cerr << "flow: " << error.what() << "\n";
    return 2;
  }
  return 0;
}
