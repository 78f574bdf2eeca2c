/* Both passes for one floating type (REAL, INT, NAME). */

typedef REAL NAME(Wide) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef REAL NAME(Half) __attribute__((vector_size(32), aligned(sizeof(REAL)), may_alias));
typedef REAL NAME(Narrow) __attribute__((vector_size(16), aligned(sizeof(REAL)), may_alias));
#define LANES(TYPE) ((int64_t)(sizeof(TYPE) / sizeof(REAL)))

/* Where one kernel point of the pixels of a tile looks. A corner outside the map has factor 0 and
 * the pixel of another corner, so that nothing is read that mmcv's operator would not read. */
typedef struct {
    INT inside[TILE];                            /* 0: nothing of the map is seen */
    INT at00[TILE], at01[TILE], at10[TILE], at11[TILE]; /* pixel of the corner (row, column) */
    REAL y0[TILE], y1[TILE], x0[TILE], x1[TILE]; /* bilinear factors */
    REAL has_y0[TILE], has_y1[TILE], has_x0[TILE], has_x1[TILE]; /* 1 inside the map, else 0 */
    REAL mask[TILE];
} NAME(Samples);

/* Top left of the kernel on the map, for the output pixels from `first` on. */
typedef struct {
    INT y[TILE], x[TILE];
} NAME(Origins);

INLINE void NAME(set_origins)(NAME(Origins) *o, const Dims *n, int64_t first, int64_t pixels) {
    int64_t row = first / n->out_width, column = first % n->out_width;
    for (int64_t i = 0; i < pixels; i++) {
        o->y[i] = (INT)(row * n->stride_y - n->padding_y);
        o->x[i] = (INT)(column * n->stride_x - n->padding_x);
        if (++column == n->out_width) {
            column = 0;
            row++;
        }
    }
}

/* `offset` and `mask` point at kernel point k of the sample. */
INLINE void NAME(locate)(NAME(Samples) *s, const NAME(Origins) *o, const Dims *n, int64_t k,
                         const REAL *offset, const REAL *mask, int64_t first, int64_t pixels) {
    const INT width = (INT)n->width, height = (INT)n->height;
    const INT shift_y = (INT)(k / n->kernel_width * n->dilation_y);
    const INT shift_x = (INT)(k % n->kernel_width * n->dilation_x);
    const REAL *offset_y = offset + first;
    const REAL *offset_x = offset_y + n->out_height * n->out_width;
#pragma omp simd
    for (int64_t i = 0; i < pixels; i++) {
        REAL y = (REAL)(o->y[i] + shift_y) + offset_y[i];
        REAL x = (REAL)(o->x[i] + shift_x) + offset_x[i];
        /* Positions that see nothing, NaN among them, go where both corners are outside. */
        y = y > -1 ? y : -2;
        x = x > -1 ? x : -2;
        y = y < (REAL)height ? y : (REAL)height;
        x = x < (REAL)width ? x : (REAL)width;
        INT top = (INT)y, left = (INT)x;
        top -= y < (REAL)top;
        left -= x < (REAL)left;
        const REAL below = y - (REAL)top, right = x - (REAL)left;
        const INT has_y0 = (top >= 0) & (top < height), has_y1 = (top >= -1) & (top < height - 1);
        const INT has_x0 = (left >= 0) & (left < width), has_x1 = (left >= -1) & (left < width - 1);
        const INT row0 = MAX(0, MIN(top, height - 1)) * width;
        const INT row1 = MAX(0, MIN(top + 1, height - 1)) * width;
        const INT column0 = MAX(0, MIN(left, width - 1));
        const INT column1 = MAX(0, MIN(left + 1, width - 1));
        s->inside[i] = (has_y0 | has_y1) & (has_x0 | has_x1);
        s->at00[i] = row0 + column0;
        s->at01[i] = row0 + column1;
        s->at10[i] = row1 + column0;
        s->at11[i] = row1 + column1;
        s->has_y0[i] = (REAL)has_y0;
        s->has_y1[i] = (REAL)has_y1;
        s->has_x0[i] = (REAL)has_x0;
        s->has_x1[i] = (REAL)has_x1;
        s->y0[i] = (REAL)has_y0 * (1 - below);
        s->y1[i] = (REAL)has_y1 * below;
        s->x0[i] = (REAL)has_x0 * (1 - right);
        s->x1[i] = (REAL)has_x1 * right;
        s->mask[i] = mask[first + i];
    }
}

