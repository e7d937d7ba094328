/* A whole program for one model on a Cortex-M with nothing but a debugger or an emulator behind it.
 *
 * Files are asked for by semihosting (Arm's "Semihosting for AArch32 and AArch64", 2023Q3). In the
 * current folder it reads weights.bin and in0.bin, in1.bin, …, runs once and writes out0.bin, out1.bin, …
 * Exit codes: 0 ran, 1 the model failed, 3 a file or memory, 4 the processor met a fault.
 */
#include <stdbool.h>

#include "ep.h"

#if defined(__thumb__)

#ifndef EP_MEMORY_END
#error "EP_MEMORY_END says where the memory after the image ends"
#endif

enum {
  SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE0 = 0x04, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_FLEN = 0x0C,
  SYS_EXIT_EXTENDED = 0x20
};
enum { READ_BINARY = 1, WRITE_BINARY = 5 };
#define APPLICATION_EXIT 0x20026u

/* Armv7-M and Armv8-M Architecture Reference Manuals, "System Control Block". */
#define VTOR ((volatile uint32_t *)0xE000ED08u)
#define CFSR ((volatile uint32_t *)0xE000ED28u)
#define CPACR ((volatile uint32_t *)0xE000ED88u)
#define UNDEFINED (1u << 16 | 1u << 19) /* UNDEFINSTR, NOCP */

/* Memory for weights, arena and tensors: from the end of the image, which the linker names, to EP_MEMORY_END. */
extern unsigned char _end[];
static uintptr_t heap_next;

static uint32_t host(uint32_t operation, const void *block) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = block;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static _Noreturn void leave(uint32_t status, const char *why) {
  const uint32_t block[2] = {APPLICATION_EXIT, status};
  if (why != NULL) {
    (void)host(SYS_WRITE0, why);
    (void)host(SYS_WRITE0, "\n");
  }
  for (;;) {
    (void)host(SYS_EXIT_EXTENDED, block);
  }
}

static void *allocate(uint64_t bytes) {
  const uintptr_t start = (heap_next + EP_ALIGN - 1u) & ~(uintptr_t)(EP_ALIGN - 1u);
  if (start < heap_next || start > EP_MEMORY_END || bytes > EP_MEMORY_END - start) {
    leave(3u, "the model needs more memory than there is");
  }
  heap_next = start + (uintptr_t)bytes;
  return (void *)start;
}

/* `text` ends in room for `digits` hexadecimal digits at `end`. */
static void put_hex(char *end, uint32_t value, uint32_t digits) {
  for (uint32_t i = 1u; i <= digits; ++i, value >>= 4) {
    end[-(int32_t)i] = "0123456789abcdef"[value & 15u];
  }
}

static void __attribute__((used)) fault(const uint32_t *frame) {
  char lacks[] = "the processor does not have the instruction 00000000 at 0x00000000";
  char other[] = "the processor met a fault at 0x00000000";
  const uint32_t at = frame[6]; /* r0 to r3, r12, lr, pc */
  if ((*CFSR & UNDEFINED) == 0u) {
    put_hex(other + sizeof other - 1u, at, 8u);
    leave(4u, other);
  }
  const volatile uint16_t *const code = (const volatile uint16_t *)(uintptr_t)at;
  put_hex(lacks + sizeof lacks - 1u, at, 8u);
  put_hex(lacks + sizeof lacks - 15u, (uint32_t)code[0] << 16 | code[1], 8u);
  leave(4u, lacks);
}

static void __attribute__((naked)) on_fault(void) {
  __asm__ volatile("mov r0, sp\n bl fault");
}

/* The stack is set by `_start`; every fault escalates to the third, HardFault. */
static void (*const vectors[16])(void) __attribute__((aligned(128))) = {[2] = on_fault, [3] = on_fault};
static unsigned char __attribute__((aligned(16), used)) stack[1 << 16];

/* Moves exactly `bytes` between memory and the file `name`; reading, the file must have no more. */
static void transfer(const char *name, uint32_t length, void *data, uint64_t bytes, bool write) {
  const uintptr_t opening[3] = {(uintptr_t)name, write ? WRITE_BINARY : READ_BINARY, length};
  const uint32_t file = host(SYS_OPEN, opening);
  const uintptr_t moving[3] = {file, (uintptr_t)data, (uintptr_t)bytes};
  if (file == UINT32_MAX) {
    leave(3u, name);
  }
  const bool fits = write || host(SYS_FLEN, moving) == bytes;
  if (!fits || host(write ? SYS_WRITE : SYS_READ, moving) != 0u || host(SYS_CLOSE, moving) != 0u) {
    leave(3u, name);
  }
}

/* `in` or `out` with an index, up to 9999. */
static void transfer_tensor(const char *kind, uint32_t index, const ep_tensor *tensor, bool write) {
  char name[16];
  uint32_t length = 0u;
  for (; kind[length] != '\0'; ++length) {
    name[length] = kind[length];
  }
  uint32_t power = index >= 1000u ? 1000u : index >= 100u ? 100u : index >= 10u ? 10u : 1u;
  for (; power != 0u; power /= 10u) {
    name[length++] = (char)('0' + index / power % 10u);
  }
  for (const char *end = ".bin"; *end != '\0'; ++end) {
    name[length++] = *end;
  }
  name[length] = '\0';
  transfer(name, length, tensor->data, tensor->bytes, write);
}

static _Noreturn void __attribute__((used)) run(void) {
  heap_next = (uintptr_t)_end;
  *VTOR = (uint32_t)(uintptr_t)vectors;
  *CPACR |= 0xFu << 20; /* floating point, and Helium */
  __asm__ volatile("dsb\n isb" ::: "memory");
  const ep_model *model = ep_get_model();
  const uint32_t count = model->input_count + model->output_count;
  ep_tensor *io = allocate((uint64_t)count * sizeof *io);
  const ep_state state = {
      .weights = allocate(model->weights_bytes),
      .weights_bytes = model->weights_bytes,
      .arena = allocate(model->arena_bytes),
      .arena_bytes = model->arena_bytes,
  };
  transfer("weights.bin", 11u, (void *)(uintptr_t)state.weights, state.weights_bytes, false);
  for (uint32_t i = 0; i < count; ++i) {
    const bool is_input = i < model->input_count;
    io[i].bytes = is_input ? model->inputs[i].bytes : model->outputs[i - model->input_count].bytes;
    io[i].data = allocate(io[i].bytes);
    if (is_input) {
      transfer_tensor("in", i, &io[i], false);
    }
  }
  const ep_status status = ep_run(model, io, NULL, &state, NULL);
  if (status != EP_OK) {
    leave(1u, ep_status_text(status));
  }
  for (uint32_t i = 0; i < model->output_count; ++i) {
    transfer_tensor("out", i, &io[model->input_count + i], true);
  }
  leave(0u, NULL);
}

void _start(void);
void __attribute__((naked)) _start(void) {
  __asm__ volatile("ldr r0, =stack + 65536\n mov sp, r0\n bl run");
}

#endif
