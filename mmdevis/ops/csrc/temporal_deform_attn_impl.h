/* The arithmetic of temporal_deform_attn.c for one floating type.
 *
 * Included once per type with REAL, NAME, FLOOR and EXP defined.
 *
 * A segment is what one query samples on one frame: L * K samples on its own frame, or L * Kt on
 * another one. Per segment, locations and bilinear weights are computed for all samples at once
 * (loops over samples vectorise), then the channels of each sample are summed (loops over channels
 * vectorise). Locations are never stored for the backward pass: it computes them again.
 */

typedef REAL NAME(Wide) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef REAL NAME(Narrow) __attribute__((vector_size(16), aligned(sizeof(REAL)), may_alias));
#define WIDE ((int64_t)(VECTOR_BYTES / sizeof(REAL)))
#define NARROW ((int64_t)(16 / sizeof(REAL)))

/* Per-sample constants of a segment: what depends on the level only. */
typedef struct {
    int64_t samples, points;
    REAL *width, *height;                 /* as numbers; -1 both where the level is empty */
    int32_t *width_i, *height_i, *start;  /* start: first token of the level */
} NAME(Grid);

/* Everything computed for the samples of a segment (or of all segments of one query). */
typedef struct {
    REAL *base_x, *base_y, *scale_x, *scale_y; /* pixel = base + offset * scale */
    REAL *weight;                              /* softmax */
    REAL *x0, *x1, *y0, *y1;                   /* bilinear factors, 0 outside the level */
    REAL *has_x0, *has_x1, *has_y0, *has_y1;   /* 1 inside the level, else 0 */
    REAL *dots;                                /* 4 corners of NARROW partial sums, backward */
    int32_t *token00, *token01, *token10, *token11, *inside;
} NAME(Scratch);

static int NAME(make_grid)(NAME(Grid) *grid, const Dims *n, const int64_t *shapes, int64_t points) {
    const int64_t samples = n->levels * points;
    grid->samples = samples;
    grid->points = points;
    grid->width = malloc((size_t)(samples > 0 ? samples : 1) * (2 * sizeof(REAL) + 3 * sizeof(int32_t)));
    if (grid->width == NULL) return 1;
    grid->height = grid->width + samples;
    grid->width_i = (int32_t *)(grid->height + samples);
    grid->height_i = grid->width_i + samples;
    grid->start = grid->height_i + samples;
    int64_t start = 0, i = 0;
    for (int64_t l = 0; l < n->levels; l++) {
        const int64_t h = shapes[2 * l], w = shapes[2 * l + 1];
        const int empty = h * w == 0;
        for (int64_t k = 0; k < points; k++, i++) {
            /* A negative size lets no location count as inside. */
            grid->width[i] = empty ? -1 : (REAL)w;
            grid->height[i] = empty ? -1 : (REAL)h;
            grid->width_i[i] = (int32_t)w;
            grid->height_i[i] = (int32_t)h;
            grid->start[i] = (int32_t)start;
        }
        start += h * w;
    }
    return 0;
}

static void *NAME(make_scratch)(NAME(Scratch) *s, int64_t samples) {
    const int64_t n = (samples + 15) / 16 * 16;
    REAL *memory = malloc((size_t)n * ((13 + 4 * NARROW) * sizeof(REAL) + 5 * sizeof(int32_t)) + 64);
    if (memory == NULL) return NULL;
    REAL *p = memory;
    REAL **reals[] = {&s->base_x, &s->base_y, &s->scale_x, &s->scale_y, &s->weight, &s->x0, &s->x1,
                      &s->y0, &s->y1, &s->has_x0, &s->has_x1, &s->has_y0, &s->has_y1};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++, p += n) *reals[i] = p;
    s->dots = p;
    int32_t *q = (int32_t *)(p + n * 4 * NARROW);
    int32_t **ints[] = {&s->token00, &s->token01, &s->token10, &s->token11, &s->inside};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++, q += n) *ints[i] = q;
    return memory;
}

