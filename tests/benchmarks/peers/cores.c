/* Two questions to the cores that a case runs on: how much multiply-adding gets done, and how long a word
 * takes from one core to another and back. Threads are the caller's. */
#include <stdatomic.h>
#include <stdint.h>

enum { SUMS = 12, WIDTH = 16 };
typedef float vector __attribute__((vector_size(WIDTH * sizeof(float))));

/* Independent multiply-adds in registers, so that two threads on one core get half each. */
float cores_work(int64_t rounds) {
  vector sums[SUMS];
  for (int s = 0; s < SUMS; ++s) {
    sums[s] = (vector){0} + (float)s; /* not alike, or one would do for all */
  }
  const vector factor = (vector){0} + 0.999f;
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int s = 0; s < SUMS; ++s) {
      sums[s] = sums[s] * factor + factor;
    }
  }
  vector all = {0};
  for (int s = 0; s < SUMS; ++s) {
    all += sums[s];
  }
  float total = 0;
  for (int lane = 0; lane < WIDTH; ++lane) {
    total += all[lane];
  }
  return total;
}

/* The word goes from `mine` on; `rounds` times each. Both sides call this, with 0 and 1; it gives up when
 * the other side does not answer. Returns how many rounds were made. */
int32_t cores_bounce(atomic_int *word, int32_t mine, int32_t rounds) {
  for (int32_t i = 0; i < rounds; ++i) {
    for (int64_t waited = 0; atomic_load_explicit(word, memory_order_acquire) != 2 * i + mine; ++waited) {
      if (waited > 100000000) {
        return i;
      }
    }
    atomic_store_explicit(word, 2 * i + mine + 1, memory_order_release);
  }
  return rounds;
}