/* The channels d to d + COUNT vectors of pixel i: all kernel points, summed in registers. */
#define ACCUMULATE(TYPE, COUNT)                                                          \
    do {                                                                                 \
        TYPE sum[COUNT];                                                                 \
        for (int c = 0; c < (COUNT); c++) sum[c] = (TYPE){0};                            \
        for (int64_t k = 0; k < points; k++) {                                           \
            const NAME(Samples) *s = samples + k;                                        \
            if (!s->inside[i]) continue;                                                 \
            const REAL *map = maps + k * channels + d;                                   \
            const TYPE *v00 = (const TYPE *)(map + s->at00[i] * step);                   \
            const TYPE *v01 = (const TYPE *)(map + s->at01[i] * step);                   \
            const TYPE *v10 = (const TYPE *)(map + s->at10[i] * step);                   \
            const TYPE *v11 = (const TYPE *)(map + s->at11[i] * step);                   \
            const REAL y0 = s->y0[i] * s->mask[i], y1 = s->y1[i] * s->mask[i];           \
            const REAL w00 = y0 * s->x0[i], w01 = y0 * s->x1[i];                         \
            const REAL w10 = y1 * s->x0[i], w11 = y1 * s->x1[i];                         \
            for (int c = 0; c < (COUNT); c++)                                            \
                sum[c] += (w00 * v00[c] + w01 * v01[c]) + (w10 * v10[c] + w11 * v11[c]); \
        }                                                                                \
        for (int c = 0; c < (COUNT); c++) ((TYPE *)(row + d))[c] = sum[c];               \
        d += (COUNT) * LANES(TYPE);                                                      \
    } while (0)

/* One tile into rows[pixels][channels]. */
INLINE void NAME(gather)(const NAME(Samples) *samples, const REAL *maps, int64_t points,
                         int64_t channels, int64_t pixels, REAL *rows) {
    const int64_t step = points * channels;
    for (int64_t i = 0; i < pixels; i++) {
        REAL *row = rows + i * channels;
        int64_t d = 0;
        while (channels - d >= 4 * LANES(NAME(Wide))) ACCUMULATE(NAME(Wide), 4);
        while (channels - d >= 2 * LANES(NAME(Wide))) ACCUMULATE(NAME(Wide), 2);
        while (channels - d >= LANES(NAME(Wide))) ACCUMULATE(NAME(Wide), 1);
        while (channels - d >= LANES(NAME(Half))) ACCUMULATE(NAME(Half), 1);
        while (channels - d >= LANES(NAME(Narrow))) ACCUMULATE(NAME(Narrow), 1);
        while (channels - d >= 1) ACCUMULATE(REAL, 1);
    }
}
#undef ACCUMULATE

/* The same for one channel, where the pixels of the tile make the vectors. */
INLINE void NAME(gather_one)(const NAME(Samples) *samples, const REAL *maps, int64_t points,
                             int64_t pixels, REAL *row) {
    for (int64_t i = 0; i < pixels; i++) row[i] = 0;
    for (int64_t k = 0; k < points; k++) {
        const NAME(Samples) *s = samples + k;
        const REAL *map = maps + k;
#pragma omp simd
        for (int64_t i = 0; i < pixels; i++) {
            const REAL top = s->x0[i] * map[s->at00[i] * points] + s->x1[i] * map[s->at01[i] * points];
            const REAL low = s->x0[i] * map[s->at10[i] * points] + s->x1[i] * map[s->at11[i] * points];
            const REAL value = s->mask[i] * (s->y0[i] * top + s->y1[i] * low);
            row[i] += s->inside[i] ? value : 0;
        }
    }
}

