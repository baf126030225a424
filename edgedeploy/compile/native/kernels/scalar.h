/* Functions of one element that generated loops call. */
#ifndef EDGEDEPLOY_KERNELS_SCALAR_H
#define EDGEDEPLOY_KERNELS_SCALAR_H

#include "base.h"

#define n_max(a, b) ((a) > (b) ? (a) : (b))
#define n_min(a, b) ((a) < (b) ? (a) : (b))

INLINE float m_square(float x) { return x * x; }
INLINE float m_cube(float x) { return x * x * x; }
INLINE float m_gelu(float x) { return 0.5f * x * (1.0f + m_erf(x * 0.70710678118654752f)); }
INLINE float m_gelu_tanh(float x)
{
    return 0.5f * x * (1.0f + m_tanh(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}
INLINE float m_hard_swish(float x) { return x * m_clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f); }
INLINE float m_leaky(float x, float slope) { return x < 0 ? slope * x : x; }
INLINE float m_silu(float x) { return x * m_sigmoid(x); }
INLINE float m_softplus(float x) { return m_max(x, 0.0f) + log1pf(m_exp(-fabsf(x))); }
INLINE float m_elu(float x, float alpha) { return x < 0 ? alpha * (m_exp(x) - 1.0f) : x; }

/* To the nearest integer, halves to the even one: by adding 1.5 * 2^23, after which no place for a fraction is left. */
INLINE float m_round(float x)
{
    float shifted = x + 12582912.0f;
    float rounded = shifted - 12582912.0f;
    return fabsf(x) < 4194304.0f ? rounded : x;
}

/* An index as Gather takes it, from the end when it is negative. Data must never lead out of an array. */
INLINE int32_t bounded(int32_t index, int32_t extent)
{
    index += index < 0 ? extent : 0;
    return index < 0 ? 0 : index >= extent ? extent - 1 : index;
}

#endif
