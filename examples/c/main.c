/* Runs a compiled network on one raw tensor and prints the class with the highest score.
 *
 *     ./classify weights.bin tensor.f32 [threads]
 *
 * The tensor is the network's first input as it is after preprocessing: float32, outermost extent first.
 */
#include "ep_threads.h"
#include "files.h"

int main(int argc, char **argv) {
  const ep_model *model = ep_get_model(); /* static tables: nothing is loaded or allocated */
  if (argc < 3 || argc > 4 || model->input_count != 1 || model->inputs[0].dtype != EP_FLOAT32 ||
      model->outputs[0].dtype != EP_FLOAT32) {
    fprintf(stderr, "usage: %s weights.bin tensor.f32 [threads], for a network with one float input\n", argv[0]);
    return 2;
  }

  const ep_state state = make_state(model, argv[1]);
  ep_tensor *io = calloc(1u + model->output_count, sizeof *io);
  if (io == NULL) {
    return 1;
  }
  io[0] = make_tensor(&model->inputs[0], argv[2]);
  for (uint32_t i = 0; i < model->output_count; ++i) {
    io[1 + i] = make_tensor(&model->outputs[i], NULL);
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
