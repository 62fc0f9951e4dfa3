// The C API: horizon_runtime.h in terms of Program and Session. No exception leaves it.
#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "executor/executor.h"
#include "hbm/program.h"
#include "include/horizon_runtime.h"

using horizon::Program;
using horizon::Session;

struct hrt_model {
  std::shared_ptr<const Program> program;
};

struct hrt_session {
  hrt_session(std::shared_ptr<const Program> shared, int threads)
      : program(std::move(shared)),
        session(*program, threads),
        inputs(program->inputs().size()),
        outputs(program->outputs().size()) {}

  std::shared_ptr<const Program> program;
  Session session;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  std::atomic_flag running;
};

namespace {

thread_local std::string last_error;

hrt_status fail(hrt_status status, const char* message) noexcept {
  try {
    last_error = message;
  } catch (const std::bad_alloc&) {
    last_error.clear();
  }
  return status;
}

// Runs `body`. Its exceptions become a status and the calling thread's last error.
template <class Body>
hrt_status guarded(Body body) noexcept {
  try {
    return body();
  } catch (const horizon::InvalidProgram& error) {
    return fail(HRT_INVALID_PROGRAM, error.what());
  } catch (const horizon::OutOfMemory& error) {
    return fail(HRT_OUT_OF_MEMORY, error.what());
  } catch (const std::bad_alloc&) {
    return fail(HRT_OUT_OF_MEMORY, "out of memory; free memory or raise the process's limit");
  } catch (const std::system_error& error) {
    return fail(HRT_SYSTEM_ERROR, error.what());
  } catch (const std::exception& error) {
    return fail(HRT_INVALID_ARGUMENT, error.what());
  }
}

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) {
    throw std::invalid_argument(std::string(name) + ": found a null pointer; give an address");
  }
}

void require_index(std::uint32_t index, std::size_t count, const char* what) {
  if (index >= count) {
    throw std::invalid_argument(std::string(what) + ": found index " + std::to_string(index) +
                                ", expected less than " + std::to_string(count) +
                                "; hrt_model_info has the numbers");
  }
}

hrt_tensor describe(const Program& program, const horizon::TensorRecord& tensor) {
  const auto scales = program.scales(tensor);
  return hrt_tensor{program.text(tensor.name).data(),
                    static_cast<hrt_type>(tensor.type),
                    static_cast<hrt_layout>(tensor.layout),
                    {tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3]},
                    horizon::bytes_of(tensor),
                    tensor.zero_point,
                    static_cast<std::uint32_t>(scales.size()),
                    scales.data()};
}

// Checks the caller's buffers and copies their addresses.
template <class Buffer, class Pointer>
void take(const Buffer* buffers, std::size_t count, const Program& program,
          std::span<const horizon::TensorRecord> tensors, const char* what,
          std::vector<Pointer>& pointers) {
  require(buffers, what);
  if (count != tensors.size()) {
    throw std::invalid_argument(std::string(what) + ": found " + std::to_string(count) +
                                " buffers, expected " + std::to_string(tensors.size()) +
                                "; give one for each");
  }
  for (std::size_t i = 0; i < count; ++i) {
    require(buffers[i].data, what);
    const std::uint64_t expected = horizon::bytes_of(tensors[i]);
    if (buffers[i].bytes != expected) {
      throw std::invalid_argument(std::string(what) + "[" + std::to_string(i) + "] " +
                                  std::string(program.text(tensors[i].name)) + ": found " +
                                  std::to_string(buffers[i].bytes) + " bytes, expected " +
                                  std::to_string(expected) + "; hrt_tensor.bytes has the size");
    }
    pointers[i] = buffers[i].data;
  }
}

hrt_status make_model(Program program, hrt_model** model) {
  *model = new hrt_model{std::make_shared<const Program>(std::move(program))};
  return HRT_OK;
}

}  // namespace

