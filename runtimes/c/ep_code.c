/* Interleaved rANS, as edgepress/coding/rans.py defines it.
 *
 * A state x lies in [2^15, 2^31), so that one 16-bit word at most goes out or in for each symbol, and the
 * division of the encoder is a multiplication by a reciprocal that is exact below 2^31 (Giesen, rans_byte.h).
 * The encoder goes through the values from the last to the first and writes words downwards.
 */
#include "ep_code.h"

#define EP_LOW (1u << 15)
#define EP_HEAD (4u + 4u * EP_CODE_LANES) /* the escapes' length, and the states */

static uint32_t word16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

static uint32_t word32(const uint8_t *p) { return word16(p) | word16(p + 2) << 16; }

static void put16(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)v;
  p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v) {
  put16(p, v);
  put16(p + 2, v >> 16);
}

uint64_t ep_code_table_bytes(uint32_t symbols, uint32_t bits) {
  if (symbols < 2u || symbols > EP_CODE_MOST_SYMBOLS || bits < EP_CODE_LEAST_BITS || bits > EP_CODE_MOST_BITS) {
    return 0;
  }
  return (uint64_t)symbols * (sizeof(ep_code_symbol) + sizeof(uint32_t)) + ((uint64_t)1 << bits);
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
      write[s].reciprocal = (uint32_t)((((uint64_t)1 << (shift + 31u)) + f - 1u) / f);
      write[s].shift = (uint16_t)(shift - 1u);
      write[s].bias = start;
    }
    read[s] = start << 16 | f;
    for (uint32_t k = 0; k < f; ++k) {
      owner[start + k] = (uint8_t)s;
    }
    start += f;
  }
  *table = (ep_code_table_t){low, symbols, bits, write, read, owner};
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
    const int32_t v = run->values[k];
    if ((uint32_t)(v - t->low) < last) {
      continue;
    }
    uint32_t n = v >= 0 ? 2u * (uint32_t)v : (uint32_t)(-2 * v - 1);
    if (bytes - at < 3u) {
      return -1;
    }
    for (; n >= 0x80u; n >>= 7) {
      to[at++] = (uint8_t)((n & 0x7Fu) | 0x80u);
    }
    to[at++] = (uint8_t)n;
  }
  return (int64_t)at;
}

/* One symbol into a state; `word` goes down by one where a word is written. */
static inline uint32_t put(uint32_t x, const ep_code_symbol *s, uint8_t **word) {
  if (x >= s->limit) {
    *word -= 2;
    put16(*word, x);
    x >>= 16;
  }
  return x + s->bias + (uint32_t)((uint64_t)x * s->reciprocal >> 32 >> s->shift) * s->complement;
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
  if (escapes > 0xFFFFFFFFu || (bytes - EP_HEAD - escapes) / 2u < count) {
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
  put32(to, (uint32_t)escapes);
  uint8_t *next = to + 4 + escapes;
  for (int i = 0; i < EP_CODE_LANES; ++i, next += 4) {
    put32(next, x[i]);
  }
  for (const uint8_t *end = to + bytes; word < end; ++word, ++next) {
    *next = *word;
  }
  return (int64_t)(next - to);
}

/* The value of an escape; 0 where the bytes hold none. */
static int32_t read_escape(const uint8_t **at, const uint8_t *end, int16_t *value) {
  uint32_t n = 0;
  for (uint32_t shift = 0; shift < 21u && *at < end; shift += 7u) {
    const uint32_t byte = *(*at)++;
    n |= (byte & 0x7Fu) << shift;
    if ((byte & 0x80u) == 0u) {
      *value = (int16_t)((n & 1u) != 0u ? -(int32_t)(n >> 1) - 1 : (int32_t)(n >> 1));
      return n < 1u << 16;
    }
  }
  return 0;
}

/* Replaces escapes by their values. */
static int32_t read_escapes(const ep_code_run *run, const uint8_t **at, const uint8_t *end) {
  const int32_t escape = run->table->low + (int32_t)run->table->symbols - 1;
  for (uint64_t k = 0; k < run->count; ++k) {
    if (run->values[k] == (int16_t)escape && read_escape(at, end, &run->values[k]) == 0) {
      return 0;
    }
  }
  return 1;
}

int32_t ep_code_decode(const ep_code_run *runs, uint32_t run_count, const uint8_t *from, uint64_t bytes) {
  if (bytes < EP_HEAD) {
    return 0;
  }
  const uint64_t escapes = word32(from);
  if (escapes > bytes - EP_HEAD || (bytes - escapes) % 2u != 0u) {
    return 0;
  }
  const uint8_t *rare = from + 4, *rare_end = rare + escapes, *word = rare_end + 4 * EP_CODE_LANES;
  const uint8_t *const end = from + bytes;
  uint32_t x[EP_CODE_LANES], wrong = 0;
  for (int i = 0; i < EP_CODE_LANES; ++i) {
    x[i] = word32(rare_end + 4 * i);
    wrong |= (uint32_t)(x[i] - EP_LOW >= (1u << 31) - EP_LOW);
  }
  for (uint32_t r = 0; r < run_count && wrong == 0u; ++r) {
    const ep_code_table_t *t = runs[r].table;
    const uint8_t *const owner = t->owner;
    const uint32_t *const read = t->read, bits = t->bits, mask = (1u << bits) - 1u;
    int16_t *v = runs[r].values;
    uint64_t k = 0;
#define EP_GET(lane, place)                                                          \
  do {                                                                               \
    const uint32_t slot_ = x[lane] & mask, s_ = owner[slot_], e_ = read[s_];         \
    const uint32_t y_ = (e_ & 0xFFFFu) * (x[lane] >> bits) + slot_ - (e_ >> 16);     \
    const uint32_t short_ = (uint32_t)(y_ < EP_LOW);                                 \
    x[lane] = short_ != 0u ? y_ << 16 | word16(word) : y_;                           \
    word += 2u * short_;                                                             \
    v[place] = (int16_t)(t->low + (int32_t)s_);                                      \
  } while (0)
    /* Four words at least are left: no more is looked at. */
    for (; k + EP_CODE_LANES <= runs[r].count && end - word >= 2 * EP_CODE_LANES; k += EP_CODE_LANES) {
      EP_GET(0, k);
      EP_GET(1, k + 1u);
      EP_GET(2, k + 2u);
      EP_GET(3, k + 3u);
    }
#undef EP_GET
    for (; k < runs[r].count; ++k) {
      uint32_t *state = &x[k % EP_CODE_LANES];
      const uint32_t slot = *state & mask, s = owner[slot];
      *state = (read[s] & 0xFFFFu) * (*state >> bits) + slot - (read[s] >> 16);
      if (*state < EP_LOW) {
        if (end - word < 2) {
          return 0;
        }
        *state = *state << 16 | word16(word);
        word += 2;
      }
      v[k] = (int16_t)(t->low + (int32_t)s);
    }
    if (escapes != 0u && read_escapes(&runs[r], &rare, rare_end) == 0) {
      return 0;
    }
  }
  for (int i = 0; i < EP_CODE_LANES; ++i) {
    wrong |= (uint32_t)(x[i] != EP_LOW);
  }
  return wrong == 0u && word == end && rare == rare_end;
}
