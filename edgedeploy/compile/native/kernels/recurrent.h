/* One step of a recurrent layer, after its products. */
#ifndef EDGEDEPLOY_KERNELS_RECURRENT_H
#define EDGEDEPLOY_KERNELS_RECURRENT_H

#include "scalar.h"

/* gates [batch][4][size] in ONNX's order: input, output, forget, cell. */
KERNEL void lstm_step(const float *restrict gates, float *restrict hidden, float *restrict cell, int batch, int size)
{
    for (int b = 0; b < batch; b++, gates += 4 * size, hidden += size, cell += size)
        for (int i = 0; i < size; i++) {
            const float in = m_sigmoid(gates[i]), out = m_sigmoid(gates[size + i]);
            const float forget = m_sigmoid(gates[2 * size + i]), fresh = m_tanh(gates[3 * size + i]);
            cell[i] = forget * cell[i] + in * fresh;
            hidden[i] = out * m_tanh(cell[i]);
        }
}

/* gates [batch][2][size]: update, reset, both summed up. `fresh` and `again` are what input and hidden state give for
   the new state, the latter with its bias and before it is reset: linear_before_reset. */
KERNEL void gru_step(const float *restrict gates, const float *restrict fresh, long stride,
                     const float *restrict again, float *restrict hidden, int batch, int size)
{
    for (int b = 0; b < batch; b++, gates += 2 * size, fresh += stride, again += size, hidden += size)
        for (int i = 0; i < size; i++) {
            const float update = m_sigmoid(gates[i]), reset = m_sigmoid(gates[size + i]);
            const float made = m_tanh(fresh[i] + reset * again[i]);
            hidden[i] = (1.0f - update) * made + update * hidden[i];
        }
}

/* The same, where the hidden state is reset before its product: first `reset_hidden`, then that product, then this. */
KERNEL void gru_reset(const float *restrict gates, const float *restrict hidden, float *restrict reset, int batch,
                      int size)
{
    for (int b = 0; b < batch; b++, gates += 2 * size, hidden += size, reset += size)
        for (int i = 0; i < size; i++)
            reset[i] = m_sigmoid(gates[size + i]) * hidden[i];
}

KERNEL void gru_update(const float *restrict gates, const float *restrict made, float *restrict hidden, int batch,
                       int size)
{
    for (int b = 0; b < batch; b++, gates += 2 * size, made += size, hidden += size)
        for (int i = 0; i < size; i++) {
            const float update = m_sigmoid(gates[i]);
            hidden[i] = (1.0f - update) * m_tanh(made[i]) + update * hidden[i];
        }
}

#endif
