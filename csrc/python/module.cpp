// The extension module horizon._native. It raises horizon.errors.InputError, MemoryError or a plain
// Python error; horizon/runtime adds the context for the user.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <span>
#include <system_error>

#include "executor/cpus.h"
#include "executor/executor.h"
#include "executor/names.h"
#include "python/images.h"
#include "python/model.h"
#include "python/run_instruction.h"
#ifdef HORIZON_TRAINING
#include "python/training.h"
#endif

namespace nb = nanobind;
using namespace nb::literals;

namespace horizon {
namespace {

// [(name, type, layout, shape, scales, zero point)]
nb::list describe(const Program& program, std::span<const TensorRecord> tensors) {
  nb::list list;
  for (const TensorRecord& tensor : tensors) {
    nb::list scales;
    for (const double scale : program.scales(tensor)) scales.append(scale);
    const std::string_view name = program.text(tensor.name);
    list.append(nb::make_tuple(
        nb::str(name.data(), name.size()), name_of(tensor.type), name_of(tensor.layout),
        nb::make_tuple(tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3]),
        nb::tuple(scales), tensor.zero_point));
  }
  return list;
}

std::span<const std::byte> span_of(const nb::bytes& bytes) {
  return {static_cast<const std::byte*>(bytes.data()), bytes.size()};
}

nb::str str_of(std::string_view text) { return nb::str(text.data(), text.size()); }

// The names of the kernel sets, scalar first.
std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernels* set : available_kernels()) names.emplace(names.begin(), set->name);
  return names;
}

void translate(const std::exception_ptr& error, void*) {
  try {
    std::rethrow_exception(error);
  } catch (const OutOfMemory& e) {
    PyErr_SetString(PyExc_MemoryError, e.what());
  } catch (const std::system_error& e) {
    PyErr_SetString(PyExc_OSError, e.what());
  }
}

}  // namespace
}  // namespace horizon

NB_MODULE(_native, m) {
  using namespace horizon;
  nb::exception<InvalidProgram>(m, "InvalidProgram",
                                nb::module_::import_("horizon.errors").attr("InputError"));
  nb::register_exception_translator(translate);

  m.def(
      "check_program",
      [](const nb::bytes& bytes) {
        const std::span<const std::byte> data = span_of(bytes);
        const nb::gil_scoped_release release;
        Program::from_bytes(data);
      },
      "data"_a);

  nb::class_<Model>(m, "Model")
      .def_static(
          "open",
          [](const std::string& path, int threads) {
            return new Model(Program::open(path), threads);
          },
          "path"_a, "threads"_a, nb::call_guard<nb::gil_scoped_release>())
      .def_static(
          "from_bytes",
          [](const nb::bytes& bytes, int threads) {
            const std::span<const std::byte> data = span_of(bytes);
            const nb::gil_scoped_release release;
            return new Model(Program::from_bytes(data), threads);
          },
          "data"_a, "threads"_a)
      .def(
          "run",
          [](Model& model, const std::vector<Input>& inputs, const std::vector<Output>& outputs,
             bool profile) {
            const Measured measured = model.run(inputs, outputs, profile);
            const Counters& counters = measured.counters;
            return nb::make_tuple(counters.load_bytes, counters.store_bytes, counters.nanoseconds,
                                  nb::cast(measured.nanoseconds));
          },
          "inputs"_a, "outputs"_a, "profile"_a)
      .def_prop_ro(
          "name",
          [](const Model& m) { return str_of(m.program().text(m.program().record().name)); })
      .def_prop_ro(
          "march",
          [](const Model& m) { return str_of(m.program().text(m.program().record().march)); })
      .def_prop_ro("opt", [](const Model& m) { return m.program().record().opt; })
      .def_prop_ro("size_multiple",
                   [](const Model& m) { return m.program().record().size_multiple; })
      .def_prop_ro("arena_bytes", [](const Model& m) { return m.program().arena_bytes(); })
      .def_prop_ro("constant_bytes", [](const Model& m) { return m.program().constants().size(); })
      .def_prop_ro("threads", &Model::threads)
      .def_prop_ro("inputs",
                   [](const Model& m) { return describe(m.program(), m.program().inputs()); })
      .def_prop_ro("outputs",
                   [](const Model& m) { return describe(m.program(), m.program().outputs()); })
      .def_prop_ro("layers", [](const Model& m) {
        nb::list layers;
        for (const auto& i : m.program().instructions()) {
          layers.append(str_of(m.program().text(i.layer)));
        }
        return layers;
      });
  m.def("run_instruction", &run_instruction, "record"_a, "out"_a, "a"_a, "b"_a.none(),
        "weight"_a.none(), "table"_a, "threads"_a);
  m.def("kernels_name", [] { return chosen_kernels().name; });
  m.def("available_kernels", &kernel_names);
  m.def("usable_cpus", &usable_cpus);
  m.def("cpu_quota", &cpu_quota, "root"_a);
  define_images(m);
#ifdef HORIZON_TRAINING
  define_training(m);
#endif
}
