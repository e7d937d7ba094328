/* The device's half of a split network: a raw tensor becomes the stream that a server answers.
 *
 *     ./send weights.bin tensor.f32 rate stream.epc
 *
 * The tensor is the network's input as it is after preprocessing: float32, outermost extent first. Rates are counted
 * from 0, the one with the fewest bytes.
 */
#include "ep_split.h"
#include "files.h"

int main(int argc, char **argv) {
  const ep_model *model = ep_get_model();
  const ep_split *split = ep_get_split(); /* static tables, too */
  char *end = argv[0];
  const unsigned long rate = argc == 5 ? strtoul(argv[3], &end, 10) : 0u;
  if (argc != 5 || end == argv[3] || *end != '\0' || model->input_count != 1 || model->output_count != 1) {
    fprintf(stderr, "usage: %s weights.bin tensor.f32 rate stream.epc, for a device's half\n", argv[0]);
    return 2;
  }

  /* Once: the rate, the network, and memory for both. */
  const uint64_t size = rate < split->rate_count ? ep_split_bytes(split, (uint32_t)rate) : 0u;
  const ep_sender *sender = size != 0u ? ep_split_open(split, (uint32_t)rate, buffer(size), size) : NULL;
  if (sender == NULL) {
    fprintf(stderr, "there is no rate %s; there are 0 to %u\n", argv[3], split->rate_count - 1u);
    return 1;
  }
  const ep_state state = make_state(model, argv[1]);
  ep_tensor io[2] = {make_tensor(&model->inputs[0], argv[2]), make_tensor(&model->outputs[0], NULL)};
  const uint64_t scratch_bytes = ep_split_scratch(sender), room = ep_split_most_bytes(sender);
  void *scratch = buffer(scratch_bytes);
  uint8_t *stream = buffer(room);

  /* For each picture: latents, then the stream. */
  const ep_status status = ep_run(model, io, NULL, &state, NULL);
  if (status != EP_OK) {
    fprintf(stderr, "%s\n", ep_status_text(status));
    return 1;
  }
  const int64_t length = ep_split_encode(sender, io[1].data, io[1].bytes, scratch, scratch_bytes, stream, room);
  if (length < 0) {
    fprintf(stderr, "the latents cannot be sent (%d)\n", (int)length);
    return 1;
  }

  FILE *file = fopen(argv[4], "wb");
  if (file == NULL || fwrite(stream, 1, (size_t)length, file) != (size_t)length || fclose(file) != 0) {
    fprintf(stderr, "%s cannot be written\n", argv[4]);
    return 1;
  }
  return 0;
}
