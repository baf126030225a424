#include "loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

/* P90_SAMPLES: see ../python/health.py, which names the source. */
enum { FEEDS_LIMIT = 10000, P90_SAMPLES = 64, ALONE_MAX_SAMPLES = 1000000 };
#define ALONE_WARMUP_S 0.5
#define NS_PER_S 1e9

struct feeds {
    struct tensor *inputs; /* `count` times as many as the model has */
    struct npz *golden;    /* whose data they have, if the request brought none */
    size_t count, width, turn;
};

struct times {
    int64_t *ns;
    size_t count, room;
};

struct bounds {
    int64_t count;
    double seconds;
    int64_t max_count;
    double max_s;
    int64_t every_ns; /* from the beginning of an inference to that of the next, or 0 */
    bool watch;       /* say with each sign of life how the device is */
};

static void feeds_free(struct feeds *feeds)
{
    for (size_t i = 0; feeds->golden != NULL && i < feeds->count; i++)
        npz_close(&feeds->golden[i]);
    free(feeds->golden);
    free(feeds->inputs);
}

static int golden_feeds(const struct release *release, struct feeds *feeds, char error[ENGINE_ERROR_SIZE])
{
    size_t count = (size_t)release->golden_samples;
    feeds->golden = calloc(count + 1, sizeof *feeds->golden);
    feeds->inputs = calloc(count * feeds->width + 1, sizeof *feeds->inputs);
    if (feeds->golden == NULL || feeds->inputs == NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1;
    for (; feeds->count < count; feeds->count++) {
        struct npz *npz = &feeds->golden[feeds->count];
        if (release_golden(release, (int64_t)feeds->count, npz, error) != 0)
            return -1;
        if (release_feed(npz->arrays, npz->count, "input:", feeds->inputs + feeds->count * feeds->width, error) != 0) {
            npz_close(npz);
            return -1;
        }
    }
    return 0;
}

/* Arrays "I:NAME" of the request: feed I. */
static int given_feeds(const struct message *request, struct feeds *feeds, char error[ENGINE_ERROR_SIZE])
{
    size_t count = 0;
    for (size_t i = 0; i < request->count; i++) {
        char *stopped;
        long index = strtol(request->arrays[i].name, &stopped, 10);
        if (stopped == request->arrays[i].name || *stopped != ':' || index < 0 || index >= FEEDS_LIMIT)
            return snprintf(error, ENGINE_ERROR_SIZE, "an array is called %.200s and not I:NAME", request->arrays[i].name), -1;
        count = (size_t)index + 1 > count ? (size_t)index + 1 : count;
    }
    feeds->inputs = calloc(count * feeds->width + 1, sizeof *feeds->inputs);
    if (feeds->inputs == NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1;
    for (; feeds->count < count; feeds->count++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "%zu:", feeds->count);
        if (release_feed(request->arrays, request->count, prefix, feeds->inputs + feeds->count * feeds->width, error) != 0)
            return -1;
    }
    return 0;
}

/* Run the next feed; the nanoseconds it took, or -1. */
static int64_t timed(struct feeds *feeds, struct tensor *outputs, char error[ENGINE_ERROR_SIZE])
{
    const struct tensor *inputs = feeds->inputs + feeds->turn % feeds->count * feeds->width;
    feeds->turn++;
    int64_t begun = monotonic_ns();
    int result = engine_run(inputs, outputs, error);
    int64_t elapsed = monotonic_ns() - begun;
    return result == 0 ? elapsed : -1;
}

static void tell(FILE *sink, const char *phase, size_t samples, int64_t elapsed_ns, bool watch, bool timing)
{
    fprintf(sink, "{\"is\": \"progress\", \"phase\": \"%s\", \"samples\": %zu, \"elapsed_s\": %.3f", phase, samples,
            (double)elapsed_ns / NS_PER_S);
    if (watch) {
        fputs(", \"state\": ", sink);
        device_write_state(sink, !timing);
    }
    fputs("}\n", sink);
    fflush(sink);
}

/* Times of inferences until there are enough of them and enough time has passed, or one maximum is reached. */
static int run_phase(const char *phase, struct bounds until, struct feeds *feeds, struct tensor *outputs, struct times *times,
                     FILE *sink, char error[ENGINE_ERROR_SIZE])
{
    int64_t begun = monotonic_ns(), told = begun, now = begun, due = begun;
    while ((int64_t)times->count < until.count || (double)(now - begun) / NS_PER_S < until.seconds) {
        double passed_s = (double)(now - begun) / NS_PER_S;
        if ((int64_t)times->count >= until.max_count || (passed_s >= until.max_s && times->count > 0))
            break;
        if (times->count == times->room) {
            size_t room = times->room != 0 ? 2 * times->room : 1024;
            int64_t *grown = realloc(times->ns, room * sizeof *grown);
            if (grown == NULL)
                return snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1;
            times->ns = grown;
            times->room = room;
        }
        if (now < due) {
            sleep_until_ns(due);
            now = monotonic_ns();
        }
        /* What is late is not made up for: a burst would be another load than the one that was asked for. */
        due = (due > now ? due : now) + until.every_ns;
        int64_t elapsed = timed(feeds, outputs, error);
        if (elapsed < 0)
            return -1;
        times->ns[times->count++] = elapsed;
        now = monotonic_ns();
        if (sink != NULL && now - told >= (int64_t)NS_PER_S) {
            told = now;
            tell(sink, phase, times->count, now - begun, until.watch, true);
        }
    }
    return 0;
}

static struct tensor times_array(const char *name, const struct times *times)
{
    return (struct tensor){.name = name, .dtype = DTYPE_INT64, .rank = 1, .extents = {(int64_t)times->count}, .data = times->ns};
}

static int run_phases(const struct message *request, struct feeds *feeds, struct tensor *outputs, struct times *warmup,
                      struct times *samples, FILE *sink, char error[ENGINE_ERROR_SIZE])
{
    struct bounds first = {0}, then = {0};
    const struct json *root = request->root;
    if (!json_integer(root, "warmup", 0, 1 << 30, &first.count) || !json_number(root, "warmup_s", &first.seconds) ||
        !json_integer(root, "min_samples", 0, 1 << 30, &then.count) || !json_number(root, "min_s", &then.seconds) ||
        !json_integer(root, "max_samples", 0, 1 << 30, &then.max_count) || !json_number(root, "max_s", &then.max_s))
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: a bound of the measurement is missing"), -1;
    double every_ms;
    if (json_number(root, "every_ms", &every_ms) && every_ms > 0 && every_ms < 1e9)
        first.every_ns = then.every_ns = (int64_t)(every_ms * 1e6);
    first.watch = then.watch = json_true(root, "watch");
    if (then.watch)
        tell(sink, "before", 0, 0, true, false);
    first.max_count = then.max_count;
    first.max_s = then.max_s;
    int64_t first_ns = timed(feeds, outputs, error);
    if (first_ns < 0 || run_phase("warm-up", first, feeds, outputs, warmup, sink, error) != 0)
        return -1;
    int64_t begun = monotonic_ns();
    if (run_phase("steady", then, feeds, outputs, samples, sink, error) != 0)
        return -1;
    int64_t elapsed_ns = monotonic_ns() - begun;
    if (then.watch)
        tell(sink, "after", samples->count, elapsed_ns, true, false);
    fprintf(sink, "{\"is\": \"bench\", \"first_ns\": %lld, \"elapsed_s\": %.6f", (long long)first_ns,
            (double)elapsed_ns / NS_PER_S);
    struct tensor arrays[] = {times_array("warmup_ns", warmup), times_array("samples_ns", samples)};
    channel_finish(sink, arrays, NULL, 2);
    return 0;
}

int loop_bench(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE])
{
    if (!release->loaded)
        return snprintf(error, ENGINE_ERROR_SIZE, "RequestError: load the model first"), -1;
    const struct tensor *declared;
    struct feeds feeds = {.width = engine_inputs(&declared)};
    struct tensor *outputs = calloc(engine_outputs(&declared) + 1, sizeof *outputs);
    struct times warmup = {0}, samples = {0};
    int result = request->count > 0 ? given_feeds(request, &feeds, error) : golden_feeds(release, &feeds, error);
    if (result == 0 && feeds.count == 0) {
        snprintf(error, ENGINE_ERROR_SIZE, "RequestError: the release has no golden samples");
        result = -1;
    }
    if (result == 0 && outputs != NULL)
        result = run_phases(request, &feeds, outputs, &warmup, &samples, sink, error);
    feeds_free(&feeds);
    free(outputs);
    free(warmup.ns);
    free(samples.ns);
    return result;
}

