// A program and the sessions that run it, for many Python threads at once.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "executor/executor.h"
#include "executor/idle.h"
#include "hbm/program.h"

namespace horizon {

using Input = nanobind::ndarray<nanobind::ro, nanobind::c_contig, nanobind::device::cpu>;
using Output = nanobind::ndarray<nanobind::c_contig, nanobind::device::cpu>;

struct Measured {
  Counters counters;
  std::vector<std::uint64_t> nanoseconds;  // of each instruction
};

class Model {
 public:
  Model(Program program, int threads);

  const Program& program() const { return program_; }
  int threads() const { return threads_; }

  // C-contiguous arrays in the program's order, of exactly the tensors' bytes;
  // std::invalid_argument otherwise. Runs without the interpreter's lock, in a session of its own
  // if all are busy.
  Measured run(const std::vector<Input>& inputs, const std::vector<Output>& outputs, bool profile);

 private:
  Idle<Session>::Loan session();

  Program program_;
  int threads_;
  Idle<Session> sessions_;
};

}  // namespace horizon
