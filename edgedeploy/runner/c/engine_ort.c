/* ONNX Runtime as the engine: its shared library, out of the same wheel that Python boards get, through its C interface.

   The library is found beside the program, at run time. Its interface is a table of functions, of which releases only ever
   add to the end (https://onnxruntime.ai/docs/api/c/struct_ort_api_base.html): so the few that are called here are known
   by their place in it, as they stand in
   https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_c_api.h */
#define _GNU_SOURCE /* dlopen */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "json.h"
#include "tensors.h"
#include "text.h"

enum { API_VERSION = 17, TENSORS_LIMIT = 4096 };

struct api_base {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
};

/* Places in the table. Those that can fail return a status, which is NULL when all is well. */
enum place {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    DISABLE_TELEMETRY = 6,
    CREATE_SESSION = 7,
    CREATE_SESSION_FROM_ARRAY = 8,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    ENABLE_PROFILING = 14,
    DISABLE_MEM_PATTERN = 17,
    DISABLE_CPU_MEM_ARENA = 19,
    SET_LOG_SEVERITY = 22,
    SET_INTRA_OP_THREADS = 24,
    INPUT_COUNT = 30,
    OUTPUT_COUNT = 31,
    INPUT_TYPE_INFO = 33,
    OUTPUT_TYPE_INFO = 34,
    INPUT_NAME = 36,
    OUTPUT_NAME = 37,
    CREATE_TENSOR = 48,
    CREATE_TENSOR_WITH_DATA = 49,
    GET_TENSOR_DATA = 51,
    GET_TEXT_SIZE = 53,
    GET_TEXTS = 54,
    CAST_TO_TENSOR_INFO = 55,
    GET_ELEMENT_TYPE = 60,
    GET_DIMENSIONS_COUNT = 61,
    GET_DIMENSIONS = 62,
    GET_TYPE_AND_SHAPE = 65,
    CREATE_CPU_MEMORY_INFO = 69,
    GET_DEFAULT_ALLOCATOR = 78,
    RELEASE_STATUS = 93,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_TYPE_INFO = 98,
    RELEASE_TYPE_AND_SHAPE = 99,
    RELEASE_SESSION_OPTIONS = 100,
    END_PROFILING = 110,
    ADD_CONFIG_ENTRY = 130,
    RESIZED_TEXT = 252,
};

typedef void *status;
/* ORT_LOGGING_LEVEL_ERROR; OrtDeviceAllocator; OrtMemTypeDefault */
enum { LOG_ERROR = 3, DEVICE_ALLOCATOR = 0, MEMORY_DEFAULT = 0 };

/* ONNXTensorElementDataType, by dtype and back. */
static const int element_types[DTYPE_COUNT] = {
    [DTYPE_BOOL] = 9,   [DTYPE_INT8] = 3,   [DTYPE_INT16] = 5,    [DTYPE_INT32] = 6,    [DTYPE_INT64] = 7,    [DTYPE_UINT8] = 2,
    [DTYPE_UINT16] = 4, [DTYPE_UINT32] = 12, [DTYPE_UINT64] = 13, [DTYPE_FLOAT16] = 10, [DTYPE_FLOAT32] = 1, [DTYPE_FLOAT64] = 11,
    [DTYPE_TEXT] = 8,
};

static void *const *api;
static const char *trace_prefix;
static void *env, *session, *allocator, *memory;
static char runtime[128] = "\"onnxruntime\": \"not loaded\"";
static struct tensor *inputs, *outputs;
static const char **input_names, **output_names;
static void **output_values;
static struct tensor *output_texts; /* of each output that is text, with its data */
static size_t input_count, output_count;

