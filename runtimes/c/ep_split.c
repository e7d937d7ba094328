/* From latents to a stream: see ep_split.h. */
#include "ep_split.h"

#if defined(__FAST_MATH__)
#error "integers must be those of IEEE division: compile ep_split.c without -ffast-math"
#endif

#define EP_MOST_RATES 16u
#define EP_MOST_LATENTS (1u << 12)
#define EP_MOST_INTEGERS (1u << 24)
#define EP_MOST_HIGHEST ((1u << 14) - 1u) /* as far as values can be predicted */

struct ep_sender {
  ep_stream stream;
  uint32_t chunks;
  float highest;
  const float *steps;
  const ep_coding *coding;
};

static inline uint64_t rounded(uint64_t bytes) { return (bytes + 7u) & ~(uint64_t)7u; }

/* The bits of a rate's step for a channel. */
static uint32_t step_of(const ep_split *split, uint32_t rate, uint32_t channel) {
  const uint8_t *from = split->steps.data + 4u * ((uint64_t)rate * split->stream.channels + channel);
  return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static float float_of(uint32_t bits) {
  const union {
    uint32_t bits;
    float number;
  } both = {bits};
  return both.number;
}

/* Whether the rate can be sent, but for its model. */
static int32_t is_sound(const ep_split *split, uint32_t rate) {
  const ep_stream *s = &split->stream;
  if (split->abi != EP_SPLIT_ABI || split->rate_count > EP_MOST_RATES || rate >= split->rate_count ||
      split->highest < 1u || split->highest > EP_MOST_HIGHEST || s->channels > EP_MOST_LATENTS ||
      ep_stream_chunks(s) == 0u || (uint64_t)s->rows * s->columns * s->channels > EP_MOST_INTEGERS ||
      split->steps.data == 0 || split->steps.bytes != 4u * (uint64_t)split->rate_count * s->channels ||
      split->models == 0 || split->models[rate].data == 0) {
    return 0;
  }
  for (uint32_t c = 0; c < s->channels; ++c) {
    const uint32_t bits = step_of(split, rate, c);
    if (bits == 0u || bits >= 0x7F800000u) { /* not above 0, or not finite */
      return 0;
    }
  }
  return 1;
}

uint64_t ep_split_bytes(const ep_split *split, uint32_t rate) {
  if (split == 0 || is_sound(split, rate) == 0) {
    return 0;
  }
  const uint64_t model = ep_coding_bytes(split->models[rate].data, split->models[rate].bytes, 0);
  return model == 0u ? 0u : rounded(sizeof(ep_sender)) + rounded(4u * (uint64_t)split->stream.channels) + model;
}

const ep_sender *ep_split_open(const ep_split *split, uint32_t rate, void *memory, uint64_t bytes) {
  const uint64_t needed = ep_split_bytes(split, rate);
  if (needed == 0u || bytes < needed || memory == 0 || ((uintptr_t)memory & 7u) != 0u) {
    return 0;
  }
  const uint32_t channels = split->stream.channels;
  ep_sender *sender = memory;
  float *steps = (float *)(void *)((uint8_t *)memory + rounded(sizeof(ep_sender)));
  uint8_t *model = (uint8_t *)steps + rounded(4u * (uint64_t)channels);
  const ep_coding *coding = ep_coding_open(split->models[rate].data, split->models[rate].bytes, 0, model,
                                           bytes - (uint64_t)(model - (uint8_t *)memory));
  if (coding == 0 || ep_coding_channels(coding) != channels) {
    return 0;
  }
  for (uint32_t c = 0; c < channels; ++c) {
    steps[c] = float_of(step_of(split, rate, c));
  }
  *sender = (ep_sender){split->stream, ep_stream_chunks(&split->stream), (float)split->highest, steps, coding};
  sender->stream.rate = rate;
  return sender;
}

uint64_t ep_split_latent_bytes(const ep_sender *sender) {
  return 4u * (uint64_t)sender->stream.channels * sender->stream.rows * sender->stream.columns;
}

/* Bytes of the first chunk's integers: no other has more. */
static uint64_t integer_bytes(const ep_sender *sender) {
  const ep_stream_extent first = ep_stream_extent_of(&sender->stream, 0);
  return rounded(2u * (uint64_t)sender->stream.channels * first.rows * first.columns);
}

uint64_t ep_split_scratch(const ep_sender *sender) {
  const ep_stream_extent first = ep_stream_extent_of(&sender->stream, 0);
  return integer_bytes(sender) + ep_coding_scratch(sender->coding, first.rows, first.columns);
}

uint64_t ep_split_most_bytes(const ep_sender *sender) { return ep_stream_most_bytes(&sender->stream); }

/* latent / step to the nearest integer, to the even one of two as near; `highest` at most either way. */
static inline int16_t integer_of(float latent, float step, float highest) {
  float x = latent / step;
  x = x == x ? x : 0.0f;
  x = x > highest ? highest : x < -highest ? -highest : x;
  const int32_t whole = (int32_t)x;
  const float rest = x - (float)whole; /* exact, and of x's sign */
  const int32_t up = (int32_t)(rest > 0.5f) | ((int32_t)(rest == 0.5f) & whole);
  const int32_t down = (int32_t)(rest < -0.5f) | ((int32_t)(rest == -0.5f) & whole);
  return (int16_t)(whole + (up & 1) - (down & 1));
}

/* A chunk's integers. */
static void quantise(const ep_sender *sender, const ep_stream_extent *extent, const float *latents, int16_t *to) {
  const ep_stream *s = &sender->stream;
  const float highest = sender->highest;
  for (uint32_t c = 0; c < s->channels; ++c) {
    const float step = sender->steps[c];
    for (uint32_t y = 0; y < extent->rows; ++y, to += extent->columns) {
      const float *row = latents + ((uint64_t)c * s->rows + extent->row + y) * s->columns + extent->column;
      for (uint32_t x = 0; x < extent->columns; ++x) {
        to[x] = integer_of(row[x], step, highest);
      }
    }
  }
}

int64_t ep_split_encode(const ep_sender *sender, const float *latents, uint64_t latent_bytes, void *scratch,
                        uint64_t scratch_bytes, uint8_t *to, uint64_t bytes) {
  if (sender == 0 || latents == 0 || scratch == 0 || to == 0 || latent_bytes != ep_split_latent_bytes(sender) ||
      ((uintptr_t)latents & 3u) != 0u || ((uintptr_t)scratch & 7u) != 0u || scratch_bytes < ep_split_scratch(sender)) {
    return EP_SPLIT_BAD_ARGUMENT;
  }
  const uint64_t taken = integer_bytes(sender);
  int16_t *integers = scratch;
  int64_t at = ep_stream_header(&sender->stream, to, bytes);
  for (uint32_t number = 0; at >= 0 && number < sender->chunks; ++number) {
    const ep_stream_extent extent = ep_stream_extent_of(&sender->stream, number);
    quantise(sender, &extent, latents, integers);
    const int64_t more =
        ep_stream_chunk(&sender->stream, sender->coding, number, integers, (uint8_t *)scratch + taken,
                        scratch_bytes - taken, to + at, bytes - (uint64_t)at);
    at = more < 0 ? -1 : at + more;
  }
  return at < 0 ? EP_SPLIT_NO_ROOM : at;
}