/* Where a segment's samples start and how far an offset moves them, in pixels of their level.
 * `reference` is (L, 2|4) of one query on one frame; results go to position `at` of the scratch. */
INLINE void NAME(fill_base)(const NAME(Scratch) *s, int64_t at, const NAME(Grid) *g, const Dims *n,
                            const REAL *reference) {
    const REAL half = (REAL)0.5 / (REAL)(g->points > 0 ? g->points : 1);
    int64_t i = 0;
    for (int64_t l = 0; l < n->levels; l++, reference += n->reference_size) {
        if (g->points == 0) break;
        const REAL w = g->width[i], h = g->height[i];
        const REAL x = reference[0] * w - (REAL)0.5, y = reference[1] * h - (REAL)0.5;
        REAL sx = 1, sy = 1;
        if (n->reference_size == 4) {
            sx = reference[2] * w * half;
            sy = reference[3] * h * half;
        }
        for (int64_t k = 0; k < g->points; k++, i++) {
            s->base_x[at + i] = x;
            s->base_y[at + i] = y;
            s->scale_x[at + i] = sx;
            s->scale_y[at + i] = sy;
        }
    }
}

/* Corners and bilinear factors of a segment's samples. `first_token` is the frame's. NaN offsets
 * give NaN factors, so that they show in the result. */
INLINE void NAME(locate)(const NAME(Scratch) *s, int64_t at, const NAME(Grid) *g,
                         const REAL *restrict offsets, int32_t first_token) {
    const REAL *restrict base_x = s->base_x + at, *restrict base_y = s->base_y + at;
    const REAL *restrict scale_x = s->scale_x + at, *restrict scale_y = s->scale_y + at;
    const REAL *restrict width = g->width, *restrict height = g->height;
    const int32_t *restrict width_i = g->width_i, *restrict height_i = g->height_i;
    const int32_t *restrict start = g->start;
    REAL *restrict wx0 = s->x0 + at, *restrict wx1 = s->x1 + at;
    REAL *restrict wy0 = s->y0 + at, *restrict wy1 = s->y1 + at;
    REAL *restrict has_x0 = s->has_x0 + at, *restrict has_x1 = s->has_x1 + at;
    REAL *restrict has_y0 = s->has_y0 + at, *restrict has_y1 = s->has_y1 + at;
    int32_t *restrict t00 = s->token00 + at, *restrict t01 = s->token01 + at;
    int32_t *restrict t10 = s->token10 + at, *restrict t11 = s->token11 + at;
    int32_t *restrict inside = s->inside + at;
#pragma omp simd
    for (int64_t i = 0; i < g->samples; i++) {
        REAL x = base_x[i] + offsets[2 * i] * scale_x[i];
        REAL y = base_y[i] + offsets[2 * i + 1] * scale_y[i];
        /* The first term keeps NaN out of empty levels, where there is nothing to read. */
        inside[i] = (width[i] >= 0) & !((x < -1) | (x >= width[i]) | (y < -1) | (y >= height[i]));
        /* Far outside or just outside is the same; this keeps the integers below in range. */
        x = x < -2 ? -2 : x;
        x = x > width[i] ? width[i] : x;
        y = y < -2 ? -2 : y;
        y = y > height[i] ? height[i] : y;
        const REAL floor_x = FLOOR(x), floor_y = FLOOR(y);
        const REAL fx = x - floor_x, fy = y - floor_y;
        const int32_t x0 = (int32_t)(floor_x == floor_x ? floor_x : 0), x1 = x0 + 1;
        const int32_t y0 = (int32_t)(floor_y == floor_y ? floor_y : 0), y1 = y0 + 1;
        const int32_t w = width_i[i], h = height_i[i];
        const REAL vx0 = (x0 >= 0) & (x0 < w) ? 1 : 0, vx1 = (x1 >= 0) & (x1 < w) ? 1 : 0;
        const REAL vy0 = (y0 >= 0) & (y0 < h) ? 1 : 0, vy1 = (y1 >= 0) & (y1 < h) ? 1 : 0;
        has_x0[i] = vx0, has_x1[i] = vx1, has_y0[i] = vy0, has_y1[i] = vy1;
        wx0[i] = (1 - fx) * vx0, wx1[i] = fx * vx1;
        wy0[i] = (1 - fy) * vy0, wy1[i] = fy * vy1;
        /* Corners outside have factor 0 and point at a pixel that may be read. */
        const int32_t cx0 = x0 < 0 ? 0 : (x0 >= w ? w - 1 : x0);
        const int32_t cx1 = x1 < 0 ? 0 : (x1 >= w ? w - 1 : x1);
        const int32_t cy0 = y0 < 0 ? 0 : (y0 >= h ? h - 1 : y0);
        const int32_t cy1 = y1 < 0 ? 0 : (y1 >= h ? h - 1 : y1);
        const int32_t row0 = first_token + start[i] + cy0 * w;
        const int32_t row1 = first_token + start[i] + cy1 * w;
        t00[i] = row0 + cx0, t01[i] = row0 + cx1, t10[i] = row1 + cx0, t11[i] = row1 + cx1;
    }
}

