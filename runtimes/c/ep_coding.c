/* A codec's models from bytes: see ep_coding.h. They are walked through twice: to learn what they take, then to
 * fill it. */
#include "ep_coding.h"

#include "ep_context.h"

#define EP_MOST_RATES 16u
#define EP_MOST_DATA (1u << 22)
#define EP_CODING_HEAD 6u

struct ep_coding {
  uint32_t by_neighbours, channels, table_count;
  const ep_code_table_t *tables;
  ep_context context; /* where it is by neighbours */
};

/* Numbers one after the other; once one is wrong, all that follow are the least ones. */
typedef struct ep_numbers {
  const uint8_t *at, *end;
  uint32_t wrong;
} ep_numbers;

/* What a model takes. */
typedef struct ep_shape {
  uint32_t by_neighbours, channels, taps, levels, tables;
  uint64_t table_bytes;
} ep_shape;

/* Where a model is put. */
typedef struct ep_place {
  uint32_t *order, *value_at, *error_at;
  int32_t *offsets, *levels;
  ep_tap *taps;
  ep_code_table_t *tables;
  uint8_t *table_memory;
} ep_place;

/* Rows and columns away, by a place's number: the nearest nine first. */
static const int8_t places[25][2] = {
    {-1, -1}, {-1, 0}, {-1, 1}, {0, -1}, {0, 0},  {0, 1},  {1, -1}, {1, 0}, {1, 1},  {-2, -2}, {-2, -1}, {-2, 0}, {-2, 1},
    {-2, 2},  {-1, -2}, {-1, 2}, {0, -2}, {0, 2}, {1, -2}, {1, 2},  {2, -2}, {2, -1}, {2, 0},   {2, 1},   {2, 2},
};

static inline uint64_t rounded(uint64_t bytes) { return (bytes + 7u) & ~(uint64_t)7u; }

static uint32_t number(ep_numbers *from, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  for (uint32_t shift = 0; shift < 28u && from->at < from->end; shift += 7u) {
    const uint32_t byte = *from->at++;
    value |= (byte & 0x7Fu) << shift;
    if (byte < 0x80u) {
      if ((byte == 0u && shift != 0u) || value < least || value > most) {
        break;
      }
      return value;
    }
  }
  from->wrong = 1;
  from->at = from->end;
  return least;
}

static int32_t signed_number(ep_numbers *from, uint32_t most) {
  const uint32_t n = number(from, 0, 2u * most);
  return (n & 1u) != 0u ? -(int32_t)(n >> 1) - 1 : (int32_t)(n >> 1);
}

static void walk_taps(ep_numbers *from, ep_shape *shape, ep_place *place) {
  for (uint32_t left = number(from, 0, EP_CONTEXT_MOST_TAPS); left > 0; --left, ++shape->taps) {
    const uint32_t channel = number(from, 0, shape->channels - 1u), where = number(from, 0, 24);
    const int32_t weight = signed_number(from, 1u << 15);
    from->wrong |= (uint32_t)(weight > INT16_MAX);
    if (place != 0) {
      place->taps[shape->taps] =
          (ep_tap){(uint16_t)channel, places[where][0], places[where][1], (int16_t)weight};
    }
  }
}

static void walk_sums(ep_numbers *from, ep_shape *shape, ep_place *place) {
  for (uint32_t k = 0; k < shape->channels; ++k) {
    const uint32_t channel = number(from, 0, shape->channels - 1u);
    if (place != 0) {
      place->order[k] = channel;
    }
  }
  for (uint32_t s = 0; s < 2u * shape->channels; ++s) {
    if (place != 0) {
      place->value_at[s] = shape->taps;
    }
    walk_taps(from, shape, place);
    if (place != 0) {
      place->error_at[s] = shape->taps;
    }
    walk_taps(from, shape, place);
    const int32_t offset = signed_number(from, EP_CONTEXT_MOST_OFFSET);
    if (place != 0) {
      place->offsets[s] = offset;
      place->value_at[s + 1u] = shape->taps;
    }
  }
  shape->levels = number(from, 0, EP_CONTEXT_MOST_TABLES / 2u - 1u);
  for (uint32_t k = 0; k < shape->levels; ++k) {
    const uint32_t level = number(from, 1, EP_CONTEXT_MOST_LEVEL);
    if (place != 0) {
      place->levels[k] = (int32_t)level;
    }
  }
}

