/* Sampling of a modulated deformable convolution on a CPU: forward and backward in plain C.
 *
 * Sampling and the weights of a kernel point are both linear, so they may change places. Python
 * first multiplies every pixel with the weights of every kernel point (one matrix product), which
 * gives `maps`; here point k of an output pixel reads map k where it looks, and the K readings are
 * summed. So the D output channels are sampled, which lie side by side, and not the input channels.
 *
 * Compiled on first use by mmdevis/ops/native_build.py and called through ctypes. The arithmetic is
 * written once, in modulated_deform_conv.h, and instantiated here for float and double.
 *
 * Shapes (all arrays contiguous; P = out_height * out_width, K = kernel_height * kernel_width):
 *   maps (N, height * width, K, D)     offset (N, K, 2, P), (y, x) in pixels      mask (N, K, P)
 *   output (N, D, P)                   grad of the output, backward only: (N, P, D)
 */

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
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Output pixels whose samples are located together. */
#define TILE 64

/* Dimensions, in the order in which modulated_deform_conv.py packs them. */
typedef struct {
    int64_t count, channels, height, width, out_height, out_width;
    int64_t kernel_height, kernel_width, stride_y, stride_x, padding_y, padding_x;
    int64_t dilation_y, dilation_x, threads;
} Dims;

/* Memory that vectors do not straddle cache lines in; NULL if there is none. */
static void *allocate(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes) ? NULL : memory;
}

#define REAL float
#define INT int32_t
#define NAME(x) x##_f32
#include "modulated_deform_conv.h"
#undef REAL
#undef INT
#undef NAME

#define REAL double
#define INT int64_t
#define NAME(x) x##_f64
#include "modulated_deform_conv.h"