/* log(sum(exp)) as maximum and sum over both kinds of logits. */
INLINE void NAME(softmax_stats)(const REAL *restrict own, int64_t n_own, const REAL *restrict other,
                                int64_t n_other, REAL *maximum, REAL *sum) {
    REAL top = n_own > 0 ? own[0] : other[0], total = 0;
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < n_own; i++) top = own[i] > top ? own[i] : top;
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < n_other; i++) top = other[i] > top ? other[i] : top;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n_own; i++) total += EXP(own[i] - top);
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n_other; i++) total += EXP(other[i] - top);
    *maximum = top;
    *sum = total;
}

INLINE void NAME(softmax_weights)(REAL *restrict weight, const REAL *restrict logits, int64_t n,
                                  REAL maximum, REAL factor) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) weight[i] = EXP(logits[i] - maximum) * factor;
}

/* output[d] = sum over samples of weight * bilinear sample, for COUNT vectors of channels. */
#define ACCUMULATE(TYPE, COUNT)                                                              \
    do {                                                                                     \
        TYPE sum[COUNT];                                                                     \
        for (int c = 0; c < (COUNT); c++) sum[c] = (TYPE){0};                                \
        for (int64_t i = 0; i < samples; i++) {                                              \
            if (!s->inside[i]) continue;                                                     \
            const TYPE *v00 = (const TYPE *)(value + s->token00[i] * stride + d);            \
            const TYPE *v01 = (const TYPE *)(value + s->token01[i] * stride + d);            \
            const TYPE *v10 = (const TYPE *)(value + s->token10[i] * stride + d);            \
            const TYPE *v11 = (const TYPE *)(value + s->token11[i] * stride + d);            \
            const REAL top = s->weight[i] * s->y0[i], bottom = s->weight[i] * s->y1[i];      \
            const REAL w00 = top * s->x0[i], w01 = top * s->x1[i];                           \
            const REAL w10 = bottom * s->x0[i], w11 = bottom * s->x1[i];                     \
            for (int c = 0; c < (COUNT); c++)                                                \
                sum[c] += (w00 * v00[c] + w01 * v01[c]) + (w10 * v10[c] + w11 * v11[c]);     \
        }                                                                                    \
        for (int c = 0; c < (COUNT); c++) ((TYPE *)(output + d))[c] = sum[c];                \
        d += (COUNT) * (int64_t)(sizeof(TYPE) / sizeof(REAL));                               \
    } while (0)

INLINE void NAME(accumulate)(const NAME(Scratch) *s, int64_t samples, const REAL *value,
                             int64_t stride, REAL *output, int64_t channels) {
    int64_t d = 0;
    while (channels - d >= 4 * WIDE) ACCUMULATE(NAME(Wide), 4);
    while (channels - d >= 2 * WIDE) ACCUMULATE(NAME(Wide), 2);
    while (channels - d >= WIDE) ACCUMULATE(NAME(Wide), 1);
    while (channels - d >= NARROW) ACCUMULATE(NAME(Narrow), 1);
    while (channels - d >= 1) ACCUMULATE(REAL, 1);
}
#undef ACCUMULATE

