/* Softmax, layer normalization and local response normalization. */
#ifndef EDGEDEPLOY_KERNELS_NORMALIZE_H
#define EDGEDEPLOY_KERNELS_NORMALIZE_H

#include "scalar.h"

INLINE float sum_of(const float *x, int count)
{
    float part[8] = {0}, sum = 0;
    int i = 0;
    for (; i + 8 <= count; i += 8)
        for (int l = 0; l < 8; l++)
            part[l] += x[i + l];
    for (; i < count; i++)
        sum += x[i];
    for (int l = 0; l < 8; l++)
        sum += part[l];
    return sum;
}

/* x[before][count][after], along the middle. */
KERNEL void softmax(const float *restrict x, float *restrict y, int before, int count, int after, bool log)
{
    for (int b = 0; b < before; b++)
        for (int a = 0; a < after; a++) {
            const float *from = x + (long)b * count * after + a;
            float *to = y + (long)b * count * after + a;
            float most = from[0];
            for (int i = 1; i < count; i++)
                most = m_max(from[(long)i * after], most);
            float sum = 0;
            if (after == 1) {
                for (int i = 0; i < count; i++)
                    to[i] = m_exp(from[i] - most);
                sum = sum_of(to, count);
            } else {
                for (int i = 0; i < count; i++) {
                    to[(long)i * after] = m_exp(from[(long)i * after] - most);
                    sum += to[(long)i * after];
                }
            }
            if (log) {
                const float less = most + logf(sum);
                for (int i = 0; i < count; i++)
                    to[(long)i * after] = from[(long)i * after] - less;
            } else {
                const float factor = 1.0f / sum;
                for (int i = 0; i < count; i++)
                    to[(long)i * after] *= factor;
            }
        }
}

/* Each of `rows` rows to mean 0 and variance 1, then times `scale` plus `bias`. */
KERNEL void layer_norm(const float *restrict x, const float *restrict scale, const float *restrict bias,
                       float *restrict y, int rows, int count, float epsilon)
{
    for (int row = 0; row < rows; row++, x += count, y += count) {
        const float mean = sum_of(x, count) / (float)count;
        for (int i = 0; i < count; i++)
            y[i] = (x[i] - mean) * (x[i] - mean);
        const float factor = 1.0f / sqrtf(sum_of(y, count) / (float)count + epsilon);
        for (int i = 0; i < count; i++)
            y[i] = (x[i] - mean) * factor * scale[i] + bias[i];
    }
}

/* Over neighbouring channels of a channels-last image. */
KERNEL void local_response(const float *restrict x, float *restrict y, int pixels, int channels, int size, float alpha,
                           float beta, float bias)
{
    for (int pixel = 0; pixel < pixels; pixel++, x += channels, y += channels)
        for (int c = 0; c < channels; c++) {
            const int first = c - (size - 1) / 2, end = c + size / 2 + 1;
            float sum = 0;
            for (int k = first < 0 ? 0 : first; k < (end > channels ? channels : end); k++)
                sum += x[k] * x[k];
            y[c] = x[c] * powf(bias + alpha / (float)size * sum, -beta);
        }
}

#endif
