/* Runs a release's model on the device it lies on, without Python: what the one in Python does, with the same messages.

       run check       load the model, run the golden inputs, say in one line of JSON whether it is healthy; exit 0 or 1
       run serve       answer requests on standard input and output until it ends
       run bench --seconds S
                       time the golden inputs for so long, say in one line of JSON what was seen; exit 0 or 1

   The messages are described in ../python/runner.py. What runs the model is linked in: see engine.h. */
#define _GNU_SOURCE /* dup, fdopen */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "device.h"
#include "health.h"
#include "loop.h"
#include "profile.h"
#include "release.h"

enum { PROTOCOL = 1 };
#define BENCH_MAX_S 3600.0

static int answer_load(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE])
{
    int64_t threads = 0, elapsed_ns;
    json_integer(request->root, "threads", 1, 4096, &threads);
    const struct json *affinity = json_member(request->root, "affinity");
    if (affinity != NULL && affinity->kind == JSON_ARRAY && affinity->first != NULL &&
        device_bind(affinity, error, ENGINE_ERROR_SIZE) != 0)
        return -1;
    if (json_true(request->root, "cold"))
        device_forget_files(release->folder);
    const struct tensor *model = message_array(request, "model");
    if (model != NULL && (model->dtype != DTYPE_UINT8 || model->rank != 1))
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: a model is sent as a list of bytes"), -1;
    size_t size = model != NULL ? (size_t)model->extents[0] : 0;
    if (release_load(release, (int)threads, model != NULL ? model->data : NULL, size, &elapsed_ns, error) != 0)
        return -1;
    fprintf(sink, "{\"is\": \"load\", \"import_ms\": 0.0, \"load_ms\": %.6f", (double)elapsed_ns / 1e6);
    channel_finish(sink, NULL, NULL, 0);
    return 0;
}

static int answer_infer(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE])
{
    if (!release->loaded)
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: load the model first"), -1;
    const struct tensor *declared;
    size_t count = engine_outputs(&declared), width = engine_inputs(&declared);
    struct tensor *tensors = calloc(count + width + 1, sizeof *tensors), *outputs = tensors;
    if (tensors == NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1;
    int result = release_feed(request->arrays, request->count, "", tensors + count, error);
    int64_t begun = monotonic_ns();
    if (result == 0)
        result = engine_run(tensors + count, outputs, error);
    int64_t elapsed_ns = monotonic_ns() - begun;
    if (result == 0) {
        fprintf(sink, "{\"is\": \"infer\", \"elapsed_ns\": %lld", (long long)elapsed_ns);
        channel_finish(sink, outputs, NULL, count);
    }
    free(tensors);
    return result;
}

/* Arrays "output:NAME" as kept and "found:NAME" as computed now. */
static int answer_golden(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE])
{
    int64_t index;
    if (!release->loaded)
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: load the model first"), -1;
    if (!json_integer(request->root, "index", -(1LL << 52), 1LL << 52, &index))
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: which golden sample is not said"), -1;
    const struct tensor *declared;
    struct npz npz;
    if (release_golden(release, index, &npz, error) != 0)
        return -1;
    size_t width = engine_inputs(&declared), count = engine_outputs(&declared);
    struct tensor *tensors = calloc(2 * count + width + 1, sizeof *tensors);
    const char **prefixes = calloc(2 * count + 1, sizeof *prefixes);
    int result = tensors != NULL && prefixes != NULL ? 0 : (snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1);
    if (result == 0)
        result = release_feed(npz.arrays, npz.count, "input:", tensors + 2 * count, error);
    if (result == 0)
        result = engine_run(tensors + 2 * count, tensors + count, error);
    for (size_t i = 0; result == 0 && i < count; i++) {
        prefixes[i] = "output:";
        prefixes[count + i] = "found:";
        for (size_t j = 0; j < npz.count; j++)
            if (strncmp(npz.arrays[j].name, "output:", 7) == 0 && strcmp(npz.arrays[j].name + 7, declared[i].name) == 0)
                tensors[i] = npz.arrays[j];
        if (tensors[i].name == NULL)
            result = (snprintf(error, ENGINE_ERROR_SIZE, "the golden sample has no output %.200s", declared[i].name), -1);
        else
            tensors[i].name = declared[i].name;
    }
    if (result == 0) {
        fputs("{\"is\": \"golden\"", sink);
        channel_finish(sink, tensors, prefixes, 2 * count);
    }
    free(tensors);
    free(prefixes);
    npz_close(&npz);
    return result;
}

