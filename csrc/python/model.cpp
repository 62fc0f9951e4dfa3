#include "python/model.h"

#include <stdexcept>
#include <utility>

namespace horizon {
namespace {

template <class Pointer, class Array>
std::vector<Pointer> pointers(const std::vector<Array>& arrays,
                              std::span<const TensorRecord> tensors, const std::string& what) {
  if (arrays.size() != tensors.size()) {
    throw std::invalid_argument(what + "s: found " + std::to_string(arrays.size()) +
                                " arrays, expected " + std::to_string(tensors.size()));
  }
  std::vector<Pointer> found;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (arrays[i].nbytes() != bytes_of(tensors[i])) {
      throw std::invalid_argument(what + " " + std::to_string(i) + ": found " +
                                  std::to_string(arrays[i].nbytes()) + " bytes, expected " +
                                  std::to_string(bytes_of(tensors[i])));
    }
    found.push_back(arrays[i].data());
  }
  return found;
}

}  // namespace

Model::Model(Program program, int threads)
    : program_(std::move(program)), threads_(checked_threads(threads)) {
  session();  // fails now, not at the first run, if memory is short
}

Idle<Session>::Loan Model::session() {
  return sessions_.borrow([](const Session&) { return true; },
                          [&] { return std::make_unique<Session>(program_, threads_); });
}

Measured Model::run(const std::vector<Input>& inputs, const std::vector<Output>& outputs,
                    bool profile) {
  const auto in = pointers<const void*>(inputs, program_.inputs(), "input");
  const auto out = pointers<void*>(outputs, program_.outputs(), "output");
  const nanobind::gil_scoped_release release;
  const auto own = session();
  own->profile(profile);
  own->run(in, out);
  const auto times = own->instruction_nanoseconds();
  return Measured{own->counters(), {times.begin(), times.end()}};
}

}  // namespace horizon
