/* Predictions from neighbours and the tables that they choose: see ep_context.h.
 *
 * Planes of values and of errors lie in the scratch with a border of zeros. Sums of neighbours are taken a row at a
 * time, four taps at once, so that compilers make vectors of it; all of them in the encoder, in the decoder all but
 * the two values before. What follows value by value there is short, and four states overlap.
 */
#include "ep_context.h"

#include "ep_rans.h"

#define EP_MOST_VALUE 16383
#define EP_MOST_ERROR 4095
#define EP_BORDER (2u * EP_CONTEXT_REACH) /* rows and columns around planes, both sides together */

/* What a chunk's work needs, all in the caller's scratch. */
typedef struct ep_desk {
  uint32_t rows, columns;
  uint64_t pitch, plane; /* of the padded planes, in values */
  int16_t *values, *errors;
  int32_t *sums, *levels; /* [columns] */
  int16_t *distances;     /* the encoder's: [channels][rows][columns] */
  uint8_t *tables;
  uint8_t table_of[EP_CONTEXT_MOST_LEVEL + 1]; /* by level: twice the levels reached */
} ep_desk;

/* A row's place in the planes. */
typedef struct ep_row {
  uint32_t channel;
  uint32_t sums; /* their number */
  uint64_t at;   /* of its first value */
} ep_row;

uint64_t ep_context_scratch(const ep_context *context, uint32_t rows, uint32_t columns) {
  if (rows > 1u << 20 || columns > 1u << 24 || context->channels > EP_CONTEXT_MOST_CHANNELS) {
    return 0;
  }
  const uint64_t plane = ((uint64_t)rows + EP_BORDER) * ((uint64_t)columns + EP_BORDER);
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
  desk->pitch = (uint64_t)columns + EP_BORDER;
  desk->plane = ((uint64_t)rows + EP_BORDER) * desk->pitch;
  desk->sums = (int32_t *)(void *)(desk + 1);
  desk->levels = desk->sums + columns;
  desk->values = (int16_t *)(void *)(desk->levels + columns);
  desk->errors = desk->values + context->channels * desk->plane;
  desk->distances = desk->errors + context->channels * desk->plane;
  desk->tables = (uint8_t *)(desk->distances + (uint64_t)context->channels * rows * columns);
  for (uint64_t k = 0; k < 2u * context->channels * desk->plane; ++k) {
    desk->values[k] = 0; /* the errors follow */
  }
  uint32_t reached = 0;
  for (int32_t level = 0; level <= EP_CONTEXT_MOST_LEVEL; ++level) {
    while (reached + 1u < context->table_count / 2u && level >= context->levels[reached]) {
      ++reached;
    }
    desk->table_of[level] = (uint8_t)(2u * reached);
  }
  return desk;
}

/* Of a row's sums, the weights of the values just before and two before. */
typedef struct ep_before {
  int32_t one, two;
} ep_before;

static inline int32_t is_before(const ep_tap *tap, const ep_row *row) {
  return tap->channel == row->channel && tap->row == 0;
}

/* The sums of a row's taps over its planes. */
static void add_taps(const int16_t *const *from, const int32_t *weights, int32_t count, uint32_t columns,
                     int32_t *sums) {
  const int16_t *a = from[0], *b = from[1], *c = from[2], *d = from[3];
  const int32_t wa = weights[0], wb = weights[1], wc = weights[2], wd = weights[3];
  if (count <= 2) {
    for (uint32_t x = 0; x < columns; ++x) {
      sums[x] += wa * a[x] + wb * b[x];
    }
  } else {
    for (uint32_t x = 0; x < columns; ++x) {
      sums[x] += wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x];
    }
  }
}

