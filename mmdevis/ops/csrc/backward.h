/* Backward pass for one floating type; included after samples.h.
 *
 * No two threads write to one place and each place is summed in a fixed order, so the result does
 * not depend on the number of threads.
 */

/* Sum of the lanes of a vector. */
INLINE REAL NAME(sum_lanes)(NAME(Wide) wide) {
    union {
        NAME(Wide) wide;
        NAME(NarrowAt) part[VECTOR_BYTES / 16];
    } u = {.wide = wide};
    NAME(NarrowAt) sum = u.part[0];
    for (int i = 1; i < VECTOR_BYTES / 16; i++) sum += u.part[i];
    REAL total = sum[0];
    for (int i = 1; i < NARROW_LANES; i++) total += sum[i];
    return total;
}

/* Some channels of a sample: products with the four corners, and the gradient of the value. */
#define CORNERS(TYPE)                                                                 \
    do {                                                                              \
        const TYPE g = *(const TYPE *)(grad + d);                                     \
        s00 += g * *(const TYPE *)(value + o00 + d);                                  \
        s01 += g * *(const TYPE *)(value + o01 + d);                                  \
        s10 += g * *(const TYPE *)(value + o10 + d);                                  \
        s11 += g * *(const TYPE *)(value + o11 + d);                                  \
        if (grad_value != NULL) {                                                     \
            /* One after the other: corners outside are clamped onto each other. */   \
            *(TYPE *)(grad_value + o00 + d) += w00 * g;                               \
            *(TYPE *)(grad_value + o01 + d) += w01 * g;                               \
            *(TYPE *)(grad_value + o10 + d) += w10 * g;                               \
            *(TYPE *)(grad_value + o11 + d) += w11 * g;                               \
        }                                                                             \
        d += (int64_t)(sizeof(TYPE) / sizeof(REAL));                                  \
    } while (0)

/* Products of the output's gradient with all corners, and the samples' share of grad_value. */
INLINE void NAME(scatter)(const NAME(Samples) *s, const REAL *value, REAL *grad_value,
                          const REAL *grad, int64_t stride, int64_t channels) {
    for (int64_t k = 0; k < s->blocks; k++) {
        NAME(Block) *b = s->block + k;
        const NAME(Corners) *corner = s->corners + k;
        const int64_t lanes = MIN(LANES, s->count - k * LANES);
        b->dot00 = b->dot01 = b->dot10 = b->dot11 = (NAME(Wide)){0};
        for (int64_t i = 0; i < lanes; i++) {
            if (!((const INT *)&corner->inside)[i]) continue;
            const int64_t o00 = ((const INT *)&corner->token00)[i] * stride;
            const int64_t o01 = ((const INT *)&corner->token01)[i] * stride;
            const int64_t o10 = ((const INT *)&corner->token10)[i] * stride;
            const int64_t o11 = ((const INT *)&corner->token11)[i] * stride;
            const REAL w00 = ((const REAL *)&corner->w00)[i], w01 = ((const REAL *)&corner->w01)[i];
            const REAL w10 = ((const REAL *)&corner->w10)[i], w11 = ((const REAL *)&corner->w11)[i];
            REAL d00 = 0, d01 = 0, d10 = 0, d11 = 0;
            int64_t d = 0;
            if (channels >= LANES) {
                NAME(Wide) s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0};
                while (channels - d >= LANES) CORNERS(NAME(WideAt));
                d00 = NAME(sum_lanes)(s00), d01 = NAME(sum_lanes)(s01);
                d10 = NAME(sum_lanes)(s10), d11 = NAME(sum_lanes)(s11);
            }
            if (channels - d >= NARROW_LANES) {
                NAME(NarrowAt) s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0};
                while (channels - d >= NARROW_LANES) CORNERS(NAME(NarrowAt));
                for (int l = 0; l < NARROW_LANES; l++)
                    d00 += s00[l], d01 += s01[l], d10 += s10[l], d11 += s11[l];
            }
            if (channels - d >= 1) {
                REAL s00 = 0, s01 = 0, s10 = 0, s11 = 0;
                while (channels - d >= 1) CORNERS(REAL);
                d00 += s00, d01 += s01, d10 += s10, d11 += s11;
            }
            ((REAL *)&b->dot00)[i] = d00, ((REAL *)&b->dot01)[i] = d01;
            ((REAL *)&b->dot10)[i] = d10, ((REAL *)&b->dot11)[i] = d11;
        }
    }
}
#undef CORNERS

/* From the products to the gradients of a segment's logits and offsets, the latter per pixel.
 * `delta` is the sum over all samples of weight * gradient of weight. */