int NAME(temporal_deform_attn_forward)(const Dims *n, const int64_t *shapes, const REAL *value,
                                       const REAL *reference, const REAL *offsets,
                                       const REAL *logits, const REAL *temporal_offsets,
                                       const REAL *temporal_logits, REAL *output) {
    const int64_t others = n->temporal_points > 0 ? n->frames - 1 : 0;
    const int64_t stride = n->heads * n->channels;
    const int64_t reference_stride = n->levels * n->reference_size;
    int failed = 0;
    NAME(Grid) own, other;
    if (NAME(make_grid)(&own, n, shapes, n->points)) return 1;
    if (NAME(make_grid)(&other, n, shapes, others ? n->temporal_points : 0)) {
        free(own.width);
        return 1;
    }
    const int64_t samples = own.samples + others * other.samples;
    const int64_t rows = n->batch * n->frames * n->queries;
    /* Neighbouring queries look at neighbouring pixels: blocks keep them in one core's cache. */
    const int64_t block = rows >= 64 * 4 * n->threads ? 64 : 1;
    const int64_t blocks = (rows + block - 1) / block;
#pragma omp parallel num_threads((int)n->threads) reduction(| : failed)
    {
        NAME(Scratch) scratch;
        void *memory = NAME(make_scratch)(&scratch, samples);
        failed |= memory == NULL;
#pragma omp for schedule(dynamic, 1)
        for (int64_t k = 0; k < blocks; k++) {
            if (memory == NULL) continue;
            const int64_t end = (k + 1) * block < rows ? (k + 1) * block : rows;
            for (int64_t row = k * block; row < end; row++) {
                const int64_t q = row % n->queries, bt = row / n->queries, t = bt % n->frames;
                const REAL *ref = reference + row * reference_stride;
                const REAL *clip = value + (bt - t) * n->tokens * stride;
                NAME(fill_base)(&scratch, 0, &own, n, ref);
                for (int64_t j = 0; j < others; j++) {
                    const int64_t frame = j + (j >= t);
                    const REAL *at = n->instance_aware
                        ? reference + ((bt - t + frame) * n->queries + q) * reference_stride : ref;
                    NAME(fill_base)(&scratch, own.samples + j * other.samples, &other, n, at);
                }
                for (int64_t m = 0; m < n->heads; m++) {
                    const int64_t rm = row * n->heads + m;
                    const REAL *lg = logits + rm * own.samples;
                    const REAL *tlg = temporal_logits + rm * others * other.samples;
                    const REAL *toff = temporal_offsets + 2 * rm * others * other.samples;
                    REAL top, sum;
                    NAME(softmax_stats)(lg, own.samples, tlg, others * other.samples, &top, &sum);
                    NAME(softmax_weights)(scratch.weight, lg, own.samples, top, 1 / sum);
                    NAME(softmax_weights)(scratch.weight + own.samples, tlg,
                                          others * other.samples, top, 1 / sum);
                    NAME(locate)(&scratch, 0, &own, offsets + 2 * rm * own.samples,
                                 (int32_t)(t * n->tokens));
                    for (int64_t j = 0; j < others; j++)
                        NAME(locate)(&scratch, own.samples + j * other.samples, &other,
                                     toff + 2 * j * other.samples,
                                     (int32_t)((j + (j >= t)) * n->tokens));
                    NAME(accumulate)(&scratch, samples, clip + m * n->channels, stride,
                                     output + rm * n->channels, n->channels);
                }
            }
        }
        free(memory);
    }
    free(own.width);
    free(other.width);
    return failed;
}

/* Products of the output's gradient with the four corners of sample i, as partial sums in
 * s->dots, and the sample's contribution to the gradient of the value. */
