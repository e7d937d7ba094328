/* The most that one core can do: multiply-adds in registers, and reading memory that no cache holds.
 *
 * Each function does a known amount of work and nothing else; who calls it holds the clock. The chains of
 * accumulators are independent and longer than any core's latency times its units. What is computed is
 * returned, so that nothing is left out, and a barrier keeps operands from being folded together. */

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#define CHAINS 24
#define IN_REGISTER "+v"
#elif defined(__AVX__)
#define BYTES 32
#define CHAINS 12
#define IN_REGISTER "+x"
#elif defined(__aarch64__)
#define BYTES 16
#define CHAINS 24
#define IN_REGISTER "+w"
#else
#define BYTES 16
#define CHAINS 8
#if defined(__x86_64__)
#define IN_REGISTER "+x"
#endif
#endif

#ifdef IN_REGISTER
#define OPAQUE(x) __asm__ volatile("" : IN_REGISTER(x))
#else
#define OPAQUE(x) ((void)0)
#endif

#define API __attribute__((visibility("default")))

typedef float floats __attribute__((vector_size(BYTES)));
typedef uint64_t words __attribute__((vector_size(64)));

/* Bytes of a vector register that the kernels were compiled for. */
API int peak_vector_bytes(void) { return BYTES; }

/* fp32: CHAINS multiply-adds of whole vectors a round. Operations a round: 2 * CHAINS * BYTES / 4. */
API double peak_fp32_operations(void) { return 2.0 * CHAINS * (BYTES / 4); }

API float peak_fp32(int64_t rounds)
{
    floats sum[CHAINS], a = {0}, b = {0};
    OPAQUE(a);
    OPAQUE(b);
    for (int i = 0; i < CHAINS; i++) {
        sum[i] = (floats){0} + (float)i;
        OPAQUE(sum[i]);
    }
    while (rounds-- > 0) {
#pragma clang loop unroll(full)
        for (int i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * a + b;
    }
    for (int i = 1; i < CHAINS; i++)
        sum[0] += sum[i];
    return sum[0][0];
}

/* int8: what sums the most products of eight bits in 32 bits, exactly; without a dot product on x86 that is
 * for weights of seven bits, two products of which fit in 16. ROUND(s, a, b) does STEP multiply-adds. */
#if defined(__AVX512VNNI__)
typedef __m512i integers;
#define ROUND(s, a, b) s = _mm512_dpbusd_epi32(s, a, b)
#define STEP 64
#define NAME "vpdpbusd, 512 bits"
#elif defined(__AVXVNNI__)
typedef __m256i integers;
#define ROUND(s, a, b) s = _mm256_dpbusd_avx_epi32(s, a, b)
#define STEP 32
#define NAME "vpdpbusd, 256 bits"
#elif defined(__AVX512BW__)
typedef __m512i integers;
#define ROUND(s, a, b) do { \
    OPAQUE(a); \
    s = _mm512_add_epi32(s, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1))); } while (0)
#define STEP 64
#define NAME "vpmaddubsw, vpmaddwd and vpaddd, 512 bits"
#elif defined(__AVX2__)
typedef __m256i integers;
#define ROUND(s, a, b) do { \
    OPAQUE(a); \
    s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1))); } while (0)
#define STEP 32
#define NAME "vpmaddubsw, vpmaddwd and vpaddd, 256 bits"
#elif defined(__ARM_FEATURE_DOTPROD)
typedef int32x4_t integers;
#define ROUND(s, a, b) s = vdotq_s32(s, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))
#define STEP 16
#define NAME "sdot"
#elif defined(__aarch64__)
typedef int32x4_t integers;
#define ROUND(s, a, b) do { \
    OPAQUE(a); \
    int16x8_t p = vmull_s8(vreinterpret_s8_s32(vget_low_s32(a)), vreinterpret_s8_s32(vget_low_s32(b))); \
    p = vmlal_high_s8(p, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)); \
    s = vpadalq_s16(s, p); } while (0)
#define STEP 16
#define NAME "smull, smlal2 and sadalp"
#else
typedef int32_t integers __attribute__((vector_size(16)));
#define ROUND(s, a, b) s = s * a + b
#define STEP 4
#define NAME "32-bit multiplication"
#endif

API const char *peak_int8_instruction(void) { return NAME; }

API double peak_int8_operations(void) { return 2.0 * CHAINS * STEP; }

API int32_t peak_int8(int64_t rounds)
{
    integers sum[CHAINS], a = {0}, b = {0};
    OPAQUE(a);
    OPAQUE(b);
    for (int i = 0; i < CHAINS; i++) {
        sum[i] = (integers){0};
        OPAQUE(sum[i]);
    }
    while (rounds-- > 0) {
#pragma clang loop unroll(full)
        for (int i = 0; i < CHAINS; i++)
            ROUND(sum[i], a, b);
    }
    int32_t all = 0;
    for (int i = 0; i < CHAINS; i++) {
        OPAQUE(sum[i]);
        all += ((const int32_t *)&sum[i])[0];
    }
    return all;
}

/* Reads `bytes`, a multiple of 512, from `data`, which lies at a multiple of 64. */
static uint64_t peak_read(const void *data, size_t bytes)
{
    const words *p = data;
    words a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i < bytes / 64; i += 8) {
        a ^= p[i] ^ p[i + 4];
        b ^= p[i + 1] ^ p[i + 5];
        c ^= p[i + 2] ^ p[i + 6];
        d ^= p[i + 3] ^ p[i + 7];
    }
    a ^= b ^ c ^ d;
    return a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}

/* The same, `rounds` times: what a cache holds comes from there but for the first time. */
API uint64_t peak_read_again(const void *data, size_t bytes, int64_t rounds)
{
    uint64_t all = 0;
    while (rounds-- > 0) {
        all ^= peak_read(data, bytes);
        __asm__ volatile("" ::: "memory");
    }
    return all;
}