INLINE void NAME(sample_grads)(const NAME(Samples) *s, REAL delta, REAL *grad_logits,
                               REAL *grad_pixels) {
    for (int64_t k = 0; k < s->blocks; k++) {
        const NAME(Block) *b = s->block + k;
        const int64_t lanes = MIN(LANES, s->count - k * LANES);
        const NAME(Wide) left = b->y0 * b->dot00 + b->y1 * b->dot10;
        const NAME(Wide) right = b->y0 * b->dot01 + b->y1 * b->dot11;
        const NAME(Wide) upper = b->x0 * b->dot00 + b->x1 * b->dot01;
        const NAME(Wide) lower = b->x0 * b->dot10 + b->x1 * b->dot11;
        const NAME(Wide) dx = b->weight * (b->has_x1 * right - b->has_x0 * left);
        const NAME(Wide) dy = b->weight * (b->has_y1 * lower - b->has_y0 * upper);
        const NAME(Wide) logit = b->weight * (b->y0 * upper + b->y1 * lower - delta);
        for (int64_t i = 0; i < lanes; i++) {
            grad_logits[i] = ((const REAL *)&logit)[i];
            grad_pixels[2 * i] = ((const REAL *)&dx)[i];
            grad_pixels[2 * i + 1] = ((const REAL *)&dy)[i];
        }
        grad_logits += lanes;
        grad_pixels += 2 * lanes;
    }
}

/* Turn gradients per pixel into those of a segment's offsets (in place) and its reference. */
INLINE void NAME(reference_grads)(const Dims *n, const int64_t *shapes, int64_t points,
                                  const REAL *reference, const REAL *offsets, REAL *grad_pixels,
                                  REAL *grad_reference) {
    const REAL half = (REAL)0.5 / (REAL)points;
    const int64_t size = n->reference_size;
    for (int64_t l = 0; l < n->levels; l++, reference += size) {
        const REAL h = (REAL)shapes[2 * l], w = (REAL)shapes[2 * l + 1];
        REAL gx = 0, gy = 0, gw = 0, gh = 0;
        for (int64_t k = 0; k < points; k++, offsets += 2, grad_pixels += 2) {
            const REAL px = grad_pixels[0] * w, py = grad_pixels[1] * h;
            gx += px;
            gy += py;
            if (size != 4) continue;
            gw += px * half * offsets[0];
            gh += py * half * offsets[1];
            grad_pixels[0] = px * half * reference[2];
            grad_pixels[1] = py * half * reference[3];
        }
        if (grad_reference == NULL) continue;
        grad_reference[0] += gx;
        grad_reference[1] += gy;
        if (size == 4) {
            grad_reference[2] += gw;
            grad_reference[3] += gh;
        }
        grad_reference += size;
    }
}

