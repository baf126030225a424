/* The second half of a transposed convolution. */
#ifndef EDGEDEPLOY_KERNELS_SPREAD_H
#define EDGEDEPLOY_KERNELS_SPREAD_H

#include "rows.h"

/* x[pixels][groups][kernel_height][kernel_width][columns], each added to the pixel of y[height][width][groups * columns]
   that its place in the window falls on. The window is that of the convolution from y to x. */
KERNEL void spread(const float *x, const float *bias, float *y, int groups, int columns, const struct window *w,
                   const struct finish *finish)
{
    const int channels = groups * columns;
    for (int pixel = 0; pixel < w->height * w->width; pixel++)
        memcpy(y + (long)pixel * channels, bias, (size_t)channels * sizeof *y);
    for (int out_y = 0; out_y < w->out_height; out_y++)
        for (int out_x = 0; out_x < w->out_width; out_x++)
            for (int group = 0; group < groups; group++)
                for (int i = 0; i < w->kernel_height; i++) {
                    const int at_y = out_y * w->stride_height - w->top + i * w->dilation_height;
                    for (int j = 0; j < w->kernel_width; j++, x += columns) {
                        const int at_x = out_x * w->stride_width - w->left + j * w->dilation_width;
                        if (at_y < 0 || at_y >= w->height || at_x < 0 || at_x >= w->width)
                            continue;
                        float *to = y + ((long)at_y * w->width + at_x) * channels + group * columns;
                        for (int c = 0; c < columns; c++)
                            to[c] += x[c];
                    }
                }
    activate(y, w->height * w->width * channels, finish);
}

#endif
