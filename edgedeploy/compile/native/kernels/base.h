/* What all kernels share: vectors of four floats, which clang makes NEON, SSE or scalar code of, and activations. */
#ifndef EDGEDEPLOY_KERNELS_BASE_H
#define EDGEDEPLOY_KERNELS_BASE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__aarch64__)
enum { ROWS = 8 }; /* of a tile; its accumulators are to stay in registers, of which there are 32 */
#elif defined(__ARM_NEON) || defined(__x86_64__)
enum { ROWS = 4 };
#else
enum { ROWS = 2 };
#endif
enum { COLS = 8 }; /* of a tile, and of a block of packed weights: see packing.py */

#define INLINE static inline __attribute__((always_inline, unused))
#define KERNEL static __attribute__((noinline, unused))
#define UNROLL _Pragma("clang loop unroll(full)")

typedef float v4 __attribute__((vector_size(16)));
typedef float v4u __attribute__((vector_size(16), aligned(4), may_alias));

INLINE v4 load4(const float *from) { return *(const v4u *)from; }
INLINE void store4(float *to, v4 value) { *(v4u *)to = value; }
INLINE v4 splat4(float value) { return (v4){value, value, value, value}; }

/* `a` is let through where it is NaN. Clang's own vector minimum calls fminf for each number where NEON is of 32 bits. */
INLINE v4 min4(v4 a, v4 b)
{
#if defined(__ARM_NEON)
    return (v4)vminq_f32((float32x4_t)a, (float32x4_t)b);
#else
    v4 found;
    UNROLL for (int i = 0; i < 4; i++) found[i] = b[i] < a[i] ? b[i] : a[i];
    return found;
#endif
}

INLINE v4 max4(v4 a, v4 b)
{
#if defined(__ARM_NEON)
    return (v4)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
    v4 found;
    UNROLL for (int i = 0; i < 4; i++) found[i] = b[i] > a[i] ? b[i] : a[i];
    return found;
#endif
}

/* sum + weights * a[lane]; `lane` is a constant. */
INLINE v4 add_scaled(v4 sum, v4 weights, v4 a, const int lane)
{
#if defined(__ARM_NEON) && !defined(__aarch64__)
    /* Clang makes two instructions of it on these cores, and a third one for the lane. */
    const float32x2_t half = lane < 2 ? vget_low_f32((float32x4_t)a) : vget_high_f32((float32x4_t)a);
    if (lane % 2 == 0)
        __asm__("vmla.f32 %q0, %q1, %P2[0]" : "+w"(sum) : "w"(weights), "t"(half));
    else
        __asm__("vmla.f32 %q0, %q1, %P2[1]" : "+w"(sum) : "w"(weights), "t"(half));
    return sum;
#elif defined(__arm__) && defined(__ARM_FP)
    /* The same of one number: a multiplication and an addition wait for each other, and need a register in between. */
    v4 found;
    UNROLL for (int i = 0; i < 4; i++)
    {
        float one = sum[i];
        __asm__("vmla.f32 %0, %1, %2" : "+t"(one) : "t"(weights[i]), "t"(a[lane]));
        found[i] = one;
    }
    return found;
#else
    const float number = a[lane];
    return sum + weights * (v4){number, number, number, number};
#endif
}

/* Functions of one number, without branches or tables, so that loops over them become vector code.
   exp: Cephes' polynomial (expf.c, S. Moshier), with Cody and Waite's reduction; relative error under 2e-7. Results under 2.5e-38 become 0. */
INLINE float m_exp(float x)
{
    float bounded = x < -86.6f ? -86.6f : x > 88.75f ? 88.75f : x;
    /* Rounding by adding 1.5 * 2^23: the sum's last bits are the integer. */
    float shifted = bounded * 1.44269504088896341f + 12582912.0f;
    float n = shifted - 12582912.0f;
    float r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    union {
        float f;
        int32_t i;
    } scale = {.f = shifted};
    /* Half of the power of two, for the largest one is no float; below -86.6 it would be none either, and 0 is near. */
    scale.i = (int32_t)((uint32_t)scale.i << 23) + 0x3f000000;
    float result = p * 2.0f * scale.f;
    result = x < -86.6f ? 0.0f : result;
    result = x > 88.72f ? INFINITY : result;
    return x != x ? x : result;
}