/* Returns 0, or 1 without memory for the scratch buffers. */
int NAME(modulated_deform_conv_forward)(const Dims *n, const REAL *maps, const REAL *offset,
                                        const REAL *mask, REAL *output) {
    const int64_t pixels = n->out_height * n->out_width, channels = n->channels;
    const int64_t points = n->kernel_height * n->kernel_width;
    const int64_t tiles = (pixels + TILE - 1) / TILE;
    int failed = 0;
#pragma omp parallel num_threads((int)n->threads)
    {
        NAME(Samples) *samples = allocate((size_t)points * sizeof *samples);
        REAL *rows = allocate((size_t)(TILE * channels) * sizeof *rows);
        const int ready = samples != NULL && rows != NULL;
        if (!ready) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(static)
        for (int64_t item = 0; item < n->count * tiles; item++) {
            if (!ready) continue;
            const int64_t sample = item / tiles, first = item % tiles * TILE;
            const int64_t length = MIN(TILE, pixels - first);
            NAME(Origins) origins;
            NAME(set_origins)(&origins, n, first, length);
            for (int64_t k = 0; k < points; k++) {
                const int64_t row = (sample * points + k) * pixels;
                NAME(locate)(samples + k, &origins, n, k, offset + 2 * row, mask + row, first, length);
            }
            const REAL *map = maps + sample * n->height * n->width * points * channels;
            REAL *out = output + sample * channels * pixels + first;
            if (channels == 1) {
                NAME(gather_one)(samples, map, points, length, out);
                continue;
            }
            NAME(gather)(samples, map, points, channels, length, rows);
            for (int64_t d = 0; d < channels; d++)
                for (int64_t i = 0; i < length; i++) out[d * pixels + i] = rows[i * channels + d];
        }
        free(samples);
        free(rows);
    }
    return failed;
}

/* Sum of the lanes; halves first, so that few steps depend on each other. */
INLINE REAL NAME(total_narrow)(const REAL *v) {
    return sizeof(REAL) == 4 ? (v[0] + v[1]) + (v[2] + v[3]) : v[0] + v[1];
}
INLINE REAL NAME(total_of_narrow)(NAME(Narrow) v) { return NAME(total_narrow)((const REAL *)&v); }
INLINE REAL NAME(total_of_half)(NAME(Half) v) {
    const NAME(Narrow) *part = (const NAME(Narrow) *)&v;
    return NAME(total_of_narrow)(part[0] + part[1]);
}
INLINE REAL NAME(total_of_wide)(NAME(Wide) v) {
#if VECTOR_BYTES == 64
    const NAME(Half) *part = (const NAME(Half) *)&v;
    return NAME(total_of_half)(part[0] + part[1]);
#elif VECTOR_BYTES == 32
    return NAME(total_of_half)(*(NAME(Half) *)&v);
#else
    return NAME(total_of_narrow)(*(NAME(Narrow) *)&v);
#endif
}
INLINE REAL NAME(total_of_one)(REAL v) { return v; }

/* Channels from d on as long as a vector fits: products of the gradient with the four corners, and
 * its weighted copies added to them. */
#define SCATTER(TYPE, TOTAL)                                                            \
    if (channels - d >= LANES(TYPE)) {                                                  \
        TYPE sum00 = {0}, sum01 = {0}, sum10 = {0}, sum11 = {0};                        \
        for (; channels - d >= LANES(TYPE); d += LANES(TYPE)) {                         \
            const TYPE g = *(const TYPE *)(grad + d);                                   \
            if (maps != NULL) {                                                         \
                sum00 += g * *(const TYPE *)(maps + at00 + d);                          \
                sum01 += g * *(const TYPE *)(maps + at01 + d);                          \
                sum10 += g * *(const TYPE *)(maps + at10 + d);                          \
                sum11 += g * *(const TYPE *)(maps + at11 + d);                          \
            }                                                                           \
            if (grad_maps != NULL) {                                                    \
                /* In this order: corners at the border may be one and the same. */     \
                *(TYPE *)(grad_maps + at00 + d) += w00 * g;                             \
                *(TYPE *)(grad_maps + at01 + d) += w01 * g;                             \
                *(TYPE *)(grad_maps + at10 + d) += w10 * g;                             \
                *(TYPE *)(grad_maps + at11 + d) += w11 * g;                             \
            }                                                                           \
        }                                                                               \
        dot00 += TOTAL(sum00);                                                          \
        dot01 += TOTAL(sum01);                                                          \
        dot10 += TOTAL(sum10);                                                          \
        dot11 += TOTAL(sum11);                                                          \
    }

/* One tile of kernel points that follow each other. `maps` and `grad_maps` start at the channels of
 * the first of them and go `step` numbers to the next pixel; `grad` is (pixels, channels). The last
 * three are rows of `row` numbers per point, grad_offset two. Each of `maps` (then nothing is
 * written to the last two) and `grad_maps` may be NULL. */
