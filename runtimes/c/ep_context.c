/* Predictions from neighbours and the tables that they choose: see ep_context.h.
 *
 * Planes of values and of errors lie in the scratch with a border of zeros. Of a row's sums, all but the part
 * of the value just before are taken at once, a tap at a time, so that compilers make vectors of it; the rest
 * follows value by value, and while one state waits for its table the others go on.
 */
#include "ep_context.h"

#include "ep_rans.h"

#define EP_MOST_VALUE 16383
#define EP_MOST_ERROR 255
#define EP_NO_LEVEL INT32_MAX

/* What a chunk's work needs, all in the caller's scratch. */
typedef struct ep_desk {
  uint32_t rows, columns;
  uint64_t pitch, plane; /* of the padded planes, in values */
  int16_t *values, *errors;
  int32_t *predicted, *level; /* [columns] */
  int32_t levels[EP_CONTEXT_MOST_TABLES];
  int16_t *distances; /* the encoder's: [channels][rows][columns] */
  uint8_t *tables;
} ep_desk;

int32_t ep_context_is_sound(const ep_context *context) {
  if (context->channels == 0 || context->table_count == 0 || context->table_count > EP_CONTEXT_MOST_TABLES) {
    return 0;
  }
  for (uint32_t k = 0; k + 1u < context->table_count; ++k) {
    const int32_t before = k == 0 ? 0 : context->levels[k - 1u];
    if (context->levels[k] <= before || context->levels[k] > EP_CONTEXT_MOST_LEVEL) {
      return 0;
    }
  }
  for (uint32_t c = 0; c < context->channels; ++c) {
    if (context->value_at[c] > context->error_at[c] || context->error_at[c] > context->value_at[c + 1u] ||
        context->value_at[c + 1u] - context->value_at[c] > 256u) {
      return 0;
    }
    for (uint32_t k = context->value_at[c]; k < context->value_at[c + 1u]; ++k) {
      const ep_tap t = context->taps[k];
      const int32_t known = t.channel < c || (t.channel == c && (t.row < 0 || (t.row == 0 && t.column < 0)));
      if (known == 0 || t.row < -1 || t.row > 1 || t.column < -1 || t.column > 1) {
        return 0;
      }
    }
  }
  return 1;
}

uint64_t ep_context_scratch(const ep_context *context, uint32_t rows, uint32_t columns) {
  if (rows > 1u << 20 || columns > 1u << 24 || context->channels > 1u << 12) {
    return 0;
  }
  const uint64_t plane = ((uint64_t)rows + 2u) * ((uint64_t)columns + 2u);
  const uint64_t whole = (uint64_t)context->channels * rows * columns;
  return sizeof(ep_desk) + 8u + 8u * (uint64_t)columns + 4u * context->channels * plane + 3u * whole;
}

/* Lays the desk out in the scratch and empties it; 0 where that is too short. */
static ep_desk *open_desk(const ep_context *context, uint32_t rows, uint32_t columns, void *scratch,
                          uint64_t bytes) {
  const uint64_t needed = ep_context_scratch(context, rows, columns);
  if (needed == 0 || bytes < needed || ((uintptr_t)scratch & 7u) != 0u) {
    return 0;
  }
  ep_desk *desk = scratch;
  desk->rows = rows;
  desk->columns = columns;
  desk->pitch = (uint64_t)columns + 2u;
  desk->plane = ((uint64_t)rows + 2u) * desk->pitch;
  desk->predicted = (int32_t *)(void *)(desk + 1);
  desk->level = desk->predicted + columns;
  desk->values = (int16_t *)(void *)(desk->level + columns);
  desk->errors = desk->values + context->channels * desk->plane;
  desk->distances = desk->errors + context->channels * desk->plane;
  desk->tables = (uint8_t *)(desk->distances + (uint64_t)context->channels * rows * columns);
  for (uint64_t k = 0; k < 2u * context->channels * desk->plane; ++k) {
    desk->values[k] = 0; /* the errors follow */
  }
  for (uint32_t k = 0; k < EP_CONTEXT_MOST_TABLES; ++k) {
    desk->levels[k] = k + 1u < context->table_count ? context->levels[k] : EP_NO_LEVEL;
  }
  return desk;
}

/* The sums of a row's taps but the value just before; gives that one's weight. */
static int32_t row_sums(const ep_tap *tap, const ep_tap *end, uint32_t channel, const int16_t *planes,
                        const ep_desk *desk, uint64_t row, int32_t start, int32_t *sums) {
  int32_t before = 0;
  for (uint32_t x = 0; x < desk->columns; ++x) {
    sums[x] = start;
  }
  for (; tap < end; ++tap) {
    if (tap->channel == channel && tap->row == 0) {
      before += tap->weight;
      continue;
    }
    const int16_t *from = planes + tap->channel * desk->plane +
                          (row + (uint64_t)(tap->row + 1)) * desk->pitch + (uint64_t)(tap->column + 1);
    const int32_t weight = tap->weight;
    for (uint32_t x = 0; x < desk->columns; ++x) {
      sums[x] += weight * from[x];
    }
  }
  return before;
}

static inline int32_t limited(int32_t v, int32_t most) { return v > most ? most : v < -most ? -most : v; }

static inline int32_t prediction(int32_t sum) { return limited((sum + 128) >> 8, EP_MOST_VALUE); }

static inline int32_t error_of(int32_t distance) {
  const int32_t size = distance < 0 ? -distance : distance;
  return size < EP_MOST_ERROR ? size : EP_MOST_ERROR;
}

