/* Float mathematics for kernels without libm: exponentials, logarithms, powers, erf, tanh, angles.
 *
 * Hidden, so that a process keeps its own libm. Worked out in double and rounded once, so the result
 * is the same on every processor (build with -ffp-contract=off); relative error below 2e-7, tested
 * against NumPy. No errno, no floating-point exceptions. Angles are reduced well up to |x| = 1e6.
 * Polynomials: fits at Chebyshev nodes (exp, erf), else the plain series.
 */
#include "ep_math.h"

#include <stdint.h>

#define EP_LN2 0.69314718055994530942
#define EP_PI 3.14159265358979323846
#define EP_HALF_PI 1.57079632679489661923

typedef union ep_double {
  double f;
  uint64_t u;
} ep_double;

/* The nearest whole number for |x| < 2^51, half to even: adding 1.5 * 2^52 leaves no bits below one. */
static double nearest(double x) {
  return (x + 0x1.8p52) - 0x1.8p52;
}

/* e^r 2^n, |r| <= ln(2)/2, n whole, in -1000..1000. */
static double scaled_exp(double r, double n) {
  double p = 0.0013948580860890908;
  p = p * r + 0.0083751288902883681;
  p = p * r + 0.041666218273735692;
  p = p * r + 0.16666415477237934;
  p = p * r + 0.50000001077496092;
  p = p * r + 1.0000000377274478;
  p = p * r + 0.99999999995954847;
  const ep_double scale = {.u = (uint64_t)(1023 + (int64_t)n) << 52};
  return p * scale.f;
}

static double exponential(double x) {
  if (!(x == x)) {
    return x;
  }
  x = x > 200.0 ? 200.0 : (x < -200.0 ? -200.0 : x); /* far beyond float on both sides */
  const double n = nearest(x * (1.0 / EP_LN2));
  return scaled_exp(x - n * EP_LN2, n);
}

static double exponential2(double x) {
  if (!(x == x)) {
    return x;
  }
  x = x > 300.0 ? 300.0 : (x < -300.0 ? -300.0 : x);
  const double n = nearest(x);
  return scaled_exp((x - n) * EP_LN2, n);
}

/* The natural logarithm, by 2 artanh((m - 1) / (m + 1)). */
static double logarithm(double x) {
  if (!(x > 0.0)) {
    return x == 0.0 ? -__builtin_inf() : __builtin_nan("");
  }
  if (x > 0x1p1000) {
    return x;
  }
  ep_double bits = {.f = x};
  int64_t n = (int64_t)(bits.u >> 52) - 1023;
  bits.u = (bits.u & 0xfffffffffffffu) | 0x3ff0000000000000u;
  if (bits.f > 1.41421356237309504880) {
    bits.f *= 0.5;
    ++n;
  }
  const double s = (bits.f - 1.0) / (bits.f + 1.0);
  const double z = s * s;
  double p = 1.0 / 13.0;
  p = p * z + 1.0 / 11.0;
  p = p * z + 1.0 / 9.0;
  p = p * z + 1.0 / 7.0;
  p = p * z + 1.0 / 5.0;
  p = p * z + 1.0 / 3.0;
  p = p * z + 1.0;
  return (double)n * EP_LN2 + 2.0 * s * p;
}

float expf(float x) {
  return (float)exponential((double)x);
}

float exp2f(float x) {
  return (float)exponential2((double)x);
}

float expm1f(float x) {
  const double d = (double)x;
  if (x > -0.03125f && x < 0.03125f) {
    return (float)(d + d * d * (0.5 + d * (1.0 / 6.0 + d * (1.0 / 24.0 + d * (1.0 / 120.0)))));
  }
  return (float)(exponential(d) - 1.0);
}

float logf(float x) {
  return (float)logarithm((double)x);
}

float log2f(float x) {
  return (float)(logarithm((double)x) * (1.0 / EP_LN2));
}

float log10f(float x) {
  return (float)(logarithm((double)x) * 0.43429448190325182765);
}

float log1pf(float x) {
  const double d = (double)x;
  if (x > -0x1p-10f && x < 0x1p-10f) {
    return (float)(d - d * d * (0.5 - d * (1.0 / 3.0)));
  }
  return (float)logarithm(1.0 + d);
}

float powf(float x, float y) {
  if (y == 0.0f || x == 1.0f) {
    return 1.0f;
  }
  if (!(x == x) || !(y == y)) {
    return x + y;
  }
  const float size = fabsf(y);
  const int whole = size >= 0x1p23f || truncf(y) == y;
  const int odd = whole && size < 0x1p24f && ((int32_t)size & 1) != 0;
  if (x < 0.0f && !whole && x >= -3.40282347e38f) {
    return __builtin_nanf("");
  }
  const float magnitude = fabsf(x);
  double result = 0.0;
  if (magnitude == 1.0f) {
    result = 1.0;
  } else if (magnitude == 0.0f || magnitude > 3.40282347e38f || size > 3.40282347e38f) {
    result = ((magnitude > 1.0f) == (y > 0.0f)) ? __builtin_inf() : 0.0;
  } else {
    result = exponential2((double)y * (logarithm((double)magnitude) * (1.0 / EP_LN2)));
  }
  return (float)(odd && __builtin_signbit(x) ? -result : result);
}