static void walk_table(ep_numbers *from, ep_shape *shape, ep_place *place) {
  uint16_t frequencies[EP_CODE_MOST_SYMBOLS];
  const int32_t low = signed_number(from, 1u << 15);
  const uint32_t bits = number(from, EP_CODE_LEAST_BITS, EP_CODE_MOST_BITS);
  const uint32_t symbols = number(from, 2, EP_CODE_MOST_SYMBOLS);
  for (uint32_t k = 0; k < symbols; ++k) {
    frequencies[k] = (uint16_t)number(from, 1, 0xFFFF);
  }
  const uint64_t bytes = rounded(ep_code_table_bytes(symbols, bits));
  if (place != 0) {
    from->wrong |= (uint32_t)(ep_code_table(&place->tables[shape->tables], low, bits, frequencies, symbols,
                                            place->table_memory + shape->table_bytes, bytes) == 0);
  }
  shape->table_bytes += bytes;
  ++shape->tables;
}

/* One model: its shape, and where there is a place, the model. */
static ep_shape walk(ep_numbers *from, ep_place *place) {
  ep_shape shape = {number(from, 0, 1), number(from, 1, EP_CONTEXT_MOST_CHANNELS), 0, 0, 0, 0};
  uint32_t tables = shape.channels;
  if (shape.by_neighbours != 0u) {
    walk_sums(from, &shape, place);
    tables = 2u * shape.levels + 2u;
  }
  for (uint32_t k = 0; k < tables && from->wrong == 0u; ++k) {
    walk_table(from, &shape, place);
  }
  return shape;
}

static uint32_t crc32_of(const uint8_t *data, uint64_t length) {
  uint32_t crc = 0xFFFFFFFFu;
  for (uint64_t k = 0; k < length; ++k) {
    crc ^= data[k];
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
  }
  return ~crc;
}

/* The shape of a rate's model, and where it begins; 0 where the data are damaged. */
static int32_t find(const uint8_t *data, uint64_t length, uint32_t rate, ep_shape *shape, ep_numbers *start) {
  if (length < EP_CODING_HEAD + 4u || length > EP_MOST_DATA || data[0] != 'E' || data[1] != 'P' || data[2] != 'C' ||
      data[3] != 'T' || data[4] != 1u || data[5] > EP_MOST_RATES || rate >= data[5]) {
    return 0;
  }
  const uint8_t *sum = data + length - 4u;
  const uint32_t stored = (uint32_t)sum[0] | (uint32_t)sum[1] << 8 | (uint32_t)sum[2] << 16 | (uint32_t)sum[3] << 24;
  if (crc32_of(data, length - 4u) != stored) {
    return 0;
  }
  ep_numbers from = {data + EP_CODING_HEAD, sum, 0};
  for (uint32_t k = 0; k < data[5]; ++k) {
    const ep_numbers before = from;
    const ep_shape found = walk(&from, 0);
    if (k == rate) {
      *shape = found;
      *start = before;
    }
  }
  return from.wrong == 0u && from.at == sum;
}

static uint64_t size_of(const ep_shape *shape) {
  const uint64_t channels = shape->by_neighbours != 0u ? shape->channels : 0u;
  return rounded(sizeof(ep_coding)) + shape->table_bytes + rounded(shape->tables * sizeof(ep_code_table_t)) +
         rounded(4u * (channels + 2u * channels + 1u + 2u * channels + 2u * channels + shape->levels)) +
         rounded(shape->taps * sizeof(ep_tap));
}

uint64_t ep_coding_bytes(const uint8_t *data, uint64_t length, uint32_t rate) {
  ep_shape shape;
  ep_numbers start;
  return find(data, length, rate, &shape, &start) != 0 ? size_of(&shape) : 0u;
}

