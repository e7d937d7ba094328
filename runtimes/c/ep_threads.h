/* For C programs with POSIX threads: a pool with its threads, started and ended in one call each. */
#ifndef EP_THREADS_H
#define EP_THREADS_H

#include <pthread.h>

#include "ep_pool.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EP_MAX_THREADS 64

typedef struct ep_threads {
  ep_pool pool;
  uint32_t count;
  pthread_t workers[EP_MAX_THREADS];
} ep_threads;

/* Starts threads - 1 workers (the caller is the first thread) and waits until they are ready. Returns 0,
 * or the errno of pthread_create with every thread ended again. */
int ep_threads_start(ep_threads *threads, uint32_t count);

/* Ends and joins the workers. */
void ep_threads_stop(ep_threads *threads);

/* The hooks for ep_run. */
ep_hooks ep_threads_hooks(ep_threads *threads);

#ifdef __cplusplus
}
#endif
#endif
