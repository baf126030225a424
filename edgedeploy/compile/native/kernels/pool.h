/* Pooling over a channels-last image. */
#ifndef EDGEDEPLOY_KERNELS_POOL_H
#define EDGEDEPLOY_KERNELS_POOL_H

#include "rows.h"

/* The greatest, or the mean, of each window. Places outside of the image count for a mean only with `count_padding`,
   and then only up to `bottom` and `right` rows and columns of padding at the far ends. */
KERNEL void pool(const float *x, float *y, int channels, const struct window *w, bool mean, bool count_padding,
                 int bottom, int right)
{
    for (int out_y = 0; out_y < w->out_height; out_y++)
        for (int out_x = 0; out_x < w->out_width; out_x++, y += channels) {
            int counted = 0;
            for (int c = 0; c < channels; c++)
                y[c] = mean ? 0.0f : -INFINITY;
            for (int i = 0; i < w->kernel_height; i++) {
                const int at_y = out_y * w->stride_height - w->top + i * w->dilation_height;
                for (int j = 0; j < w->kernel_width; j++) {
                    const int at_x = out_x * w->stride_width - w->left + j * w->dilation_width;
                    if (at_y < 0 || at_y >= w->height || at_x < 0 || at_x >= w->width) {
                        counted += count_padding && at_y < w->height + bottom && at_x < w->width + right;
                        continue;
                    }
                    counted++;
                    const float *from = x + ((long)at_y * w->width + at_x) * channels;
                    if (mean)
                        for (int c = 0; c < channels; c++)
                            y[c] += from[c];
                    else
                        for (int c = 0; c < channels; c++)
                            y[c] = m_max(from[c], y[c]);
                }
            }
            if (mean)
                for (int c = 0; c < channels; c++)
                    y[c] /= (float)counted;
        }
}

#endif