/* The sums of a row's taps, `start` added. Where `without` is 1, not the values before, whose weights it gives. */
static ep_before row_sums(const ep_tap *tap, const ep_tap *end, const ep_row *row, const int16_t *planes,
                        const ep_desk *desk, int32_t start, int32_t without, int32_t *sums) {
  ep_before before = {0, 0};
  int32_t count = 0, weights[4] = {0, 0, 0, 0};
  const int16_t *from[4] = {planes, planes, planes, planes};
  for (uint32_t x = 0; x < desk->columns; ++x) {
    sums[x] = start;
  }
  for (; tap < end; ++tap) {
    if (without != 0 && is_before(tap, row) != 0) {
      *(tap->column == -1 ? &before.one : &before.two) += tap->weight;
      continue;
    }
    const uint64_t plane = tap->channel * desk->plane + row->at; /* two rows and columns of border lie before it */
    from[count] = planes + ((int64_t)plane + tap->row * (int64_t)desk->pitch + tap->column);
    weights[count] = tap->weight;
    if (++count == 4) {
      add_taps(from, weights, count, desk->columns, sums);
      count = weights[0] = weights[1] = weights[2] = weights[3] = 0;
    }
  }
  if (count > 0) {
    add_taps(from, weights, count, desk->columns, sums);
  }
  return before;
}

static ep_before value_sums(const ep_context *context, const ep_desk *desk, const ep_row *row, int32_t without) {
  const ep_tap *taps = context->taps;
  const uint32_t c = row->sums;
  return row_sums(taps + context->value_at[c], taps + context->error_at[c], row, desk->values, desk, 0, without,
                  desk->sums);
}

static ep_before error_sums(const ep_context *context, const ep_desk *desk, const ep_row *row, int32_t without) {
  const ep_tap *taps = context->taps;
  const uint32_t c = row->sums;
  return row_sums(taps + context->error_at[c], taps + context->value_at[c + 1u], row, desk->errors, desk,
                  context->offsets[c], without, desk->levels);
}

static inline int32_t limited(int32_t v, int32_t least, int32_t most) { return v < least ? least : v > most ? most : v; }

static inline int32_t nearest(int32_t sum) { return limited((sum + 128) >> 8, -EP_MOST_VALUE, EP_MOST_VALUE); }

/* -1 where the next whole number is below the nearest one, 0 where it is above. */
static inline int32_t turned(int32_t sum) { return (((sum + 128) & 255) - 128) >> 31; }

/* 1 for a sum that is near the middle of two whole numbers. */
static inline uint32_t is_far(int32_t sum) {
  const int32_t rest = ((sum + 128) & 255) - 128;
  return (uint32_t)(rest ^ (rest >> 31)) >> 6;
}

static inline int32_t error_of(int32_t value, int32_t sum) {
  const int32_t off = value * 256 - sum;
  const int32_t size = (off < 0 ? -off : off) >> 4;
  return size < EP_MOST_ERROR ? size : EP_MOST_ERROR;
}

static inline uint32_t table_of(const ep_desk *desk, int32_t level) {
  return desk->table_of[limited(level >> 8, 0, EP_CONTEXT_MOST_LEVEL)];
}

/* A row's distances and tables; 0 where a value is too large. */
static int32_t predict_row(const ep_context *context, ep_desk *desk, const ep_row *row, const int16_t *values,
                           int16_t *distances, uint8_t *tables) {
  int16_t *v = desk->values + row->channel * desk->plane + row->at;
  int16_t *e = desk->errors + row->channel * desk->plane + row->at;
  uint32_t wrong = 0;
  for (uint32_t x = 0; x < desk->columns; ++x) {
    wrong |= (uint32_t)((uint32_t)(values[x] + EP_MOST_VALUE) > 2u * EP_MOST_VALUE);
    v[x] = values[x];
  }
  if (wrong != 0u) {
    return 0;
  }
  value_sums(context, desk, row, 0);
  for (uint32_t x = 0; x < desk->columns; ++x) {
    const int32_t sum = desk->sums[x], turn = turned(sum);
    distances[x] = (int16_t)(((v[x] - nearest(sum)) ^ turn) - turn);
    e[x] = (int16_t)error_of(v[x], sum);
  }
  error_sums(context, desk, row, 0);
  for (uint32_t x = 0; x < desk->columns; ++x) {
    tables[x] = (uint8_t)(table_of(desk, desk->levels[x]) + is_far(desk->sums[x]));
  }
  return 1;
}

