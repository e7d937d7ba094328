/* What the pool and the profiler ask of an operating system, without its libc: sleep until a word changes,
 * wake the sleepers, read a steady clock. Linux and Android: system calls. macOS: its system library, which
 * every process has. Elsewhere EP_HAS_OS is 0. And what a pool asks of a processor: add to a word and
 * clear bits of it while others do so too, and wait a moment. */
#ifndef EP_OS_H
#define EP_OS_H

#include <stdatomic.h>
#include <stdint.h>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64))
#define EP_HAS_OS 1

#if defined(__x86_64__)
enum { EP_CALL_FUTEX = 202, EP_CALL_CLOCK = 228 };
static inline long ep_call(long number, long a, long b, long c, long d) {
  long result = 0;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { EP_CALL_FUTEX = 98, EP_CALL_CLOCK = 113 };
static inline long ep_call(long number, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}
#else
enum { EP_CALL_FUTEX = 98, EP_CALL_CLOCK = 113 };
static inline long ep_call(long number, long a, long b, long c, long d) {
  register long a7 __asm__("a7") = number;
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3) : "memory");
  return a0;
}
#endif

/* Sleeps while *word is `seen`; may wake without cause. FUTEX_WAIT_PRIVATE. */
static inline void ep_sleep(atomic_uint *word, uint32_t seen) {
  (void)ep_call(EP_CALL_FUTEX, (long)word, 128, (long)seen, 0);
}

/* FUTEX_WAKE_PRIVATE. */
static inline void ep_wake(atomic_uint *word) {
  (void)ep_call(EP_CALL_FUTEX, (long)word, 129, INT32_MAX, 0);
}

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t ep_now(void) {
  int64_t spec[2] = {0, 0};
  (void)ep_call(EP_CALL_CLOCK, 1, (long)spec, 0, 0);
  return (uint64_t)spec[0] * 1000000000u + (uint64_t)spec[1];
}

#elif defined(__APPLE__)
#define EP_HAS_OS 1
#include <time.h>

/* libSystem's own futex, what its os_unfair_lock and libc++'s std::atomic::wait stand on. */
extern int __ulock_wait(uint32_t operation, void *address, uint64_t value, uint32_t microseconds);
extern int __ulock_wake(uint32_t operation, void *address, uint64_t value);

static inline void ep_sleep(atomic_uint *word, uint32_t seen) {
  (void)__ulock_wait(1, (void *)word, seen, 0);
}

static inline void ep_wake(atomic_uint *word) {
  (void)__ulock_wake(0x101, (void *)word, 0);
}

static inline uint64_t ep_now(void) {
  return clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
}

#else
#define EP_HAS_OS 0
#endif

#if EP_HAS_OS

#if defined(__aarch64__) && !defined(__APPLE__)
/* Written out, because Android's compilers turn atomic operations into calls of helpers that no library of
 * ours has. */

/* Adds and returns what was there; acquires and releases. */
static inline uint32_t ep_add(atomic_uint *word, uint32_t value) {
  uint32_t before = 0;
  uint32_t after = 0;
  uint32_t failed = 0;
  __asm__ volatile(
      "1: ldaxr %w0, %3\n"
      "add %w1, %w0, %w4\n"
      "stlxr %w2, %w1, %3\n"
      "cbnz %w2, 1b\n"
      : "=&r"(before), "=&r"(after), "=&r"(failed), "+Q"(*word)
      : "r"(value)
      : "memory");
  return before;
}

/* Clears bits and returns what was there; acquires and releases. */
static inline uint32_t ep_clear(atomic_uint *word, uint32_t bits) {
  uint32_t before = 0;
  uint32_t after = 0;
  uint32_t failed = 0;
  __asm__ volatile(
      "1: ldaxr %w0, %3\n"
      "bic %w1, %w0, %w4\n"
      "stlxr %w2, %w1, %3\n"
      "cbnz %w2, 1b\n"
      : "=&r"(before), "=&r"(after), "=&r"(failed), "+Q"(*word)
      : "r"(bits)
      : "memory");
  return before;
}
#else
static inline uint32_t ep_add(atomic_uint *word, uint32_t value) {
  return atomic_fetch_add_explicit(word, value, memory_order_acq_rel);
}

static inline uint32_t ep_clear(atomic_uint *word, uint32_t bits) {
  return atomic_fetch_and_explicit(word, ~bits, memory_order_acq_rel);
}
#endif

/* Tells the core that this thread waits for another: less power, and a sibling thread runs faster. */
static inline void ep_pause(void) {
#if defined(__x86_64__)
  __asm__ volatile("pause" ::: "memory");
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory"); /* "yield" does nothing on most cores */
#else
  __asm__ volatile(".4byte 0x0100000f" ::: "memory"); /* pause; a fence of nothing where there is none */
#endif
}
#endif
#endif
