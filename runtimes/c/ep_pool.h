/* A pool of threads for ep_hooks.parallel, and a clock for ep_hooks.layer.
 *
 * The application brings the threads (pthread_create, std::thread, Python's threading, an RTOS task):
 * each calls ep_pool_serve and stays there until the pool stops. Between two ops of a run it watches for
 * work, for some tens of microseconds at most; then it sleeps, so an idle pool uses no processor time.
 * The library needs no libc: it loads on glibc, musl and Android alike. ep_threads.h starts pthreads for
 * those who want no more than that. One pool serves one run at a time.
 */
#ifndef EP_POOL_H
#define EP_POOL_H

#include "ep.h"

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* The caller's memory, zeroed before first use; the fields are the pool's own. */
typedef struct ep_pool {
  uint64_t words[48];
} ep_pool;

/* A worker's life: returns after ep_pool_stop. At most EP_POOL_WORKERS may serve. */
#define EP_POOL_WORKERS 255u
void ep_pool_serve(ep_pool *pool);

/* For ep_hooks.parallel, with the pool as hooks.context. The caller runs part 0, worker w part w; a part
 * whose worker has not come yet is run by whoever has nothing to do, the caller included. So nobody waits
 * for a worker that sleeps, or that the system has put aside for another program. */
void ep_pool_parallel(void *pool, void (*task)(void *task_context, int32_t part), void *task_context, int32_t parts);

/* How many workers are ready, the caller not counted. */
uint32_t ep_pool_workers(ep_pool *pool);

/* Sends every worker out of ep_pool_serve; join the threads before the memory goes. */
void ep_pool_stop(ep_pool *pool);

/* Runs the model `repeats` times; nanoseconds[repeat * op_count + op] is how long each op took, so the
 * array has repeats * op_count elements. `pool` may be null, `threads` is as in ep_hooks. */
ep_status ep_profile(const ep_model *model, ep_tensor *io, const ep_state *state, ep_pool *pool, uint32_t threads,
                     uint32_t repeats, uint64_t *nanoseconds);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
