/* Rounding, remainders, least and greatest, square roots: written out, because on a processor without
 * the instruction a compiler's builtin would call the very function that it is in. */
#include "ep_math.h"

#include <stdint.h>

typedef union ep_float {
  float f;
  uint32_t u;
} ep_float;

float fabsf(float x) {
  ep_float bits = {.f = x};
  bits.u &= 0x7fffffffu;
  return bits.f;
}

float copysignf(float x, float sign) {
  ep_float bits = {.f = x};
  const ep_float other = {.f = sign};
  bits.u = (bits.u & 0x7fffffffu) | (other.u & 0x80000000u);
  return bits.f;
}

/* From 2^23 on every float is whole; NaN takes that way too. */
static int has_fraction(float x) {
  return fabsf(x) < 0x1p23f;
}

float truncf(float x) {
  return has_fraction(x) ? copysignf((float)(int32_t)x, x) : x;
}

float floorf(float x) {
  const float whole = truncf(x);
  return whole > x ? whole - 1.0f : whole;
}

float ceilf(float x) {
  const float whole = truncf(x);
  return whole < x ? copysignf(whole + 1.0f, x) : whole;
}

float roundf(float x) {
  const float whole = truncf(x);
  return fabsf(x - whole) >= 0.5f ? whole + copysignf(1.0f, x) : whole;
}

/* Half to even: the sum with 2^23 keeps no bits below one. */
float rintf(float x) {
  if (!has_fraction(x)) {
    return x;
  }
  const float size = fabsf(x);
  return copysignf((size + 0x1p23f) - 0x1p23f, x);
}

float nearbyintf(float x) {
  return rintf(x);
}

float roundevenf(float x) {
  return rintf(x);
}

float fminf(float x, float y) {
  if (!(y == y)) {
    return x;
  }
  return x < y ? x : y;
}

float fmaxf(float x, float y) {
  if (!(y == y)) {
    return x;
  }
  return x > y ? x : y;
}

/* Exact: whole multiples of y are taken away in integers, a bit at a time. */
float fmodf(float x, float y) {
  ep_float a = {.f = fabsf(x)};
  ep_float b = {.f = fabsf(y)};
  if (a.u >= 0x7f800000u || b.u > 0x7f800000u || b.u == 0u) {
    return __builtin_nanf("");
  }
  if (a.u < b.u) {
    return x;
  }
  const int32_t a_exponent = (int32_t)(a.u >> 23);
  const int32_t b_exponent = (int32_t)(b.u >> 23);
  uint32_t m = a_exponent == 0 ? a.u : (a.u & 0x7fffffu) | 0x800000u;
  const uint32_t n = b_exponent == 0 ? b.u : (b.u & 0x7fffffu) | 0x800000u;
  const int32_t steps = (a_exponent == 0 ? 1 : a_exponent) - (b_exponent == 0 ? 1 : b_exponent);
  m %= n;
  for (int32_t i = 0; i < steps; ++i) {
    m = (m << 1) % n;
  }
  /* m < n, so the value is m units of y's last place; the scale is a power of two, the product exact. */
  int32_t exponent = b_exponent == 0 ? 1 : b_exponent;
  if (m == 0u) {
    return copysignf(0.0f, x);
  }
  while (m < 0x800000u && exponent > 1) {
    m <<= 1;
    --exponent;
  }
  ep_float result = {.u = m < 0x800000u ? m : (m & 0x7fffffu) | ((uint32_t)exponent << 23)};
  return copysignf(result.f, x);
}

#if defined(__aarch64__) || defined(__x86_64__) || defined(__wasm__) || (defined(__riscv_flen) && __riscv_flen >= 64)
/* One instruction here (built with -fno-math-errno). */
float sqrtf(float x) {
  return __builtin_sqrtf(x);
}

double sqrt(double x) {
  return __builtin_sqrt(x);
}
#else
/* A guess from the exponent, then Newton's steps, each of which doubles the right digits. */
double sqrt(double x) {
  if (!(x > 0.0) || x > 0x1.fffffffffffffp1023) {
    return x < 0.0 ? __builtin_nan("") : x;
  }
  union {
    double f;
    uint64_t u;
  } guess = {.f = x};
  guess.u = (guess.u >> 1) + 0x1ff8000000000000u;
  double root = guess.f;
  for (int i = 0; i < 6; ++i) {
    root = 0.5 * (root + x / root);
  }
  return root;
}

float sqrtf(float x) {
  return (float)sqrt((double)x);
}
#endif