/* Writes what has no symbol; the bytes, or -1. */
static int64_t rare_of_row(const ep_context *context, const int16_t *distances, const uint8_t *tables,
                           uint32_t columns, uint8_t *to, uint64_t bytes) {
  uint64_t at = 0;
  for (uint32_t x = 0; x < columns; ++x) {
    const ep_code_table_t *t = &context->tables[tables[x]];
    if ((uint32_t)(distances[x] - t->low) >= t->symbols - 1u) {
      if (bytes - at < 3u) {
        return -1;
      }
      at += put_escape(distances[x], to + at);
    }
  }
  return (int64_t)at;
}

static inline uint32_t put_by(const ep_context *context, uint32_t x, int32_t distance, uint32_t table, uint8_t **word) {
  const ep_code_table_t *t = &context->tables[table];
  const uint32_t s = (uint32_t)(distance - t->low), last = t->symbols - 1u;
  return put(x, &t->write[s < last ? s : last], word);
}

int64_t ep_context_encode(const ep_context *context, const int16_t *values, uint32_t rows, uint32_t columns,
                          void *scratch, uint64_t scratch_bytes, uint8_t *to, uint64_t bytes) {
  ep_desk *desk = open_desk(context, rows, columns, scratch, scratch_bytes);
  if (desk == 0 || bytes < EP_HEAD) {
    return -1;
  }
  const uint64_t count = (uint64_t)context->channels * rows * columns;
  uint64_t escapes = 0, at = 0;
  for (uint32_t k = 0; k < context->channels; ++k) {
    const uint32_t c = context->order[k];
    for (uint32_t y = 0; y < rows; ++y, at += columns) {
      const ep_row row = {c, y == 0 ? c : context->channels + c, (y + EP_BORDER / 2u) * desk->pitch + EP_BORDER / 2u};
      if (predict_row(context, desk, &row, values + ((uint64_t)c * rows + y) * columns, desk->distances + at,
                      desk->tables + at) == 0) {
        return -1;
      }
      const int64_t more = rare_of_row(context, desk->distances + at, desk->tables + at, columns, to + 4 + escapes,
                                       bytes - EP_HEAD - escapes);
      if (more < 0) {
        return -1;
      }
      escapes += (uint64_t)more;
    }
  }
  if (escapes > EP_MOST_ESCAPES || (bytes - EP_HEAD - escapes) / 2u < count) {
    return -1;
  }
  uint32_t x[EP_CODE_LANES] = {EP_LOW, EP_LOW, EP_LOW, EP_LOW};
  uint8_t *word = to + bytes;
  for (uint64_t row = (uint64_t)context->channels * rows; row-- > 0;) {
    const int16_t *d = desk->distances + row * columns;
    const uint8_t *table = desk->tables + row * columns;
    uint32_t k = columns;
    for (; k % EP_CODE_LANES != 0u; --k) {
      x[(k - 1u) % EP_CODE_LANES] = put_by(context, x[(k - 1u) % EP_CODE_LANES], d[k - 1u], table[k - 1u], &word);
    }
    for (; k > 0; k -= EP_CODE_LANES) {
      x[3] = put_by(context, x[3], d[k - 1u], table[k - 1u], &word);
      x[2] = put_by(context, x[2], d[k - 2u], table[k - 2u], &word);
      x[1] = put_by(context, x[1], d[k - 3u], table[k - 3u], &word);
      x[0] = put_by(context, x[0], d[k - 4u], table[k - 4u], &word);
    }
  }
  return close_body(to, bytes, escapes, x, word);
}

/* What the decoder carries from value to value along a row. */
typedef struct ep_walk {
  const ep_context *context;
  const ep_desk *desk;
  ep_before value_weights, error_weights;
  int32_t value, error, value_before, error_before;
  uint32_t wrong;
} ep_walk;

/* The table of place k, by the sum that predicts its value. */
static inline const ep_code_table_t *next_table(const ep_walk *walk, uint32_t k, int32_t sum) {
  const int32_t level = walk->desk->levels[k] + walk->error_weights.two * walk->error_before +
                        walk->error_weights.one * walk->error;
  return &walk->context->tables[table_of(walk->desk, level) + is_far(sum)];
}