int loop_golden(struct release *release, int64_t runs, char error[ENGINE_ERROR_SIZE])
{
    const struct tensor *declared;
    struct feeds feeds = {.width = engine_inputs(&declared)};
    struct tensor *outputs = calloc(engine_outputs(&declared) + 1, sizeof *outputs);
    int result = outputs != NULL ? golden_feeds(release, &feeds, error) : (snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1);
    if (result == 0 && feeds.count == 0)
        result = (snprintf(error, ENGINE_ERROR_SIZE, "RequestError: the release has no golden samples"), -1);
    for (int64_t run = 0; result == 0 && run < runs; run++)
        result = timed(&feeds, outputs, error) < 0 ? -1 : 0;
    feeds_free(&feeds);
    free(outputs);
    return result;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Load the model and fill `samples`; 0, or -1 with words in `error`. */
static int time_alone(struct release *release, double seconds, struct times *samples, int64_t *load_ns, int64_t *first_ns,
                      char error[ENGINE_ERROR_SIZE])
{
    if (release_load(release, 0, NULL, 0, load_ns, error) != 0)
        return -1;
    const struct tensor *declared;
    struct feeds feeds = {.width = engine_inputs(&declared)};
    struct tensor *outputs = calloc(engine_outputs(&declared) + 1, sizeof *outputs);
    struct times warmup = {0};
    struct bounds first = {.count = 1, .seconds = fmin(ALONE_WARMUP_S, seconds), .max_count = ALONE_MAX_SAMPLES, .max_s = seconds};
    struct bounds then = {.count = 1, .seconds = seconds, .max_count = ALONE_MAX_SAMPLES, .max_s = seconds};
    int result = outputs != NULL ? golden_feeds(release, &feeds, error) : (snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1);
    if (result == 0 && feeds.count == 0)
        result = (snprintf(error, ENGINE_ERROR_SIZE, "RequestError: the release has no golden samples"), -1);
    if (result == 0)
        result = (*first_ns = timed(&feeds, outputs, error)) < 0 ? -1 : 0;
    if (result == 0)
        result = run_phase("warm-up", first, &feeds, outputs, &warmup, NULL, error);
    if (result == 0)
        result = run_phase("steady", then, &feeds, outputs, samples, NULL, error);
    feeds_free(&feeds);
    free(outputs);
    free(warmup.ns);
    return result;
}

int loop_alone(double seconds, FILE *sink)
{
    struct release release;
    struct times samples = {0};
    char error[ENGINE_ERROR_SIZE] = "";
    int64_t load_ns = 0, first_ns = 0;
    int result = release_open(&release, error);
    if (result == 0)
        result = time_alone(&release, seconds, &samples, &load_ns, &first_ns, error);
    fprintf(sink, "{\"ok\": %s, \"problem\": ", result == 0 ? "true" : "false");
    if (result == 0)
        fputs("null", sink);
    else
        json_write_text(sink, error);
    if (result == 0) {
        const int64_t *ns = samples.ns;
        size_t n = samples.count;
        qsort(samples.ns, n, sizeof *samples.ns, ascending);
        fprintf(sink, ", \"n\": %zu, \"import_ms\": 0.0, \"load_ms\": %.6f, \"first_ms\": %.6f, \"min_ms\": %.6f", n,
                (double)load_ns / 1e6, (double)first_ns / 1e6, (double)ns[0] / 1e6);
        fprintf(sink, ", \"p50_ms\": %.6f, ", (double)(ns[(n - 1) / 2] + ns[n / 2]) / 2e6);
        if (n >= P90_SAMPLES)
            fprintf(sink, "\"p90_ms\": %.6f", (double)ns[(9 * n + 9) / 10 - 1] / 1e6);
        else
            fputs("\"p90_ms\": null", sink);
        fprintf(sink, ", \"max_ms\": %.6f", (double)ns[n - 1] / 1e6);
    }
    int64_t peak = device_peak_rss_bytes();
    if (peak >= 0)
        fprintf(sink, ", \"peak_rss_bytes\": %lld}\n", (long long)peak);
    else
        fputs(", \"peak_rss_bytes\": null}\n", sink);
    free(samples.ns);
    json_free(release.document);
    return result == 0 ? 0 : 1;
}