/* 0, or 1 without memory. */
int NAME(temporal_deform_attn_backward)(const Dims *n, const int64_t *shapes, const REAL *value,
                                        const REAL *reference, const REAL *offsets,
                                        const REAL *logits, const REAL *temporal_offsets,
                                        const REAL *temporal_logits, const REAL *output,
                                        const REAL *grad_output, REAL *grad_value,
                                        REAL *grad_reference, REAL *grad_offsets,
                                        REAL *grad_logits, REAL *grad_temporal_offsets,
                                        REAL *grad_temporal_logits) {
    const int64_t others = n->temporal_points > 0 ? n->frames - 1 : 0;
    const int64_t n_own = n->levels * n->points, n_other = n->levels * n->temporal_points;
    const int64_t stride = n->heads * n->channels, reference_stride = n->levels * n->reference_size;
    const int64_t rows = n->batch * n->frames * n->queries * n->heads;
    const int64_t tasks = n->batch * n->frames * n->heads;
    REAL *stats = malloc((size_t)rows * 3 * sizeof(REAL));
    int failed = stats == NULL;
    if (failed) return failed;
#pragma omp parallel num_threads((int)n->threads) reduction(| : failed)
    {
        NAME(Samples) own, other;
        failed |= NAME(make_samples)(&own, n, shapes, n->points, 1, 1);
        failed |= NAME(make_samples)(&other, n, shapes, n->temporal_points, others > 0, 1);
        if (!failed) {
            NAME(set_frame)(&own, 0, n, shapes, 0);
            if (others) NAME(set_frame)(&other, 0, n, shapes, 0);
        }
        /* Softmax's maximum, 1 / sum, and delta = <grad, output>. Once they are known, samples no
         * longer depend on each other. */
#pragma omp for schedule(static)
        for (int64_t at = 0; at < rows; at++) {
            const REAL *lg = logits + at * n_own, *tlg = temporal_logits + at * others * n_other;
            const int64_t n_tlg = others * n_other;
            const REAL top = NAME(maximum)(tlg, n_tlg, NAME(maximum)(lg, n_own, lg[0]));
            REAL sum = 0, delta = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < n_own; i++) sum += EXP(lg[i] - top);
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < n_tlg; i++) sum += EXP(tlg[i] - top);
            const REAL *o = output + at * n->channels, *g = grad_output + at * n->channels;
#pragma omp simd reduction(+ : delta)
            for (int64_t d = 0; d < n->channels; d++) delta += o[d] * g[d];
            stats[3 * at] = top;
            stats[3 * at + 1] = 1 / sum;
            stats[3 * at + 2] = delta;
        }
        /* One task per value frame and head: the part of grad_value that it alone writes. Both are
         * copied to where their tokens lie side by side if that pays (see forward.h). */
        REAL *local = NULL;
        if (NAME(is_dense)(n)) local = allocate((size_t)(2 * n->tokens * n->channels) * sizeof(REAL));
        REAL *local_grad = local == NULL ? NULL : local + n->tokens * n->channels;
        const int64_t step = local == NULL ? stride : n->channels;
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < tasks; task++) {
            const int64_t m = task % n->heads, bs = task / n->heads, frame = bs % n->frames;
            const int64_t place = bs * n->tokens * stride + m * n->channels;
            const REAL *tokens = value + place;
            REAL *grad_tokens = grad_value == NULL ? NULL : grad_value + place;
            if (local != NULL) {
                NAME(copy_tokens)(local, step, tokens, stride, n);
                memset(local_grad, 0, (size_t)(n->tokens * n->channels) * sizeof(REAL));
                tokens = local;
                if (grad_value != NULL) grad_tokens = local_grad;
            }
            for (int64_t t = others ? 0 : frame; t < (others ? n->frames : frame + 1); t++) {
                const int64_t bt = bs - frame + t, slot = frame - (frame > t);
                const int mine = t == frame;
                const NAME(Samples) *s = mine ? &own : &other;
                for (int64_t q = 0; q < n->queries && !failed; q++) {
                    const int64_t rm = (bt * n->queries + q) * n->heads + m;
                    const int64_t at = mine ? rm * n_own : (rm * others + slot) * n_other;
                    const int64_t rq = (n->instance_aware ? bs : bt) * n->queries + q;
                    const REAL *st = stats + 3 * rm;
                    const int64_t next = at + n->heads * (mine ? n_own : others * n_other);
                    NAME(prefetch)((mine ? logits : temporal_logits) + next, s->count);
                    NAME(prefetch)((mine ? offsets : temporal_offsets) + 2 * next, 2 * s->count);
                    NAME(prefetch)(grad_output + (rm + n->heads) * n->channels, n->channels);
                    NAME(set_reference)(s, 0, n, shapes, reference + rq * reference_stride);
                    NAME(exponents)(s, (mine ? logits : temporal_logits) + at, st[0]);
                    NAME(locate)(s, s->corners, (mine ? offsets : temporal_offsets) + 2 * at, st[1]);
                    NAME(scatter)(s, tokens, grad_tokens, grad_output + rm * n->channels, step,
                                  n->channels);
                    NAME(sample_grads)(s, st[2], (mine ? grad_logits : grad_temporal_logits) + at,
                                       (mine ? grad_offsets : grad_temporal_offsets) + 2 * at);
                }
            }
            if (local != NULL && grad_value != NULL)
                NAME(copy_tokens)(grad_value + place, stride, local_grad, step, n);
        }
        free(local);
        free(own.block);
        free(other.block);
        if (n->reference_size == 4 || grad_reference != NULL) {
#pragma omp for schedule(static)
            for (int64_t bq = 0; bq < n->batch * n->queries; bq++) {
                const int64_t b = bq / n->queries, q = bq % n->queries;
                for (int64_t tm = 0; tm < n->frames * n->heads; tm++) {
                    const int64_t t = tm / n->heads;
                    const int64_t row = (b * n->frames + t) * n->queries + q;
                    const int64_t rm = row * n->heads + tm % n->heads;
                    for (int64_t j = -1; j < others; j++) { /* -1: the query's own frame */
                        const int64_t frame = j < 0 ? t : j + (j >= t);
                        const int64_t at = j < 0 ? rm * n_own : (rm * others + j) * n_other;
                        const int64_t rq = n->instance_aware
                            ? (b * n->frames + frame) * n->queries + q : row;
                        NAME(reference_grads)(
                            n, shapes, j < 0 ? n->points : n->temporal_points,
                            reference + rq * reference_stride,
                            (j < 0 ? offsets : temporal_offsets) + 2 * at,
                            (j < 0 ? grad_offsets : grad_temporal_offsets) + 2 * at,
                            grad_reference == NULL ? NULL : grad_reference + rq * reference_stride);
                    }
                }
            }
        }
    }
    free(stats);
    return failed;
}
#undef LANES
#undef NARROW_LANES
#undef MIN
#undef ROUND_UP
#undef SPLAT
#undef AS_INT
#undef SELECT
#undef SELECT_INT
#undef AT
#undef AT_INT
