/* Applies the runtime's hidden mathematics to arrays, so that NumPy can be compared with it. */
#include <stddef.h>
#include <stdint.h>

#include "ep_math.h"

#define PROBE1(name)                                                                                  \
  void probe_##name(const float *x, float *y, int64_t count) {                                        \
    for (int64_t i = 0; i < count; ++i) {                                                             \
      y[i] = name(x[i]);                                                                              \
    }                                                                                                 \
  }
#define PROBE2(name)                                                                                  \
  void probe_##name(const float *a, const float *b, float *y, int64_t count) {                        \
    for (int64_t i = 0; i < count; ++i) {                                                             \
      y[i] = name(a[i], b[i]);                                                                        \
    }                                                                                                 \
  }

#pragma GCC visibility push(default)
PROBE1(expf) PROBE1(exp2f) PROBE1(expm1f) PROBE1(logf) PROBE1(log2f) PROBE1(log10f) PROBE1(log1pf)
PROBE1(tanhf) PROBE1(sinhf) PROBE1(coshf) PROBE1(erff) PROBE1(sinf) PROBE1(cosf) PROBE1(tanf)
PROBE1(atanf) PROBE1(asinf) PROBE1(acosf) PROBE1(fabsf) PROBE1(floorf) PROBE1(ceilf) PROBE1(truncf)
PROBE1(roundf) PROBE1(rintf) PROBE1(nearbyintf) PROBE1(roundevenf) PROBE1(sqrtf)
PROBE2(powf) PROBE2(atan2f) PROBE2(fmodf) PROBE2(fminf) PROBE2(fmaxf) PROBE2(copysignf)

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);

void probe_memmove(uint8_t *block, int64_t to, int64_t from, int64_t count) {
  memmove(block + to, block + from, (size_t)count);
}
void probe_memcpy(uint8_t *to, const uint8_t *from, int64_t count) {
  memcpy(to, from, (size_t)count);
}
void probe_memset(uint8_t *block, int64_t to, int32_t value, int64_t count) {
  memset(block + to, value, (size_t)count);
}
int32_t probe_memcmp(const uint8_t *a, const uint8_t *b, int64_t count) {
  return memcmp(a, b, (size_t)count);
}
#pragma GCC visibility pop
