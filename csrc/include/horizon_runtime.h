/* Runs compiled programs (.hbm files) on this CPU: optical flow from two images, bit for bit what
 * the fixed-point model computes.
 *
 *   hrt_model* model;
 *   hrt_session* session;
 *   if (hrt_model_open("model.hbm", &model) != HRT_OK) puts(hrt_last_error());
 *   hrt_session_create(model, 0, &session);
 *   hrt_input in = {image, image_bytes};
 *   hrt_output out = {flow, flow_bytes};
 *   hrt_session_run(session, &in, 1, &out, 1);
 *
 * Every function but the hrt_*_close and the three that return text gives a status; if that is not
 * HRT_OK, hrt_last_error() says what was found, what was expected and what to do. Null pointers are
 * errors, not crashes.
 *
 * Threads: a model may be used by many threads at once, a session by one at a time. Make one
 * session for each frame that is in flight. Results depend neither on the number of threads nor on
 * the instruction set, which the environment variable HORIZON_KERNELS can force (scalar, avx2,
 * avxvnni, avx512, amx, neon).
 */
#ifndef HORIZON_RUNTIME_H_
#define HORIZON_RUNTIME_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define HRT_API __attribute__((visibility("default")))
#else
#define HRT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hrt_status {
  HRT_OK = 0,
  HRT_INVALID_ARGUMENT = 1, /* the caller's: a null pointer, an index, a buffer's size */
  HRT_INVALID_PROGRAM = 2,  /* the file cannot be read or is no valid program */
  HRT_OUT_OF_MEMORY = 3,
  HRT_SYSTEM_ERROR = 4, /* the system refuses a thread */
  HRT_BUSY = 5          /* the session is running in another thread */
} hrt_status;

typedef enum hrt_type { HRT_INT8 = 0, HRT_INT16 = 1, HRT_INT32 = 2, HRT_UINT8 = 3 } hrt_type;
typedef enum hrt_layout { HRT_NCHW = 0, HRT_NHWC = 1 } hrt_layout;

typedef struct hrt_model hrt_model;
typedef struct hrt_session hrt_session;

/* Pointers in these two structures live as long as the model. */
typedef struct hrt_info {
  const char* name;
  const char* march;       /* the machine that it was compiled for */
  uint32_t opt;            /* level of optimisation, 0..3 */
  uint32_t size_multiple;  /* of the images' height and width */
  uint64_t arena_bytes;    /* working memory of each session */
  uint64_t constant_bytes; /* weights and tables; mapped from the file */
  uint32_t input_count;
  uint32_t output_count;
  uint32_t instruction_count;
} hrt_info;

typedef struct hrt_tensor {
  const char* name;
  hrt_type type;
  hrt_layout layout;
  uint32_t shape[4];    /* in the order of the layout */
  uint64_t bytes;       /* of its buffer: dense, C order, the CPU's byte order */
  int32_t zero_point;   /* real value = (integer - zero_point) * scale */
  uint32_t scale_count; /* 1, or the number of channels */
  const double* scales;
} hrt_tensor;

typedef struct hrt_input {
  const void* data;
  size_t bytes;
} hrt_input;

typedef struct hrt_output {
  void* data;
  size_t bytes;
} hrt_output;

/* Of a session's last run. */
typedef struct hrt_counters {
  uint64_t load_bytes;  /* moved by the program's LOAD instructions */
  uint64_t store_bytes; /* moved by its STORE instructions */
  uint64_t nanoseconds; /* of the whole run */
} hrt_counters;

/* "0.1.0" */
HRT_API const char* hrt_version(void);

/* The instruction set that a new session would use: "scalar", "avx2", "avxvnni", "avx512",
 * "amx" or "neon"; null, with hrt_last_error(), if HORIZON_KERNELS names one that this CPU does not
 * have. */
HRT_API const char* hrt_kernels_name(void);

/* The message of the calling thread's last failure; "" if there was none. Valid until its next. */
HRT_API const char* hrt_last_error(void);

/* Reads and checks a program. A file is mapped: replace it by renaming, do not write into it.
 * Memory is copied. Close the model in the end; its sessions may outlive it. */
HRT_API hrt_status hrt_model_open(const char* path, hrt_model** model);
HRT_API hrt_status hrt_model_from_memory(const void* data, size_t bytes, hrt_model** model);
HRT_API void hrt_model_close(hrt_model* model);

HRT_API hrt_status hrt_model_info(const hrt_model* model, hrt_info* info);
HRT_API hrt_status hrt_model_input(const hrt_model* model, uint32_t index, hrt_tensor* tensor);
HRT_API hrt_status hrt_model_output(const hrt_model* model, uint32_t index, hrt_tensor* tensor);

/* The layer that an instruction belongs to; lives as long as the model. */
HRT_API hrt_status hrt_model_layer(const hrt_model* model, uint32_t instruction,
                                   const char** layer);

/* Allocates all that runs need. threads: for each run, the caller's included; 0: one for each CPU
 * that the process may use (by its affinity and its control group's limit; the environment variable
 * HORIZON_CPUS replaces that number). There are never more than those. */
HRT_API hrt_status hrt_session_create(const hrt_model* model, int threads, hrt_session** session);
HRT_API void hrt_session_close(hrt_session* session);

/* Runs the program; allocates nothing. One buffer for each input and output, in the model's order,
 * of exactly hrt_tensor.bytes; outputs must not overlap anything else. */
HRT_API hrt_status hrt_session_run(hrt_session* session, const hrt_input* inputs,
                                   size_t input_count, const hrt_output* outputs,
                                   size_t output_count);

HRT_API hrt_status hrt_session_counters(const hrt_session* session, hrt_counters* counters);

/* on != 0: later runs time every instruction. */
HRT_API hrt_status hrt_session_profile(hrt_session* session, int on);

/* Nanoseconds of each instruction in the last run, hrt_info.instruction_count of them; valid until
 * the session's next call. HRT_INVALID_ARGUMENT if profiling is off. */
HRT_API hrt_status hrt_session_times(const hrt_session* session, const uint64_t** nanoseconds);

#ifdef __cplusplus
}
#endif

#endif /* HORIZON_RUNTIME_H_ */
