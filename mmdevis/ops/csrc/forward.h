/* Forward pass for one floating type; included after samples.h. */

/* Add weighted samples to COUNT vectors of channels, kept in registers. */
#define ACCUMULATE(TYPE, COUNT)                                                           \
    do {                                                                                  \
        TYPE upper[COUNT], lower[COUNT];                                                  \
        for (int c = 0; c < (COUNT); c++) {                                               \
            upper[c] = ((const TYPE *)(output + d))[c];                                   \
            lower[c] = (TYPE){0};                                                         \
        }                                                                                 \
        for (int64_t i = 0; i < lanes; i++) {                                             \
            if (!((const INT *)&corner->inside)[i]) continue;                             \
            const TYPE *v00 = CORNER(TYPE, token00), *v01 = CORNER(TYPE, token01);        \
            const TYPE *v10 = CORNER(TYPE, token10), *v11 = CORNER(TYPE, token11);        \
            const REAL w00 = ((const REAL *)&corner->w00)[i];                             \
            const REAL w01 = ((const REAL *)&corner->w01)[i];                             \
            const REAL w10 = ((const REAL *)&corner->w10)[i];                             \
            const REAL w11 = ((const REAL *)&corner->w11)[i];                             \
            for (int c = 0; c < (COUNT); c++) {                                           \
                upper[c] += w00 * v00[c];                                                 \
                lower[c] += w10 * v10[c];                                                 \
                upper[c] += w01 * v01[c];                                                 \
                lower[c] += w11 * v11[c];                                                 \
            }                                                                             \
        }                                                                                 \
        for (int c = 0; c < (COUNT); c++) ((TYPE *)(output + d))[c] = upper[c] + lower[c]; \
        d += (COUNT) * (int64_t)(sizeof(TYPE) / sizeof(REAL));                            \
    } while (0)
#define CORNER(TYPE, token) ((const TYPE *)(value + ((const INT *)&corner->token)[i] * stride + d))

INLINE void NAME(accumulate)(const NAME(Corners) *corner, int64_t lanes, const REAL *value,
                             int64_t stride, REAL *output, int64_t channels) {
    int64_t d = 0;
    while (channels - d >= 4 * LANES) ACCUMULATE(NAME(WideAt), 4);
    while (channels - d >= 2 * LANES) ACCUMULATE(NAME(WideAt), 2);
    while (channels - d >= LANES) ACCUMULATE(NAME(WideAt), 1);
    while (channels - d >= NARROW_LANES) ACCUMULATE(NAME(NarrowAt), 1);
    while (channels - d >= 1) ACCUMULATE(REAL, 1);
}
#undef ACCUMULATE
#undef CORNER

/* How many queries are worked on at a time. Their samples of one frame mostly read the same tokens,
 * which then stay in the first-level cache; all frames of one query would not fit. */
#define TILE 16

/* Add the samples of a tile's queries, block by block (with 16 samples per frame: frame by frame).
 * The output of a query follows that of the one before after `output_stride` numbers. */
INLINE void NAME(accumulate_tile)(const NAME(Samples) *s, int64_t queries, const REAL *value,
                                  int64_t stride, REAL *output, int64_t output_stride,
                                  int64_t channels) {
    for (int64_t k = 0; k < s->blocks; k++)
        for (int64_t i = 0; i < queries; i++)
            NAME(accumulate)(s->corners + i * s->blocks + k, MIN(LANES, s->count - k * LANES),
                             value, stride, output + i * output_stride, channels);
}

/* Where one query on frame t samples for head m, as corners `i` of the tile. `at` numbers it over
 * (B, T, Q, M). */
INLINE void NAME(locate_query)(const Dims *n, const int64_t *shapes, const NAME(Samples) *own,
                               const NAME(Samples) *other, int64_t i, int64_t at,
                               const REAL *reference, const REAL *offsets, const REAL *logits,
                               const REAL *temporal_offsets, const REAL *temporal_logits) {
    const int64_t row = at / n->heads, q = row % n->queries, bt = row / n->queries;
    const int64_t t = bt % n->frames, reference_stride = n->levels * n->reference_size;
    const REAL *lg = logits + at * own->count, *tlg = temporal_logits + at * other->count;
    const REAL *mine = reference + row * reference_stride;
    /* The next query's numbers lie too far away for the processor to guess. */
    NAME(prefetch)(lg + n->heads * own->count, own->count);
    NAME(prefetch)(tlg + n->heads * other->count, other->count);
    NAME(prefetch)(offsets + 2 * (at + n->heads) * own->count, 2 * own->count);
    NAME(prefetch)(temporal_offsets + 2 * (at + n->heads) * other->count, 2 * other->count);
    const REAL top = NAME(maximum)(tlg, other->count, NAME(maximum)(lg, own->count, lg[0]));
    const REAL sum = NAME(exponents)(own, lg, top) + NAME(exponents)(other, tlg, top);
    NAME(set_reference)(own, 0, n, shapes, mine);
    NAME(locate)(own, own->corners + i * own->blocks, offsets + 2 * at * own->count, 1 / sum);
    for (int64_t j = 0; j < other->segments; j++) {
        const int64_t there = ((bt - t + j + (j >= t)) * n->queries + q) * reference_stride;
        NAME(set_reference)(other, j, n, shapes, n->instance_aware ? reference + there : mine);
    }
    NAME(locate)(other, other->corners + i * other->blocks,
                 temporal_offsets + 2 * at * other->count, 1 / sum);
}

