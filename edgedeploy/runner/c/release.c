#define _GNU_SOURCE /* readlink */
#include "release.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "tensors.h"

enum { MANIFEST_LIMIT_BYTES = 16 << 20, GOLDEN_LIMIT = 10000 };

int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void sleep_until_ns(int64_t due)
{
    struct timespec then = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL) == EINTR)
        ;
}

int release_open(struct release *release, char error[ENGINE_ERROR_SIZE])
{
    memset(release, 0, sizeof *release);
    ssize_t length = readlink("/proc/self/exe", release->folder, sizeof release->folder - 1);
    char *slash = length > 0 ? strrchr(release->folder, '/') : NULL;
    if (slash == NULL) {
        snprintf(error, ENGINE_ERROR_SIZE, "where this program lies is not known: /proc is not there");
        return -1;
    }
    *slash = 0;
    char path[sizeof release->folder + 32];
    snprintf(path, sizeof path, "%s/manifest.json", release->folder);
    FILE *file = fopen(path, "rb");
    char *text = file != NULL ? malloc(MANIFEST_LIMIT_BYTES) : NULL;
    size_t size = text != NULL ? fread(text, 1, MANIFEST_LIMIT_BYTES, file) : 0;
    if (file != NULL)
        fclose(file);
    if (text != NULL && size < MANIFEST_LIMIT_BYTES)
        release->document = json_parse(text, size, &release->manifest);
    free(text);
    int64_t samples;
    if (release->document == NULL || !json_integer(release->manifest, "golden_samples", 0, GOLDEN_LIMIT, &samples)) {
        snprintf(error, ENGINE_ERROR_SIZE, "%.400s is no manifest", path);
        return -1;
    }
    release->golden_samples = (int)samples;
    return 0;
}

int release_load(struct release *release, int threads, const void *model, size_t size, int64_t *elapsed_ns, char error[ENGINE_ERROR_SIZE])
{
    const struct json *settings = json_member(json_member(release->manifest, "runtime"), "settings");
    int64_t most;
    if (threads == 0) {
        threads = device_cores();
        if (json_integer(settings, "threads", 1, 4096, &most) && most < threads)
            threads = (int)most;
    }
    release->loaded = false;
    int64_t begun = monotonic_ns();
    int result = engine_load(release->folder, threads, model, size, error);
    *elapsed_ns = monotonic_ns() - begun;
    release->loaded = result == 0;
    return result;
}

int release_golden(const struct release *release, int64_t index, struct npz *npz, char error[ENGINE_ERROR_SIZE])
{
    if (index < 0 || index >= release->golden_samples) {
        snprintf(error, ENGINE_ERROR_SIZE, "RequestError: there is no golden sample %lld", (long long)index);
        return -1;
    }
    char path[sizeof release->folder + 32];
    snprintf(path, sizeof path, "%s/golden/%04d.npz", release->folder, (int)index);
    return npz_open(path, npz, error);
}

int release_feed(const struct tensor *arrays, size_t count, const char *prefix, struct tensor *inputs, char error[ENGINE_ERROR_SIZE])
{
    const struct tensor *wanted;
    size_t inputs_count = engine_inputs(&wanted), prefix_length = strlen(prefix);
    for (size_t i = 0; i < inputs_count; i++) {
        const struct tensor *found = NULL;
        for (size_t j = 0; j < count; j++)
            if (strncmp(arrays[j].name, prefix, prefix_length) == 0 && strcmp(arrays[j].name + prefix_length, wanted[i].name) == 0)
                found = &arrays[j];
        if (found == NULL) {
            snprintf(error, ENGINE_ERROR_SIZE, "the input %.200s is missing", wanted[i].name);
            return -1;
        }
        bool fits = found->dtype == wanted[i].dtype && found->rank == wanted[i].rank;
        for (int axis = 0; fits && axis < wanted[i].rank; axis++)
            fits = wanted[i].extents[axis] < 0 || wanted[i].extents[axis] == found->extents[axis];
        if (!fits) {
            char have[128], want[128];
            tensor_shape_text(found, have, sizeof have);
            tensor_shape_text(&wanted[i], want, sizeof want);
            snprintf(error, ENGINE_ERROR_SIZE, "the input %.100s is %s %s, the model takes %s %s", wanted[i].name,
                     dtype_name(found->dtype), have, dtype_name(wanted[i].dtype), want);
            return -1;
        }
        inputs[i] = *found;
    }
    return 0;
}