#define CORNERS(TYPE)                                                                        \
    do {                                                                                     \
        const TYPE g = *(const TYPE *)(grad + d);                                            \
        s00 += g * *(const TYPE *)(v00 + d);                                                 \
        s01 += g * *(const TYPE *)(v01 + d);                                                 \
        s10 += g * *(const TYPE *)(v10 + d);                                                 \
        s11 += g * *(const TYPE *)(v11 + d);                                                 \
        if (grad_value != NULL) {                                                            \
            /* One after the other: corners outside are clamped onto each other. */          \
            *(TYPE *)(g00 + d) += w00 * g;                                                   \
            *(TYPE *)(g01 + d) += w01 * g;                                                   \
            *(TYPE *)(g10 + d) += w10 * g;                                                   \
            *(TYPE *)(g11 + d) += w11 * g;                                                   \
        }                                                                                    \
        d += (int64_t)(sizeof(TYPE) / sizeof(REAL));                                         \
    } while (0)

INLINE NAME(Narrow) NAME(fold)(NAME(Wide) wide) {
    union {
        NAME(Wide) wide;
        NAME(Narrow) part[VECTOR_BYTES / 16];
    } u = {.wide = wide};
#if VECTOR_BYTES == 64
    return (u.part[0] + u.part[1]) + (u.part[2] + u.part[3]);
#elif VECTOR_BYTES == 32
    return u.part[0] + u.part[1];
#else
    return u.part[0];
#endif
}

INLINE void NAME(scatter)(const NAME(Scratch) *s, int64_t samples, const REAL *value,
                          REAL *grad_value, const REAL *grad, int64_t stride, int64_t channels) {
    for (int64_t i = 0; i < samples; i++) {
        NAME(Narrow) *dots = (NAME(Narrow) *)(s->dots + 4 * NARROW * i);
        if (!s->inside[i]) {
            for (int c = 0; c < 4; c++) dots[c] = (NAME(Narrow)){0};
            continue;
        }
        const int64_t o00 = s->token00[i] * stride, o01 = s->token01[i] * stride;
        const int64_t o10 = s->token10[i] * stride, o11 = s->token11[i] * stride;
        const REAL *v00 = value + o00, *v01 = value + o01, *v10 = value + o10, *v11 = value + o11;
        REAL *g00 = NULL, *g01 = NULL, *g10 = NULL, *g11 = NULL;
        if (grad_value != NULL) {
            g00 = grad_value + o00, g01 = grad_value + o01;
            g10 = grad_value + o10, g11 = grad_value + o11;
        }
        const REAL top = s->weight[i] * s->y0[i], bottom = s->weight[i] * s->y1[i];
        const REAL w00 = top * s->x0[i], w01 = top * s->x1[i];
        const REAL w10 = bottom * s->x0[i], w11 = bottom * s->x1[i];
        NAME(Narrow) n00, n01, n10, n11;
        int64_t d = 0;
        {
            NAME(Wide) s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0};
            while (channels - d >= WIDE) CORNERS(NAME(Wide));
            n00 = NAME(fold)(s00), n01 = NAME(fold)(s01);
            n10 = NAME(fold)(s10), n11 = NAME(fold)(s11);
        }
        if (d < channels) {
            NAME(Narrow) s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0};
            while (channels - d >= NARROW) CORNERS(NAME(Narrow));
            n00 += s00, n01 += s01, n10 += s10, n11 += s11;
        }
        if (d < channels) {
            REAL s00 = 0, s01 = 0, s10 = 0, s11 = 0;
            while (channels - d >= 1) CORNERS(REAL);
            n00[0] += s00, n01[0] += s01, n10[0] += s10, n11[0] += s11;
        }
        dots[0] = n00, dots[1] = n01, dots[2] = n10, dots[3] = n11;
    }
}
#undef CORNERS

