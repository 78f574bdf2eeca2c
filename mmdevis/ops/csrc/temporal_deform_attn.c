/* Temporal multi-scale deformable attention on a CPU: forward and backward in plain C.
 *
 * Compiled on first use by mmdevis/ops/native_build.py and called through ctypes; no header of
 * Python or torch is needed, only GCC's or Clang's vector types. The arithmetic is written once, in
 * samples.h, forward.h and backward.h, and instantiated here for float and double.
 *
 * Shapes (all arrays contiguous):
 *   value (B, T, N, M, D)        reference (B, T, Q, L, 2|4)
 *   offsets (B, T, Q, M, L, K, 2)                logits (B, T, Q, M, L, K)
 *   temporal_offsets (B, T, Q, M, T-1, L, Kt, 2) temporal_logits (B, T, Q, M, T-1, L, Kt)
 *   output (B, T, Q, M * D)
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#define INLINE static inline __attribute__((always_inline))

/* Dimensions, in the order in which backends/cpu.py packs them. */
typedef struct {
    int64_t batch, frames, tokens, queries, heads, channels, levels;
    int64_t points, temporal_points, reference_size, instance_aware, threads;
    int64_t by_head; /* forward only: the value lies in memory as (B, T, M, N, D) */
} Dims;

/* Memory that vectors do not straddle cache lines in; NULL if there is none. */
static void *allocate(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes) ? NULL : memory;
}

/* exp for softmax: arguments are <= 0. Cody-Waite reduction and a polynomial of degree 6, within
 * 2 ulp; written so that a loop over it vectorises, which the libm call does not. Below -87.3 the
 * result stays at the smallest normal number. NaN stays NaN. */
INLINE float softmax_expf(float x) {
    x = x < -87.3f ? -87.3f : x;
    /* Adding 1.5 * 2^23 rounds to an integer, which then sits in the low mantissa bits. */
    const float shifted = x * 1.44269504f + 12582912.0f;
    const float n = shifted - 12582912.0f;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits;
    float scale;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (int32_t)((uint32_t)(bits + 127) << 23);
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

#define REAL float
#define INT int32_t
#define NAME(x) x##_f32
#define EXP softmax_expf
#include "samples.h"
#include "forward.h"
#include "backward.h"
#undef REAL
#undef INT
#undef NAME
#undef EXP

#define REAL double
#define INT int64_t
#define NAME(x) x##_f64
#define EXP exp
#include "samples.h"
#include "forward.h"
#include "backward.h"
