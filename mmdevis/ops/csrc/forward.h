/* Forward pass for one floating type; included after samples.h. */

/* Add the weighted samples to COUNT vectors of channels, kept in registers. */
#define ACCUMULATE(TYPE, COUNT)                                                           \
    do {                                                                                  \
        TYPE sum[COUNT];                                                                  \
        for (int c = 0; c < (COUNT); c++) sum[c] = ((const TYPE *)(output + d))[c];       \
        for (int64_t k = 0; k < s->blocks; k++) {                                         \
            const NAME(Block) *b = s->block + k;                                          \
            const int64_t lanes = MIN(LANES, s->count - k * LANES);                       \
            for (int64_t i = 0; i < lanes; i++) {                                         \
                if (!((const INT *)&b->inside)[i]) continue;                              \
                const TYPE *v00 = CORNER(TYPE, token00), *v01 = CORNER(TYPE, token01);    \
                const TYPE *v10 = CORNER(TYPE, token10), *v11 = CORNER(TYPE, token11);    \
                const REAL w00 = ((const REAL *)&b->w00)[i];                              \
                const REAL w01 = ((const REAL *)&b->w01)[i];                              \
                const REAL w10 = ((const REAL *)&b->w10)[i];                              \
                const REAL w11 = ((const REAL *)&b->w11)[i];                              \
                for (int c = 0; c < (COUNT); c++)                                         \
                    sum[c] += (w00 * v00[c] + w01 * v01[c]) + (w10 * v10[c] + w11 * v11[c]); \
            }                                                                             \
        }                                                                                 \
        for (int c = 0; c < (COUNT); c++) ((TYPE *)(output + d))[c] = sum[c];             \
        d += (COUNT) * (int64_t)(sizeof(TYPE) / sizeof(REAL));                            \
    } while (0)
#define CORNER(TYPE, token) ((const TYPE *)(value + ((const INT *)&b->token)[i] * stride + d))

INLINE void NAME(accumulate)(const NAME(Samples) *s, const REAL *value, int64_t stride,
                             REAL *output, int64_t channels) {
    int64_t d = 0;
    while (channels - d >= 4 * LANES) ACCUMULATE(NAME(WideAt), 4);
    while (channels - d >= 2 * LANES) ACCUMULATE(NAME(WideAt), 2);
    while (channels - d >= LANES) ACCUMULATE(NAME(WideAt), 1);
    while (channels - d >= NARROW_LANES) ACCUMULATE(NAME(NarrowAt), 1);
    while (channels - d >= 1) ACCUMULATE(REAL, 1);
}
#undef ACCUMULATE
#undef CORNER

/* Output of one query on frame t, all heads. `row` numbers it over (B, T, Q). */
INLINE void NAME(forward_query)(const Dims *n, const int64_t *shapes, const NAME(Samples) *own,
                                const NAME(Samples) *other, int64_t row, const REAL *value,
                                const REAL *reference, const REAL *offsets, const REAL *logits,
                                const REAL *temporal_offsets, const REAL *temporal_logits,
                                REAL *output) {
    const int64_t stride = n->heads * n->channels, reference_stride = n->levels * n->reference_size;
    const int64_t q = row % n->queries, bt = row / n->queries, t = bt % n->frames;
    const REAL *clip = value + (bt - t) * n->tokens * stride;
    const REAL *mine = reference + row * reference_stride;
    NAME(place_segment)(own, 0, n, shapes, mine, t * n->tokens);
    for (int64_t j = 0; j < other->segments; j++) {
        const int64_t frame = j + (j >= t);
        const REAL *there = reference + ((bt - t + frame) * n->queries + q) * reference_stride;
        NAME(place_segment)(other, j, n, shapes, n->instance_aware ? there : mine,
                            frame * n->tokens);
    }
    for (int64_t m = 0; m < n->heads; m++) {
        const int64_t at = row * n->heads + m;
        const REAL *lg = logits + at * own->count, *tlg = temporal_logits + at * other->count;
        REAL top, sum;
        NAME(softmax_stats)(lg, own->count, tlg, other->count, &top, &sum);
        REAL *out = output + at * n->channels;
        memset(out, 0, (size_t)n->channels * sizeof(REAL));
        NAME(locate)(own, offsets + 2 * at * own->count, lg, top, 1 / sum);
        NAME(accumulate)(own, clip + m * n->channels, stride, out, n->channels);
        if (other->count == 0) continue;
        NAME(locate)(other, temporal_offsets + 2 * at * other->count, tlg, top, 1 / sum);
        NAME(accumulate)(other, clip + m * n->channels, stride, out, n->channels);
    }
}

/* 0, or 1 without memory. */
int NAME(temporal_deform_attn_forward)(const Dims *n, const int64_t *shapes, const REAL *value,
                                       const REAL *reference, const REAL *offsets,
                                       const REAL *logits, const REAL *temporal_offsets,
                                       const REAL *temporal_logits, REAL *output) {
    const int64_t others = n->temporal_points > 0 ? n->frames - 1 : 0;
    const int64_t rows = n->batch * n->frames * n->queries;
    /* Neighbouring queries look at neighbouring pixels: blocks keep them in one core's cache. */
    const int64_t block = rows >= 256 * n->threads ? 64 : 1;
    int failed = 0;
#pragma omp parallel num_threads((int)n->threads) reduction(| : failed)
    {
        NAME(Samples) own, other;
        failed |= NAME(make_samples)(&own, n, shapes, n->points, 1);
        failed |= NAME(make_samples)(&other, n, shapes, n->temporal_points, others);
#pragma omp for schedule(dynamic, 1)
        for (int64_t start = 0; start < rows; start += block) {
            for (int64_t row = start; row < MIN(start + block, rows) && !failed; row++)
                NAME(forward_query)(n, shapes, &own, &other, row, value, reference, offsets,
                                    logits, temporal_offsets, temporal_logits, output);
        }
        free(own.block);
        free(other.block);
    }
    return failed;
}
