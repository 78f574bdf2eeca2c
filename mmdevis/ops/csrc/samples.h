/* Where a query samples and with which factors, for one floating type (REAL, INT, NAME, EXP).
 *
 * A segment is what one query and head sample on one frame: L * K samples on the query's own frame,
 * L * Kt on another one. Samples lie in blocks of LANES, so that everything about them is computed
 * LANES at a time. Nothing of it outlives a tile of queries: the backward pass computes it again.
 */

typedef REAL NAME(Wide) __attribute__((vector_size(VECTOR_BYTES)));
typedef INT NAME(WideInt) __attribute__((vector_size(VECTOR_BYTES)));
/* The same as they lie in arrays of numbers: at any address. */
typedef REAL NAME(WideAt)
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef REAL NAME(NarrowAt) __attribute__((vector_size(16), aligned(sizeof(REAL)), may_alias));

#define LANES ((int64_t)(VECTOR_BYTES / sizeof(REAL)))
#define NARROW_LANES ((int64_t)(16 / sizeof(REAL)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define ROUND_UP(n) (((n) + LANES - 1) / LANES)
#define SPLAT(x) ((NAME(Wide)){0} + (REAL)(x))
#define AS_INT(x) ((NAME(WideInt))(x))
#define SELECT(mask, a, b) ((NAME(Wide))((AS_INT(a) & (mask)) | (AS_INT(b) & ~(mask))))
#define SELECT_INT(mask, a, b) (((a) & (mask)) | ((b) & ~(mask)))

typedef struct {
    NAME(Wide) width, height;      /* of the sample's level; -1 both where the level is empty */
    NAME(WideInt) width_i, height_i;
    NAME(Wide) weight;             /* softmax */
    NAME(Wide) x0, x1, y0, y1;     /* bilinear factors, 0 outside the level */
    NAME(Wide) dot00, dot01, dot10, dot11; /* <gradient, corner>, backward only */
    NAME(Wide) has_x0, has_x1, has_y0, has_y1; /* 1 inside, else 0 */
} NAME(Block);

/* What reading the value needs to know. */
typedef struct {
    NAME(Wide) w00, w01, w10, w11; /* weight * factors of the corners (row, column) */
    NAME(WideInt) token00, token01, token10, token11;
    NAME(WideInt) inside;          /* 0 if no corner is inside */
} NAME(Corners);

typedef struct {
    int64_t points, per_segment, segments, count, blocks;
    NAME(Block) *block; /* the allocation; the arrays below, one number per sample, follow it */
    NAME(Corners) *corners; /* `blocks` of them for each query that is worked on at a time */
    REAL *base_x, *base_y, *scale_x, *scale_y; /* pixel = base + offset * scale */
    REAL *weight;                              /* softmax, up to a factor */
    INT *start;                                /* first token of the level */
} NAME(Samples);

/* Element `i` of a member of the blocks. */
#define AT(s, member, i) (((REAL *)&(s)->block[(i) / LANES].member)[(i) % LANES])
#define AT_INT(s, member, i) (((INT *)&(s)->block[(i) / LANES].member)[(i) % LANES])

/* Allocate, with corners for `queries` queries, and fill in what depends on the levels only.
 * 0 on success; free() `block` in any case. */
static int NAME(make_samples)(NAME(Samples) *s, const Dims *n, const int64_t *shapes,
                              int64_t points, int64_t segments, int64_t queries) {
    s->points = points;
    s->per_segment = n->levels * points;
    s->segments = segments;
    s->count = segments * s->per_segment;
    s->blocks = ROUND_UP(s->count);
    const int64_t padded = (s->blocks + 1) * LANES;
    const size_t size = (size_t)(s->blocks + 1) * sizeof(NAME(Block))
        + (size_t)(s->blocks * queries) * sizeof(NAME(Corners))
        + (size_t)padded * (5 * sizeof(REAL) + sizeof(INT));
    s->block = allocate(size);
    if (s->block == NULL) return 1;
    memset(s->block, 0, size);
    s->corners = (NAME(Corners) *)(s->block + s->blocks + 1);
    s->base_x = (REAL *)(s->corners + s->blocks * queries);
    s->base_y = s->base_x + padded;
    s->scale_x = s->base_y + padded;
    s->scale_y = s->scale_x + padded;
    s->weight = s->scale_y + padded;
    s->start = (INT *)(s->weight + padded);
    for (int64_t j = 0, i = 0; j < segments; j++) {
        for (int64_t l = 0; l < n->levels; l++) {
            const int64_t h = shapes[2 * l], w = shapes[2 * l + 1];
            for (int64_t k = 0; k < points; k++, i++) {
                /* A negative size lets no location count as inside. */
                AT(s, width, i) = h * w == 0 ? -1 : (REAL)w;
                AT(s, height, i) = h * w == 0 ? -1 : (REAL)h;
                AT_INT(s, width_i, i) = (INT)w;
                AT_INT(s, height_i, i) = (INT)h;
                s->scale_x[i] = s->scale_y[i] = 1;
            }
        }
    }
    return 0;
}

