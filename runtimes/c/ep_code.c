/* Runs of values, each coded by one table: see ep_code.h. The states and words are those of ep_rans.h. */
#include "ep_rans.h"

uint64_t ep_code_table_bytes(uint32_t symbols, uint32_t bits) {
  if (symbols < 2u || symbols > EP_CODE_MOST_SYMBOLS || bits < EP_CODE_LEAST_BITS || bits > EP_CODE_MOST_BITS) {
    return 0;
  }
  return (uint64_t)symbols * (sizeof(ep_code_symbol) + sizeof(uint32_t)) + ((uint64_t)1 << bits);
}

/* n / d bit by bit, for d < 2^31: small processors have no such instruction, and no library is here. */
static uint32_t divided(uint64_t n, uint32_t d) {
  uint32_t quotient = 0, rest = 0;
  for (int bit = 63; bit >= 0; --bit) {
    rest = rest << 1 | (uint32_t)(n >> bit & 1u);
    quotient <<= 1;
    if (rest >= d) {
      rest -= d;
      quotient |= 1u;
    }
  }
  return quotient;
}

int32_t ep_code_table(ep_code_table_t *table, int32_t low, uint32_t bits, const uint16_t *frequencies,
                      uint32_t symbols, void *memory, uint64_t bytes) {
  const uint64_t needed = ep_code_table_bytes(symbols, bits);
  if (needed == 0 || bytes < needed || ((uintptr_t)memory & 3u) != 0u || low < -32768 ||
      low > 32768 - (int32_t)symbols) {
    return 0;
  }
  ep_code_symbol *write = memory;
  uint32_t *read = (uint32_t *)(void *)(write + symbols);
  uint8_t *owner = (uint8_t *)(read + symbols);
  uint32_t start = 0;
  for (uint32_t s = 0; s < symbols; ++s) {
    const uint32_t f = frequencies[s];
    if (f == 0 || f > (1u << bits) - start) {
      return 0;
    }
    uint32_t shift = 0;
    while (f > 1u << shift) {
      ++shift;
    }
    write[s].limit = f << (31u - bits);
    write[s].complement = (uint16_t)((1u << bits) - f);
    if (f == 1u) { /* x / 1 comes out as x - 1: the bias makes up for it */
      write[s].reciprocal = 0xFFFFFFFFu;
      write[s].shift = 0;
      write[s].bias = start + (1u << bits) - 1u;
    } else {
      write[s].reciprocal = divided(((uint64_t)1 << (shift + 31u)) + f - 1u, f);
      write[s].shift = (uint16_t)(shift - 1u);
      write[s].bias = start;
    }
    read[s] = start << 16 | f;
    for (uint32_t k = 0; k < f; ++k) {
      owner[start + k] = (uint8_t)s;
    }
    start += f;
  }
  *table = (ep_code_table_t){write, read, owner, low, (uint16_t)symbols, (uint16_t)bits};
  return start == 1u << bits;
}

uint64_t ep_code_most_bytes(uint64_t count) {
  return EP_HEAD + count * 5u; /* a word, and three bytes of an escape */
}

/* Writes the values that have no symbol; the bytes, or -1. */
static int64_t write_escapes(const ep_code_run *run, uint8_t *to, uint64_t bytes) {
  const ep_code_table_t *t = run->table;
  const uint32_t last = t->symbols - 1u;
  uint32_t any = 0;
  for (uint64_t k = 0; k < run->count; ++k) {
    any |= (uint32_t)((uint32_t)(run->values[k] - t->low) >= last);
  }
  uint64_t at = 0;
  for (uint64_t k = 0; any != 0u && k < run->count; ++k) {
    if ((uint32_t)(run->values[k] - t->low) >= last) {
      if (bytes - at < 3u) {
        return -1;
      }
      at += put_escape(run->values[k], to + at);
    }
  }
  return (int64_t)at;
}

