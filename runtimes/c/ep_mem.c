/* The four memory functions that compilers call on their own, for libraries without a libc. */
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)
void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);
#pragma GCC visibility pop

/* Compilers see a copy loop and call memcpy, which would be this very function: this file is built
 * with -fno-builtin and -fno-tree-loop-distribute-patterns, and steps by words of 16 bytes that are
 * moved by value, which all compilers turn into plain vector moves. */
typedef struct ep_block {
  uint64_t a, b;
} __attribute__((may_alias, packed, aligned(1))) ep_block;

/* Correct as well where the target begins before the source and they overlap. */
static void copy_forwards(unsigned char *d, const unsigned char *s, size_t count) {
  for (; count >= sizeof(ep_block); count -= sizeof(ep_block)) {
    *(ep_block *)d = *(const ep_block *)s;
    d += sizeof(ep_block);
    s += sizeof(ep_block);
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
  while (count >= sizeof(ep_block)) {
    count -= sizeof(ep_block);
    const ep_block block = *(const ep_block *)(s + count);
    *(ep_block *)(d + count) = block;
  }
  while (count != 0u) {
    --count;
    d[count] = s[count];
  }
  return to;
}

void *memset(void *to, int value, size_t count) {
  unsigned char *d = to;
  const uint64_t word = 0x0101010101010101u * (uint64_t)(unsigned char)value;
  const ep_block block = {word, word};
  for (; count >= sizeof(ep_block); count -= sizeof(ep_block)) {
    *(ep_block *)d = block;
    d += sizeof(ep_block);
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
