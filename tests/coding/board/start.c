/* A Linux program without a libc: it runs both trials and ends with their result. */
int ep_trial(void);
int ep_split_trial(void);
void _start(void);

static int trials(void) {
  const int result = ep_trial();
  return result != 0 ? result : ep_split_trial();
}

#if defined(__x86_64__)
__attribute__((force_align_arg_pointer))
#endif
void _start(void) {
#if defined(__aarch64__)
  register long code __asm__("x0") = trials();
  register long call __asm__("x8") = 93;
  __asm__ volatile("svc 0" ::"r"(code), "r"(call));
#elif defined(__x86_64__)
  __asm__ volatile("syscall" ::"a"(60), "D"(trials()) : "rcx", "r11", "memory");
#elif defined(__riscv)
  register long code __asm__("a0") = trials();
  register long call __asm__("a7") = 93;
  __asm__ volatile("ecall" ::"r"(code), "r"(call));
#elif defined(__arm__)
  const int result = trials();
  __asm__ volatile("mov r0, %0\n mov r7, #1\n svc 0" ::"r"(result) : "r0");
#endif
  for (;;) {
  }
}
