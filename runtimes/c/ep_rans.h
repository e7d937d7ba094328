/* Interleaved rANS, as edgepress/coding/rans.py defines it: what the coders of runs and of contexts share.
 *
 * A state x lies in [2^15, 2^31), so that one 16-bit word at most goes out or in for each symbol, and the
 * division of the encoder is a multiplication by a reciprocal that is exact below 2^31 (Giesen, rans_byte.h).
 * The encoder goes through the values from the last to the first and writes words downwards.
 */
#ifndef EP_RANS_H
#define EP_RANS_H

#include "ep_code.h"

#define EP_LOW (1u << 15)
#define EP_HEAD (4u + 4u * EP_CODE_LANES) /* the escapes' length, at most, and the states */
#define EP_MOST_ESCAPES ((1u << 28) - 1u)   /* their bytes: a length of four bytes */

/* What is read: the words, and the values of escapes. */
typedef struct ep_source {
  const uint8_t *word, *end, *rare, *rare_end;
} ep_source;

static inline uint32_t word16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

static inline uint32_t word32(const uint8_t *p) { return word16(p) | word16(p + 2) << 16; }

static inline void put16(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)v;
  p[1] = (uint8_t)(v >> 8);
}

static inline void put32(uint8_t *p, uint32_t v) {
  put16(p, v);
  put16(p + 2, v >> 16);
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

/* An escape's value as LEB128, three bytes at most; the bytes. */
static inline uint32_t put_escape(int32_t v, uint8_t *to) {
  uint32_t n = v >= 0 ? 2u * (uint32_t)v : (uint32_t)(-2 * v - 1), at = 0;
  for (; n >= 0x80u; n >>= 7) {
    to[at++] = (uint8_t)((n & 0x7Fu) | 0x80u);
  }
  to[at++] = (uint8_t)n;
  return at;
}

/* The next symbol of a state; where words are lacking, `from->end` is passed and all is wrong. */
static inline uint32_t take(uint32_t *state, const ep_code_table_t *t, const uint8_t **word) {
  const uint32_t slot = *state & ((1u << t->bits) - 1u), s = t->owner[slot], e = t->read[s];
  const uint32_t y = (e & 0xFFFFu) * (*state >> t->bits) + slot - (e >> 16);
  const uint32_t shorter = (uint32_t)(y < EP_LOW);
  *state = shorter != 0u ? y << 16 | word16(*word) : y;
  *word += 2u * shorter;
  return s;
}

/* The same near the end, where no word may be left; 0 then. */
static inline int32_t take_last(uint32_t *state, const ep_code_table_t *t, ep_source *from, uint32_t *symbol) {
  const uint32_t slot = *state & ((1u << t->bits) - 1u), s = t->owner[slot], e = t->read[s];
  *symbol = s;
  *state = (e & 0xFFFFu) * (*state >> t->bits) + slot - (e >> 16);
  if (*state < EP_LOW) {
    if (from->end - from->word < 2) {
      return 0;
    }
    *state = *state << 16 | word16(from->word);
    from->word += 2;
  }
  return 1;
}

/* The value of an escape; 0 where the bytes hold none. */
static inline int32_t take_escape(ep_source *from, int16_t *value) {
  uint32_t n = 0;
  for (uint32_t shift = 0; shift < 21u && from->rare < from->rare_end; shift += 7u) {
    const uint32_t byte = *from->rare++;
    n |= (byte & 0x7Fu) << shift;
    if ((byte & 0x80u) == 0u) {
      *value = (int16_t)((n & 1u) != 0u ? -(int32_t)(n >> 1) - 1 : (int32_t)(n >> 1));
      return n < 1u << 16 && (byte != 0u || shift == 0u);
    }
  }
  return 0;
}

/* Finds a body's parts and its states; 0 where they do not fit together. */
static inline int32_t open_body(const uint8_t *from, uint64_t bytes, ep_source *source, uint32_t *x) {
  uint32_t escapes = 0, head = 0, byte = 0x80u;
  for (; (byte & 0x80u) != 0u; ++head) {
    if (head == 4u || head == bytes) {
      return 0;
    }
    byte = from[head];
    escapes |= (byte & 0x7Fu) << (7u * head);
  }
  if ((byte == 0u && head > 1u) || bytes - head < 4u * EP_CODE_LANES ||
      bytes - head - 4u * EP_CODE_LANES < escapes || (bytes - head - escapes) % 2u != 0u) {
    return 0;
  }
  source->rare = from + head;
  source->rare_end = source->rare + escapes;
  source->word = source->rare_end + 4 * EP_CODE_LANES;
  source->end = from + bytes;
  uint32_t wrong = 0;
  for (int i = 0; i < EP_CODE_LANES; ++i) {
    x[i] = word32(source->rare_end + 4 * i);
    wrong |= (uint32_t)(x[i] - EP_LOW >= (1u << 31) - EP_LOW);
  }
  return wrong == 0u;
}

/* Whether all was read. */
static inline int32_t is_finished(const ep_source *source, const uint32_t *x) {
  uint32_t wrong = (uint32_t)(source->word != source->end) | (uint32_t)(source->rare != source->rare_end);
  for (int i = 0; i < EP_CODE_LANES; ++i) {
    wrong |= (uint32_t)(x[i] != EP_LOW);
  }
  return wrong == 0u;
}

/* Puts the escapes, which begin at byte 4, and the states before the words, which lie at the end; the length. */
static inline int64_t close_body(uint8_t *to, uint64_t bytes, uint64_t escapes, const uint32_t *x,
                                 const uint8_t *word) {
  uint8_t *next = to;
  uint64_t left = escapes;
  for (; left >= 0x80u; left >>= 7) {
    *next++ = (uint8_t)((left & 0x7Fu) | 0x80u);
  }
  *next++ = (uint8_t)left;
  for (uint64_t k = 0; k < escapes; ++k) {
    *next++ = to[4u + k];
  }
  for (int i = 0; i < EP_CODE_LANES; ++i, next += 4) {
    put32(next, x[i]);
  }
  for (const uint8_t *end = to + bytes; word < end; ++word, ++next) {
    *next = *word;
  }
  return (int64_t)(next - to);
}

#endif
