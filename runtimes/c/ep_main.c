/* A whole program for one model: `prog weights.bin out-prefix input0.bin input1.bin …`.
 *
 * Reads raw tensors, runs once, writes out-prefix0.bin, out-prefix1.bin, … Used as a static executable
 * under an emulator and for trying a model on a board where nothing else is installed.
 * Exit codes: 0 ran, 1 the model failed, 2 wrong arguments, 3 a file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ep.h"

static void *allocate(uint64_t bytes) {
  if (bytes > SIZE_MAX - 2u * EP_ALIGN) {
    return NULL;
  }
  const size_t whole = ((size_t)bytes / EP_ALIGN + 1u) * EP_ALIGN;
  return aligned_alloc(EP_ALIGN, whole);
}

/* The file's bytes, exactly `bytes` of them, or null with a sentence on stderr. */
static void *read_file(const char *path, uint64_t bytes) {
  void *data = allocate(bytes);
  FILE *file = fopen(path, "rb");
  if (file == NULL || data == NULL) {
    fprintf(stderr, "cannot read %s\n", path);
  } else if (fread(data, 1, (size_t)bytes, file) != bytes || fgetc(file) != EOF) {
    fprintf(stderr, "%s does not have %llu bytes\n", path, (unsigned long long)bytes);
  } else {
    (void)fclose(file);
    return data;
  }
  if (file != NULL) {
    (void)fclose(file);
  }
  free(data);
  return NULL;
}

static int write_file(const char *prefix, uint32_t index, const ep_tensor *tensor) {
  char path[4096];
  const int length = snprintf(path, sizeof path, "%s%u.bin", prefix, (unsigned)index);
  if (length < 0 || (size_t)length >= sizeof path) {
    fprintf(stderr, "the output prefix is too long\n");
    return 3;
  }
  FILE *file = fopen(path, "wb");
  const size_t written = file == NULL ? 0u : fwrite(tensor->data, 1, (size_t)tensor->bytes, file);
  if (file == NULL || fclose(file) != 0 || written != tensor->bytes) {
    fprintf(stderr, "cannot write %s\n", path);
    return 3;
  }
  return 0;
}

int main(int argc, char **argv) {
  const ep_model *model = ep_get_model();
  if (argc < 3 || (uint32_t)argc != 3u + model->input_count) {
    fprintf(stderr, "usage: %s weights.bin out-prefix input0.bin … (%u inputs)\n", argv[0],
            (unsigned)model->input_count);
    return 2;
  }
  const uint32_t count = model->input_count + model->output_count;
  ep_tensor *io = calloc(count + 1u, sizeof *io);
  const ep_state state = {
      .weights = read_file(argv[1], model->weights_bytes),
      .weights_bytes = model->weights_bytes,
      .arena = allocate(model->arena_bytes),
      .arena_bytes = model->arena_bytes,
  };
  if (io == NULL || state.weights == NULL || state.arena == NULL) {
    return 3;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const int is_input = i < model->input_count;
    const uint64_t bytes = is_input ? model->inputs[i].bytes : model->outputs[i - model->input_count].bytes;
    io[i].bytes = bytes;
    io[i].data = is_input ? read_file(argv[3u + i], bytes) : allocate(bytes);
    if (io[i].data == NULL) {
      return 3;
    }
  }
  const ep_status status = ep_run(model, io, NULL, &state, NULL);
  if (status != EP_OK) {
    fprintf(stderr, "%s\n", ep_status_text(status));
    return 1;
  }
  for (uint32_t i = 0; i < model->output_count; ++i) {
    const int failed = write_file(argv[2], i, &io[model->input_count + i]);
    if (failed != 0) {
      return failed;
    }
  }
  return 0; /* the process ends here, and its memory with it */
}
