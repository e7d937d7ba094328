/* edgepress: the device's half of a split network, from its latents to a stream. No libc, no heap, re-entrant.
 *
 *   const ep_split *split = ep_get_split();                          in the library of the part "device"
 *   uint64_t size = ep_split_bytes(split, rate);                     0: there is no such rate, or it is damaged
 *   const ep_sender *sender = ep_split_open(split, rate, memory, size);
 *   ep_run(ep_get_model(), io, NULL, &state, NULL);                  see ep.h; the output is the latents
 *   int64_t length = ep_split_encode(sender, latents, latent_bytes, scratch, scratch_size, to, room);
 *
 * The bytes are those that edgepress makes in Python: edgepress/coding/split.py and stream.py define them. The caller
 * owns all memory; a sender stays as it is, so that several threads may encode by one, each with its own scratch.
 */
#ifndef EP_SPLIT_H
#define EP_SPLIT_H

#include "ep_stream.h"

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define EP_SPLIT_ABI 1u

/* Why there is no stream, in place of its length. */
enum {
  EP_SPLIT_BAD_ARGUMENT = -1, /* a null pointer, other latents, scratch that is too short or misaligned */
  EP_SPLIT_NO_ROOM = -2       /* the stream needs more bytes than were given */
};

/* A table of the bundle: the bytes of a member. */
typedef struct ep_split_table {
  const uint8_t *data;
  uint64_t bytes;
} ep_split_table;

/* What a device sends. Whatever it holds, nothing outside the tables is read. */
typedef struct ep_split {
  uint32_t abi;         /* EP_SPLIT_ABI */
  uint32_t highest;     /* integers lie from -highest to highest */
  uint32_t rate_count;  /* from the fewest bytes to the most */
  ep_stream stream;     /* its rate is chosen by ep_split_open */
  ep_split_table steps; /* float32, little-endian, [rates][channels]: split/steps.bin */
  const ep_split_table *models; /* [rates]: split/model.0.bin and so on */
} ep_split;

/* A rate, opened. */
typedef struct ep_sender ep_sender;

/* Bytes of memory that a rate takes; 0 where there is none, or its tables are damaged. */
uint64_t ep_split_bytes(const ep_split *split, uint32_t rate);

/* Opens a rate in `memory`, a multiple of 8 in place, which must stay; the tables need not. Null where it cannot. */
const ep_sender *ep_split_open(const ep_split *split, uint32_t rate, void *memory, uint64_t bytes);

/* Bytes of the latents, of the scratch (a multiple of 8 in place), and bytes that a stream never exceeds. A stream
 * is far shorter than that; 30 bytes and 2 for each latent of the largest chunk, behind the chunks before it, do
 * where no integer is beyond the tables. */
uint64_t ep_split_latent_bytes(const ep_sender *sender);
uint64_t ep_split_scratch(const ep_sender *sender);
uint64_t ep_split_most_bytes(const ep_sender *sender);

/* Writes float32 [channels][rows][columns] as a stream; its length, or one of the negative numbers above. What is no
 * number is sent as 0. */
int64_t ep_split_encode(const ep_sender *sender, const float *latents, uint64_t latent_bytes, void *scratch,
                        uint64_t scratch_bytes, uint8_t *to, uint64_t bytes);

/* Emitted by each build: what the library's part sends. */
const ep_split *ep_get_split(void);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
