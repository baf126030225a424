#include "health.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "release.h"
#include "tensors.h"
#include "text.h"

/* As in ../python/health.py, which says why. */
#define HEALTHY_COSINE 0.9
#define HEALTHY_EQUAL_SHARE 0.5

/* How like its golden values one output is, over all golden samples. */
struct likeness {
    double product, squared, kept_squared;
    double equal, elements;
    bool whole, text;
};

static void add_text(struct likeness *like, const struct tensor *found, const struct tensor *kept, size_t count)
{
    struct text_walk a = text_begin(found, count), b = text_begin(kept, count);
    like->text = true;
    for (size_t i = 0; i < count; i++) {
        uint32_t length, wanted;
        const char *text = text_next(&a, &length), *golden = text_next(&b, &wanted);
        like->equal += length == wanted && memcmp(text, golden, length) == 0;
        like->elements += 1;
    }
}

static int add(struct likeness *like, const struct tensor *declared, const struct tensor *found, const struct tensor *kept,
               char error[ENGINE_ERROR_SIZE])
{
    if (found->dtype != kept->dtype)
        return snprintf(error, ENGINE_ERROR_SIZE, "output %.200s is of type %s, golden is %s", kept->name, dtype_name(found->dtype),
                        dtype_name(kept->dtype)),
               -1;
    bool same = found->rank == kept->rank, may_differ = same && declared->rank == kept->rank;
    for (int axis = 0; same && axis < kept->rank; axis++)
        if (found->extents[axis] != kept->extents[axis]) {
            /* A dimension that depends on the values, as the number of boxes that are left, may differ. */
            may_differ = may_differ && declared->extents[axis] < 0;
            same = false;
            for (int rest = axis + 1; may_differ && rest < kept->rank; rest++)
                may_differ = found->extents[rest] == kept->extents[rest] || declared->extents[rest] < 0;
        }
    if (!same) {
        char have[128], want[128];
        tensor_shape_text(found, have, sizeof have);
        tensor_shape_text(kept, want, sizeof want);
        if (!may_differ)
            return snprintf(error, ENGINE_ERROR_SIZE, "output %.100s has shape %s, golden is %s", kept->name, have, want), -1;
        return 0;
    }
    size_t count;
    if (!tensor_elements(kept, &count))
        return 0;
    like->whole = !dtype_is_float(found->dtype);
    if (found->dtype == DTYPE_TEXT) {
        add_text(like, found, kept, count);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        double a = tensor_at(found, i), b = tensor_at(kept, i);
        if (isfinite(b) && !isfinite(a))
            return snprintf(error, ENGINE_ERROR_SIZE, "output %.200s is not finite where golden is", kept->name), -1;
        like->equal += a == b;
        like->elements += 1;
        if (isfinite(a) && isfinite(b)) {
            like->product += a * b;
            like->squared += a * a;
            like->kept_squared += b * b;
        }
    }
    return 0;
}

static double cosine(const struct likeness *like)
{
    if (like->equal == like->elements)
        return 1.0;
    if (like->text)
        return like->equal / like->elements;
    double norm = sqrt(like->squared * like->kept_squared);
    return norm > 0 ? like->product / norm : 0.0;
}

static int compare_sample(const struct release *release, int64_t index, struct tensor *inputs, struct tensor *outputs,
                          struct likeness *likeness, char error[ENGINE_ERROR_SIZE])
{
    struct npz npz;
    if (release_golden(release, index, &npz, error) != 0)
        return -1;
    const struct tensor *declared;
    size_t count = engine_outputs(&declared);
    int result = release_feed(npz.arrays, npz.count, "input:", inputs, error);
    if (result == 0)
        result = engine_run(inputs, outputs, error);
    for (size_t i = 0; result == 0 && i < count; i++) {
        const struct tensor *kept = NULL;
        for (size_t j = 0; j < npz.count; j++)
            if (strncmp(npz.arrays[j].name, "output:", 7) == 0 && strcmp(npz.arrays[j].name + 7, declared[i].name) == 0)
                kept = &npz.arrays[j];
        if (kept == NULL) {
            snprintf(error, ENGINE_ERROR_SIZE, "golden sample %lld has no output %.200s", (long long)index, declared[i].name);
            result = -1;
        } else {
            result = add(&likeness[i], &declared[i], &outputs[i], kept, error);
        }
    }
    npz_close(&npz);
    return result;
}

/* 0, or -1 with the problem in `error`. */
static int compare_all(const struct release *release, double *least_cosine, char error[ENGINE_ERROR_SIZE])
{
    const struct tensor *inputs_declared, *declared;
    size_t count = engine_outputs(&declared);
    struct tensor *inputs = calloc(engine_inputs(&inputs_declared) + 1, sizeof *inputs);
    struct tensor *outputs = calloc(count + 1, sizeof *outputs);
    struct likeness *likeness = calloc(count + 1, sizeof *likeness);
    int result = inputs != NULL && outputs != NULL && likeness != NULL ? 0 : -1;
    if (result != 0)
        snprintf(error, ENGINE_ERROR_SIZE, "memory is short");
    for (int64_t index = 0; result == 0 && index < release->golden_samples; index++)
        result = compare_sample(release, index, inputs, outputs, likeness, error);
    *least_cosine = 1.0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        double found = cosine(&likeness[i]);
        *least_cosine = fmin(*least_cosine, found);
        bool enough = likeness[i].whole && likeness[i].equal >= HEALTHY_EQUAL_SHARE * likeness[i].elements;
        if (found < HEALTHY_COSINE && !enough && likeness[i].text) {
            snprintf(error, ENGINE_ERROR_SIZE, "output %.200s is not the golden one: %.0f %% of its texts are the same", declared[i].name,
                     100 * found);
            result = -1;
        } else if (found < HEALTHY_COSINE && !enough) {
            snprintf(error, ENGINE_ERROR_SIZE, "output %.200s is not the golden one: cosine %.4f, at least %.2f is expected",
                     declared[i].name, found, HEALTHY_COSINE);
            result = -1;
        }
    }
    free(inputs);
    free(outputs);
    free(likeness);
    return result;
}

int health_check(FILE *sink)
{
    struct release release;
    char error[ENGINE_ERROR_SIZE] = "";
    int64_t load_ns = 0;
    double least_cosine = 0;
    bool loaded = false;
    int result = release_open(&release, error);
    if (result == 0) {
        result = release_load(&release, 0, NULL, 0, &load_ns, error);
        loaded = result == 0;
    }
    if (result == 0)
        result = compare_all(&release, &least_cosine, error);
    fprintf(sink, "{\"healthy\": %s, \"problem\": ", result == 0 ? "true" : "false");
    if (result == 0)
        fputs("null", sink);
    else
        json_write_text(sink, error);
    fprintf(sink, ", \"golden_samples\": %d", release.golden_samples);
    if (loaded)
        fprintf(sink, ", \"import_ms\": 0.0, \"load_ms\": %.6f", (double)load_ns / 1e6);
    if (result == 0)
        fprintf(sink, ", \"cosine\": %.9f", least_cosine);
    int64_t peak = device_peak_rss_bytes();
    if (peak >= 0)
        fprintf(sink, ", \"peak_rss_bytes\": %lld}\n", (long long)peak);
    else
        fputs(", \"peak_rss_bytes\": null}\n", sink);
    json_free(release.document);
    return result == 0 ? 0 : 1;
}
