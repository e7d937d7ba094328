/* edgepress: integers to bytes and back by frozen tables. No libc, no heap, no float, re-entrant.
 *
 * The bytes are those that edgepress/coding/rans.py defines: four interleaved rANS states. The caller owns
 * all memory; whatever the bytes hold, nothing outside what the caller names is read or written.
 */
#ifndef EP_CODE_H
#define EP_CODE_H

#include <stddef.h>
#include <stdint.h>

#define EP_CODE_LANES 4
#define EP_CODE_MOST_SYMBOLS 256u
#define EP_CODE_LEAST_BITS 8u
#define EP_CODE_MOST_BITS 15u

/* How a symbol is written: x becomes x + bias + (x / frequency) * complement, after words while x >= limit. */
typedef struct ep_code_symbol {
  uint32_t reciprocal, limit, bias;
  uint16_t complement, shift;
} ep_code_symbol;

/* One table, as ep_code_table makes it. The last symbol is the escape. */
typedef struct ep_code_table_t {
  const ep_code_symbol *write; /* [symbols] */
  const uint32_t *read;        /* [symbols]: start << 16 | frequency */
  const uint8_t *owner;        /* [1 << bits]: the symbol of a slot */
  int32_t low;                 /* the value of symbol 0 */
  uint16_t symbols, bits;
} ep_code_table_t;

/* So many values, one after the other, coded by one table. */
typedef struct ep_code_run {
  const ep_code_table_t *table;
  int16_t *values;
  uint64_t count;
} ep_code_run;

/* Bytes that a table takes; 0 where there is no such table. */
uint64_t ep_code_table_bytes(uint32_t symbols, uint32_t bits);

/* Makes a table in `memory`, which is a multiple of 4 and stays the caller's. 1 if it was made; 0 if the
 * frequencies are none (each at least 1, together 1 << bits) or the memory is too short. */
int32_t ep_code_table(ep_code_table_t *table, int32_t low, uint32_t bits, const uint16_t *frequencies,
                      uint32_t symbols, void *memory, uint64_t bytes);

/* Bytes that a body of so many values never exceeds. */
uint64_t ep_code_most_bytes(uint64_t count);

/* Writes a chunk's body; its length, or -1 where `bytes` does not hold it. */
int64_t ep_code_encode(const ep_code_run *runs, uint32_t run_count, uint8_t *to, uint64_t bytes);

/* Reads a chunk's body into the runs' values. 1 if it was all right; 0 if the body is damaged: the values
 * are then of no use. */
int32_t ep_code_decode(const ep_code_run *runs, uint32_t run_count, const uint8_t *from, uint64_t bytes);

#endif
