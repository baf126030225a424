/* A model that was compiled to C as the engine: the program is the model. It runs in one thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "native_model.h"

static char *memory;
static const void **pointers;

int engine_load(const char *folder, int threads, const void *model, size_t model_size, char error[ENGINE_ERROR_SIZE])
{
    (void)folder, (void)threads, (void)model_size;
    if (model != NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: this program is one model, and runs no other"), -1;
    if (memory != NULL)
        return 0;
    const size_t size = (native_memory_bytes / NATIVE_ALIGNMENT + 1) * NATIVE_ALIGNMENT;
    memory = aligned_alloc(NATIVE_ALIGNMENT, size);
    pointers = calloc(native_input_count + native_output_count + 1, sizeof *pointers);
    if (memory == NULL || pointers == NULL) {
        free(memory);
        free(pointers);
        memory = NULL;
        return snprintf(error, ENGINE_ERROR_SIZE, "memory is short: the model computes in %zu bytes", size), -1;
    }
    /* What is never written is read only where it counts for nothing, but must be numbers all the same. */
    memset(memory, 0, size);
    return 0;
}

size_t engine_inputs(const struct tensor **found)
{
    *found = native_inputs;
    return native_input_count;
}

size_t engine_outputs(const struct tensor **found)
{
    *found = native_outputs;
    return native_output_count;
}

int engine_run(const struct tensor *inputs, struct tensor *outputs, char error[ENGINE_ERROR_SIZE])
{
    const void **results = pointers + native_input_count;
    for (size_t i = 0; i < native_input_count; i++)
        pointers[i] = inputs[i].data;
    if (!native_run(memory, pointers, results))
        return snprintf(error, ENGINE_ERROR_SIZE, "the inputs ask for a branch of the model that was left out: only that of the golden inputs was compiled"), -1;
    for (size_t i = 0; i < native_output_count; i++) {
        outputs[i] = native_outputs[i];
        outputs[i].data = (void *)results[i];
    }
    return 0;
}

int engine_trace(const char *prefix, char error[ENGINE_ERROR_SIZE])
{
    (void)prefix;
    return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: this runtime has no profiler"), -1;
}

int engine_trace_end(char *path, size_t size, char error[ENGINE_ERROR_SIZE])
{
    (void)path, (void)size;
    return engine_trace(NULL, error);
}

const char *engine_runtime(void) { return "\"native\": \"1\""; }
