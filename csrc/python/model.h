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

  // Takes C-contiguous arrays in the program's order, of exactly the tensors' bytes; otherwise
  // throws std::invalid_argument. Runs without the interpreter's lock, in an idle session or else a
  // new one.
  Measured run(const std::vector<Input>& inputs, const std::vector<Output>& outputs, bool profile);

 private:
  Idle<Session>::Loan session();

  Program program_;
  int threads_;
  Idle<Session> sessions_;
};

}  // namespace horizon
