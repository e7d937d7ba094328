/* The tiny model's header. */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H
#include "ep.h"
#endif
