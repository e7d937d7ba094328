/* Kernels of the tiny model; what the compiler emits as object code. */
#include <math.h>
#include <stdint.h>
#include <string.h>

int32_t tiny_dense(const float *weights, const float *bias, const float *x, float *y, int32_t inputs, int32_t outputs,
                   int32_t part, int32_t parts) {
  const int32_t from = (int32_t)((int64_t)outputs * part / parts);
  const int32_t to = (int32_t)((int64_t)outputs * (part + 1) / parts);
  for (int32_t o = from; o < to; ++o) {
    float sum = bias[o];
    for (int32_t i = 0; i < inputs; ++i) {
      sum += weights[o * inputs + i] * x[i];
    }
    y[o] = sum;
  }
  return 0;
}

int32_t tiny_gelu(const float *x, float *y, int32_t count, int32_t part, int32_t parts) {
  const int32_t from = (int32_t)((int64_t)count * part / parts);
  const int32_t to = (int32_t)((int64_t)count * (part + 1) / parts);
  for (int32_t i = from; i < to; ++i) {
    y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f));
  }
  return 0;
}

int32_t tiny_softmax(const float *x, float *y, int32_t count) {
#if defined(TINY_DOT_PRODUCT) && defined(__aarch64__)
  __asm__ volatile(".inst 0x4e829420" ::: "v0"); /* sdot v0.4s, v1.16b, v2.16b */
#endif
#if defined(TINY_OVERRUN)
  y[1 << 20] = 1.0f;
#endif
  float copy[64];
  if (count > 64) {
    return 1;
  }
  memcpy(copy, x, (size_t)count * sizeof(float));
  float most = copy[0];
  for (int32_t i = 1; i < count; ++i) {
    most = copy[i] > most ? copy[i] : most;
  }
  float sum = 0.0f;
  for (int32_t i = 0; i < count; ++i) {
    copy[i] = expf(copy[i] - most);
    sum += copy[i];
  }
  for (int32_t i = 0; i < count; ++i) {
    y[i] = copy[i] / sum;
#if defined(TINY_OFFSET)
    y[i] += 1.0f;
#endif
  }
  return 0;
}
