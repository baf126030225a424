/* What a model that was compiled to C says of itself. `edgedeploy.compile.native` writes the definitions. */
#ifndef EDGEDEPLOY_NATIVE_MODEL_H
#define EDGEDEPLOY_NATIVE_MODEL_H

#include <stdbool.h>

#include "engine.h"

/* No extent of theirs is -1, and their data is NULL. */
extern const size_t native_input_count, native_output_count;
extern const struct tensor native_inputs[], native_outputs[];

/* How much memory all that is computed takes, and how it is to be aligned. */
enum { NATIVE_ALIGNMENT = 64 };
extern const size_t native_memory_bytes;

/* Run the model once. `inputs` point to the data of each input, whatever its alignment; `outputs` are set to where each
   output lies in `memory` (or among the constants), until the next call. False when the inputs ask for a branch of the model
   that the program was compiled without. */
bool native_run(char *memory, const void *const inputs[], const void *outputs[]);

#endif
