/* POSIX threads for the pool; a program without them leaves this file out of its link. */
#include "ep_threads.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

static void *serve(void *pool) {
  ep_pool_serve(pool);
  return NULL;
}

int ep_threads_start(ep_threads *threads, uint32_t count) {
  if (threads == NULL || count < 1u || count > EP_MAX_THREADS) {
    return EINVAL;
  }
  memset(threads, 0, sizeof *threads);
  for (; threads->count + 1u < count; ++threads->count) {
    const int error = pthread_create(&threads->workers[threads->count], NULL, serve, &threads->pool);
    if (error != 0) {
      ep_threads_stop(threads);
      return error;
    }
  }
  while (ep_pool_workers(&threads->pool) < threads->count) {
    sched_yield(); /* once, at the start */
  }
  return 0;
}

void ep_threads_stop(ep_threads *threads) {
  ep_pool_stop(&threads->pool);
  for (uint32_t i = 0; i < threads->count; ++i) {
    (void)pthread_join(threads->workers[i], NULL);
  }
  threads->count = 0;
}

ep_hooks ep_threads_hooks(ep_threads *threads) {
  ep_hooks hooks = {0};
  hooks.context = &threads->pool;
  hooks.threads = threads->count + 1u;
  hooks.parallel = ep_pool_parallel;
  return hooks;
}
