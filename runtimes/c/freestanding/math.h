/* math.h where there is no libc: what ep_math.c and ep_math_round.c define. */
#ifndef EP_FREESTANDING_MATH_H
#define EP_FREESTANDING_MATH_H
#include "../ep_math.h"
#define INFINITY (__builtin_inff())
#define NAN (__builtin_nanf(""))
#define HUGE_VALF (__builtin_inff())
#endif