/* 0, or 1 without memory. */
int NAME(temporal_deform_attn_forward)(const Dims *n, const int64_t *shapes, const REAL *value,
                                       const REAL *reference, const REAL *offsets,
                                       const REAL *logits, const REAL *temporal_offsets,
                                       const REAL *temporal_logits, REAL *output) {
    const int64_t others = n->temporal_points > 0 ? n->frames - 1 : 0;
    const int64_t frames = n->batch * n->frames, slice = n->tokens * n->channels;
    const int64_t wide = n->heads * n->channels; /* from a token to the next in (B, T, N, M, D) */
    /* One head's tokens lie `wide` apart and so fill few of a cache's sets. With many samples per
     * token it pays to copy the value to (B, T, M, N, D) first. */
    REAL *copy = NULL;
    if (!n->by_head && NAME(is_dense)(n))
        copy = allocate((size_t)(frames * n->tokens * wide) * sizeof(REAL));
    const REAL *by_head = n->by_head ? value : copy;
    /* Neighbouring queries look at neighbouring pixels: blocks keep them in one core's cache. */
    int64_t block = MIN(256, n->queries);
    while (block > 1 && frames * n->heads * (n->queries / block) < 8 * n->threads) block /= 2;
    const int64_t blocks = (n->queries + block - 1) / block;
    int failed = 0;
#pragma omp parallel num_threads((int)n->threads) reduction(| : failed)
    {
        NAME(Samples) own, other;
        failed |= NAME(make_samples)(&own, n, shapes, n->points, 1, TILE);
        failed |= NAME(make_samples)(&other, n, shapes, n->temporal_points, others, TILE);
        if (copy != NULL) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < frames * n->heads; i++) {
                const int64_t m = i % n->heads;
                NAME(copy_tokens)(copy + i * slice, n->channels,
                                  value + (i - m) * slice + m * n->channels, wide, n);
            }
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < frames * n->heads * blocks; task++) {
            const int64_t start = task % blocks * block, m = task / blocks % n->heads;
            const int64_t bt = task / blocks / n->heads, b = bt / n->frames;
            const REAL *clip = by_head != NULL
                ? by_head + (b * n->frames * n->heads + m) * slice
                : value + b * n->frames * n->tokens * wide + m * n->channels;
            const int64_t t = bt % n->frames;
            const int64_t frame_stride = by_head != NULL ? n->heads * n->tokens : n->tokens;
            if (failed) continue;
            NAME(set_frame)(&own, 0, n, shapes, t * frame_stride);
            for (int64_t j = 0; j < others; j++)
                NAME(set_frame)(&other, j, n, shapes, (j + (j >= t)) * frame_stride);
            const int64_t stride = by_head != NULL ? n->channels : wide;
            const int64_t stop = MIN(start + block, n->queries);
            for (int64_t q = start; q < stop; q += TILE) {
                const int64_t tile = MIN(TILE, stop - q);
                const int64_t first = (bt * n->queries + q) * n->heads + m;
                REAL *out = output + first * n->channels;
                for (int64_t i = 0; i < tile; i++) {
                    NAME(locate_query)(n, shapes, &own, &other, i, first + i * n->heads, reference,
                                       offsets, logits, temporal_offsets, temporal_logits);
                    memset(out + i * wide, 0, (size_t)n->channels * sizeof(REAL));
                }
                NAME(accumulate_tile)(&own, tile, clip, stride, out, wide, n->channels);
                NAME(accumulate_tile)(&other, tile, clip, stride, out, wide, n->channels);
            }
        }
        free(own.block);
        free(other.block);
    }
    free(copy);
    return failed;
}
#undef TILE
