/* The executor: calls a model's kernels in order.
 *
 * No libc, no heap, no globals: everything lives on the stack (EP_MAX_ARGS pointers) or is the
 * caller's, so any number of threads may run one model at once, each with its own arena and outputs.
 */
#include "ep.h"

#include <stdatomic.h>
#include <stdbool.h>

/* One op on its way through the pool: what every part needs. */
typedef struct ep_work {
  ep_kernel run;
  void *const *args;
  int32_t parts;
  atomic_int failed;
} ep_work;

static void run_part(void *context, int32_t part) {
  ep_work *work = context;
  if (work->run(work->args, part, work->parts) != 0) {
    atomic_store_explicit(&work->failed, 1, memory_order_relaxed);
  }
}

static bool aligned(const void *address) {
  return ((uintptr_t)address & (EP_ALIGN - 1u)) == 0u;
}

/* A space of `need` bytes: absent is fine when nothing is needed. */
static ep_status check_space(const void *data, uint64_t bytes, uint64_t need) {
  if (need == 0u) {
    return EP_OK;
  }
  if (data == NULL || !aligned(data)) {
    return EP_BAD_ARGUMENT;
  }
  return bytes < need ? EP_BUFFER_TOO_SMALL : EP_OK;
}

static ep_status check_call(const ep_model *model, const ep_tensor *io, const ep_state *state) {
  if (model == NULL || state == NULL) {
    return EP_BAD_ARGUMENT;
  }
  if (model->abi != EP_ABI || model->max_args > EP_MAX_ARGS) {
    return EP_BAD_ABI;
  }
  if (io == NULL && model->input_count + model->output_count != 0u) {
    return EP_BAD_ARGUMENT;
  }
  ep_status status = check_space(state->weights, state->weights_bytes, model->weights_bytes);
  if (status == EP_OK) {
    status = check_space(state->arena, state->arena_bytes, model->arena_bytes);
  }
  for (uint32_t i = 0; status == EP_OK && i < model->input_count; ++i) {
    status = check_space(io[i].data, io[i].bytes, model->inputs[i].bytes);
  }
  for (uint32_t i = 0; status == EP_OK && i < model->output_count; ++i) {
    const ep_tensor *tensor = &io[model->input_count + i];
    status = check_space(tensor->data, tensor->bytes, model->outputs[i].bytes);
  }
  return status;
}

/* The address a reference means, or null when it points outside its space. */
static void *resolve(const ep_model *model, const ep_tensor *io, const ep_state *state, const ep_ref *ref) {
  const unsigned char *base = NULL;
  uint64_t bytes = 0u;
  switch (ref->space) {
    case EP_ARENA:
      base = state->arena;
      bytes = model->arena_bytes;
      break;
    case EP_WEIGHTS:
      base = state->weights;
      bytes = model->weights_bytes;
      break;
    case EP_INPUT:
      if (ref->index < model->input_count) {
        base = io[ref->index].data;
        bytes = model->inputs[ref->index].bytes;
      }
      break;
    case EP_OUTPUT:
      if (ref->index < model->output_count) {
        base = io[model->input_count + ref->index].data;
        bytes = model->outputs[ref->index].bytes;
      }
      break;
    default:
      break;
  }
  if (base == NULL || ref->offset >= bytes) {
    return NULL;
  }
  /* Weights and inputs are read-only to kernels; one pointer type serves all four spaces. */
  return (void *)((uintptr_t)base + (uintptr_t)ref->offset);
}

static ep_status run_op(const ep_op *op, void *const *args, const ep_hooks *hooks) {
  int32_t parts = 1;
  if (hooks != NULL && hooks->parallel != NULL && hooks->threads > 1u && op->max_parts > 1u) {
    const uint32_t fewer = hooks->threads < op->max_parts ? hooks->threads : op->max_parts;
    parts = fewer > (uint32_t)INT32_MAX ? INT32_MAX : (int32_t)fewer;
  }
  if (parts == 1) {
    return op->run(args, 0, 1) == 0 ? EP_OK : EP_KERNEL_FAILED;
  }
  ep_work work = {.run = op->run, .args = args, .parts = parts};
  atomic_init(&work.failed, 0);
  hooks->parallel(hooks->context, run_part, &work, parts);
  return atomic_load_explicit(&work.failed, memory_order_relaxed) == 0 ? EP_OK : EP_KERNEL_FAILED;
}

ep_status ep_run(const ep_model *model, ep_tensor *io, const int32_t *dims, const ep_state *state,
                 const ep_hooks *hooks) {
  (void)dims; /* no extent varies in ABI 1 */
  ep_status status = check_call(model, io, state);
  if (status != EP_OK) {
    return status;
  }
  void *args[EP_MAX_ARGS];
  const bool told = hooks != NULL && hooks->layer != NULL;
  for (uint32_t i = 0; i < model->op_count; ++i) {
    const ep_op *op = &model->ops[i];
    if (op->arg_count > EP_MAX_ARGS) {
      return EP_BAD_ABI;
    }
    for (uint32_t a = 0; a < op->arg_count; ++a) {
      args[a] = resolve(model, io, state, &op->args[a]);
      if (args[a] == NULL) {
        return EP_BAD_ARGUMENT;
      }
    }
    if (told) {
      hooks->layer(hooks->context, i, op->name, 0);
    }
    status = run_op(op, args, hooks);
    if (status != EP_OK) {
      return status;
    }
    if (told) {
      hooks->layer(hooks->context, i, op->name, 1);
    }
  }
  return EP_OK;
}

const char *ep_status_text(ep_status status) {
  switch (status) {
    case EP_OK:
      return "the model ran";
    case EP_BAD_ABI:
      return "the model was built for another version of the edgepress interface; build it again";
    case EP_BAD_ARGUMENT:
      return "a pointer is null, or the weights, the arena, an input or an output is not aligned to 64 bytes";
    case EP_BUFFER_TOO_SMALL:
      return "an input, an output, the weights or the arena is shorter than the model says";
    case EP_KERNEL_FAILED:
      return "a kernel of the model failed";
  }
  return "an unknown status";
}
