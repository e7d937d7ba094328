/* edgepress: a codec's integers to bytes and back. No libc, no heap, no float, re-entrant.
 *
 * A codec's models, one for each of its rates, are a table member of its bundle: bytes that
 * edgepress/coding/frozen.py defines. Here they are read, checked, and used:
 *
 *   uint64_t size = ep_coding_bytes(data, length, rate);          0 where the bytes are damaged
 *   const ep_coding *coding = ep_coding_open(data, length, rate, memory, size);
 *   int64_t written = ep_coding_encode(coding, values, rows, columns, scratch, scratch_size, to, room);
 *   int32_t right = ep_coding_decode(coding, values, rows, columns, scratch, scratch_size, from, length);
 *
 * What is written and read is the body of a chunk; edgepress/coding/stream.py says how chunks make a stream. The
 * caller owns all memory; whatever the bytes hold, nothing outside what the caller names is read or written.
 */
#ifndef EP_CODING_H
#define EP_CODING_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

typedef struct ep_coding ep_coding;

/* Bytes of memory that the model of a rate takes; 0 where the data hold none or are damaged. */
uint64_t ep_coding_bytes(const uint8_t *data, uint64_t length, uint32_t rate);

/* Makes the model in `memory`, a multiple of 8 in place, which must stay; `data` need not. 0 where it cannot. */
const ep_coding *ep_coding_open(const uint8_t *data, uint64_t length, uint32_t rate, void *memory, uint64_t bytes);

/* How many channels the model is for. */
uint32_t ep_coding_channels(const ep_coding *coding);

/* Bytes of scratch, a multiple of 8 in place, for a chunk of so many rows and columns; 0 where it is too large. */
uint64_t ep_coding_scratch(const ep_coding *coding, uint32_t rows, uint32_t columns);

/* Bytes that a body of so many values never exceeds. */
uint64_t ep_coding_most_bytes(uint64_t count);

/* Writes [channels][rows][columns] as a body; its length, or -1 where the room or the scratch is too short or a
 * value is beyond what the model takes. */
int64_t ep_coding_encode(const ep_coding *coding, const int16_t *values, uint32_t rows, uint32_t columns,
                         void *scratch, uint64_t scratch_bytes, uint8_t *to, uint64_t bytes);

/* Reads a body. 1 if it was all right; 0 if it is damaged or the scratch is too short: the values are then of no
 * use. */
int32_t ep_coding_decode(const ep_coding *coding, int16_t *values, uint32_t rows, uint32_t columns, void *scratch,
                         uint64_t scratch_bytes, const uint8_t *from, uint64_t bytes);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