#define CALL(place, ...) ((status(*)(ARGUMENTS_##place))api[place])(__VA_ARGS__)
#define ARGUMENTS_CREATE_ENV int, const char *, void **
#define ARGUMENTS_DISABLE_TELEMETRY const void *
#define ARGUMENTS_CREATE_SESSION const void *, const char *, const void *, void **
#define ARGUMENTS_CREATE_SESSION_FROM_ARRAY const void *, const void *, size_t, const void *, void **
#define ARGUMENTS_RUN void *, const void *, const char *const *, const void *const *, size_t, const char *const *, size_t, void **
#define ARGUMENTS_CREATE_SESSION_OPTIONS void **
#define ARGUMENTS_ENABLE_PROFILING void *, const char *
#define ARGUMENTS_END_PROFILING void *, void *, char **
#define ARGUMENTS_DISABLE_MEM_PATTERN void *
#define ARGUMENTS_DISABLE_CPU_MEM_ARENA void *
#define ARGUMENTS_SET_LOG_SEVERITY void *, int
#define ARGUMENTS_SET_INTRA_OP_THREADS void *, int
#define ARGUMENTS_CREATE_TENSOR_WITH_DATA const void *, void *, size_t, const int64_t *, size_t, int, void **
#define ARGUMENTS_CREATE_TENSOR void *, const int64_t *, size_t, int, void **
#define ARGUMENTS_GET_TENSOR_DATA void *, void **
#define ARGUMENTS_GET_TEXT_SIZE const void *, size_t *
#define ARGUMENTS_GET_TEXTS const void *, void *, size_t, size_t *, size_t
#define ARGUMENTS_RESIZED_TEXT void *, size_t, size_t, char **
#define ARGUMENTS_CAST_TO_TENSOR_INFO const void *, const void **
#define ARGUMENTS_GET_ELEMENT_TYPE const void *, int *
#define ARGUMENTS_GET_DIMENSIONS_COUNT const void *, size_t *
#define ARGUMENTS_GET_DIMENSIONS const void *, int64_t *, size_t
#define ARGUMENTS_GET_TYPE_AND_SHAPE const void *, void **
#define ARGUMENTS_CREATE_CPU_MEMORY_INFO int, int, void **
#define ARGUMENTS_GET_DEFAULT_ALLOCATOR void **
#define ARGUMENTS_ADD_CONFIG_ENTRY void *, const char *, const char *

static void release(enum place place, void *object)
{
    if (object != NULL)
        ((void (*)(void *))api[place])(object);
}

/* Whether a call went well; if not, its words are kept and its status is given back. */
static bool well(status result, char error[ENGINE_ERROR_SIZE])
{
    if (result == NULL)
        return true;
    snprintf(error, ENGINE_ERROR_SIZE, "%s", ((const char *(*)(const void *))api[GET_ERROR_MESSAGE])(result));
    release(RELEASE_STATUS, result);
    return false;
}

static int open_library(const char *folder, char error[ENGINE_ERROR_SIZE])
{
    char path[4096 + 64];
    snprintf(path, sizeof path, "%s/runtime/libonnxruntime.so.1", folder);
    /* Nothing that happens on a device is reported to onnxruntime's maker, unless its owner says so. */
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct api_base *(*get_base)(void) = NULL;
    if (library != NULL)
        *(void **)&get_base = dlsym(library, "OrtGetApiBase");
    if (get_base == NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "onnxruntime's library cannot be opened: %s", dlerror()), -1;
    api = get_base()->get_api(API_VERSION);
    if (api == NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "onnxruntime %s has another interface", get_base()->get_version()), -1;
    snprintf(runtime, sizeof runtime, "\"onnxruntime\": \"%.64s\"", get_base()->get_version());
    if (!well(CALL(CREATE_ENV, LOG_ERROR, "edgedeploy", &env), error) || !well(CALL(DISABLE_TELEMETRY, env), error) ||
        !well(CALL(GET_DEFAULT_ALLOCATOR, &allocator), error) ||
        !well(CALL(CREATE_CPU_MEMORY_INFO, DEVICE_ALLOCATOR, MEMORY_DEFAULT, &memory), error)) {
        api = NULL;
        return -1;
    }
    return 0;
}

/* The manifest's "runtime.settings": "arena" and "memory_pattern" are on unless it says no. */
static bool setting(const struct json *settings, const char *name)
{
    const struct json *member = json_member(settings, name);
    return member == NULL || member->kind != JSON_FALSE;
}

static struct json_document *read_settings(const char *folder, const struct json **settings)
{
    enum { LIMIT = 16 << 20 };
    char path[4096 + 64];
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    FILE *file = fopen(path, "rb");
    char *text = file != NULL ? malloc(LIMIT) : NULL;
    const struct json *root = NULL;
    struct json_document *document = text != NULL ? json_parse(text, fread(text, 1, LIMIT, file), &root) : NULL;
    *settings = json_member(json_member(root, "runtime"), "settings");
    free(text);
    if (file != NULL)
        fclose(file);
    return document;
}

static int create_session(const char *folder, int threads, const void *model, size_t model_size, char error[ENGINE_ERROR_SIZE])
{
    char path[4096 + 64];
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    void *options = NULL;
    const struct json *settings = NULL;
    struct json_document *document = read_settings(folder, &settings);
    bool ready = well(CALL(CREATE_SESSION_OPTIONS, &options), error) && well(CALL(SET_LOG_SEVERITY, options, LOG_ERROR), error) &&
                 well(CALL(SET_INTRA_OP_THREADS, options, threads), error) &&
                 /* Threads that spin between inferences disturb the measurement, and the application on the board. */
                 well(CALL(ADD_CONFIG_ENTRY, options, "session.intra_op.allow_spinning", "0"), error);
    if (ready && !setting(settings, "arena"))
        ready = well(CALL(DISABLE_CPU_MEM_ARENA, options), error);
    if (ready && !setting(settings, "memory_pattern"))
        ready = well(CALL(DISABLE_MEM_PATTERN, options), error);
    if (ready && trace_prefix != NULL)
        ready = well(CALL(ENABLE_PROFILING, options, trace_prefix), error);
    if (ready)
        ready = model != NULL ? well(CALL(CREATE_SESSION_FROM_ARRAY, env, model, model_size, options, &session), error)
                              : well(CALL(CREATE_SESSION, env, path, options, &session), error);
    release(RELEASE_SESSION_OPTIONS, options);
    json_free(document);
    return ready ? 0 : -1;
}

