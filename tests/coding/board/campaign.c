/* Mutated bodies and models, each in memory of its very size: whoever reads or writes outside is stopped by the
 * sanitizers that this is built with. Arguments: how many, and a seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "mutation.h"

/* Decodes by a model whatever the body; 1 where it was taken. */
static int decoded(const ep_coding *coding, uint32_t rows, uint32_t columns, const uint8_t *body, uint64_t length) {
  const uint64_t count = (uint64_t)ep_coding_channels(coding) * rows * columns;
  const uint64_t bytes = ep_coding_scratch(coding, rows, columns), room = ep_coding_most_bytes(count);
  int16_t *values = malloc(count * sizeof(int16_t));
  void *scratch = malloc(bytes);
  const int right = ep_coding_decode(coding, values, rows, columns, scratch, bytes, body, length);
  if (right != 0) { /* what was taken can be encoded, and comes back */
    uint8_t *again = malloc(room);
    const int64_t written = ep_coding_encode(coding, values, rows, columns, scratch, bytes, again, room);
    int16_t *back = malloc(count * sizeof(int16_t));
    if (written < 0 || ep_coding_decode(coding, back, rows, columns, scratch, bytes, again, (uint64_t)written) == 0 ||
        memcmp(back, values, count * sizeof(int16_t)) != 0) {
      fprintf(stderr, "values that were taken do not come back\n");
      exit(3);
    }
    free(back);
    free(again);
  }
  free(scratch);
  free(values);
  return right;
}

/* A model from bytes in memory of their size, or 0; `memory` is to be freed. */
static const ep_coding *opened(const uint8_t *data, uint64_t length, uint32_t rate, void **memory) {
  const uint64_t bytes = ep_coding_bytes(data, length, rate);
  *memory = bytes != 0 ? malloc(bytes) : 0;
  return bytes != 0 ? ep_coding_open(data, length, rate, *memory, bytes) : 0;
}

int main(int count, char **arguments) {
  const long most = count > 1 ? atol(arguments[1]) : 1000;
  seed(count > 2 ? (uint64_t)atol(arguments[2]) : 0u);
  void *kept[2];
  const ep_coding *sound[2];
  for (uint32_t rate = 0; rate < 2u; ++rate) {
    sound[rate] = opened(ep_trial_models, sizeof ep_trial_models, rate, &kept[rate]);
  }
  long bodies = 0, bodies_taken = 0, models = 0, models_taken = 0;
  for (; bodies < most; ++models) {
    const uint32_t number = next(EP_TRIAL_STREAMS);
    const ep_trial_stream *stream = &ep_trial_streams[number];
    uint64_t length = sizeof ep_trial_models;
    uint8_t *data = mutated_models(ep_trial_models, &length);
    void *memory;
    const ep_coding *strange = opened(data, length, stream->rate, &memory);
    models_taken += strange != 0;
    for (int k = 0; k < 20; ++k, ++bodies) {
      const ep_trial_stream *other = &ep_trial_streams[next(EP_TRIAL_STREAMS)];
      const ep_coding *coding = strange != 0 && k % 2 == 0 ? strange : sound[stream->rate];
      const int same = k % 4 < 2;
      length = stream->length;
      uint8_t *body = mutated(stream->body, &length, other->body, other->length);
      bodies_taken += decoded(coding, same ? stream->rows : 1u + next(stream->rows),
                              same ? stream->columns : 1u + next(stream->columns), body, length);
      free(body);
    }
    free(memory);
    free(data);
  }
  free(kept[0]);
  free(kept[1]);
  printf("%ld bodies, %ld taken; %ld models, %ld taken\n", bodies, bodies_taken, models, models_taken);
  return 0;
}
