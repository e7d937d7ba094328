/* The four memory functions that compilers call on their own, for libraries without a libc.
 *
 * Compilers see a copy loop and call memcpy, which would be this very function. So this file is built
 * with -fno-builtin, and it moves words by value: 16 bytes where the processor takes any address (and
 * the compiler makes that one load), else a machine word when both addresses are aligned.
 */
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)
void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);
#pragma GCC visibility pop

#if defined(__aarch64__) || defined(__x86_64__) || defined(__wasm__)
typedef struct ep_block {
  uint64_t a, b;
} __attribute__((may_alias, packed, aligned(1))) ep_block;

static int can_block(const void *to, const void *from) {
  (void)to;
  (void)from;
  return 1;
}
static ep_block filled(unsigned char value) {
  const uint64_t word = 0x0101010101010101u * (uint64_t)value;
  return (ep_block){word, word};
}
#else
typedef uintptr_t __attribute__((may_alias)) ep_block;

static int can_block(const void *to, const void *from) {
  return (((uintptr_t)to | (uintptr_t)from) & (sizeof(ep_block) - 1u)) == 0u;
}
static ep_block filled(unsigned char value) {
  return (UINTPTR_MAX / 255u) * value;
}
#endif

/* Correct as well where the target begins before the source and they overlap. */
static void copy_forwards(unsigned char *d, const unsigned char *s, size_t count) {
  if (can_block(d, s)) {
    for (; count >= sizeof(ep_block); count -= sizeof(ep_block)) {
      *(ep_block *)(void *)d = *(const ep_block *)(const void *)s;
      d += sizeof(ep_block);
      s += sizeof(ep_block);
    }
  }
  for (; count != 0u; --count) {
    *d++ = *s++;
  }
}

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
  copy_forwards(to, from, count);
  return to;
}

void *memmove(void *to, const void *from, size_t count) {
  unsigned char *d = to;
  const unsigned char *s = from;
  if ((uintptr_t)d - (uintptr_t)s >= count) {
    copy_forwards(d, s, count);
    return to;
  }
  if (can_block(d + count, s + count)) {
    while (count >= sizeof(ep_block)) {
      count -= sizeof(ep_block);
      const ep_block block = *(const ep_block *)(const void *)(s + count);
      *(ep_block *)(void *)(d + count) = block;
    }
  }
  while (count != 0u) {
    --count;
    d[count] = s[count];
  }
  return to;
}

void *memset(void *to, int value, size_t count) {
  unsigned char *d = to;
  if (can_block(d, d)) {
    const ep_block block = filled((unsigned char)value);
    for (; count >= sizeof(ep_block); count -= sizeof(ep_block)) {
      *(ep_block *)(void *)d = block;
      d += sizeof(ep_block);
    }
  }
  for (; count != 0u; --count) {
    *d++ = (unsigned char)value;
  }
  return to;
}

int memcmp(const void *left, const void *right, size_t count) {
  const unsigned char *a = left;
  const unsigned char *b = right;
  for (; count != 0u; --count, ++a, ++b) {
    if (*a != *b) {
      return *a < *b ? -1 : 1;
    }
  }
  return 0;
}