/* Type and shape into `tensor`. */
static int describe(const void *info, struct tensor *tensor, char error[ENGINE_ERROR_SIZE])
{
    int element_type;
    size_t rank;
    if (!well(CALL(GET_ELEMENT_TYPE, info, &element_type), error) || !well(CALL(GET_DIMENSIONS_COUNT, info, &rank), error))
        return -1;
    tensor->dtype = DTYPE_COUNT;
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++)
        if (element_types[dtype] == element_type)
            tensor->dtype = (enum dtype)dtype;
    if (tensor->dtype == DTYPE_COUNT || rank > ENGINE_RANK_LIMIT)
        return snprintf(error, ENGINE_ERROR_SIZE, "%.200s is no tensor of numbers or text, or of too many axes", tensor->name), -1;
    tensor->rank = (int)rank;
    return well(CALL(GET_DIMENSIONS, info, tensor->extents, rank), error) ? 0 : -1;
}

typedef status (*get_type)(const void *, size_t, void **);
typedef status (*get_name)(const void *, size_t, void *, char **);

static int list(enum place count_at, enum place name_at, enum place type_at, struct tensor **tensors, const char ***names,
                size_t *count, char error[ENGINE_ERROR_SIZE])
{
    *count = 0;
    size_t found;
    if (!well(((status(*)(const void *, size_t *))api[count_at])(session, &found), error))
        return -1;
    if (found > TENSORS_LIMIT || (*tensors = calloc(found + 1, sizeof **tensors)) == NULL || (*names = calloc(found + 1, sizeof **names)) == NULL)
        return snprintf(error, ENGINE_ERROR_SIZE, "the model has too many inputs or outputs"), -1;
    for (; *count < found; ++*count) {
        struct tensor *tensor = &(*tensors)[*count];
        char *name;
        void *type = NULL;
        const void *info = NULL;
        if (!well(((get_name)api[name_at])(session, *count, allocator, &name), error))
            return -1;
        tensor->name = (*names)[*count] = name;
        if (!well(((get_type)api[type_at])(session, *count, &type), error))
            return -1;
        int result = well(CALL(CAST_TO_TENSOR_INFO, type, &info), error) ? 0 : -1;
        if (result == 0 && info == NULL)
            result = (snprintf(error, ENGINE_ERROR_SIZE, "%.200s is no tensor", name), -1);
        if (result == 0)
            result = describe(info, tensor, error);
        release(RELEASE_TYPE_INFO, type);
        if (result != 0)
            return -1;
    }
    return 0;
}

static void drop_values(void)
{
    for (size_t i = 0; output_values != NULL && i < output_count; i++) {
        release(RELEASE_VALUE, output_values[i]);
        output_values[i] = NULL;
    }
    for (size_t i = 0; output_texts != NULL && i < output_count; i++) {
        free(output_texts[i].data);
        output_texts[i].data = NULL;
    }
}

static void drop_session(void)
{
    drop_values();
    /* Names stay with the process: a few bytes for each model that it has had. */
    free(inputs);
    free(outputs);
    free(input_names);
    free(output_names);
    free(output_values);
    free(output_texts);
    output_texts = NULL;
    inputs = outputs = NULL;
    input_names = output_names = NULL;
    output_values = NULL;
    input_count = output_count = 0;
    release(RELEASE_SESSION, session);
    session = NULL;
}

int engine_load(const char *folder, int threads, const void *model, size_t model_size, char error[ENGINE_ERROR_SIZE])
{
    if (api == NULL && open_library(folder, error) != 0)
        return -1;
    drop_session();
    if (create_session(folder, threads, model, model_size, error) != 0 ||
        list(INPUT_COUNT, INPUT_NAME, INPUT_TYPE_INFO, &inputs, &input_names, &input_count, error) != 0 ||
        list(OUTPUT_COUNT, OUTPUT_NAME, OUTPUT_TYPE_INFO, &outputs, &output_names, &output_count, error) != 0)
        return -1;
    output_values = calloc(output_count + 1, sizeof *output_values);
    output_texts = calloc(output_count + 1, sizeof *output_texts);
    return output_values != NULL && output_texts != NULL ? 0 : (snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1);
}

