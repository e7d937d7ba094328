/* edgepress: the stream around coded integers: a header that says what it is, and chunks with checksums. No libc, no
 * heap, re-entrant. The bytes are those that edgepress/coding/stream.py defines.
 *
 *   int64_t head = ep_stream_header(&stream, to, room);
 *   for (uint32_t number = 0; number < ep_stream_chunks(&stream); ++number) … ep_stream_chunk(…) …
 */
#ifndef EP_STREAM_H
#define EP_STREAM_H

#include "ep_coding.h"

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define EP_STREAM_IDENTITY 16u
#define EP_STREAM_MOST_RANK 4u

typedef enum ep_stream_kind { EP_STREAM_ARRAY = 0, EP_STREAM_PICTURE = 1, EP_STREAM_RECORDING = 2 } ep_stream_kind;

/* What a stream is. Integers are [channels][rows][columns]. */
typedef struct ep_stream {
  uint8_t identity[EP_STREAM_IDENTITY]; /* of the codec or split network: no other reads it */
  uint32_t kind;                        /* ep_stream_kind: what was encoded */
  uint32_t rate;                        /* up to 255 */
  uint32_t channels, rows, columns;
  uint32_t step; /* rows in a chunk; columns, where there is one row */
  uint32_t sampling; /* Hz of a recording, else 0 */
  uint32_t rank;     /* of what was encoded */
  uint32_t shape[EP_STREAM_MOST_RANK];
} ep_stream;

/* The part of the integers that a chunk holds. */
typedef struct ep_stream_extent {
  uint32_t row, rows, column, columns;
} ep_stream_extent;

/* How many chunks there are; 0 where there is no such stream. */
uint32_t ep_stream_chunks(const ep_stream *stream);

/* What chunk `number` holds, of a stream that has it. */
ep_stream_extent ep_stream_extent_of(const ep_stream *stream, uint32_t number);

/* Bytes that the stream never exceeds; 0 where there is none. */
uint64_t ep_stream_most_bytes(const ep_stream *stream);

/* Writes the header; its length, or -1 where there is no such stream or the room is too short. */
int64_t ep_stream_header(const ep_stream *stream, uint8_t *to, uint64_t bytes);

/* Writes chunk `number` of `values`, which are its extent's, [channels][rows][columns]; its length, or -1 where
 * ep_coding_encode cannot or the room is too short. */
int64_t ep_stream_chunk(const ep_stream *stream, const ep_coding *coding, uint32_t number, const int16_t *values,
                        void *scratch, uint64_t scratch_bytes, uint8_t *to, uint64_t bytes);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
