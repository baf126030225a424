/* The release that this program lies in: its manifest, its golden samples, and the model that is loaded. */
#ifndef EDGEDEPLOY_RELEASE_H
#define EDGEDEPLOY_RELEASE_H

#include <stdbool.h>

#include "engine.h"
#include "json.h"
#include "npz.h"

struct release {
    char folder[4096];
    struct json_document *document;
    const struct json *manifest;
    int golden_samples;
    bool loaded;
};

/* Where this program lies, and what its manifest says; 0, or -1 with words in `error`. */
int release_open(struct release *release, char error[ENGINE_ERROR_SIZE]);

/* Load the release's model, or another one, and say how long that took. `threads` of 0 is as many as the manifest says. */
int release_load(struct release *release, int threads, const void *model, size_t size, int64_t *elapsed_ns, char error[ENGINE_ERROR_SIZE]);

/* One golden sample: arrays "input:NAME" and "output:NAME". */
int release_golden(const struct release *release, int64_t index, struct npz *npz, char error[ENGINE_ERROR_SIZE]);

/* Put the arrays that the model takes into its order: those called `prefix` and the input's name. `inputs` has room for
   all. -1 when one is missing or has another type or shape than the model takes. */
int release_feed(const struct tensor *arrays, size_t count, const char *prefix, struct tensor *inputs, char error[ENGINE_ERROR_SIZE]);

int64_t monotonic_ns(void);
/* Wait until that clock has reached `due`. */
void sleep_until_ns(int64_t due);

#endif