int64_t ep_code_encode(const ep_code_run *runs, uint32_t run_count, uint8_t *to, uint64_t bytes) {
  uint64_t escapes = 0, count = 0;
  if (bytes < EP_HEAD) {
    return -1;
  }
  for (uint32_t r = 0; r < run_count; ++r) {
    const int64_t found = write_escapes(&runs[r], to + 4 + escapes, bytes - EP_HEAD - escapes);
    if (found < 0) {
      return -1;
    }
    escapes += (uint64_t)found;
    count += runs[r].count;
  }
  if (escapes > EP_MOST_ESCAPES || (bytes - EP_HEAD - escapes) / 2u < count) {
    return -1;
  }
  uint32_t x[EP_CODE_LANES];
  for (int i = 0; i < EP_CODE_LANES; ++i) {
    x[i] = EP_LOW;
  }
  uint8_t *word = to + bytes;
  for (uint32_t r = run_count; r-- > 0;) {
    const ep_code_table_t *t = runs[r].table;
    const int16_t *v = runs[r].values;
    const uint32_t last = t->symbols - 1u;
    uint64_t k = runs[r].count;
#define EP_PUT(lane, value)                                 \
  do {                                                      \
    const uint32_t s_ = (uint32_t)((value) - t->low);       \
    x[lane] = put(x[lane], &t->write[s_ < last ? s_ : last], &word); \
  } while (0)
    for (; k % EP_CODE_LANES != 0u; --k) {
      EP_PUT((k - 1u) % EP_CODE_LANES, v[k - 1u]);
    }
    for (; k > 0; k -= EP_CODE_LANES) {
      EP_PUT(3, v[k - 1u]);
      EP_PUT(2, v[k - 2u]);
      EP_PUT(1, v[k - 3u]);
      EP_PUT(0, v[k - 4u]);
    }
#undef EP_PUT
  }
  return close_body(to, bytes, escapes, x, word);
}

/* Replaces escapes by their values. */
static int32_t read_escapes(const ep_code_run *run, ep_source *from) {
  const int16_t escape = (int16_t)(run->table->low + (int32_t)run->table->symbols - 1);
  uint32_t any = 0;
  for (uint64_t k = 0; k < run->count; ++k) {
    any |= (uint32_t)(run->values[k] == escape);
  }
  for (uint64_t k = 0; any != 0u && k < run->count; ++k) {
    if (run->values[k] == escape && take_escape(from, &run->values[k]) == 0) {
      return 0;
    }
  }
  return 1;
}

int32_t ep_code_decode(const ep_code_run *runs, uint32_t run_count, const uint8_t *from, uint64_t bytes) {
  ep_source source;
  uint32_t x[EP_CODE_LANES];
  if (open_body(from, bytes, &source, x) == 0) {
    return 0;
  }
  for (uint32_t r = 0; r < run_count; ++r) {
    const ep_code_table_t t = *runs[r].table;
    const uint8_t *word = source.word;
    int16_t *v = runs[r].values;
    uint64_t k = 0;
    /* Four words at least are left: no more is looked at. */
    for (; k + EP_CODE_LANES <= runs[r].count && source.end - word >= 2 * EP_CODE_LANES; k += EP_CODE_LANES) {
      v[k] = (int16_t)(t.low + (int32_t)take(&x[0], &t, &word));
      v[k + 1u] = (int16_t)(t.low + (int32_t)take(&x[1], &t, &word));
      v[k + 2u] = (int16_t)(t.low + (int32_t)take(&x[2], &t, &word));
      v[k + 3u] = (int16_t)(t.low + (int32_t)take(&x[3], &t, &word));
    }
    source.word = word;
    for (uint32_t s = 0; k < runs[r].count; ++k) {
      if (take_last(&x[k % EP_CODE_LANES], &t, &source, &s) == 0) {
        return 0;
      }
      v[k] = (int16_t)(t.low + (int32_t)s);
    }
    if (read_escapes(&runs[r], &source) == 0) {
      return 0;
    }
  }
  return is_finished(&source, x);
}
