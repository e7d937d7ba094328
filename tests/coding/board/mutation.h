/* Bytes that are changed at random, and models with checksums that fit, each in memory of its very size. */
#ifndef MUTATION_H
#define MUTATION_H

#include <stdlib.h>

#include "ep_coding.c" /* whose checksum is needed, too */

static uint64_t state;

static void seed(uint64_t number) { state = number * 0x9E3779B97F4A7C15u + 1u; }

static uint32_t next(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 32) % below;
}

/* A copy with bytes changed, cut, repeated or random, in memory of its size; at least one byte. */
static uint8_t *mutated(const uint8_t *from, uint64_t *length, const uint8_t *other, uint64_t other_length) {
  uint64_t size = *length;
  const uint32_t kind = next(8);
  if (kind == 0) {
    size = 1u + next((uint32_t)size);
  } else if (kind == 1) {
    size += next(64);
  }
  uint8_t *made = malloc(size);
  for (uint64_t k = 0; k < size; ++k) {
    made[k] = k < *length ? from[k] : (uint8_t)next(256);
  }
  if (kind == 2 && other_length > 0) { /* another's tail */
    for (uint64_t k = next((uint32_t)size); k < size && k < other_length; ++k) {
      made[k] = other[k];
    }
  } else if (kind == 3) {
    for (uint64_t k = next((uint32_t)size); k < size; ++k) {
      made[k] = (uint8_t)next(256);
    }
  }
  for (uint32_t changes = next(4) + (uint32_t)(kind > 3); changes > 0; --changes) {
    const uint32_t at = next(4) == 0 ? next(size < 40 ? (uint32_t)size : 40u) : next((uint32_t)size);
    made[at] = next(2) != 0 ? (uint8_t)next(256) : (uint8_t)(made[at] ^ 1u << next(8));
  }
  *length = size;
  return made;
}

/* Models with some bytes changed. */
static uint8_t *mutated_models(const uint8_t *from, uint64_t *length) {
  uint64_t inner = *length - 4u;
  uint8_t *made = mutated(from, &inner, from, inner);
  made = realloc(made, inner + 4u);
  const uint32_t sum = crc32_of(made, inner);
  for (int i = 0; i < 4; ++i) {
    made[inner + (uint64_t)i] = (uint8_t)(sum >> 8 * i);
  }
  *length = inner + 4u;
  return made;
}

#endif
