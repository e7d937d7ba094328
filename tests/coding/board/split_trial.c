/* The golden split network on a board: its latents give the golden streams. No libc is needed. */
#include "ep_split.h"
#include "split_case.h"

#define COUNT (EP_TRIAL_LATENTS * EP_TRIAL_ROWS * EP_TRIAL_COLUMNS)

static union {
  uint32_t bits[COUNT];
  float numbers[COUNT];
} latents;
static uint64_t memory[1 << 15], scratch[1 << 16];
static uint8_t written[1 << 18];

/* As tests/coding/split_golden.py makes them. */
static void make_latents(void) {
  uint32_t state = 12345;
  int32_t before = 0;
  for (uint32_t k = 0; k < COUNT; ++k) {
    state = (state * 1103515245u + 12345u) & 0x7FFFFFFFu;
    before = before - (before >> 2) + (int32_t)((state >> 16) % 23u) - 11;
    latents.numbers[k] = (float)before / 4.0f;
  }
  for (uint32_t k = 0; k < sizeof ep_trial_special / sizeof *ep_trial_special; ++k) {
    latents.bits[k] = ep_trial_special[k];
  }
}

#if defined(__wasm__)
__attribute__((export_name("ep_split_trial")))
#endif
int ep_split_trial(void) {
  const ep_split *split = ep_get_split();
  make_latents();
  for (uint32_t rate = 0; rate < split->rate_count; ++rate) {
    const uint64_t size = ep_split_bytes(split, rate);
    if (size == 0u || size > sizeof memory) {
      return 110 + (int)rate;
    }
    const ep_sender *sender = ep_split_open(split, rate, memory, size);
    if (sender == 0 || ep_split_scratch(sender) > sizeof scratch || ep_split_most_bytes(sender) > sizeof written ||
        ep_split_latent_bytes(sender) != sizeof latents) {
      return 120 + (int)rate;
    }
    const int64_t length = ep_split_encode(sender, latents.numbers, sizeof latents, scratch, sizeof scratch, written,
                                           sizeof written);
    if (length != (int64_t)ep_trial_lengths[rate]) {
      return 130 + (int)rate;
    }
    for (uint32_t k = 0; k < ep_trial_lengths[rate]; ++k) {
      if (written[k] != ep_trial_streams[rate][k]) {
        return 140 + (int)rate;
      }
    }
  }
  return ep_split_bytes(split, split->rate_count) == 0u ? 0 : 150;
}
