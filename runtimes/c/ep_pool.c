/* The pool: workers sleep on a word that the caller changes, and the caller on a count of who is busy.
 *
 * `turn` holds a serial number and, in its low byte, how many workers this turn wants. A worker whose
 * slot is beyond that number reads nothing else, so a late worker cannot see half-written work; one that
 * is wanted is waited for before the next turn, so it never misses one.
 */
#include "ep_pool.h"

#include "ep_os.h"

#if EP_HAS_OS

typedef struct ep_crew {
  atomic_uint turn;    /* serial << 8 | workers wanted */
  atomic_uint busy;    /* workers that have not ended this turn */
  atomic_uint ready;   /* workers that serve; their slots are 1..ready */
  atomic_uint stopped; /* 1: go home */
  uint32_t parts;      /* of this turn's task */
  uint32_t unused[3];
  void (*task)(void *context, int32_t part);
  void *context;
} ep_crew;

_Static_assert(sizeof(ep_crew) <= sizeof(ep_pool), "ep_pool is too small");
_Static_assert(sizeof(atomic_uint) == 4, "a futex is a word of 32 bits");

/* The parts of thread `slot` of `threads`. */
static void work(const ep_crew *crew, uint32_t slot, uint32_t threads) {
  for (uint32_t part = slot; part < crew->parts; part += threads) {
    crew->task(crew->context, (int32_t)part);
  }
}

void ep_pool_serve(ep_pool *pool) {
  ep_crew *crew = (ep_crew *)(void *)pool;
  uint32_t seen = atomic_load_explicit(&crew->turn, memory_order_acquire);
  const uint32_t slot = ep_add(&crew->ready, 1u) + 1u;
  while (slot <= EP_POOL_WORKERS) {
    uint32_t turn = atomic_load_explicit(&crew->turn, memory_order_acquire);
    while (turn == seen) {
      ep_sleep(&crew->turn, seen);
      turn = atomic_load_explicit(&crew->turn, memory_order_acquire);
    }
    seen = turn;
    if (atomic_load_explicit(&crew->stopped, memory_order_acquire) != 0u) {
      return;
    }
    const uint32_t wanted = turn & 0xffu;
    if (slot <= wanted) {
      work(crew, slot, wanted + 1u);
      if (ep_add(&crew->busy, UINT32_MAX) == 1u) {
        ep_wake(&crew->busy);
      }
    }
  }
}

static void next_turn(ep_crew *crew, uint32_t wanted) {
  const uint32_t turn = atomic_load_explicit(&crew->turn, memory_order_relaxed);
  atomic_store_explicit(&crew->turn, (((turn >> 8) + 1u) << 8) | wanted, memory_order_release);
  ep_wake(&crew->turn);
}

void ep_pool_parallel(void *pool, void (*task)(void *task_context, int32_t part), void *task_context, int32_t parts) {
  ep_crew *crew = pool;
  const uint32_t ready = ep_pool_workers(pool);
  const uint32_t helpers = parts > 1 ? (uint32_t)parts - 1u : 0u;
  const uint32_t wanted = helpers < ready ? helpers : ready;
  crew->task = task;
  crew->context = task_context;
  crew->parts = parts > 0 ? (uint32_t)parts : 0u;
  if (wanted > 0u) {
    atomic_store_explicit(&crew->busy, wanted, memory_order_relaxed);
    next_turn(crew, wanted);
  }
  work(crew, 0u, wanted + 1u);
  uint32_t busy = wanted > 0u ? atomic_load_explicit(&crew->busy, memory_order_acquire) : 0u;
  while (busy != 0u) {
    ep_sleep(&crew->busy, busy);
    busy = atomic_load_explicit(&crew->busy, memory_order_acquire);
  }
}

uint32_t ep_pool_workers(ep_pool *pool) {
  ep_crew *crew = (ep_crew *)(void *)pool;
  const uint32_t ready = atomic_load_explicit(&crew->ready, memory_order_acquire);
  return ready < EP_POOL_WORKERS ? ready : EP_POOL_WORKERS;
}

void ep_pool_stop(ep_pool *pool) {
  ep_crew *crew = (ep_crew *)(void *)pool;
  atomic_store_explicit(&crew->stopped, 1u, memory_order_release);
  next_turn(crew, 0u);
}

typedef struct ep_stopwatch {
  ep_pool *pool;
  uint64_t *nanoseconds;
  uint64_t started;
} ep_stopwatch;

/* One context serves both hooks, so the pool's is reached through the stopwatch. */
static void timed_parallel(void *context, void (*task)(void *task_context, int32_t part), void *task_context,
                           int32_t parts) {
  const ep_stopwatch *watch = context;
  ep_pool_parallel(watch->pool, task, task_context, parts);
}

static void timed_layer(void *context, uint32_t op_index, const char *name, int32_t done) {
  ep_stopwatch *watch = context;
  (void)name;
  if (done == 0) {
    watch->started = ep_now();
  } else {
    watch->nanoseconds[op_index] = ep_now() - watch->started;
  }
}

ep_status ep_profile(const ep_model *model, ep_tensor *io, const ep_state *state, ep_pool *pool, uint32_t threads,
                     uint32_t repeats, uint64_t *nanoseconds) {
  if (model == NULL || nanoseconds == NULL) {
    return EP_BAD_ARGUMENT;
  }
  ep_stopwatch watch = {.pool = pool, .nanoseconds = nanoseconds};
  const ep_hooks hooks = {
      .context = &watch,
      .threads = threads,
      .parallel = pool != NULL ? timed_parallel : NULL,
      .layer = timed_layer,
  };
  ep_status status = EP_OK;
  for (uint32_t i = 0; status == EP_OK && i < repeats; ++i) {
    status = ep_run(model, io, NULL, state, &hooks);
    watch.nanoseconds += model->op_count;
  }
  return status;
}

#else
typedef int ep_no_pool; /* no operating system: a translation unit may not be empty */
#endif
