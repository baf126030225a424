/* Rows times packed weights: what matrix products and convolutions over channels-last images come down to.

   A row of the result is the sum over `taps` of a row of `depth` numbers times depth × columns weights. For a matrix
   product there is one tap; for a convolution one for each place of its window, and a place outside of the image has a
   row of zeros. Weights are packed in blocks of COLS columns: [blocks][taps][depth][COLS], the last block filled up
   with zeros; so are the biases. */
#ifndef EDGEDEPLOY_KERNELS_ROWS_H
#define EDGEDEPLOY_KERNELS_ROWS_H

#include "base.h"

/* `count` rows and COLS columns. `rows` are [taps][ROWS] pointers; rows beyond `count` are never read. `add` may be
   NULL, or has the results' own stride. */
INLINE void rows_tile(const int count, const float *const *rows, int taps, int depth, const float *weights,
                      const float *bias, const float *add, float *result, long stride, int columns,
                      const struct finish *finish)
{
    v4 sum[ROWS][2];
    v4 low = load4(bias), high = load4(bias + 4);
    UNROLL for (int r = 0; r < count; r++) { sum[r][0] = low; sum[r][1] = high; }
    /* A single row has too few sums to keep a pipeline busy: every other product goes to a second pair. */
    v4 odd[2] = {{0}, {0}};
    for (int tap = 0; tap < taps; tap++, rows += ROWS) {
        const float *row[ROWS];
        UNROLL for (int r = 0; r < count; r++) row[r] = rows[r];
        int k = 0;
        for (; k + 4 <= depth; k += 4) {
            v4 a[ROWS];
            UNROLL for (int r = 0; r < count; r++) a[r] = load4(row[r] + k);
            UNROLL for (int i = 0; i < 4; i++, weights += COLS) {
                v4 w0 = load4(weights), w1 = load4(weights + 4);
                if (count == 1 && i % 2 == 1) {
                    odd[0] = add_scaled(odd[0], w0, a[0], i);
                    odd[1] = add_scaled(odd[1], w1, a[0], i);
                    continue;
                }
                UNROLL for (int r = 0; r < count; r++) {
                    sum[r][0] = add_scaled(sum[r][0], w0, a[r], i);
                    sum[r][1] = add_scaled(sum[r][1], w1, a[r], i);
                }
            }
        }
        for (; k < depth; k++, weights += COLS) {
            v4 w0 = load4(weights), w1 = load4(weights + 4);
            UNROLL for (int r = 0; r < count; r++) {
                v4 a = splat4(row[r][k]);
                sum[r][0] += w0 * a;
                sum[r][1] += w1 * a;
            }
        }
    }
    if (count == 1) {
        sum[0][0] += odd[0];
        sum[0][1] += odd[1];
    }
    if (columns == COLS) {
        if (add != NULL) {
            UNROLL for (int r = 0; r < count; r++) {
                sum[r][0] += load4(add + r * stride);
                sum[r][1] += load4(add + r * stride + 4);
            }
        }
        if (finish->activation == ACTIVATION_CLIP) {
            v4 least = splat4(finish->alpha), most = splat4(finish->beta);
            UNROLL for (int r = 0; r < count; r++) {
                sum[r][0] = min4(max4(sum[r][0], least), most);
                sum[r][1] = min4(max4(sum[r][1], least), most);
            }
        }
        UNROLL for (int r = 0; r < count; r++) {
            store4(result + r * stride, sum[r][0]);
            store4(result + r * stride + 4, sum[r][1]);
        }
        if (finish->activation > ACTIVATION_CLIP)
            for (int r = 0; r < count; r++)
                activate(result + r * stride, COLS, finish);
        return;
    }
    UNROLL for (int r = 0; r < count; r++) {
        float whole[COLS];
        store4(whole, sum[r][0]);
        store4(whole + 4, sum[r][1]);
        for (int c = 0; c < columns; c++)
            result[r * stride + c] = whole[c] + (add != NULL ? add[r * stride + c] : 0.0f);
        activate(result + r * stride, columns, finish);
    }
}

#define ROWS_TILE(N)                                                                                                   \
    KERNEL void rows_tile_##N(const float *const *rows, int taps, int depth, const float *weights, const float *bias,  \
                              const float *add, float *result, long stride, int columns, const struct finish *finish)  \
    {                                                                                                                  \
        rows_tile(N, rows, taps, depth, weights, bias, add, result, stride, columns, finish);                          \
    }
ROWS_TILE(1)
ROWS_TILE(2)
#if defined(__aarch64__) || defined(__ARM_NEON) || defined(__x86_64__)
ROWS_TILE(3)
ROWS_TILE(4)
#endif
#if defined(__aarch64__)
ROWS_TILE(5)
ROWS_TILE(6)
ROWS_TILE(7)
ROWS_TILE(8)
#endif

