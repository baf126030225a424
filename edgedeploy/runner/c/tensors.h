/* Tensors as they travel and as they lie in files. */
#ifndef EDGEDEPLOY_TENSORS_H
#define EDGEDEPLOY_TENSORS_H

#include <stdbool.h>

#include "engine.h"

size_t dtype_size(enum dtype dtype);
/* As NumPy has it: "float32". */
const char *dtype_name(enum dtype dtype);
/* DTYPE_COUNT when there is none of that name. */
enum dtype dtype_of_name(const char *name);
bool dtype_is_float(enum dtype dtype);

/* How many elements, or bytes; false when they do not fit, or an extent is negative. */
bool tensor_elements(const struct tensor *tensor, size_t *count);
bool tensor_bytes(const struct tensor *tensor, size_t *size);
/* One element as a number. */
double tensor_at(const struct tensor *tensor, size_t index);
/* "(1, 3, 48, 192)" */
void tensor_shape_text(const struct tensor *tensor, char *text, size_t size);

#endif
