/* edgepress: the C interface of a compiled model. No libc, no heap, re-entrant.
 *
 * A build emits kernels and one `ep_model`; this library runs them. The caller owns every byte:
 * weights (read-only, may be mapped from the bundle), inputs and outputs, and ONE arena that holds
 * every temporary, the kernels' own included (`ep_model.arena_bytes`). Weights, arena, inputs and
 * outputs are aligned to EP_ALIGN; two runs at the same time need an arena and outputs each.
 */
#ifndef EP_H
#define EP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default) /* everything else is hidden in a shared library */
#endif

#define EP_ABI 1u
#define EP_ALIGN 64u
#define EP_MAX_RANK 8
/* The most arguments an op may have: they are resolved on the stack (1 KB with 64-bit pointers). */
#ifndef EP_MAX_ARGS
#define EP_MAX_ARGS 128u
#endif

typedef enum ep_status {
  EP_OK = 0,
  EP_BAD_ABI = 1,        /* the model was built for another version of this interface */
  EP_BAD_ARGUMENT = 2,   /* a null pointer, a wrong count, a misaligned arena */
  EP_BUFFER_TOO_SMALL = 3, /* an input, an output, the weights or the arena is shorter than the model says */
  EP_KERNEL_FAILED = 4   /* a kernel returned an error */
} ep_status;

typedef enum ep_dtype {
  EP_FLOAT32 = 0, EP_FLOAT16 = 1, EP_FLOAT64 = 2, EP_INT8 = 3, EP_UINT8 = 4, EP_INT16 = 5,
  EP_UINT16 = 6, EP_INT32 = 7, EP_UINT32 = 8, EP_INT64 = 9, EP_UINT64 = 10, EP_BOOL = 11
} ep_dtype;

/* Where an argument of a kernel lies: an offset in bytes into one of four spaces. */
typedef enum ep_space { EP_ARENA = 0, EP_WEIGHTS = 1, EP_INPUT = 2, EP_OUTPUT = 3 } ep_space;

typedef struct ep_ref {
  uint32_t space;  /* ep_space */
  uint32_t index;  /* which input or output; 0 for arena and weights */
  uint64_t offset; /* bytes from the start of that space */
} ep_ref;

/* One kernel call. `run` may be called for part 0..parts-1 at the same time from several threads;
 * the result is the same for every number of threads. */
typedef int32_t (*ep_kernel)(void *const *args, int32_t part, int32_t parts);

typedef struct ep_op {
  ep_kernel run;
  const ep_ref *args;
  uint32_t arg_count;
  uint32_t max_parts; /* 1: cannot be divided */
  const char *name;   /* the layer's name, for profiles */
} ep_op;

typedef struct ep_io {
  const char *name;
  ep_dtype dtype;
  uint32_t rank;
  int64_t shape[EP_MAX_RANK];
  uint64_t bytes;
} ep_io;

typedef struct ep_model {
  uint32_t abi; /* EP_ABI */
  uint32_t op_count, input_count, output_count;
  const char *name;
  const ep_op *ops;
  const ep_io *inputs;
  const ep_io *outputs;
  uint64_t arena_bytes;
  uint64_t weights_bytes;
  uint32_t max_args; /* the most arguments any op has */
} ep_model;

typedef struct ep_tensor {
  void *data;
  uint64_t bytes;
} ep_tensor;

typedef struct ep_state {
  const void *weights;
  uint64_t weights_bytes;
  void *arena;
  uint64_t arena_bytes;
} ep_state;

/* What an application may replace; every pointer may be null. */
typedef struct ep_hooks {
  void *context;
  uint32_t threads; /* how many parts an op is divided into at most; 0 or 1: no threads */
  /* Calls task(task_context, part) for part 0..parts-1 and returns when all have ended. */
  void (*parallel)(void *context, void (*task)(void *task_context, int32_t part), void *task_context, int32_t parts);
  /* Told before (done == 0) and after (done == 1) each op. */
  void (*layer)(void *context, uint32_t op_index, const char *name, int32_t done);
} ep_hooks;

/* Runs the model once. `io` holds the inputs, then the outputs, in the model's order.
 * `dims` holds the extents that vary (none in ABI 1: pass null). `hooks` may be null. */
ep_status ep_run(const ep_model *model, ep_tensor *io, const int32_t *dims, const ep_state *state, const ep_hooks *hooks);

/* One plain sentence for a status. */
const char *ep_status_text(ep_status status);

/* Emitted by each build: the model in this library. */
const ep_model *ep_get_model(void);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