INLINE void rows_any(int count, const float *const *rows, int taps, int depth, const float *weights, const float *bias,
                     const float *add, float *result, long stride, int columns, const struct finish *finish)
{
    switch (count) {
#define CASE(N)                                                                                                        \
    case N:                                                                                                            \
        rows_tile_##N(rows, taps, depth, weights, bias, add, result, stride, columns, finish);                         \
        break;
        CASE(1)
        CASE(2)
#if defined(__aarch64__) || defined(__ARM_NEON) || defined(__x86_64__)
        CASE(3)
        CASE(4)
#endif
#if defined(__aarch64__)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
#endif
#undef CASE
    }
}

/* result[m][n] = a[m][k] × packed [k][n] + bias[n] (+ add[m][n]). `a_stride` and `stride` are floats from row to row.
   What is smaller stays in the cache: a block of weights while all rows go by, or a tile of rows while all weights do. */
KERNEL void matmul(const float *a, long a_stride, const float *weights, const float *bias, const float *add,
                   float *result, long stride, int m, int n, int k, const struct finish *finish)
{
    const bool blocks_outside = m <= n;
    const int tiles = (m + ROWS - 1) / ROWS, blocks = (n + COLS - 1) / COLS;
    for (int outer = 0; outer < (blocks_outside ? blocks : tiles); outer++) {
        for (int inner = 0; inner < (blocks_outside ? tiles : blocks); inner++) {
            const int row = (blocks_outside ? inner : outer) * ROWS, block = blocks_outside ? outer : inner;
            const int count = m - row < ROWS ? m - row : ROWS, columns = n - block * COLS < COLS ? n - block * COLS : COLS;
            const float *rows[ROWS];
            for (int r = 0; r < count; r++)
                rows[r] = a + (row + r) * a_stride;
            const long at = row * stride + block * COLS;
            rows_any(count, rows, 1, k, weights + (long)block * k * COLS, bias + block * COLS,
                     add != NULL ? add + at : NULL, result + at, stride, columns, finish);
        }
    }
}

/* Pack b, whose numbers lie at b[k * k_stride + n * n_stride], as `matmul` wants its weights. */
KERNEL void pack(const float *b, long k_stride, long n_stride, float *packed, int n, int k)
{
    for (int block = 0; block < n; block += COLS)
        for (int i = 0; i < k; i++)
            for (int c = 0; c < COLS; c++)
                *packed++ = block + c < n ? b[i * k_stride + (block + c) * n_stride] : 0.0f;
}

struct window {
    int height, width;         /* of the image */
    int out_height, out_width;
    int kernel_height, kernel_width;
    int stride_height, stride_width;
    int dilation_height, dilation_width;
    int top, left; /* padding */
};

/* x[height][width][groups * depth] → y[out_height][out_width][groups * columns], one image. */
KERNEL void conv(const float *x, const float *weights, const float *bias, const float *add, float *y, int groups,
                 int depth, int columns, const struct window *w, const float *zeros, const struct finish *finish)
{
    const int taps = w->kernel_height * w->kernel_width, pixels = w->out_height * w->out_width;
    const int blocks = (columns + COLS - 1) / COLS;
    const long channels = (long)groups * depth, stride = (long)groups * columns;
    const float *rows[taps * ROWS];
    for (int pixel = 0; pixel < pixels; pixel += ROWS) {
        const int count = pixels - pixel < ROWS ? pixels - pixel : ROWS;
        for (int group = 0; group < groups; group++) {
            for (int r = 0; r < count; r++) {
                const int top = (pixel + r) / w->out_width * w->stride_height - w->top;
                const int left = (pixel + r) % w->out_width * w->stride_width - w->left;
                const float **place = rows + r;
                for (int i = 0; i < w->kernel_height; i++) {
                    const int at_y = top + i * w->dilation_height;
                    for (int j = 0; j < w->kernel_width; j++, place += ROWS) {
                        const int at_x = left + j * w->dilation_width;
                        const bool inside = at_y >= 0 && at_y < w->height && at_x >= 0 && at_x < w->width;
                        *place = inside ? x + ((long)at_y * w->width + at_x) * channels + group * depth : zeros;
                    }
                }
            }
            for (int block = 0; block < blocks; block++) {
                const int left = columns - block * COLS;
                const long at = pixel * stride + (long)group * columns + block * COLS;
                const long which = (long)group * blocks + block;
                rows_any(count, rows, taps, depth, weights + which * taps * depth * COLS, bias + which * COLS,
                         add != NULL ? add + at : NULL, y + at, stride, left < COLS ? left : COLS, finish);
            }
        }
    }
}

#endif