/* How many levels are reached: `half` is a power of two, and twice that exceeds their number. */
static inline uint32_t table_of(const int32_t *levels, uint32_t half, int32_t level) {
  uint32_t at = 0;
  for (uint32_t step = half; step != 0u; step >>= 1) {
    at += level >= levels[at + step - 1u] ? step : 0u;
  }
  return at;
}

static uint32_t half_of(uint32_t table_count) {
  uint32_t half = 1;
  while (2u * half < table_count) {
    half *= 2u;
  }
  return half;
}

int64_t ep_context_encode(const ep_context *context, const int16_t *values, uint32_t rows, uint32_t columns,
                          void *scratch, uint64_t scratch_bytes, uint8_t *to, uint64_t bytes) {
  ep_desk *desk = open_desk(context, rows, columns, scratch, scratch_bytes);
  if (desk == 0 || bytes < EP_HEAD) {
    return -1;
  }
  const uint32_t half = half_of(context->table_count);
  const uint64_t count = (uint64_t)context->channels * rows * columns;
  uint64_t escapes = 0, at = 0;
  for (uint32_t c = 0; c < context->channels; ++c) {
    const ep_tap *taps = context->taps;
    for (uint32_t y = 0; y < rows; ++y) {
      int16_t *v = desk->values + c * desk->plane + (y + 1u) * desk->pitch + 1u;
      int16_t *e = desk->errors + c * desk->plane + (y + 1u) * desk->pitch + 1u;
      const int32_t wv = row_sums(taps + context->value_at[c], taps + context->error_at[c], c, desk->values, desk, y,
                                  0, desk->predicted);
      const int32_t we = row_sums(taps + context->error_at[c], taps + context->value_at[c + 1u], c, desk->errors,
                                  desk, y, context->offsets[c], desk->level);
      for (uint32_t x = 0; x < columns; ++x, ++at) {
        const int32_t value = values[at];
        if (value > EP_MOST_VALUE || value < -EP_MOST_VALUE) {
          return -1;
        }
        const int32_t distance = value - prediction(desk->predicted[x] + wv * v[(int64_t)x - 1]);
        const uint32_t table = table_of(desk->levels, half, desk->level[x] + we * e[(int64_t)x - 1]);
        const ep_code_table_t *t = &context->tables[table];
        v[x] = (int16_t)value;
        e[x] = (int16_t)error_of(distance);
        desk->distances[at] = (int16_t)distance;
        desk->tables[at] = (uint8_t)table;
        if ((uint32_t)(distance - t->low) >= t->symbols - 1u) {
          if (bytes - EP_HEAD - escapes < 3u) {
            return -1;
          }
          escapes += put_escape(distance, to + 4 + escapes);
        }
      }
    }
  }
  if (escapes > 0xFFFFFFFFu || (bytes - EP_HEAD - escapes) / 2u < count) {
    return -1;
  }
  uint32_t x[EP_CODE_LANES] = {EP_LOW, EP_LOW, EP_LOW, EP_LOW};
  uint8_t *word = to + bytes;
  for (uint64_t row = (uint64_t)context->channels * rows; row-- > 0;) {
    const int16_t *d = desk->distances + row * columns;
    const uint8_t *number = desk->tables + row * columns;
    for (uint32_t k = columns; k-- > 0;) {
      const ep_code_table_t *t = &context->tables[number[k]];
      const uint32_t s = (uint32_t)(d[k] - t->low), last = t->symbols - 1u;
      x[k % EP_CODE_LANES] = put(x[k % EP_CODE_LANES], &t->write[s < last ? s : last], &word);
    }
  }
  return close_body(to, bytes, escapes, x, word);
}

int32_t ep_context_decode(const ep_context *context, int16_t *values, uint32_t rows, uint32_t columns,
                          void *scratch, uint64_t scratch_bytes, const uint8_t *from, uint64_t bytes) {
  ep_desk *desk = open_desk(context, rows, columns, scratch, scratch_bytes);
  ep_source source;
  uint32_t x[EP_CODE_LANES];
  if (desk == 0 || open_body(from, bytes, &source, x) == 0) {
    return 0;
  }
  const uint32_t half = half_of(context->table_count);
  for (uint32_t c = 0; c < context->channels; ++c) {
    const ep_tap *taps = context->taps;
    for (uint32_t y = 0; y < rows; ++y) {
      int16_t *v = desk->values + c * desk->plane + (y + 1u) * desk->pitch + 1u;
      int16_t *e = desk->errors + c * desk->plane + (y + 1u) * desk->pitch + 1u;
      int16_t *out = values + ((uint64_t)c * rows + y) * columns;
      const int32_t wv = row_sums(taps + context->value_at[c], taps + context->error_at[c], c, desk->values, desk, y,
                                  0, desk->predicted);
      const int32_t we = row_sums(taps + context->error_at[c], taps + context->value_at[c + 1u], c, desk->errors,
                                  desk, y, context->offsets[c], desk->level);
      int32_t value = 0, error = 0;
      for (uint32_t k = 0; k < columns; ++k) {
        const ep_code_table_t *t = &context->tables[table_of(desk->levels, half, desk->level[k] + we * error)];
        uint32_t s = 0;
        if (source.end - source.word >= 2) {
          s = take(&x[k % EP_CODE_LANES], t, &source.word);
        } else if (take_last(&x[k % EP_CODE_LANES], t, &source, &s) == 0) {
          return 0;
        }
        int16_t distance = (int16_t)(t->low + (int32_t)s);
        if (s + 1u == t->symbols && take_escape(&source, &distance) == 0) {
          return 0;
        }
        value = prediction(desk->predicted[k] + wv * value) + distance;
        error = error_of(distance);
        out[k] = v[k] = (int16_t)value;
        e[k] = (int16_t)error;
      }
    }
  }
  return is_finished(&source, x);
}
