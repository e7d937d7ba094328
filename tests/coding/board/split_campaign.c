/* Mutated tables of a split network, and latents of any bits, each in memory of its very size: whoever reads or writes
 * outside is stopped by the sanitizers that this is built with. Arguments: how many, and a seed. */
#include <stdio.h>
#include <stdlib.h>

#include "ep_split.h"
#include "mutation.h"

#define MOST_RATES 20u
#define MOST_LATENT_BYTES (1u << 15)

static const uint32_t edges[] = {0, 1, 2, 3, 5, 16, 17, 255, 256, 4096, 4097, 16383, 16384, 1u << 24, (1u << 24) + 1u,
                                 1u << 31, 0xFFFFFFFFu};

static uint32_t any_number(void) {
  return next(3) != 0 ? edges[next(sizeof edges / sizeof *edges)] : next(0xFFFFFFFFu) >> next(32);
}

static void change_a_number(ep_split *split) {
  ep_stream *s = &split->stream;
  uint32_t *const numbers[] = {&split->abi,   &split->highest, &split->rate_count, &s->kind,     &s->rate,
                               &s->channels,  &s->rows,        &s->columns,        &s->step,     &s->sampling,
                               &s->rank,      &s->shape[0],    &s->shape[1],       &s->shape[2], &s->shape[3]};
  *numbers[next(sizeof numbers / sizeof *numbers)] = any_number();
}

/* Encodes latents of any bits, with enough room or any other; 1 where there is a stream. */
static int encoded(const ep_sender *sender) {
  const uint64_t size = ep_split_latent_bytes(sender), most = ep_split_most_bytes(sender);
  if (size > MOST_LATENT_BYTES) {
    return 0;
  }
  const uint64_t room = next(3) == 0 ? next((uint32_t)most) : most, bytes = ep_split_scratch(sender);
  uint32_t *bits = malloc(size);
  for (uint64_t k = 0; k < size / 4u; ++k) {
    bits[k] = next(4) == 0 ? next(0xFFFFFFFFu) : 0x3F000000u + (next(2) << 31) + next(0x03000000u);
  }
  void *scratch = malloc(bytes);
  uint8_t *to = malloc(room + (uint64_t)(room == 0u));
  const int64_t length = ep_split_encode(sender, (const float *)(void *)bits, size, scratch, bytes, to, room);
  if (length > (int64_t)room || (length < 0 && room == most) || length == EP_SPLIT_BAD_ARGUMENT) {
    fprintf(stderr, "a stream of %lld bytes in a room of %llu\n", (long long)length, (unsigned long long)room);
    exit(3);
  }
  free(to);
  free(scratch);
  free(bits);
  return length >= 0;
}

int main(int count, char **arguments) {
  const long most = count > 1 ? atol(arguments[1]) : 1000;
  const ep_split *sound = ep_get_split();
  long tried = 0, opened = 0, streams = 0;
  for (seed(count > 2 ? (uint64_t)atol(arguments[2]) : 0u); tried < most; ++tried) {
    ep_split split = *sound;
    ep_split_table models[MOST_RATES] = {{0, 0}};
    uint8_t *kept[3];
    split.models = models;
    split.stream.rows = 1u + next(9);
    split.stream.columns = 1u + next(9);
    split.stream.step = 1u + next(9);
    split.steps.data = kept[2] = mutated(sound->steps.data, &split.steps.bytes, sound->steps.data, next(2) != 0 ? 40u : 0u);
    if (next(2) != 0) { /* else the right ones again */
      split.steps = sound->steps;
    }
    for (uint32_t k = 0; k < 2u; ++k) {
      models[k].bytes = sound->models[k].bytes;
      models[k].data = kept[k] = next(4) != 0 ? mutated_models(sound->models[k].data, &models[k].bytes)
                                              : mutated(sound->models[k].data, &models[k].bytes, 0, 0);
      if (next(2) != 0) {
        models[k] = sound->models[k];
      }
    }
    for (uint32_t changes = next(3); changes > 0; --changes) {
      change_a_number(&split);
    }
    const uint32_t rate = next(3) == 0 ? any_number() : next(2);
    /* The caller's part: as many models as rates. */
    const uint64_t bytes = split.rate_count <= MOST_RATES ? ep_split_bytes(&split, rate) : 0u;
    if (bytes != 0u) {
      void *memory = malloc(bytes);
      const ep_sender *sender = ep_split_open(&split, rate, memory, bytes);
      opened += sender != 0;
      streams += sender != 0 && encoded(sender) != 0;
      free(memory);
    }
    for (uint32_t k = 0; k < 3u; ++k) {
      free(kept[k]);
    }
  }
  printf("%ld splits, %ld opened, %ld streams\n", tried, opened, streams);
  return 0;
}