INLINE void NAME(scatter)(const NAME(Samples) *samples, int64_t points, const REAL *maps_,
                          REAL *grad_maps_, int64_t step, int64_t channels, int64_t pixels,
                          const REAL *grad, int64_t row, REAL *grad_offset, REAL *grad_mask) {
    for (int64_t i = 0; i < pixels; i++, grad += channels) {
        for (int64_t k = 0; k < points; k++) {
            const NAME(Samples) *s = samples + k;
            REAL dot00 = 0, dot01 = 0, dot10 = 0, dot11 = 0;
            if (s->inside[i]) {
                const REAL *maps = maps_ == NULL ? NULL : maps_ + k * channels;
                REAL *grad_maps = grad_maps_ == NULL ? NULL : grad_maps_ + k * channels;
                const REAL y0 = s->y0[i] * s->mask[i], y1 = s->y1[i] * s->mask[i];
                const REAL w00 = y0 * s->x0[i], w01 = y0 * s->x1[i];
                const REAL w10 = y1 * s->x0[i], w11 = y1 * s->x1[i];
                const int64_t at00 = s->at00[i] * step, at01 = s->at01[i] * step;
                const int64_t at10 = s->at10[i] * step, at11 = s->at11[i] * step;
                int64_t d = 0;
                SCATTER(NAME(Wide), NAME(total_of_wide))
                SCATTER(NAME(Half), NAME(total_of_half))
                SCATTER(NAME(Narrow), NAME(total_of_narrow))
                SCATTER(REAL, NAME(total_of_one))
            }
            if (maps_ == NULL) continue;
            const REAL top = s->x0[i] * dot00 + s->x1[i] * dot01;
            const REAL low = s->x0[i] * dot10 + s->x1[i] * dot11;
            const REAL left = s->y0[i] * dot00 + s->y1[i] * dot10;
            const REAL right = s->y0[i] * dot01 + s->y1[i] * dot11;
            grad_mask[k * row + i] = s->y0[i] * top + s->y1[i] * low;
            grad_offset[2 * k * row + i] = s->mask[i] * (s->has_y1[i] * low - s->has_y0[i] * top);
            grad_offset[(2 * k + 1) * row + i] =
                s->mask[i] * (s->has_x1[i] * right - s->has_x0[i] * left);
        }
    }
}
#undef SCATTER

/* `grad_maps` must be zero on entry. NULL: not wanted (`maps` then stands for the last two). Samples
 * and kernel points have maps of their own, so threads never add to the same number and results do
 * not depend on how many there are. Returns 0, or 1 without memory for the scratch buffers. */
int NAME(modulated_deform_conv_backward)(const Dims *n, const REAL *maps, const REAL *offset,
                                         const REAL *mask, const REAL *grad, REAL *grad_maps,
                                         REAL *grad_offset, REAL *grad_mask) {
    const int64_t pixels = n->out_height * n->out_width, channels = n->channels;
    const int64_t points = n->kernel_height * n->kernel_width, step = points * channels;
    /* Points lie side by side in memory, so they stay together where there is enough to do for all
     * threads. */
    const int even = n->count % n->threads == 0 || n->count >= 4 * n->threads;
    const int64_t groups = even ? 1 : points, together = points / groups;
    int failed = 0;
#pragma omp parallel num_threads((int)n->threads)
    {
        NAME(Samples) *samples = allocate((size_t)together * sizeof *samples);
        if (samples == NULL) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(static)
        for (int64_t item = 0; item < n->count * groups; item++) {
            if (samples == NULL) continue;
            const int64_t sample = item / groups, point = item % groups * together;
            const int64_t start = sample * n->height * n->width * step + point * channels;
            const int64_t row = (sample * points + point) * pixels;
            const REAL *map = maps == NULL ? NULL : maps + start;
            REAL *grad_map = grad_maps == NULL ? NULL : grad_maps + start;
            for (int64_t first = 0; first < pixels; first += TILE) {
                const int64_t length = MIN(TILE, pixels - first);
                const REAL *from = grad + (sample * pixels + first) * channels;
                REAL *to_offset = maps == NULL ? NULL : grad_offset + 2 * row + first;
                REAL *to_mask = maps == NULL ? NULL : grad_mask + row + first;
                NAME(Origins) origins;
                NAME(set_origins)(&origins, n, first, length);
                for (int64_t k = 0; k < together; k++)
                    NAME(locate)(samples + k, &origins, n, point + k, offset + 2 * (row + k * pixels),
                                 mask + row + k * pixels, first, length);
                if (channels == 1) /* a constant, for a loop without inner loops */
                    NAME(scatter)(samples, together, map, grad_map, step, 1, length, from, pixels,
                                  to_offset, to_mask);
                else
                    NAME(scatter)(samples, together, map, grad_map, step, channels, length, from,
                                  pixels, to_offset, to_mask);
            }
        }
        free(samples);
    }
    return failed;
}
#undef LANES
