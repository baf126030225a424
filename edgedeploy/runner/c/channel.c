#include "channel.h"

#include <stdlib.h>
#include <string.h>

#include "tensors.h"
#include "text.h"

enum { LINE_LIMIT_BYTES = 1 << 20, ARRAYS_LIMIT = 65536, ARRAYS_LIMIT_BYTES = 1 << 30 };

/* A line without its end, in a buffer that is reused; NULL at the end of the stream, or when it is too long. */
static char *read_line(FILE *source, size_t *length, bool *too_long)
{
    static char line[LINE_LIMIT_BYTES];
    *length = 0;
    *too_long = false;
    for (int c; (c = getc(source)) != EOF;) {
        if (c == '\n')
            return line;
        if (*length == LINE_LIMIT_BYTES) {
            *too_long = true;
            return NULL;
        }
        line[(*length)++] = (char)c;
    }
    return NULL;
}

static bool parse_header(const struct json *entry, struct tensor *tensor)
{
    const char *name = json_text(entry, "name"), *dtype = json_text(entry, "dtype");
    const struct json *shape = json_member(entry, "shape");
    if (name == NULL || dtype == NULL || shape == NULL || shape->kind != JSON_ARRAY)
        return false;
    tensor->name = name;
    tensor->dtype = dtype_of_name(dtype);
    int64_t text_bytes;
    if (tensor->dtype == DTYPE_TEXT) {
        if (!json_integer(entry, "text_bytes", 0, ARRAYS_LIMIT_BYTES, &text_bytes))
            return false;
        tensor->text_bytes = (size_t)text_bytes;
    }
    for (const struct json *extent = shape->first; extent != NULL; extent = extent->next) {
        if (tensor->rank == ENGINE_RANK_LIMIT || extent->kind != JSON_NUMBER || extent->number < 0 || extent->number > (double)ARRAYS_LIMIT_BYTES)
            return false;
        tensor->extents[tensor->rank++] = (int64_t)extent->number;
    }
    return tensor->dtype != DTYPE_COUNT;
}

static enum received nonsense(char error[ENGINE_ERROR_SIZE], const char *what)
{
    snprintf(error, ENGINE_ERROR_SIZE, "FramingError: this is not a message: %s", what);
    return RECEIVED_NONSENSE;
}

static enum received read_arrays(FILE *source, struct message *message, char error[ENGINE_ERROR_SIZE])
{
    const struct json *listed = json_member(message->root, "arrays");
    if (listed == NULL)
        return RECEIVED;
    if (listed->kind != JSON_ARRAY)
        return nonsense(error, "its arrays are no list");
    size_t wanted = 0, total = 0;
    for (const struct json *entry = listed->first; entry != NULL; entry = entry->next)
        wanted++;
    if (wanted > ARRAYS_LIMIT || (message->arrays = calloc(wanted + 1, sizeof *message->arrays)) == NULL)
        return nonsense(error, "too many arrays");
    for (const struct json *entry = listed->first; entry != NULL; entry = entry->next) {
        struct tensor *tensor = &message->arrays[message->count];
        size_t bytes;
        if (!parse_header(entry, tensor) || !tensor_bytes(tensor, &bytes))
            return nonsense(error, "an array without a name, type or shape that can be");
        if (bytes > ARRAYS_LIMIT_BYTES || (total += bytes) > ARRAYS_LIMIT_BYTES)
            return nonsense(error, "arrays of more than 1 GiB at once");
        message->count++;
        /* What was promised is not made room for before it comes. */
        size_t have = 0, room = 0;
        do {
            size_t step = room < (1 << 20) ? (1 << 20) : room;
            room = bytes - have < step ? bytes : have + step;
            void *grown = realloc(tensor->data, room + 1);
            if (grown == NULL)
                return nonsense(error, "memory is short");
            tensor->data = grown;
            size_t got = fread((char *)grown + have, 1, room - have, source);
            if (got != room - have)
                return RECEIVED_CUT;
            have = room;
        } while (have < bytes);
        if (tensor->dtype == DTYPE_TEXT && !text_is_sound(tensor))
            return nonsense(error, "an array of text whose lengths do not add up");
    }
    return RECEIVED;
}

enum received channel_receive(FILE *source, struct message *message, char error[ENGINE_ERROR_SIZE])
{
    memset(message, 0, sizeof *message);
    size_t length;
    bool too_long;
    const char *line = read_line(source, &length, &too_long);
    if (line == NULL)
        return too_long ? nonsense(error, "its line is longer than 1 MiB") : RECEIVED_END;
    message->document = json_parse(line, length, &message->root);
    if (message->document == NULL || message->root->kind != JSON_OBJECT) {
        message_free(message);
        return nonsense(error, "it is no JSON object");
    }
    enum received result = read_arrays(source, message, error);
    if (result != RECEIVED)
        message_free(message);
    return result;
}

void message_free(struct message *message)
{
    for (size_t i = 0; i < message->count; i++)
        free(message->arrays[i].data);
    free(message->arrays);
    json_free(message->document);
    memset(message, 0, sizeof *message);
}

const struct tensor *message_array(const struct message *message, const char *name)
{
    for (size_t i = 0; i < message->count; i++)
        if (strcmp(message->arrays[i].name, name) == 0)
            return &message->arrays[i];
    return NULL;
}

static void write_name(FILE *sink, const char *prefix, const char *name)
{
    size_t size = strlen(prefix) + strlen(name) + 1;
    char *whole = malloc(size);
    if (whole != NULL)
        snprintf(whole, size, "%s%s", prefix, name);
    json_write_text(sink, whole != NULL ? whole : name);
    free(whole);
}

void channel_finish(FILE *sink, const struct tensor *arrays, const char *const *prefixes, size_t count)
{
    if (count > 0)
        fputs(", \"arrays\": [", sink);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ", {\"name\": " : "{\"name\": ", sink);
        write_name(sink, prefixes != NULL ? prefixes[i] : "", arrays[i].name);
        fprintf(sink, ", \"dtype\": \"%s\", \"shape\": [", dtype_name(arrays[i].dtype));
        for (int axis = 0; axis < arrays[i].rank; axis++)
            fprintf(sink, axis > 0 ? ", %lld" : "%lld", (long long)arrays[i].extents[axis]);
        fputs("]", sink);
        if (arrays[i].dtype == DTYPE_TEXT)
            fprintf(sink, ", \"text_bytes\": %zu", arrays[i].text_bytes);
        fputs("}", sink);
    }
    fputs(count > 0 ? "]}\n" : "}\n", sink);
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        if (tensor_bytes(&arrays[i], &bytes) && bytes > 0)
            fwrite(arrays[i].data, 1, bytes, sink);
    }
    fflush(sink);
}
