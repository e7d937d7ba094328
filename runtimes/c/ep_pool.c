/* The pool: a word with one bit for each part that nobody has taken yet.
 *
 * Whoever clears a bit of `open` runs that part, so a thread that comes late finds none and touches nothing
 * of the turn. The caller takes what is left when its own part is done and waits for the parts that others
 * took, which `busy` counts down; only then does it write the next task. Workers read the task after they
 * took a bit and before they count it, so never while it is written.
 *
 * Who waits watches its word for about as long as a sleep and a wake would cost, then sleeps. Who watched
 * in vain some times in a row (there are fewer cores than threads, or another program has them) sleeps at
 * once, and only now and then tries to watch again.
 */
#include "ep_pool.h"

#include "ep_os.h"

#if EP_HAS_OS

#define EP_STOPPED 1u             /* in `open`: bit 0, since part 0 is the caller's own */
#define EP_BITS 31u               /* the other bits: part p belongs to bit 1 + (p - 1) modulo 31 */
#define EP_CALLER_SLEEPS (1u << 31) /* in `busy` */
#define EP_WATCH_NS 50000u        /* how long to watch: tens of microseconds is what waking takes */
#define EP_LOOKS 64u              /* looks at the word between two at the clock */
#define EP_PATIENCE 3u            /* vain watches in a row, after which one */
#define EP_RETRY 16u              /* in so many is tried */

/* Each group has a cache line of its own, apart from the line that is fetched along with it. */
typedef struct ep_crew {
  atomic_uint open;
  uint32_t parts; /* of this turn's task */
  void (*task)(void *context, int32_t part);
  void *context;
  uint32_t vain; /* the caller's watches */
  unsigned char gap_1[124 - 2 * sizeof(uint32_t) - 2 * sizeof(void *)];
  atomic_uint busy;
  unsigned char gap_2[124];
  atomic_uint asleep; /* workers that sleep, or are about to */
  atomic_uint ready;  /* workers that serve; their slots are 1..ready */
} ep_crew;

_Static_assert(sizeof(ep_crew) <= sizeof(ep_pool), "ep_pool is too small");
_Static_assert(sizeof(atomic_uint) == 4, "a futex is a word of 32 bits");

/* Whether a word changes while it is worth watching; `vain` counts the watches in a row that were not. */
static int changes(const atomic_uint *word, uint32_t seen, uint32_t *vain) {
  uint64_t end = 0;
  if (*vain >= EP_PATIENCE && (*vain)++ % EP_RETRY != 0u) {
    return 0;
  }
  for (;;) {
    for (uint32_t look = 0; look < EP_LOOKS; ++look) {
      if (atomic_load_explicit(word, memory_order_relaxed) != seen) {
        *vain = 0;
        return 1;
      }
      ep_pause();
    }
    const uint64_t now = ep_now();
    if (end == 0) {
      end = now + EP_WATCH_NS;
    } else if (now > end) {
      *vain += 1u;
      return 0;
    }
  }
}

/* The parts of a bit. */
static void work(const ep_crew *crew, uint32_t bit) {
  uint32_t first = 1u;
  while (bit >> first != 1u) {
    ++first;
  }
  for (uint32_t part = first; part < crew->parts; part += EP_BITS) {
    crew->task(crew->context, (int32_t)part);
  }
}

/* Sleeps while no part is open. Either this thread sees what the caller opened, or the caller sees that it
 * is asleep: each writes its own word first, then reads the other's. */
static void sleep_until_open(ep_crew *crew) {
  (void)ep_add(&crew->asleep, 1u);
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load_explicit(&crew->open, memory_order_relaxed) == 0u) {
    ep_sleep(&crew->open, 0u);
  }
  (void)ep_add(&crew->asleep, UINT32_MAX);
}

static void open_parts(ep_crew *crew, uint32_t bits) {
  atomic_store_explicit(&crew->open, bits, memory_order_release);
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load_explicit(&crew->asleep, memory_order_relaxed) != 0u) {
    ep_wake(&crew->open);
  }
}

void ep_pool_serve(ep_pool *pool) {
  ep_crew *crew = (ep_crew *)(void *)pool;
  uint32_t vain = 0;
  const uint32_t slot = ep_add(&crew->ready, 1u);
  const uint32_t own = 2u << slot % EP_BITS;
  while (slot < EP_POOL_WORKERS) {
    const uint32_t open = atomic_load_explicit(&crew->open, memory_order_acquire);
    if ((open & EP_STOPPED) != 0u) {
      return;
    }
    if (open == 0u) {
      if (!changes(&crew->open, 0u, &vain)) {
        sleep_until_open(crew);
      }
      continue;
    }
    const uint32_t bit = (open & own) != 0u ? own : open & (0u - open);
    if ((ep_clear(&crew->open, bit) & bit) != 0u) {
      work(crew, bit);
      if (ep_add(&crew->busy, UINT32_MAX) == (EP_CALLER_SLEEPS | 1u)) {
        ep_wake(&crew->busy);
      }
    }
  }
}

/* Waits until the parts that others took have ended. */
static void wait_for_workers(ep_crew *crew) {
  uint32_t busy = 0;
  while ((busy = atomic_load_explicit(&crew->busy, memory_order_acquire)) != 0u) {
    if (changes(&crew->busy, busy, &crew->vain)) {
      continue;
    }
    busy = ep_add(&crew->busy, EP_CALLER_SLEEPS) + EP_CALLER_SLEEPS;
    while (busy != EP_CALLER_SLEEPS) {
      ep_sleep(&crew->busy, busy);
      busy = atomic_load_explicit(&crew->busy, memory_order_acquire);
    }
    return;
  }
}

void ep_pool_parallel(void *pool, void (*task)(void *task_context, int32_t part), void *task_context, int32_t parts) {
  ep_crew *crew = pool;
  if (parts <= 1 || ep_pool_workers(pool) == 0u) {
    for (int32_t part = 0; part < parts; ++part) {
      task(task_context, part);
    }
    return;
  }
  const uint32_t others = (uint32_t)parts - 1u;
  const uint32_t count = others < EP_BITS ? others : EP_BITS;
  crew->task = task;
  crew->context = task_context;
  crew->parts = (uint32_t)parts;
  atomic_store_explicit(&crew->busy, count, memory_order_relaxed);
  open_parts(crew, UINT32_MAX >> (EP_BITS - count) & ~EP_STOPPED);
  task(task_context, 0);
  uint32_t open = 0;
  while ((open = atomic_load_explicit(&crew->open, memory_order_acquire)) != 0u) {
    const uint32_t bit = open & (0u - open);
    if ((ep_clear(&crew->open, bit) & bit) != 0u) {
      work(crew, bit);
      (void)ep_add(&crew->busy, UINT32_MAX);
    }
  }
  wait_for_workers(crew);
}

uint32_t ep_pool_workers(ep_pool *pool) {
  ep_crew *crew = (ep_crew *)(void *)pool;
  const uint32_t ready = atomic_load_explicit(&crew->ready, memory_order_acquire);
  return ready < EP_POOL_WORKERS ? ready : EP_POOL_WORKERS;
}

void ep_pool_stop(ep_pool *pool) {
  open_parts((ep_crew *)(void *)pool, EP_STOPPED);
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
