/* string.h where there is no libc: what ep_mem.c defines. */
#ifndef EP_FREESTANDING_STRING_H
#define EP_FREESTANDING_STRING_H
#include <stddef.h>
#pragma GCC visibility push(hidden)
void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);
#pragma GCC visibility pop
#endif
