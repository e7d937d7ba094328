/* A model written by hand, in the form that the ahead-of-time compiler emits: three layers, two outputs. */
#include "model.h"

extern int32_t tiny_dense(const float *weights, const float *bias, const float *x, float *y, int32_t inputs,
                          int32_t outputs, int32_t part, int32_t parts);
extern int32_t tiny_gelu(const float *x, float *y, int32_t count, int32_t part, int32_t parts);
extern int32_t tiny_softmax(const float *x, float *y, int32_t count);

static int32_t op_0(void *const *a, int32_t part, int32_t parts) {
  return tiny_dense(a[0], a[1], a[2], a[3], 16, 64, part, parts);
}
static int32_t op_1(void *const *a, int32_t part, int32_t parts) {
  return tiny_gelu(a[0], a[1], 64, part, parts);
}
static int32_t op_2(void *const *a, int32_t part, int32_t parts) {
  return tiny_dense(a[0], a[1], a[2], a[3], 64, 10, part, parts);
}
static int32_t op_3(void *const *a, int32_t part, int32_t parts) {
  (void)part;
  (void)parts;
  return tiny_softmax(a[0], a[1], 10);
}

/* weights: 64x16 at 0, 64 at 4096, 10x64 at 4352, 10 at 6912; arena: hidden at 0, logits at 256 */
static const ep_ref args_0[] = {{EP_WEIGHTS, 0, 0}, {EP_WEIGHTS, 0, 4096}, {EP_INPUT, 0, 0}, {EP_ARENA, 0, 0}};
static const ep_ref args_1[] = {{EP_ARENA, 0, 0}, {EP_OUTPUT, 1, 0}};
static const ep_ref args_2[] = {{EP_WEIGHTS, 0, 4352}, {EP_WEIGHTS, 0, 6912}, {EP_OUTPUT, 1, 0}, {EP_ARENA, 0, 256}};
static const ep_ref args_3[] = {{EP_ARENA, 0, 256}, {EP_OUTPUT, 0, 0}};

static const ep_op ops[] = {
    {op_0, args_0, 4, 64, "dense"},
    {op_1, args_1, 2, 64, "gelu"},
    {op_2, args_2, 4, 10, "classes"},
    {op_3, args_3, 2, 1, "softmax"},
};
static const ep_io inputs[] = {{"x", EP_FLOAT32, 2, {1, 16}, 64}};
static const ep_io outputs[] = {
    {"probabilities", EP_FLOAT32, 2, {1, 10}, 40},
    {"hidden", EP_FLOAT32, 2, {1, 64}, 256},
};
static const ep_model model = {
    .abi = EP_ABI,
    .op_count = 4,
    .input_count = 1,
    .output_count = 2,
    .name = "tiny",
    .ops = ops,
    .inputs = inputs,
    .outputs = outputs,
    .arena_bytes = 320,
    .weights_bytes = 6976,
    .max_args = 4,
};

const ep_model *ep_get_model(void) {
  return &model;
}
