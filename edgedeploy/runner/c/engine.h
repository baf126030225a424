/* What runs a model, as the runner sees it. One implementation is linked with runner.c into one program. */
#ifndef EDGEDEPLOY_ENGINE_H
#define EDGEDEPLOY_ENGINE_H

#include <stddef.h>
#include <stdint.h>

enum { ENGINE_RANK_LIMIT = 8, ENGINE_ERROR_SIZE = 512 };

enum dtype {
    DTYPE_BOOL,
    DTYPE_INT8,
    DTYPE_INT16,
    DTYPE_INT32,
    DTYPE_INT64,
    DTYPE_UINT8,
    DTYPE_UINT16,
    DTYPE_UINT32,
    DTYPE_UINT64,
    DTYPE_FLOAT16,
    DTYPE_FLOAT32,
    DTYPE_FLOAT64,
    DTYPE_TEXT, /* see text.h */
    DTYPE_COUNT
};

struct tensor {
    const char *name;
    enum dtype dtype;
    int rank;
    int64_t extents[ENGINE_RANK_LIMIT]; /* -1 where the model leaves one open */
    void *data;                         /* in C order, in this machine's byte order */
    size_t text_bytes;                  /* of the data, where it is text: its type and extents do not say */
};

/* Each returns 0, or -1 with words for a person in `error`. */

/* Make the model ready. `folder` is where the release lies. `threads` of one operator; 0 is as many as there are.
   `model` are the bytes of another model to run in place of the release's own, or NULL. */
int engine_load(const char *folder, int threads, const void *model, size_t model_size, char error[ENGINE_ERROR_SIZE]);

/* How many inputs or outputs the loaded model has, and what they are; their data is NULL. */
size_t engine_inputs(const struct tensor **list);
size_t engine_outputs(const struct tensor **list);

/* Run the model once. `inputs` are in the order of engine_inputs, with their data and their own extents, of the types
   that engine_inputs names. `outputs` are filled in; their data belongs to the engine and lasts until the next call. */
int engine_run(const struct tensor *inputs, struct tensor *outputs, char error[ENGINE_ERROR_SIZE]);

/* Have the models that are loaded from now on traced by the engine's own profiler, into a file whose name begins with
   `prefix`, which stays the caller's; NULL for no more of them. -1 where the engine has none. */
int engine_trace(const char *prefix, char error[ENGINE_ERROR_SIZE]);

/* End the trace of the model that is loaded, and put the name of its file into `path`. */
int engine_trace_end(char *path, size_t size, char error[ENGINE_ERROR_SIZE]);

/* What computes, as the members of a JSON object: `"native": "1"`. */
const char *engine_runtime(void);

#endif