INLINE float m_sigmoid(float x) { return 1.0f / (1.0f + m_exp(-x)); }

/* Near 0, where the difference of the other branch would cancel, Cephes' polynomial (tanhf.c). */
INLINE float m_tanh(float x)
{
    float size = fabsf(x);
    float bounded = size > 10.0f ? 10.0f : size;
    float far = 1.0f - 2.0f / (m_exp(2.0f * bounded) + 1.0f);
    float square = x * x;
    float p = -5.70498872745e-3f;
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    float near = p * square * x + x;
    float result = size < 0.625f ? near : copysignf(far, x);
    return x != x ? x : result;
}

/* Abramowitz and Stegun 7.1.26 is too coarse (1.5e-7 absolute, far more relative near 0), so: below 0.921875 the odd
   polynomial, above it 1 - exp(-polynomial), both as N. Juffa gives them for float (error under 1 ulp). */
INLINE float m_erf(float x)
{
    float t = fabsf(x), s = x * x;
    float bounded = t > 4.0f ? 4.0f : t;
    float r = -1.72853470e-5f;
    float u = 3.83197126e-4f;
    r = r * bounded + u;
    r = r * bounded - 3.88396438e-3f;
    r = r * bounded + 2.42546219e-2f;
    r = r * bounded - 1.06777877e-1f;
    r = r * bounded - 6.34846687e-1f;
    r = r * bounded - 1.28717512e-1f;
    r = r * bounded - bounded;
    float far = copysignf(1.0f - m_exp(r), x);
    float p = -5.96761703e-4f;
    p = p * s + 4.99119423e-3f;
    p = p * s - 2.67681349e-2f;
    p = p * s + 1.12819925e-1f;
    p = p * s - 3.76125336e-1f;
    p = p * s + 1.28379166e-1f;
    float near = p * x + x;
    float result = t > 0.921875f ? far : near;
    return x != x ? x : result;
}

/* fmin and fmax of C take the number beside a NaN; ONNX lets NaN through. */
INLINE float m_max(float a, float b) { return a > b || a != a ? a : b; }
INLINE float m_min(float a, float b) { return a < b || a != a ? a : b; }
INLINE float m_clip(float x, float low, float high) { return m_min(m_max(x, low), high); }

/* What is applied to a kernel's results before anybody else sees them. */
enum activation {
    ACTIVATION_NONE,
    ACTIVATION_CLIP, /* between alpha and beta; Relu too */
    ACTIVATION_LEAKY_RELU,
    ACTIVATION_SIGMOID,
    ACTIVATION_TANH,
    ACTIVATION_SILU,
    ACTIVATION_HARD_SIGMOID,
    ACTIVATION_HARD_SWISH,
    ACTIVATION_GELU,
};

struct finish {
    enum activation activation;
    float alpha, beta;
};

KERNEL void activate(float *x, int count, const struct finish *finish)
{
    const float alpha = finish->alpha, beta = finish->beta;
    switch (finish->activation) {
    case ACTIVATION_NONE:
        break;
    case ACTIVATION_CLIP:
        for (int i = 0; i < count; i++)
            x[i] = m_clip(x[i], alpha, beta);
        break;
    case ACTIVATION_LEAKY_RELU:
        for (int i = 0; i < count; i++)
            x[i] = x[i] < 0 ? alpha * x[i] : x[i];
        break;
    case ACTIVATION_SIGMOID:
        for (int i = 0; i < count; i++)
            x[i] = m_sigmoid(x[i]);
        break;
    case ACTIVATION_TANH:
        for (int i = 0; i < count; i++)
            x[i] = m_tanh(x[i]);
        break;
    case ACTIVATION_SILU:
        for (int i = 0; i < count; i++)
            x[i] = x[i] * m_sigmoid(x[i]);
        break;
    case ACTIVATION_HARD_SIGMOID:
        for (int i = 0; i < count; i++)
            x[i] = m_clip(x[i] * alpha + beta, 0.0f, 1.0f);
        break;
    case ACTIVATION_HARD_SWISH:
        for (int i = 0; i < count; i++)
            x[i] = x[i] * m_clip(x[i] * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
        break;
    case ACTIVATION_GELU:
        for (int i = 0; i < count; i++)
            x[i] = 0.5f * x[i] * (1.0f + m_erf(x[i] * 0.70710678118654752f));
        break;
    }
}

#endif
