#include "tensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} kinds[DTYPE_COUNT] = {
    [DTYPE_BOOL] = {"bool", 1},       [DTYPE_INT8] = {"int8", 1},       [DTYPE_INT16] = {"int16", 2},
    [DTYPE_INT32] = {"int32", 4},     [DTYPE_INT64] = {"int64", 8},     [DTYPE_UINT8] = {"uint8", 1},
    [DTYPE_UINT16] = {"uint16", 2},   [DTYPE_UINT32] = {"uint32", 4},   [DTYPE_UINT64] = {"uint64", 8},
    [DTYPE_FLOAT16] = {"float16", 2}, [DTYPE_FLOAT32] = {"float32", 4}, [DTYPE_FLOAT64] = {"float64", 8},
    [DTYPE_TEXT] = {"str", 0},
};

size_t dtype_size(enum dtype dtype) { return kinds[dtype].size; }

const char *dtype_name(enum dtype dtype) { return kinds[dtype].name; }

enum dtype dtype_of_name(const char *name)
{
    int dtype = 0;
    while (dtype < DTYPE_COUNT && strcmp(kinds[dtype].name, name) != 0)
        dtype++;
    return (enum dtype)dtype;
}

bool dtype_is_float(enum dtype dtype) { return dtype >= DTYPE_FLOAT16 && dtype <= DTYPE_FLOAT64; }

bool tensor_elements(const struct tensor *tensor, size_t *count)
{
    size_t elements = 1, extent_of_none = 1;
    bool empty = false;
    for (int axis = 0; axis < tensor->rank; axis++) {
        if (tensor->extents[axis] < 0 || (uint64_t)tensor->extents[axis] > SIZE_MAX / 16)
            return false;
        size_t extent = (size_t)tensor->extents[axis];
        empty = empty || extent == 0;
        /* An empty array with huge other extents is nothing that anyone means. */
        if (extent != 0 && extent_of_none > SIZE_MAX / 16 / extent)
            return false;
        extent_of_none *= extent != 0 ? extent : 1;
    }
    elements = empty ? 0 : extent_of_none;
    *count = elements;
    return true;
}

bool tensor_bytes(const struct tensor *tensor, size_t *size)
{
    size_t count;
    if (!tensor_elements(tensor, &count))
        return false;
    if (tensor->dtype == DTYPE_TEXT && count > tensor->text_bytes / 4) /* see text.h */
        return false;
    *size = tensor->dtype == DTYPE_TEXT ? tensor->text_bytes : count * dtype_size(tensor->dtype); /* at most 8 bytes each */
    return true;
}

static double half(uint16_t bits)
{
    int exponent = bits >> 10 & 0x1F;
    double fraction = bits & 0x3FF;
    double magnitude = exponent == 0    ? ldexp(fraction, -24)
                       : exponent == 31 ? (fraction != 0 ? (double)NAN : (double)INFINITY)
                                        : ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

double tensor_at(const struct tensor *tensor, size_t index)
{
    switch (tensor->dtype) {
    case DTYPE_BOOL:
    case DTYPE_UINT8: return ((const uint8_t *)tensor->data)[index];
    case DTYPE_INT8: return ((const int8_t *)tensor->data)[index];
    case DTYPE_INT16: return ((const int16_t *)tensor->data)[index];
    case DTYPE_INT32: return ((const int32_t *)tensor->data)[index];
    case DTYPE_INT64: return (double)((const int64_t *)tensor->data)[index];
    case DTYPE_UINT16: return ((const uint16_t *)tensor->data)[index];
    case DTYPE_UINT32: return ((const uint32_t *)tensor->data)[index];
    case DTYPE_UINT64: return (double)((const uint64_t *)tensor->data)[index];
    case DTYPE_FLOAT16: return half(((const uint16_t *)tensor->data)[index]);
    case DTYPE_FLOAT32: return (double)((const float *)tensor->data)[index];
    case DTYPE_FLOAT64: return ((const double *)tensor->data)[index];
    default: return NAN;
    }
}

void tensor_shape_text(const struct tensor *tensor, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int axis = 0; axis < tensor->rank && used < size; axis++)
        used += (size_t)snprintf(text + used, size - used, axis ? ", %lld" : "%lld", (long long)tensor->extents[axis]);
    if (used < size)
        snprintf(text + used, size - used, tensor->rank == 1 ? ",)" : ")");
}