float tanhf(float x) {
  const double d = (double)x;
  if (x > -0.0625f && x < 0.0625f) {
    const double z = d * d;
    return (float)(d * (1.0 - z * (1.0 / 3.0 - z * (2.0 / 15.0 - z * (17.0 / 315.0)))));
  }
  return (float)(1.0 - 2.0 / (exponential(2.0 * d) + 1.0));
}

float sinhf(float x) {
  const double d = (double)x;
  if (x > -0.25f && x < 0.25f) {
    const double z = d * d;
    return (float)(d * (1.0 + z * (1.0 / 6.0 + z * (1.0 / 120.0 + z * (1.0 / 5040.0)))));
  }
  const double e = exponential(d);
  return (float)(0.5 * (e - 1.0 / e));
}

float coshf(float x) {
  const double e = exponential((double)x);
  return (float)(0.5 * (e + 1.0 / e));
}

float erff(float x) {
  const double size = (double)fabsf(x);
  if (size < 1.0) {
    const double z = size * size;
    double p = 1.0595264029689136e-06;
    p = p * z - 1.3911696203194883e-05;
    p = p * z + 0.00011956945978113259;
    p = p * z - 0.00085426704916287161;
    p = p * z + 0.0052237850032224031;
    p = p * z - 0.02686613362438264;
    p = p * z + 0.11283791313482508;
    p = p * z - 0.37612638889868144;
    p = p * z + 1.128379167094695;
    return (float)((double)x * p);
  }
  if (!(size < 4.0)) {
    return x == x ? copysignf(1.0f, x) : x;
  }
  const double t = 1.0 / (1.0 + 0.5 * size);
  double p = -0.053540616036070798;
  p = p * t - 0.057338735567134286;
  p = p * t + 0.40383836295986275;
  p = p * t + 0.10126824458338404;
  p = p * t + 0.3308406805398576;
  p = p * t + 0.27361815345996554;
  p = p * t + 0.00060640874030162134;
  return copysignf((float)(1.0 - exponential(-size * size) * p), x);
}

/* sin(x + quarter * pi / 2). */
static double sine(double x, int64_t quarter) {
  const double n = nearest(x * (1.0 / EP_HALF_PI));
  /* pi/2 in two pieces; the first has 33 bits, so n times it is exact while |n| < 2^20. */
  const double r = (x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
  const double z = r * r;
  quarter += (int64_t)n;
  double p = 0.0;
  if ((quarter & 1) != 0) {
    p = 1.0 + z * (-1.0 / 2.0 + z * (1.0 / 24.0 + z * (-1.0 / 720.0 + z * (1.0 / 40320.0 - z * (1.0 / 3628800.0)))));
  } else {
    p = r * (1.0 + z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0 + z * (1.0 / 362880.0 - z * (1.0 / 39916800.0))))));
  }
  return (quarter & 2) != 0 ? -p : p;
}

static int finite_angle(float x) {
  return fabsf(x) < 0x1p40f; /* beyond that, and for infinities and NaN, there is no meaningful angle */
}

float sinf(float x) {
  return finite_angle(x) ? (float)sine((double)x, 0) : __builtin_nanf("");
}

float cosf(float x) {
  return finite_angle(x) ? (float)sine((double)x, 1) : __builtin_nanf("");
}

float tanf(float x) {
  return finite_angle(x) ? (float)(sine((double)x, 0) / sine((double)x, 1)) : __builtin_nanf("");
}

/* The angle whose tangent is y / x, for y, x >= 0 and not both 0. */
static double angle(double y, double x) {
  const double low = y < x ? y : x;
  const double high = y < x ? x : y;
  double t = low / high;
  double base = 0.0;
  if (t > 0.41421356237309504880) { /* tan(pi / 8) */
    t = (t - 1.0) / (t + 1.0);
    base = EP_PI / 4.0;
  }
  const double z = t * t;
  double p = -1.0 / 19.0;
  for (int k = 17; k >= 1; k -= 2) {
    p = p * z + ((k & 2) != 0 ? -1.0 : 1.0) / (double)k;
  }
  const double small = base + t * p;
  return y < x ? small : EP_HALF_PI - small;
}

static float signed_angle(double y, double x) {
  if (!(y == y) || !(x == x)) {
    return __builtin_nanf("");
  }
  const double infinite = __builtin_inf();
  double up = __builtin_fabs(y);
  double along = __builtin_fabs(x);
  if (up == infinite) {
    along = along == infinite ? 1.0 : 0.0;
    up = 1.0;
  } else if (along == infinite) {
    up = 0.0;
    along = 1.0;
  }
  double a = up == 0.0 && along == 0.0 ? 0.0 : angle(up, along);
  a = __builtin_signbit(x) ? EP_PI - a : a;
  return (float)(__builtin_signbit(y) ? -a : a);
}

float atanf(float x) {
  return signed_angle((double)x, 1.0);
}

float atan2f(float y, float x) {
  return signed_angle((double)y, (double)x);
}

float asinf(float x) {
  const double d = (double)x;
  return d * d <= 1.0 ? signed_angle(d, sqrt((1.0 - d) * (1.0 + d))) : __builtin_nanf("");
}

float acosf(float x) {
  const double d = (double)x;
  return d * d <= 1.0 ? signed_angle(sqrt((1.0 - d) * (1.0 + d)), d) : __builtin_nanf("");
}
