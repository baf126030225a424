/* Inputs from standard input, one after the other as they lie in memory; outputs to standard output the same way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native_model.h"

enum { MOST = 256 };

static size_t bytes(const struct tensor *tensor)
{
    static const size_t sizes[DTYPE_COUNT] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8};
    size_t found = sizes[tensor->dtype];
    for (int axis = 0; axis < tensor->rank; axis++)
        found *= (size_t)tensor->extents[axis];
    return found;
}

int main(void)
{
    const void *inputs[MOST], *outputs[MOST];
    if (native_input_count > MOST || native_output_count > MOST)
        return 2;
    for (size_t i = 0; i < native_input_count; i++) {
        /* At an odd address: nothing may rely on how inputs are aligned. */
        char *input = malloc(bytes(&native_inputs[i]) + 1);
        if (input == NULL || fread(input + 1, 1, bytes(&native_inputs[i]), stdin) != bytes(&native_inputs[i]))
            return 3;
        inputs[i] = input + 1;
    }
    const size_t size = (native_memory_bytes / NATIVE_ALIGNMENT + 1) * NATIVE_ALIGNMENT;
    char *memory = aligned_alloc(NATIVE_ALIGNMENT, size);
    if (memory == NULL)
        return 4;
    /* Twice, the first time in memory full of NaN: nothing may be left over from before. */
    memset(memory, 0xff, size);
    if (!native_run(memory, inputs, outputs) || !native_run(memory, inputs, outputs))
        return 5;
    for (size_t i = 0; i < native_output_count; i++)
        fwrite(outputs[i], 1, bytes(&native_outputs[i]), stdout);
    return 0;
}
