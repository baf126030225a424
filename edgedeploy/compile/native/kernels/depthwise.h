/* Convolution of each channel with a window of its own, over a channels-last image. */
#ifndef EDGEDEPLOY_KERNELS_DEPTHWISE_H
#define EDGEDEPLOY_KERNELS_DEPTHWISE_H

#include "rows.h"

INLINE void depthwise_store(float *y, v4 sum, const struct finish *finish)
{
    if (finish->activation == ACTIVATION_CLIP)
        sum = min4(max4(sum, splat4(finish->alpha)), splat4(finish->beta));
    store4(y, sum);
}

/* One pixel, all channels, and only the places [i0, i1) × [j0, j1) of the window. x is where its first place lies. */
INLINE void depthwise_pixel(const float *x, const float *weights, const float *bias, float *y, int channels,
                            const struct window *w, int i0, int i1, int j0, int j1, const struct finish *finish)
{
    const long down = (long)w->dilation_height * w->width * channels, right = (long)w->dilation_width * channels;
    int c = 0;
    for (; c + 8 <= channels; c += 8) {
        v4 low = load4(bias + c), high = load4(bias + c + 4);
        for (int i = i0; i < i1; i++)
            for (int j = j0; j < j1; j++) {
                const float *at = x + i * down + j * right + c;
                const float *v = weights + (long)(i * w->kernel_width + j) * channels + c;
                low += load4(at) * load4(v);
                high += load4(at + 4) * load4(v + 4);
            }
        depthwise_store(y + c, low, finish);
        depthwise_store(y + c + 4, high, finish);
    }
    for (; c < channels; c++) {
        float sum = bias[c];
        for (int i = i0; i < i1; i++)
            for (int j = j0; j < j1; j++)
                sum += x[i * down + j * right + c] * weights[(long)(i * w->kernel_width + j) * channels + c];
        y[c] = finish->activation == ACTIVATION_CLIP ? m_clip(sum, finish->alpha, finish->beta) : sum;
    }
}

/* `PIXELS` neighbours whose windows lie inside of the image: weights stay in registers, and so do shared places. */
INLINE void depthwise_inside(const int pixels, const int size, const int step, const float *x, const float *weights,
                             const float *bias, float *y, int channels, long down, const struct finish *finish)
{
    for (int c = 0; c + 4 <= channels; c += 4) {
        v4 sum[4];
        UNROLL for (int p = 0; p < pixels; p++) sum[p] = load4(bias + c);
        UNROLL for (int i = 0; i < size; i++) {
            const float *at = x + i * down + c;
            v4 v[5];
            UNROLL for (int j = 0; j < size; j++) v[j] = load4(weights + (long)(i * size + j) * channels + c);
            UNROLL for (int j = 0; j < (pixels - 1) * step + size; j++) {
                v4 here = load4(at + (long)j * channels);
                UNROLL for (int p = 0; p < pixels; p++)
                    if (j - p * step >= 0 && j - p * step < size)
                        sum[p] += here * v[j - p * step];
            }
        }
        UNROLL for (int p = 0; p < pixels; p++) depthwise_store(y + (long)p * channels + c, sum[p], finish);
    }
}

#define DEPTHWISE_INSIDE(SIZE, STEP)                                                                                   \
    KERNEL void depthwise_inside_##SIZE##_##STEP(const float *x, const float *weights, const float *bias, float *y,    \
                                                 int channels, long down, const struct finish *finish)                 \
    {                                                                                                                  \
        depthwise_inside(4, SIZE, STEP, x, weights, bias, y, channels, down, finish);                                  \
    }
DEPTHWISE_INSIDE(3, 1)
DEPTHWISE_INSIDE(3, 2)
DEPTHWISE_INSIDE(5, 1)
DEPTHWISE_INSIDE(5, 2)

/* x[height][width][channels], weights [kernel_height][kernel_width][channels] → y[out_height][out_width][channels]. */
KERNEL void depthwise(const float *x, const float *weights, const float *bias, float *y, int channels,
                      const struct window *w, const struct finish *finish)
{
    void (*inside)(const float *, const float *, const float *, float *, int, long, const struct finish *) = NULL;
    if (channels % 4 == 0 && w->kernel_height == w->kernel_width && w->dilation_height == 1 && w->dilation_width == 1) {
        if (w->kernel_width == 3)
            inside = w->stride_width == 1 ? depthwise_inside_3_1 : w->stride_width == 2 ? depthwise_inside_3_2 : NULL;
        if (w->kernel_width == 5)
            inside = w->stride_width == 1 ? depthwise_inside_5_1 : w->stride_width == 2 ? depthwise_inside_5_2 : NULL;
    }
    for (int out_y = 0; out_y < w->out_height; out_y++) {
        const int top = out_y * w->stride_height - w->top;
        int i0 = 0, i1 = w->kernel_height;
        while (i0 < i1 && top + i0 * w->dilation_height < 0)
            i0++;
        while (i1 > i0 && top + (i1 - 1) * w->dilation_height >= w->height)
            i1--;
        for (int out_x = 0; out_x < w->out_width; out_x++) {
            const int left = out_x * w->stride_width - w->left;
            const float *at = x + ((long)top * w->width + left) * channels;
            float *to = y + ((long)out_y * w->out_width + out_x) * channels;
            if (inside != NULL && i0 == 0 && i1 == w->kernel_height && left >= 0 && out_x + 4 <= w->out_width &&
                left + 3 * w->stride_width + w->kernel_width <= w->width) {
                inside(at, weights, bias, to, channels, (long)w->width * channels, finish);
                out_x += 3;
                continue;
            }
            int j0 = 0, j1 = w->kernel_width;
            while (j0 < j1 && left + j0 * w->dilation_width < 0)
                j0++;
            while (j1 > j0 && left + (j1 - 1) * w->dilation_width >= w->width)
                j1--;
            depthwise_pixel(at, weights, bias, to, channels, w, i0, i1, j0, j1, finish);
        }
    }
    if (finish->activation > ACTIVATION_CLIP)
        activate(y, w->out_height * w->out_width * channels, finish);
}

#endif