/* On which frame a segment samples: the frame's first token, counted in steps from token to token
 * of one head. */
INLINE void NAME(set_frame)(const NAME(Samples) *s, int64_t segment, const Dims *n,
                            const int64_t *shapes, int64_t first_token) {
    INT *start = s->start + segment * s->per_segment;
    for (int64_t l = 0; l < n->levels; l++) {
        for (int64_t k = 0; k < s->points; k++) *start++ = (INT)first_token;
        first_token += shapes[2 * l] * shapes[2 * l + 1];
    }
}

/* Where the samples of a segment start and how far an offset moves them, in pixels.
 * `reference` is (L, 2|4) of one query on one frame. */
INLINE void NAME(set_reference)(const NAME(Samples) *s, int64_t segment, const Dims *n,
                                const int64_t *shapes, const REAL *reference) {
    int64_t i = segment * s->per_segment;
    if (n->reference_size == 2) {
        for (int64_t l = 0; l < n->levels; l++) {
            const REAL x = reference[2 * l] * (REAL)shapes[2 * l + 1] - (REAL)0.5;
            const REAL y = reference[2 * l + 1] * (REAL)shapes[2 * l] - (REAL)0.5;
            for (int64_t k = 0; k < s->points; k++, i++) s->base_x[i] = x, s->base_y[i] = y;
        }
        return;
    }
    const REAL half = (REAL)0.5 / (REAL)s->points;
    for (int64_t l = 0; l < n->levels; l++, reference += 4) {
        const REAL h = (REAL)shapes[2 * l], w = (REAL)shapes[2 * l + 1];
        for (int64_t k = 0; k < s->points; k++, i++) {
            s->base_x[i] = reference[0] * w - (REAL)0.5;
            s->base_y[i] = reference[1] * h - (REAL)0.5;
            s->scale_x[i] = reference[2] * w * half;
            s->scale_y[i] = reference[3] * h * half;
        }
    }
}

INLINE NAME(WideInt) NAME(clamp_index)(NAME(WideInt) i, NAME(WideInt) size) {
    i = SELECT_INT(i < 0, i ^ i, i);
    return SELECT_INT(i >= size, size - 1, i);
}

/* Floor as integers, the factors of the two pixels around x, and whether they are inside. */
#define ALONG(x, size, size_i, low, factor0, factor1, has0, has1)                     \
    do {                                                                              \
        low = __builtin_convertvector(x, NAME(WideInt));                              \
        low += __builtin_convertvector(low, NAME(Wide)) > x;                          \
        const NAME(Wide) fraction = x - __builtin_convertvector(low, NAME(Wide));     \
        const NAME(WideInt) in0 = (low >= 0) & (low < size_i);                        \
        const NAME(WideInt) in1 = (low >= -1) & (low + 1 < size_i);                   \
        has0 = (NAME(Wide))(AS_INT(SPLAT(1)) & in0);                                  \
        has1 = (NAME(Wide))(AS_INT(SPLAT(1)) & in1);                                  \
        factor0 = (1 - fraction) * has0;                                              \
        factor1 = fraction * has1;                                                    \
    } while (0)

/* Corners and factors of all samples of one query; `offsets` (count, 2). Weights are multiplied by `factor`.
 * NaN offsets give NaN factors, so that they show in the result. */
