/* The kernels as functions that ctypes can call. */
#include "depthwise.h"
#include "normalize.h"
#include "pool.h"
#include "rows.h"
#include "spread.h"

void call_matmul(const float *a, long a_stride, const float *weights, const float *bias, const float *add,
                 float *result, long stride, int m, int n, int k, const struct finish *finish)
{
    matmul(a, a_stride, weights, bias, add, result, stride, m, n, k, finish);
}

void call_conv(const float *x, const float *weights, const float *bias, const float *add, float *y, int groups,
               int depth, int columns, const struct window *w, const float *zeros, const struct finish *finish)
{
    conv(x, weights, bias, add, y, groups, depth, columns, w, zeros, finish);
}

void call_depthwise(const float *x, const float *weights, const float *bias, float *y, int channels,
                    const struct window *w, const struct finish *finish)
{
    depthwise(x, weights, bias, y, channels, w, finish);
}

void call_pool(const float *x, float *y, int channels, const struct window *w, bool mean, bool count_padding,
               int bottom, int right)
{
    pool(x, y, channels, w, mean, count_padding, bottom, right);
}

void call_spread(const float *x, const float *bias, float *y, int groups, int columns, const struct window *w,
                 const struct finish *finish)
{
    spread(x, bias, y, groups, columns, w, finish);
}

void call_softmax(const float *x, float *y, int before, int count, int after, bool log)
{
    softmax(x, y, before, count, after, log);
}

void call_layer_norm(const float *x, const float *scale, const float *bias, float *y, int rows, int count, float epsilon)
{
    layer_norm(x, scale, bias, y, rows, count, epsilon);
}