size_t engine_inputs(const struct tensor **found)
{
    *found = inputs;
    return input_count;
}

size_t engine_outputs(const struct tensor **found)
{
    *found = outputs;
    return output_count;
}

/* Text is copied: onnxruntime keeps it as objects of its own. */
static int wrap_text(const struct tensor *tensor, void **value, char error[ENGINE_ERROR_SIZE])
{
    size_t count;
    if (!tensor_elements(tensor, &count) ||
        !well(CALL(CREATE_TENSOR, allocator, tensor->extents, (size_t)tensor->rank, element_types[DTYPE_TEXT], value), error))
        return -1;
    struct text_walk walk = text_begin(tensor, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t length;
        const char *text = text_next(&walk, &length);
        char *room;
        if (!well(CALL(RESIZED_TEXT, *value, i, (size_t)length, &room), error))
            return -1;
        memcpy(room, text, length);
    }
    return 0;
}

static int unwrap_text(void *value, struct tensor *tensor, char error[ENGINE_ERROR_SIZE])
{
    size_t count, bytes = 0;
    tensor->data = NULL; /* of the call before, which is gone */
    if (!tensor_elements(tensor, &count) || (count > 0 && !well(CALL(GET_TEXT_SIZE, value, &bytes), error)))
        return -1;
    size_t *begins = calloc(count + 1, sizeof *begins);
    char *texts = begins != NULL ? text_make(tensor, count, bytes) : NULL;
    int result = texts != NULL ? 0 : (snprintf(error, ENGINE_ERROR_SIZE, "memory is short"), -1);
    if (result == 0 && count > 0 && !well(CALL(GET_TEXTS, value, texts, bytes, begins, count), error))
        result = -1;
    for (size_t i = 0; result == 0 && i < count; i++)
        text_set_length(tensor, i, (uint32_t)((i + 1 < count ? begins[i + 1] : bytes) - begins[i]));
    free(begins);
    return result;
}

static int wrap(const struct tensor *tensor, void **value, char error[ENGINE_ERROR_SIZE])
{
    size_t bytes;
    if (tensor->dtype == DTYPE_TEXT)
        return wrap_text(tensor, value, error);
    if (!tensor_bytes(tensor, &bytes))
        return snprintf(error, ENGINE_ERROR_SIZE, "%.200s has a shape that cannot be", tensor->name), -1;
    status result = CALL(CREATE_TENSOR_WITH_DATA, memory, tensor->data, bytes, tensor->extents, (size_t)tensor->rank,
                         element_types[tensor->dtype], value);
    return well(result, error) ? 0 : -1;
}

static int unwrap(void *value, struct tensor *tensor, struct tensor *kept, char error[ENGINE_ERROR_SIZE])
{
    void *info = NULL;
    if (!well(CALL(GET_TYPE_AND_SHAPE, value, &info), error))
        return -1;
    int result = describe(info, tensor, error);
    release(RELEASE_TYPE_AND_SHAPE, info);
    if (result == 0 && tensor->dtype == DTYPE_TEXT) {
        result = unwrap_text(value, tensor, error);
        kept->data = tensor->data;
        return result;
    }
    return result == 0 && well(CALL(GET_TENSOR_DATA, value, &tensor->data), error) ? 0 : -1;
}

int engine_run(const struct tensor *given, struct tensor *found, char error[ENGINE_ERROR_SIZE])
{
    void *values[TENSORS_LIMIT];
    size_t wrapped = 0;
    int result = 0;
    drop_values();
    for (; result == 0 && wrapped < input_count; wrapped++) {
        values[wrapped] = NULL;
        result = wrap(&given[wrapped], &values[wrapped], error);
    }
    if (result == 0 && !well(CALL(RUN, session, NULL, input_names, (const void *const *)values, input_count, output_names,
                                  output_count, output_values),
                             error))
        result = -1;
    for (size_t i = 0; i < wrapped; i++)
        release(RELEASE_VALUE, values[i]);
    for (size_t i = 0; result == 0 && i < output_count; i++) {
        found[i].name = outputs[i].name;
        result = unwrap(output_values[i], &found[i], &output_texts[i], error);
    }
    return result;
}

int engine_trace(const char *prefix, char error[ENGINE_ERROR_SIZE])
{
    (void)error;
    trace_prefix = prefix;
    return 0;
}

int engine_trace_end(char *path, size_t size, char error[ENGINE_ERROR_SIZE])
{
    char *name; /* stays with the process, as those of inputs do */
    if (!well(CALL(END_PROFILING, session, allocator, &name), error))
        return -1;
    snprintf(path, size, "%s", name);
    return 0;
}

const char *engine_runtime(void) { return runtime; }
