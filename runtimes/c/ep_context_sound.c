/* Whether predictions can be taken whatever the values are: see ep_context.h. */
#include "ep_context.h"

/* Whether a tap's neighbour is known before place k of the order. */
static int32_t is_known(const ep_context *context, const ep_tap *tap, uint32_t k) {
  if (tap->row < -EP_CONTEXT_REACH || tap->row > EP_CONTEXT_REACH || tap->column < -EP_CONTEXT_REACH ||
      tap->column > EP_CONTEXT_REACH) {
    return 0;
  }
  if (tap->channel == context->order[k]) {
    return tap->row < 0 || (tap->row == 0 && tap->column < 0);
  }
  int32_t known = 0;
  for (uint32_t i = 0; i < k; ++i) {
    known |= (int32_t)(context->order[i] == tap->channel);
  }
  return known;
}

static int32_t is_light(const ep_tap *tap, const ep_tap *end) {
  int32_t weight = 0;
  for (; tap < end; ++tap) {
    weight += tap->weight < 0 ? -tap->weight : tap->weight;
  }
  return weight <= EP_CONTEXT_MOST_WEIGHT;
}

/* Whether the sums of number s, a channel's at place k of the order, can be taken. */
static int32_t are_sums(const ep_context *context, uint32_t s, uint32_t k) {
  const uint32_t values = context->value_at[s], errors = context->error_at[s], end = context->value_at[s + 1u];
  if (values > errors || errors > end || end - values > EP_CONTEXT_MOST_TAPS ||
      context->offsets[s] > EP_CONTEXT_MOST_OFFSET || context->offsets[s] < -EP_CONTEXT_MOST_OFFSET ||
      is_light(context->taps + values, context->taps + errors) == 0 ||
      is_light(context->taps + errors, context->taps + end) == 0) {
    return 0;
  }
  for (uint32_t i = values; i < end; ++i) {
    if (is_known(context, &context->taps[i], k) == 0) {
      return 0;
    }
  }
  return 1;
}

int32_t ep_context_is_sound(const ep_context *context) {
  const uint32_t levels = context->table_count / 2u - 1u;
  if (context->channels == 0 || context->channels > EP_CONTEXT_MOST_CHANNELS || context->table_count < 2u ||
      context->table_count > EP_CONTEXT_MOST_TABLES || context->table_count % 2u != 0u) {
    return 0;
  }
  for (uint32_t k = 0; k < levels; ++k) {
    if (context->levels[k] <= (k == 0 ? 0 : context->levels[k - 1u]) ||
        context->levels[k] > EP_CONTEXT_MOST_LEVEL) {
      return 0;
    }
  }
  for (uint32_t k = 0; k < context->channels; ++k) {
    const uint32_t c = context->order[k];
    for (uint32_t i = 0; i < k; ++i) {
      if (context->order[i] == c) {
        return 0;
      }
    }
    if (c >= context->channels || are_sums(context, c, k) == 0 || are_sums(context, context->channels + c, k) == 0) {
      return 0;
    }
  }
  return 1;
}