extern "C" {

const char* hrt_version(void) { return HORIZON_VERSION; }

const char* hrt_kernels_name(void) {
  const char* name = nullptr;
  guarded([&] {
    name = horizon::chosen_kernels().name;
    return HRT_OK;
  });
  return name;
}

const char* hrt_last_error(void) { return last_error.c_str(); }

hrt_status hrt_model_open(const char* path, hrt_model** model) {
  return guarded([&] {
    require(path, "path");
    require(model, "model");
    *model = nullptr;
    return make_model(Program::open(path), model);
  });
}

hrt_status hrt_model_from_memory(const void* data, size_t bytes, hrt_model** model) {
  return guarded([&] {
    require(data, "data");
    require(model, "model");
    *model = nullptr;
    return make_model(Program::from_bytes({static_cast<const std::byte*>(data), bytes}), model);
  });
}

void hrt_model_close(hrt_model* model) { delete model; }

hrt_status hrt_model_info(const hrt_model* model, hrt_info* info) {
  return guarded([&] {
    require(model, "model");
    require(info, "info");
    const Program& program = *model->program;
    const horizon::ProgramRecord& record = program.record();
    *info = hrt_info{program.text(record.name).data(),
                     program.text(record.march).data(),
                     record.opt,
                     record.size_multiple,
                     program.arena_bytes(),
                     program.constants().size(),
                     record.input_count,
                     record.output_count,
                     static_cast<std::uint32_t>(program.instructions().size())};
    return HRT_OK;
  });
}

hrt_status hrt_model_input(const hrt_model* model, uint32_t index, hrt_tensor* tensor) {
  return guarded([&] {
    require(model, "model");
    require(tensor, "tensor");
    require_index(index, model->program->inputs().size(), "input");
    *tensor = describe(*model->program, model->program->inputs()[index]);
    return HRT_OK;
  });
}

hrt_status hrt_model_output(const hrt_model* model, uint32_t index, hrt_tensor* tensor) {
  return guarded([&] {
    require(model, "model");
    require(tensor, "tensor");
    require_index(index, model->program->outputs().size(), "output");
    *tensor = describe(*model->program, model->program->outputs()[index]);
    return HRT_OK;
  });
}

hrt_status hrt_model_layer(const hrt_model* model, uint32_t instruction, const char** layer) {
  return guarded([&] {
    require(model, "model");
    require(layer, "layer");
    const auto instructions = model->program->instructions();
    require_index(instruction, instructions.size(), "instruction");
    *layer = model->program->text(instructions[instruction].layer).data();
    return HRT_OK;
  });
}

hrt_status hrt_session_create(const hrt_model* model, int threads, hrt_session** session) {
  return guarded([&] {
    require(model, "model");
    require(session, "session");
    *session = nullptr;
    *session = new hrt_session(model->program, threads);
    return HRT_OK;
  });
}

void hrt_session_close(hrt_session* session) { delete session; }

hrt_status hrt_session_run(hrt_session* session, const hrt_input* inputs, size_t input_count,
                           const hrt_output* outputs, size_t output_count) {
  return guarded([&] {
    require(session, "session");
    if (session->running.test_and_set(std::memory_order_acquire)) {
      return fail(HRT_BUSY, "the session is running in another thread; make one for each thread");
    }
    struct Done {
      std::atomic_flag& running;
      ~Done() { running.clear(std::memory_order_release); }
    } const done{session->running};
    const Program& program = *session->program;
    take(inputs, input_count, program, program.inputs(), "inputs", session->inputs);
    take(outputs, output_count, program, program.outputs(), "outputs", session->outputs);
    session->session.run(session->inputs, session->outputs);
    return HRT_OK;
  });
}

hrt_status hrt_session_counters(const hrt_session* session, hrt_counters* counters) {
  return guarded([&] {
    require(session, "session");
    require(counters, "counters");
    const horizon::Counters& found = session->session.counters();
    *counters = hrt_counters{found.load_bytes, found.store_bytes, found.nanoseconds};
    return HRT_OK;
  });
}

hrt_status hrt_session_profile(hrt_session* session, int on) {
  return guarded([&] {
    require(session, "session");
    session->session.profile(on != 0);
    return HRT_OK;
  });
}

hrt_status hrt_session_times(const hrt_session* session, const uint64_t** nanoseconds) {
  return guarded([&] {
    require(session, "session");
    require(nanoseconds, "nanoseconds");
    const auto times = session->session.instruction_nanoseconds();
    if (times.empty()) {
      throw std::invalid_argument(
          "no instruction was timed; call hrt_session_profile(session, 1) before the run");
    }
    *nanoseconds = times.data();
    return HRT_OK;
  });
}

}  // extern "C"
