/* Functions of one byte, as tables of their 256 results. */
#ifndef EDGEDEPLOY_KERNELS_LOOKUP_H
#define EDGEDEPLOY_KERNELS_LOOKUP_H

#include "base.h"

/* y[i] = table[x[i]], all bytes. */
KERNEL void lookup(const void *from, const void *results, void *to, long count)
{
    const uint8_t *x = from, *table = results;
    uint8_t *y = to;
    long i = 0;
#if defined(__aarch64__)
    const uint8x16x4_t first = vld1q_u8_x4(table), second = vld1q_u8_x4(table + 64);
    const uint8x16x4_t third = vld1q_u8_x4(table + 128), fourth = vld1q_u8_x4(table + 192);
    const uint8x16_t quarter = vdupq_n_u8(64);
    for (; i + 16 <= count; i += 16) {
        /* Each quarter answers for its own indices, and leaves the rest as it is. */
        uint8x16_t at = vld1q_u8(x + i);
        uint8x16_t found = vqtbl4q_u8(first, at);
        at = vsubq_u8(at, quarter);
        found = vqtbx4q_u8(found, second, at);
        at = vsubq_u8(at, quarter);
        found = vqtbx4q_u8(found, third, at);
        at = vsubq_u8(at, quarter);
        vst1q_u8(y + i, vqtbx4q_u8(found, fourth, at));
    }
#endif
    for (; i < count; i++)
        y[i] = table[x[i]];
}

/* The same, the results being floats. */
KERNEL void lookup_floats(const void *from, const float *table, float *y, long count)
{
    const uint8_t *x = from;
    for (long i = 0; i < count; i++)
        y[i] = table[x[i]];
}

#endif
