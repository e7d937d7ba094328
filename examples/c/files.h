/* What both programs do with memory and files. */
#ifndef FILES_H
#define FILES_H

#include <stdio.h>
#include <stdlib.h>

#include "ep.h"

/* `bytes` bytes at a multiple of EP_ALIGN. */
static inline void *buffer(uint64_t bytes) {
  const size_t whole = ((size_t)bytes / EP_ALIGN + 1u) * EP_ALIGN;
  void *data = aligned_alloc(EP_ALIGN, whole);
  if (data == NULL) {
    fprintf(stderr, "not enough memory for %llu bytes\n", (unsigned long long)bytes);
    exit(1);
  }
  return data;
}

static inline void read_exactly(const char *path, void *data, uint64_t bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fread(data, 1, (size_t)bytes, file) != bytes || fgetc(file) != EOF) {
    fprintf(stderr, "%s is not a file of %llu bytes\n", path, (unsigned long long)bytes);
    exit(1);
  }
  (void)fclose(file);
}

/* The weights from a file, and the arena. */
static inline ep_state make_state(const ep_model *model, const char *weights) {
  void *read = buffer(model->weights_bytes);
  read_exactly(weights, read, model->weights_bytes);
  return (ep_state){read, model->weights_bytes, buffer(model->arena_bytes), model->arena_bytes};
}

/* A tensor of the model's, with what a file holds in it, or with nothing where there is no file. */
static inline ep_tensor make_tensor(const ep_io *io, const char *path) {
  const ep_tensor made = {buffer(io->bytes), io->bytes};
  if (path != NULL) {
    read_exactly(path, made.data, made.bytes);
  }
  return made;
}

#endif
