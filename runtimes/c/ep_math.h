/* What ep_math.c and ep_math_round.c define: the part of libm that kernels call, hidden. */
#ifndef EP_MATH_H
#define EP_MATH_H

#pragma GCC visibility push(hidden)
float expf(float x);
float exp2f(float x);
float expm1f(float x);
float logf(float x);
float log2f(float x);
float log10f(float x);
float log1pf(float x);
float powf(float x, float y);
float tanhf(float x);
float sinhf(float x);
float coshf(float x);
float erff(float x);
float sinf(float x);
float cosf(float x);
float tanf(float x);
float atanf(float x);
float atan2f(float y, float x);
float asinf(float x);
float acosf(float x);

float fabsf(float x);
float copysignf(float x, float sign);
float floorf(float x);
float ceilf(float x);
float truncf(float x);
float roundf(float x);
float rintf(float x);
float nearbyintf(float x);
float roundevenf(float x);
float fmodf(float x, float y);
float fminf(float x, float y);
float fmaxf(float x, float y);
float sqrtf(float x);
double sqrt(double x);
#pragma GCC visibility pop

#endif