/* From s->dots to the gradients of a segment's logits and offsets, the latter still per pixel. */
INLINE void NAME(sample_grads)(const NAME(Scratch) *s, int64_t samples, REAL delta,
                               REAL *restrict grad_logits, REAL *restrict grad_pixels) {
    for (int64_t i = 0; i < samples; i++) {
        REAL d[4];
        for (int c = 0; c < 4; c++) {
            const REAL *part = s->dots + 4 * NARROW * i + NARROW * c;
            d[c] = part[0];
            for (int64_t lane = 1; lane < NARROW; lane++) d[c] += part[lane];
        }
        const REAL x0 = s->x0[i], x1 = s->x1[i], y0 = s->y0[i], y1 = s->y1[i];
        const REAL left = y0 * d[0] + y1 * d[2], right = y0 * d[1] + y1 * d[3];
        const REAL upper = x0 * d[0] + x1 * d[1], lower = x0 * d[2] + x1 * d[3];
        const REAL w = s->weight[i];
        grad_logits[i] = w * (y0 * upper + y1 * lower - delta);
        grad_pixels[2 * i] = w * (s->has_x1[i] * right - s->has_x0[i] * left);
        grad_pixels[2 * i + 1] = w * (s->has_y1[i] * lower - s->has_y0[i] * upper);
    }
}

/* Turn gradients per pixel into those of a segment's offsets (in place) and its reference. */
INLINE void NAME(reference_grads)(const NAME(Grid) *g, const Dims *n, const REAL *reference,
                                  const REAL *offsets, REAL *grad_pixels, REAL *grad_reference) {
    const REAL half = (REAL)0.5 / (REAL)(g->points > 0 ? g->points : 1);
    const int boxes = n->reference_size == 4;
    int64_t i = 0;
    for (int64_t l = 0; l < n->levels; l++, reference += n->reference_size) {
        REAL gx = 0, gy = 0, gw = 0, gh = 0;
        for (int64_t k = 0; k < g->points; k++, i++) {
            const REAL px = grad_pixels[2 * i] * g->width[i];
            const REAL py = grad_pixels[2 * i + 1] * g->height[i];
            gx += px;
            gy += py;
            if (boxes) {
                gw += px * half * offsets[2 * i];
                gh += py * half * offsets[2 * i + 1];
                grad_pixels[2 * i] = px * half * reference[2];
                grad_pixels[2 * i + 1] = py * half * reference[3];
            }
        }
        if (grad_reference != NULL) {
            grad_reference[0] += gx;
            grad_reference[1] += gy;
            if (boxes) {
                grad_reference[2] += gw;
                grad_reference[3] += gh;
            }
            grad_reference += n->reference_size;
        }
    }
}

/* grad_value and grad_reference come zeroed and may each be NULL; the other gradients are written.
 * No two threads write to one place, and each place is summed in a fixed order: the result does
 * not depend on the number of threads. */