static inline int32_t next_sum(const ep_walk *walk, uint32_t k) {
  return walk->desk->sums[k] + walk->value_weights.two * walk->value_before + walk->value_weights.one * walk->value;
}

/* The symbol's value, now known. */
static inline void step(ep_walk *walk, const ep_code_table_t *t, uint32_t symbol, int32_t sum, ep_source *source) {
  int16_t distance = (int16_t)(t->low + (int32_t)symbol);
  if (symbol + 1u == t->symbols) {
    walk->wrong |= (uint32_t)(take_escape(source, &distance) == 0);
  }
  const int32_t turn = turned(sum);
  const int32_t value = nearest(sum) + ((distance ^ turn) - turn);
  walk->wrong |= (uint32_t)((uint32_t)(value + EP_MOST_VALUE) > 2u * EP_MOST_VALUE);
  walk->value_before = walk->value;
  walk->error_before = walk->error;
  walk->value = (int16_t)value;
  walk->error = error_of(walk->value, sum);
}

/* Reads a row; 0 where the body is damaged. */
static int32_t read_row(ep_walk *walk, uint32_t *state, ep_source *source, int16_t *v, int16_t *e, int16_t *out) {
  const uint32_t columns = walk->desk->columns;
  uint32_t x0 = state[0], x1 = state[1], x2 = state[2], x3 = state[3], k = 0;
  const uint8_t *word = source->word;
#define EP_STEP(x, at)                                    \
  do {                                                    \
    const int32_t sum_ = next_sum(walk, at);              \
    const ep_code_table_t *t_ = next_table(walk, at, sum_); \
    step(walk, t_, take(&(x), t_, &word), sum_, source);  \
    out[at] = v[at] = (int16_t)walk->value;               \
    e[at] = (int16_t)walk->error;                         \
  } while (0)
  for (; k + EP_CODE_LANES <= columns && source->end - word >= 2 * EP_CODE_LANES; k += EP_CODE_LANES) {
    EP_STEP(x0, k);
    EP_STEP(x1, k + 1u);
    EP_STEP(x2, k + 2u);
    EP_STEP(x3, k + 3u);
  }
#undef EP_STEP
  state[0] = x0, state[1] = x1, state[2] = x2, state[3] = x3;
  source->word = word;
  for (; k < columns; ++k) { /* near the end, where no word may be left */
    const int32_t sum = next_sum(walk, k);
    const ep_code_table_t *t = next_table(walk, k, sum);
    uint32_t symbol = 0;
    if (take_last(&state[k % EP_CODE_LANES], t, source, &symbol) == 0) {
      return 0;
    }
    step(walk, t, symbol, sum, source);
    out[k] = v[k] = (int16_t)walk->value;
    e[k] = (int16_t)walk->error;
  }
  return walk->wrong == 0u;
}

int32_t ep_context_decode(const ep_context *context, int16_t *values, uint32_t rows, uint32_t columns,
                          void *scratch, uint64_t scratch_bytes, const uint8_t *from, uint64_t bytes) {
  ep_desk *desk = open_desk(context, rows, columns, scratch, scratch_bytes);
  ep_source source;
  uint32_t x[EP_CODE_LANES];
  if (desk == 0 || open_body(from, bytes, &source, x) == 0) {
    return 0;
  }
  for (uint32_t k = 0; k < context->channels; ++k) {
    const uint32_t c = context->order[k];
    for (uint32_t y = 0; y < rows; ++y) {
      const ep_row row = {c, y == 0 ? c : context->channels + c, (y + EP_BORDER / 2u) * desk->pitch + EP_BORDER / 2u};
      const uint64_t at = c * desk->plane + row.at;
      ep_walk walk = {context, desk, value_sums(context, desk, &row, 1), error_sums(context, desk, &row, 1), 0, 0, 0, 0, 0};
      if (read_row(&walk, x, &source, desk->values + at, desk->errors + at,
                   values + ((uint64_t)c * rows + y) * columns) == 0) {
        return 0;
      }
    }
  }
  return is_finished(&source, x);
}
