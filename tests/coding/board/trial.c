/* The golden streams on a board: each decodes to its values, which encode to the same bytes. No libc is needed. */
#include "case.h"
#include "ep_coding.h"

static uint64_t model_memory[1 << 16], scratch[1 << 13];
static int16_t found[EP_TRIAL_MOST];
static uint8_t written[1 << 15];

#if defined(__wasm__)
__attribute__((export_name("ep_trial")))
#endif
int ep_trial(void) {
  for (uint32_t k = 0; k < EP_TRIAL_STREAMS; ++k) {
    const ep_trial_stream *s = &ep_trial_streams[k];
    const uint64_t needed = ep_coding_bytes(ep_trial_models, sizeof ep_trial_models, s->rate);
    if (needed == 0 || needed > sizeof model_memory) {
      return 10 + (int)k;
    }
    const ep_coding *coding =
        ep_coding_open(ep_trial_models, sizeof ep_trial_models, s->rate, model_memory, needed);
    if (coding == 0 || ep_coding_scratch(coding, s->rows, s->columns) > sizeof scratch) {
      return 20 + (int)k;
    }
    if (ep_coding_decode(coding, found, s->rows, s->columns, scratch, sizeof scratch, s->body, s->length) == 0) {
      return 30 + (int)k;
    }
    const uint32_t count = ep_coding_channels(coding) * s->rows * s->columns;
    for (uint32_t i = 0; i < count; ++i) {
      if (found[i] != s->values[i]) {
        return 40 + (int)k;
      }
    }
    const int64_t length =
        ep_coding_encode(coding, s->values, s->rows, s->columns, scratch, sizeof scratch, written, sizeof written);
    if (length != (int64_t)s->length) {
      return 50 + (int)k;
    }
    for (uint32_t i = 0; i < s->length; ++i) {
      if (written[i] != s->body[i]) {
        return 60 + (int)k;
      }
    }
  }
  return 0;
}
