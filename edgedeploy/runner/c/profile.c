#define _GNU_SOURCE /* mkdtemp */
#include "profile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"

enum { RUNS_LIMIT = 10000, TRACE_LIMIT = 64 << 20, PATH_SIZE = 4096 };

/* The trace's bytes, to be freed. */
static char *read_trace(const char *path, size_t *size, char error[ENGINE_ERROR_SIZE])
{
    FILE *file = fopen(path, "rb");
    long length = file != NULL && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *trace = length >= 0 && length <= TRACE_LIMIT ? malloc((size_t)length + 1) : NULL;
    if (trace != NULL)
        rewind(file);
    *size = trace != NULL ? fread(trace, 1, (size_t)length, file) : 0;
    if (file != NULL)
        fclose(file);
    if (trace == NULL)
        snprintf(error, ENGINE_ERROR_SIZE, "the profiler's file %.200s cannot be read, or is too large", path);
    return trace;
}

/* Load the model with the profiler on, and run it once more than `runs` times. The trace's file is `path`, if there is one. */
static int traced(struct release *release, const char *folder, int64_t runs, char *path, char error[ENGINE_ERROR_SIZE])
{
    char prefix[PATH_SIZE], untold[ENGINE_ERROR_SIZE];
    int64_t load_ns;
    snprintf(prefix, sizeof prefix, "%s/trace", folder);
    if (engine_trace(prefix, error) != 0)
        return -1;
    int result = release_load(release, 0, NULL, 0, &load_ns, error);
    if (result == 0) {
        result = loop_golden(release, 1 + runs, error);
        if (engine_trace_end(path, PATH_SIZE, result == 0 ? error : untold) != 0)
            result = -1;
    }
    engine_trace(NULL, untold);
    return result;
}

int profile_answer(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE])
{
    int64_t runs;
    if (!json_integer(request->root, "runs", 1, RUNS_LIMIT, &runs))
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: how many runs is not said"), -1;
    const char *temporary = getenv("TMPDIR");
    char folder[PATH_SIZE - 64], path[PATH_SIZE] = "";
    int length = snprintf(folder, sizeof folder, "%s/edgedeploy-profile-XXXXXX", temporary != NULL && *temporary ? temporary : "/tmp");
    if (length < 0 || (size_t)length >= sizeof folder || mkdtemp(folder) == NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "the profiler has no folder to write to: %.200s", folder), -1;
    size_t size = 0;
    int result = traced(release, folder, runs, path, error);
    char *trace = result == 0 ? read_trace(path, &size, error) : NULL;
    if (*path)
        unlink(path);
    rmdir(folder);
    if (trace == NULL)
        return -1;
    struct tensor array = {.name = "trace", .dtype = DTYPE_UINT8, .rank = 1, .extents = {(int64_t)size}, .data = trace};
    fputs("{\"is\": \"profile\"", sink);
    channel_finish(sink, &array, NULL, 1);
    free(trace);
    return 0;
}
