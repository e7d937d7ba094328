/* edgepress: arrays to bytes and back by tables that neighbours choose, as edgepress/coding/context.py defines it. */
#ifndef EP_CONTEXT_H
#define EP_CONTEXT_H

#include "ep_code.h"

#define EP_CONTEXT_MOST_CHANNELS (1u << 12)
#define EP_CONTEXT_MOST_TABLES 64u
#define EP_CONTEXT_MOST_LEVEL 1023
#define EP_CONTEXT_MOST_TAPS 256u
#define EP_CONTEXT_MOST_WEIGHT (3 << 14)
#define EP_CONTEXT_MOST_OFFSET (1 << 24)

#define EP_CONTEXT_REACH 2

/* A neighbour, at most two rows and two columns away, and its weight. */
typedef struct ep_tap {
  uint16_t channel;
  int8_t row, column;
  int16_t weight;
} ep_tap;

/* A channel has sums number c for the first row of a chunk, above which nothing is known, and number channels + c
 * for the others. Those of number s are taps[value_at[s] .. error_at[s]) over values and
 * taps[error_at[s] .. value_at[s + 1]) over errors. */
typedef struct ep_context {
  uint32_t channels, table_count;
  const ep_tap *taps;
  const uint32_t *value_at; /* [2 * channels + 1] */
  const uint32_t *error_at; /* [2 * channels] */
  const int32_t *offsets;   /* [2 * channels] */
  const int32_t *levels;    /* [table_count / 2 - 1], rising, from 1 to EP_CONTEXT_MOST_LEVEL */
  const uint32_t *order;    /* [channels]: which is coded first, second, … */
  const ep_code_table_t *tables;
} ep_context;

/* 1 where every neighbour is known before what it predicts, the levels rise and no sum can overflow: asked once,
 * before use. */
int32_t ep_context_is_sound(const ep_context *context);

/* Bytes of scratch, a multiple of 8 in place, for a chunk of so many rows and columns; 0 where it is too large. */
uint64_t ep_context_scratch(const ep_context *context, uint32_t rows, uint32_t columns);

/* Writes [channels][rows][columns] as a body; its length, or -1 where `bytes` or the scratch is too short or a
 * value is beyond 16383 either way. */
int64_t ep_context_encode(const ep_context *context, const int16_t *values, uint32_t rows, uint32_t columns,
                          void *scratch, uint64_t scratch_bytes, uint8_t *to, uint64_t bytes);

/* Reads a body. 1 if it was all right; 0 if it is damaged or the scratch is too short. */
int32_t ep_context_decode(const ep_context *context, int16_t *values, uint32_t rows, uint32_t columns,
                          void *scratch, uint64_t scratch_bytes, const uint8_t *from, uint64_t bytes);

#endif