INLINE void NAME(locate)(const NAME(Samples) *s, NAME(Corners) *corners, const REAL *offsets,
                         REAL factor) {
    for (int64_t k = 0; k < s->blocks; k++) {
        NAME(Block) *b = s->block + k;
        NAME(Corners) *corner = corners + k;
        const int64_t lanes = MIN(LANES, s->count - k * LANES), at = k * LANES;
        NAME(Wide) x = {0}, y = {0};
        if (lanes == LANES) {
            for (int i = 0; i < LANES; i++) {
                ((REAL *)&x)[i] = offsets[2 * i];
                ((REAL *)&y)[i] = offsets[2 * i + 1];
            }
        } else {
            for (int i = 0; i < lanes; i++) {
                ((REAL *)&x)[i] = offsets[2 * i];
                ((REAL *)&y)[i] = offsets[2 * i + 1];
            }
        }
        offsets += 2 * LANES;
        const NAME(Wide) weight = *(const NAME(Wide) *)(s->weight + at) * factor;
        const NAME(WideInt) start = *(const NAME(WideInt) *)(s->start + at);
        x = *(const NAME(Wide) *)(s->base_x + at) + x * *(const NAME(Wide) *)(s->scale_x + at);
        y = *(const NAME(Wide) *)(s->base_y + at) + y * *(const NAME(Wide) *)(s->scale_y + at);
        /* The first term keeps NaN out of empty levels, where there is nothing to read. */
        corner->inside = (b->width >= 0)
            & ~((x < -1) | (x >= b->width) | (y < -1) | (y >= b->height));
        /* Far outside or just outside is the same; this keeps the integers below in range. */
        x = SELECT(x < -2, SPLAT(-2), x);
        x = SELECT(x > b->width, b->width, x);
        y = SELECT(y < -2, SPLAT(-2), y);
        y = SELECT(y > b->height, b->height, y);
        NAME(WideInt) column, row;
        NAME(Wide) x0, x1, y0, y1;
        ALONG(x, b->width, b->width_i, column, x0, x1, b->has_x0, b->has_x1);
        ALONG(y, b->height, b->height_i, row, y0, y1, b->has_y0, b->has_y1);
        b->weight = weight;
        b->x0 = x0, b->x1 = x1, b->y0 = y0, b->y1 = y1;
        corner->w00 = weight * y0 * x0, corner->w01 = weight * y0 * x1;
        corner->w10 = weight * y1 * x0, corner->w11 = weight * y1 * x1;
        /* Corners outside have factor 0 and point at a pixel that may be read. */
        const NAME(WideInt) column0 = NAME(clamp_index)(column, b->width_i);
        const NAME(WideInt) column1 = NAME(clamp_index)(column + 1, b->width_i);
        const NAME(WideInt) row0 = NAME(clamp_index)(row, b->height_i) * b->width_i + start;
        const NAME(WideInt) row1 = NAME(clamp_index)(row + 1, b->height_i) * b->width_i + start;
        corner->token00 = row0 + column0, corner->token01 = row0 + column1;
        corner->token10 = row1 + column0, corner->token11 = row1 + column1;
    }
}
#undef ALONG

INLINE REAL NAME(maximum)(const REAL *x, int64_t n, REAL top) {
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

/* Weights exp(logit - maximum), and the sum of them. */
INLINE REAL NAME(exponents)(const NAME(Samples) *s, const REAL *restrict logits, REAL maximum) {
    REAL *restrict weight = s->weight, sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < s->count; i++) sum += weight[i] = EXP(logits[i] - maximum);
    return sum;
}

/* Ask for numbers that are read soon; any address will do. */
INLINE void NAME(prefetch)(const REAL *from, int64_t count) {
    for (int64_t i = 0; i < count; i += 64 / (int64_t)sizeof(REAL)) __builtin_prefetch(from + i);
}

/* Whether there are so many samples per value token that copying the value is cheap. */
static int NAME(is_dense)(const Dims *n) {
    const int64_t samples = n->levels * (n->points + (n->frames - 1) * n->temporal_points);
    return n->heads > 1 && n->queries * samples >= 8 * n->tokens;
}

/* Copy the channels of one head of all tokens of a frame. */
INLINE void NAME(copy_tokens)(REAL *to, int64_t to_stride, const REAL *from, int64_t from_stride,
                              const Dims *n) {
    for (int64_t i = 0; i < n->tokens; i++)
        memcpy(to + i * to_stride, from + i * from_stride, (size_t)n->channels * sizeof(REAL));
}