const ep_coding *ep_coding_open(const uint8_t *data, uint64_t length, uint32_t rate, void *memory, uint64_t bytes) {
  ep_shape shape;
  ep_numbers start;
  if (find(data, length, rate, &shape, &start) == 0 || bytes < size_of(&shape) || ((uintptr_t)memory & 7u) != 0u) {
    return 0;
  }
  const uint64_t channels = shape.by_neighbours != 0u ? shape.channels : 0u;
  ep_place place;
  ep_coding *coding = memory;
  place.table_memory = (uint8_t *)memory + rounded(sizeof(ep_coding));
  place.tables = (ep_code_table_t *)(void *)(place.table_memory + shape.table_bytes);
  place.order = (uint32_t *)(void *)((uint8_t *)place.tables + rounded(shape.tables * sizeof(ep_code_table_t)));
  place.value_at = place.order + channels;
  place.error_at = place.value_at + 2u * channels + 1u;
  place.offsets = (int32_t *)(void *)(place.error_at + 2u * channels);
  place.levels = place.offsets + 2u * channels;
  place.taps = (ep_tap *)(void *)(place.levels + shape.levels);
  *coding = (ep_coding){shape.by_neighbours, shape.channels, shape.tables, place.tables, {0}};
  coding->context = (ep_context){shape.channels, shape.tables,  place.taps,  place.value_at, place.error_at,
                                 place.offsets,  place.levels, place.order, place.tables};
  walk(&start, &place);
  if (start.wrong != 0u || (shape.by_neighbours != 0u && ep_context_is_sound(&coding->context) == 0)) {
    return 0;
  }
  return coding;
}

uint32_t ep_coding_channels(const ep_coding *coding) { return coding->channels; }

uint64_t ep_coding_scratch(const ep_coding *coding, uint32_t rows, uint32_t columns) {
  if (coding->by_neighbours != 0u) {
    return ep_context_scratch(&coding->context, rows, columns);
  }
  return coding->channels * sizeof(ep_code_run);
}

uint64_t ep_coding_most_bytes(uint64_t count) { return ep_code_most_bytes(count); }

/* The channels' runs, in the scratch; 0 where it is too short. */
static ep_code_run *runs_of(const ep_coding *coding, int16_t *values, uint32_t rows, uint32_t columns, void *scratch,
                            uint64_t bytes) {
  if (bytes < coding->channels * sizeof(ep_code_run) || ((uintptr_t)scratch & 7u) != 0u) {
    return 0;
  }
  ep_code_run *runs = scratch;
  const uint64_t count = (uint64_t)rows * columns;
  for (uint32_t c = 0; c < coding->channels; ++c) {
    runs[c] = (ep_code_run){&coding->tables[c], values + c * count, count};
  }
  return runs;
}

int64_t ep_coding_encode(const ep_coding *coding, const int16_t *values, uint32_t rows, uint32_t columns,
                         void *scratch, uint64_t scratch_bytes, uint8_t *to, uint64_t bytes) {
  if (coding->by_neighbours != 0u) {
    return ep_context_encode(&coding->context, values, rows, columns, scratch, scratch_bytes, to, bytes);
  }
  /* The encoder reads only. */
  const ep_code_run *runs = runs_of(coding, (int16_t *)(uintptr_t)values, rows, columns, scratch, scratch_bytes);
  return runs == 0 ? -1 : ep_code_encode(runs, coding->channels, to, bytes);
}

int32_t ep_coding_decode(const ep_coding *coding, int16_t *values, uint32_t rows, uint32_t columns, void *scratch,
                         uint64_t scratch_bytes, const uint8_t *from, uint64_t bytes) {
  if (coding->by_neighbours != 0u) {
    return ep_context_decode(&coding->context, values, rows, columns, scratch, scratch_bytes, from, bytes);
  }
  const ep_code_run *runs = runs_of(coding, values, rows, columns, scratch, scratch_bytes);
  return runs == 0 ? 0 : ep_code_decode(runs, coding->channels, from, bytes);
}