int NAME(temporal_deform_attn_backward)(const Dims *n, const int64_t *shapes, const REAL *value,
                                        const REAL *reference, const REAL *offsets,
                                        const REAL *logits, const REAL *temporal_offsets,
                                        const REAL *temporal_logits, const REAL *output,
                                        const REAL *grad_output, REAL *grad_value,
                                        REAL *grad_reference, REAL *grad_offsets,
                                        REAL *grad_logits, REAL *grad_temporal_offsets,
                                        REAL *grad_temporal_logits) {
    const int64_t others = n->temporal_points > 0 ? n->frames - 1 : 0;
    const int64_t stride = n->heads * n->channels;
    const int64_t reference_stride = n->levels * n->reference_size;
    const int64_t rows = n->batch * n->frames * n->queries * n->heads;
    int failed = 0;
    NAME(Grid) own, other;
    REAL *stats = malloc((size_t)(rows > 0 ? rows : 1) * 3 * sizeof(REAL));
    if (stats == NULL) return 1;
    if (NAME(make_grid)(&own, n, shapes, n->points)) {
        free(stats);
        return 1;
    }
    if (NAME(make_grid)(&other, n, shapes, others ? n->temporal_points : 0)) {
        free(stats);
        free(own.width);
        return 1;
    }
    const int64_t most = own.samples > other.samples ? own.samples : other.samples;
    const int64_t tasks = n->batch * n->frames * n->heads;
#pragma omp parallel num_threads((int)n->threads) reduction(| : failed)
    {
        NAME(Scratch) scratch;
        void *memory = NAME(make_scratch)(&scratch, most);
        failed |= memory == NULL;
        /* Softmax's maximum, 1 / sum, and delta = <grad, output>: the sum over samples of weight *
         * gradient of weight that softmax's backward needs. With them samples are independent. */
#pragma omp for schedule(static)
        for (int64_t rm = 0; rm < rows; rm++) {
            REAL top, sum, delta = 0;
            NAME(softmax_stats)(logits + rm * own.samples, own.samples,
                                temporal_logits + rm * others * other.samples,
                                others * other.samples, &top, &sum);
            const REAL *o = output + rm * n->channels, *g = grad_output + rm * n->channels;
#pragma omp simd reduction(+ : delta)
            for (int64_t d = 0; d < n->channels; d++) delta += o[d] * g[d];
            stats[3 * rm] = top;
            stats[3 * rm + 1] = 1 / sum;
            stats[3 * rm + 2] = delta;
        }
        /* One task per value frame and head: the part of grad_value that it alone writes. */
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < tasks; task++) {
            if (memory == NULL) continue;
            const int64_t m = task % n->heads, bs = task / n->heads, frame = bs % n->frames;
            const int64_t place = bs * n->tokens * stride + m * n->channels;
            for (int64_t t = others ? 0 : frame; t < (others ? n->frames : frame + 1); t++) {
                const int64_t bt = bs - frame + t, slot = frame - (frame > t);
                const int mine = t == frame;
                const NAME(Grid) *grid = mine ? &own : &other;
                for (int64_t q = 0; q < n->queries; q++) {
                    const int64_t rm = (bt * n->queries + q) * n->heads + m;
                    const int64_t at = mine ? rm * own.samples
                                            : (rm * others + slot) * other.samples;
                    const int64_t rf = n->instance_aware ? bs : bt;
                    const REAL *st = stats + 3 * rm;
                    NAME(fill_base)(&scratch, 0, grid, n,
                                    reference + (rf * n->queries + q) * reference_stride);
                    NAME(locate)(&scratch, 0, grid, (mine ? offsets : temporal_offsets) + 2 * at, 0);
                    NAME(softmax_weights)(scratch.weight, (mine ? logits : temporal_logits) + at,
                                          grid->samples, st[0], st[1]);
                    NAME(scatter)(&scratch, grid->samples, value + place,
                                  grad_value == NULL ? NULL : grad_value + place,
                                  grad_output + rm * n->channels, stride, n->channels);
                    NAME(sample_grads)(&scratch, grid->samples, st[2],
                                       (mine ? grad_logits : grad_temporal_logits) + at,
                                       (mine ? grad_offsets : grad_temporal_offsets) + 2 * at);
                }
            }
        }
        free(memory);
        if (n->reference_size == 4 || grad_reference != NULL) {
#pragma omp for schedule(static)
            for (int64_t bq = 0; bq < n->batch * n->queries; bq++) {
                const int64_t b = bq / n->queries, q = bq % n->queries;
                for (int64_t tm = 0; tm < n->frames * n->heads; tm++) {
                    const int64_t t = tm / n->heads;
                    const int64_t row = (b * n->frames + t) * n->queries + q;
                    const int64_t rm = row * n->heads + tm % n->heads;
                    for (int64_t j = -1; j < others; j++) {
                        /* j = -1 is the own frame. */
                        const int64_t frame = j < 0 ? t : j + (j >= t);
                        const int64_t at = j < 0 ? rm * own.samples
                                                 : (rm * others + j) * other.samples;
                        const int64_t rf = n->instance_aware
                            ? (b * n->frames + frame) * n->queries + q : row;
                        NAME(reference_grads)(
                            j < 0 ? &own : &other, n, reference + rf * reference_stride,
                            (j < 0 ? offsets : temporal_offsets) + 2 * at,
                            (j < 0 ? grad_offsets : grad_temporal_offsets) + 2 * at,
                            grad_reference == NULL ? NULL : grad_reference + rf * reference_stride);
                    }
                }
            }
        }
    }
    free(stats);
    free(own.width);
    free(other.width);
    return failed;
}

#undef WIDE
#undef NARROW
