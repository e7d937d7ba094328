/* Runs a compiled network on one raw tensor and prints the class with the highest score.
 *
 *     ./classify weights.bin tensor.f32 [threads]
 *
 * The tensor is the network's first input as it is after preprocessing: float32, outermost extent first.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ep.h"
#include "ep_threads.h"

/* `bytes` zero bytes at a multiple of EP_ALIGN. */
static void *buffer(uint64_t bytes) {
  const size_t whole = ((size_t)bytes / EP_ALIGN + 1u) * EP_ALIGN;
  void *data = aligned_alloc(EP_ALIGN, whole);
  if (data == NULL) {
    fprintf(stderr, "not enough memory for %llu bytes\n", (unsigned long long)bytes);
    exit(1);
  }
  return data;
}

static void read_exactly(const char *path, void *data, uint64_t bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fread(data, 1, (size_t)bytes, file) != bytes || fgetc(file) != EOF) {
    fprintf(stderr, "%s is not a file of %llu bytes\n", path, (unsigned long long)bytes);
    exit(1);
  }
  (void)fclose(file);
}

int main(int argc, char **argv) {
  const ep_model *model = ep_get_model(); /* static tables: nothing is loaded or allocated */
  if (argc < 3 || argc > 4 || model->input_count != 1 || model->inputs[0].dtype != EP_FLOAT32 ||
      model->outputs[0].dtype != EP_FLOAT32) {
    fprintf(stderr, "usage: %s weights.bin tensor.f32 [threads], for a network with one float input\n", argv[0]);
    return 2;
  }

  ep_state state = {0};
  state.weights_bytes = model->weights_bytes;
  state.arena_bytes = model->arena_bytes;
  void *weights = buffer(model->weights_bytes);
  read_exactly(argv[1], weights, model->weights_bytes);
  state.weights = weights;
  state.arena = buffer(model->arena_bytes);

  ep_tensor *io = calloc(1u + model->output_count, sizeof *io);
  if (io == NULL) {
    return 1;
  }
  io[0].bytes = model->inputs[0].bytes;
  io[0].data = buffer(io[0].bytes);
  read_exactly(argv[2], io[0].data, io[0].bytes);
  for (uint32_t i = 0; i < model->output_count; ++i) {
    io[1 + i].bytes = model->outputs[i].bytes;
    io[1 + i].data = buffer(io[1 + i].bytes);
  }

  ep_threads threads;
  const int error = ep_threads_start(&threads, argc == 4 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1u);
  if (error != 0) {
    fprintf(stderr, "the threads cannot be started (error %d)\n", error);
    return 1;
  }
  const ep_hooks hooks = ep_threads_hooks(&threads);
  const ep_status status = ep_run(model, io, NULL, &state, &hooks);
  ep_threads_stop(&threads);
  if (status != EP_OK) {
    fprintf(stderr, "%s\n", ep_status_text(status));
    return 1;
  }

  const float *scores = io[1].data;
  const uint64_t classes = model->outputs[0].bytes / sizeof(float);
  uint64_t best = 0;
  for (uint64_t i = 1; i < classes; ++i) {
    best = scores[i] > scores[best] ? i : best;
  }
  printf("class %llu, score %.6f\n", (unsigned long long)best, (double)scores[best]);
  return 0;
}
