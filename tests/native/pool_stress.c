/* Thousands of turns of the pool, with parts that dawdle and callers that pause: each part runs once.
 *
 *     pool_stress TURNS      prints "right", or what went wrong
 *
 * What the parts write is plain memory, so ThreadSanitizer sees whether the pool orders it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ep_threads.h"

enum { MOST_PARTS = 70, POOLS_AT_ONCE = 3 };

typedef struct turn {
  uint32_t serial;
  uint32_t dawdling; /* one part in so many sleeps or loops for a while; 0: none */
  uint32_t marks[MOST_PARTS];
} turn;

typedef struct job {
  uint32_t threads, turns, seed;
  int wrong;
} job;

static uint32_t next_random(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

static void sleep_ns(uint32_t most, uint32_t *state) {
  const struct timespec time = {0, (long)(next_random(state) % most)};
  nanosleep(&time, NULL);
}

static void run_part(void *context, int32_t part) {
  turn *now = context;
  uint32_t state = now->serial * 2654435761u + (uint32_t)part * 40503u;
  if (now->dawdling != 0u && next_random(&state) % now->dawdling == 0u) {
    if (next_random(&state) % 3u == 0u) {
      sleep_ns(200000u, &state);
    } else {
      for (volatile uint32_t i = next_random(&state) % 5000u; i > 0u; --i) {
      }
    }
  }
  now->marks[part] += now->serial;
}

static int one_pool(uint32_t threads, uint32_t turns, uint32_t seed) {
  ep_threads crew;
  if (ep_threads_start(&crew, threads) != 0) {
    fprintf(stderr, "%u threads cannot be started\n", threads);
    return 1;
  }
  const ep_hooks hooks = ep_threads_hooks(&crew);
  turn now = {0};
  uint32_t state = seed;
  int wrong = 0;
  for (uint32_t i = 1; i <= turns && !wrong; ++i) {
    const uint32_t some = 1u + next_random(&state) % (threads + 1u);
    const uint32_t parts = next_random(&state) % 16u == 0u ? next_random(&state) % MOST_PARTS : some;
    memset(now.marks, 0, sizeof now.marks);
    now.serial = i;
    now.dawdling = next_random(&state) % 4u == 0u ? 8u : 0u;
    hooks.parallel(hooks.context, run_part, &now, (int32_t)parts);
    for (uint32_t part = 0; part < MOST_PARTS; ++part) {
      wrong |= now.marks[part] != (part < parts ? i : 0u);
    }
    if (next_random(&state) % 64u == 0u) {
      sleep_ns(300000u, &state); /* long enough for the workers to fall asleep */
    }
  }
  ep_threads_stop(&crew);
  if (wrong) {
    fprintf(stderr, "a part was lost, or ran twice, with %u threads\n", threads);
  }
  return wrong;
}

static void *run_job(void *context) {
  job *mine = context;
  mine->wrong = one_pool(mine->threads, mine->turns, mine->seed);
  return NULL;
}

int main(int argc, char **argv) {
  const uint32_t turns = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2000u;
  int wrong = 0;
  for (uint32_t threads = 1; threads <= 5; ++threads) {
    wrong |= one_pool(threads, turns, threads);
  }
  wrong |= one_pool(40, turns / 10u, 7); /* more workers than a ticket has bits */
  job jobs[POOLS_AT_ONCE];
  pthread_t callers[POOLS_AT_ONCE];
  for (uint32_t i = 0; i < POOLS_AT_ONCE; ++i) {
    jobs[i] = (job){2u + i, turns, i, 0};
    if (pthread_create(&callers[i], NULL, run_job, &jobs[i]) != 0) {
      return 1;
    }
  }
  for (uint32_t i = 0; i < POOLS_AT_ONCE; ++i) {
    (void)pthread_join(callers[i], NULL);
    wrong |= jobs[i].wrong;
  }
  for (uint32_t i = 0; i < turns / 20u; ++i) { /* short lives: stopped before or while they come */
    wrong |= one_pool(1u + i % 4u, i % 5u, i);
  }
  puts(wrong ? "wrong" : "right");
  return wrong;
}