/* 0 when answered, 1 when that was the last answer, -1 with words in `error`. */
static int answer(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE])
{
    const char *what = json_text(request->root, "do");
    if (what == NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: the request says nothing to do"), -1;
    if (strcmp(what, "load") == 0)
        return answer_load(release, request, sink, error);
    if (strcmp(what, "infer") == 0)
        return answer_infer(release, request, sink, error);
    if (strcmp(what, "bench") == 0)
        return loop_bench(release, request, sink, error);
    if (strcmp(what, "profile") == 0)
        return profile_answer(release, request, sink, error);
    if (strcmp(what, "golden") == 0)
        return answer_golden(release, request, sink, error);
    if (strcmp(what, "hello") == 0) {
        fprintf(sink, "{\"is\": \"hello\", \"protocol\": %d, \"can\": [\"affinity\", \"every_ms\", \"watch\", \"cold\", \"text\"]", PROTOCOL);
        if (!json_true(request->root, "brief")) {
            fputs(", \"conditions\": ", sink);
            device_write_conditions(sink, engine_runtime());
        }
    } else if (strcmp(what, "memory") == 0) {
        fputs("{\"is\": \"memory\"", sink);
        device_write_memory(sink);
    } else if (strcmp(what, "quit") == 0) {
        fputs("{\"is\": \"quit\"", sink);
    } else {
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: unknown request %.200s", what), -1;
    }
    channel_finish(sink, NULL, NULL, 0);
    return strcmp(what, "quit") == 0;
}

static void say_error(FILE *sink, const char *error)
{
    fputs("{\"is\": \"error\", \"what\": ", sink);
    json_write_text(sink, error);
    channel_finish(sink, NULL, NULL, 0);
}

static int serve(FILE *source, FILE *sink)
{
    char error[ENGINE_ERROR_SIZE] = "";
    struct release release;
    if (release_open(&release, error) != 0) {
        say_error(sink, error);
        return 1;
    }
    int result = 0;
    for (;;) {
        struct message request;
        enum received received = channel_receive(source, &request, error);
        if (received == RECEIVED_END)
            break;
        if (received != RECEIVED) {
            if (received == RECEIVED_NONSENSE)
                say_error(sink, error);
            result = 1;
            break;
        }
        int answered = answer(&release, &request, sink, error);
        if (answered < 0)
            say_error(sink, error); /* the conversation goes on: whoever asked reads why */
        message_free(&request);
        if (answered == 1 || ferror(sink))
            break;
    }
    json_free(release.document);
    return result;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "check") == 0)
        return health_check(stdout);
    if (argc == 2 && strcmp(argv[1], "serve") == 0) {
        signal(SIGPIPE, SIG_IGN); /* told by ferror */
        /* The protocol gets the real standard input and output. A library that reads finds nothing, and what it prints
           goes to standard error. */
        FILE *source = fdopen(dup(0), "rb"), *sink = fdopen(dup(1), "wb");
        int nothing = open("/dev/null", O_RDONLY);
        if (source == NULL || sink == NULL || nothing < 0 || dup2(nothing, 0) < 0 || dup2(2, 1) < 0) {
            fprintf(stderr, "edgedeploy: the conversation cannot be opened: %s\n", strerror(errno));
            return 1;
        }
        return serve(source, sink);
    }
    if (argc == 4 && strcmp(argv[1], "bench") == 0 && strcmp(argv[2], "--seconds") == 0) {
        char *stopped;
        double seconds = strtod(argv[3], &stopped);
        if (stopped != argv[3] && *stopped == 0 && seconds > 0 && seconds <= BENCH_MAX_S)
            return loop_alone(seconds, stdout);
    }
    fputs("usage: run check | run serve | run bench --seconds S\n", stderr);
    return 2;
}
