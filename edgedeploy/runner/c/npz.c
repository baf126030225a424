/* The zip format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
   The .npy format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#include "npz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensors.h"
#include "text.h"

enum { MEMBERS_LIMIT = 4096, FILE_LIMIT_BYTES = 1 << 30, END_SIZE = 22, ENTRY_SIZE = 46, LOCAL_SIZE = 30 };

static unsigned number(const unsigned char *at, int bytes)
{
    unsigned value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static int fail(char error[ENGINE_ERROR_SIZE], const char *path, const char *what)
{
    snprintf(error, ENGINE_ERROR_SIZE, "%s: %s", path, what);
    return -1;
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    unsigned char *content = NULL;
    long length = -1;
    if (fseek(file, 0, SEEK_END) == 0)
        length = ftell(file);
    if (length >= 0 && length <= FILE_LIMIT_BYTES && fseek(file, 0, SEEK_SET) == 0 && (content = malloc((size_t)length + 1)) != NULL) {
        *size = fread(content, 1, (size_t)length, file);
        if (*size != (size_t)length) {
            free(content);
            content = NULL;
        }
    }
    fclose(file);
    return content;
}

/* The text after `'key':` in a header, or NULL. */
static const char *entry(const char *header, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *found = strstr(header, quoted);
    if (found == NULL)
        return NULL;
    found += strlen(quoted);
    return found + strspn(found, " ");
}

/* `'<f4'`, or `'<U12'`, whose width in characters is put into `width`. */
static enum dtype parse_type(const char *text, size_t *width)
{
    char *stopped;
    *width = 0;
    if (strncmp(text, "'<U", 3) == 0) {
        unsigned long characters = strtoul(text + 3, &stopped, 10);
        if (stopped == text + 3 || *stopped != '\'' || characters > FILE_LIMIT_BYTES)
            return DTYPE_COUNT;
        *width = characters;
        return DTYPE_TEXT;
    }
    static const struct {
        const char *code;
        enum dtype dtype;
    } codes[] = {
        {"b1", DTYPE_BOOL},   {"i1", DTYPE_INT8},   {"i2", DTYPE_INT16},   {"i4", DTYPE_INT32},
        {"i8", DTYPE_INT64},  {"u1", DTYPE_UINT8},  {"u2", DTYPE_UINT16},  {"u4", DTYPE_UINT32},
        {"u8", DTYPE_UINT64}, {"f2", DTYPE_FLOAT16}, {"f4", DTYPE_FLOAT32}, {"f8", DTYPE_FLOAT64},
    };
    /* All machines that this is built for are little-endian. */
    if (strlen(text) < 5 || text[0] != '\'' || (text[1] != '<' && text[1] != '|') || text[4] != '\'')
        return DTYPE_COUNT;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strncmp(text + 2, codes[i].code, 2) == 0)
            return codes[i].dtype;
    return DTYPE_COUNT;
}

/* `(1, 3)`, `(5,)` or `()` */
static int parse_shape(const char *text, struct tensor *tensor)
{
    if (*text++ != '(')
        return -1;
    tensor->rank = 0;
    for (;;) {
        text += strspn(text, " ,");
        if (*text == ')')
            return 0;
        char *stopped;
        long long extent = strtoll(text, &stopped, 10);
        if (stopped == text || extent < 0 || tensor->rank == ENGINE_RANK_LIMIT)
            return -1;
        tensor->extents[tensor->rank++] = extent;
        text = stopped;
    }
}

/* An .npy file in memory. Its data is copied: in a zip it may lie at any address. */
static int parse_array(unsigned char *content, size_t size, struct tensor *tensor)
{
    if (size < 12 || memcmp(content, "\x93NUMPY", 6) != 0 || content[6] < 1 || content[6] > 3)
        return -1;
    size_t begins = content[6] == 1 ? 10 : 12, length = number(content + 8, content[6] == 1 ? 2 : 4);
    if (length > size - begins || length == 0 || length > 65536)
        return -1;
    /* The header ends with a newline, in whose place a zero byte ends the text. */
    char *header = (char *)content + begins;
    header[length - 1] = 0;
    const char *type = entry(header, "descr"), *order = entry(header, "fortran_order"), *shape = entry(header, "shape");
    if (type == NULL || order == NULL || shape == NULL || parse_shape(shape, tensor) != 0)
        return -1;
    size_t bytes, width, count;
    tensor->dtype = parse_type(type, &width);
    if (tensor->dtype == DTYPE_COUNT || (strncmp(order, "False", 5) != 0 && tensor->rank > 1))
        return -1;
    if (tensor->dtype == DTYPE_TEXT) {
        if (!tensor_elements(tensor, &count) || (count != 0 && width > SIZE_MAX / 4 / count) ||
            count * width * 4 != size - begins - length)
            return -1;
        return text_from_ucs4(content + begins + length, count, width, tensor);
    }
    if (!tensor_bytes(tensor, &bytes) || bytes != size - begins - length)
        return -1;
    tensor->data = malloc(bytes + 1);
    if (tensor->data == NULL)
        return -1;
    memcpy(tensor->data, content + begins + length, bytes);
    return 0;
}

static int parse_members(const char *path, struct npz *npz, unsigned char *content, size_t size, char error[ENGINE_ERROR_SIZE])
{
    size_t end = size < END_SIZE ? 0 : size - END_SIZE;
    while (end > 0 && memcmp(content + end, "PK\5\6", 4) != 0)
        end--;
    if (end == 0)
        return fail(error, path, "it is no zip file");
    size_t count = number(content + end + 10, 2), at = number(content + end + 16, 4);
    if (count > MEMBERS_LIMIT)
        return fail(error, path, "it has too many members");
    npz->arrays = calloc(count + 1, sizeof *npz->arrays);
    if (npz->arrays == NULL)
        return fail(error, path, "memory is short");
    for (size_t i = 0; i < count; i++) {
        if (at > size || size - at < ENTRY_SIZE || memcmp(content + at, "PK\1\2", 4) != 0)
            return fail(error, path, "its directory is broken");
        unsigned method = number(content + at + 10, 2);
        size_t stored = number(content + at + 20, 4), name_size = number(content + at + 28, 2);
        size_t extra = number(content + at + 30, 2), comment = number(content + at + 32, 2), local = number(content + at + 42, 4);
        if (size - at - ENTRY_SIZE < name_size + extra + comment)
            return fail(error, path, "its directory is broken");
        const unsigned char *name = content + at + ENTRY_SIZE;
        if (method != 0 || stored != number(content + at + 24, 4))
            return fail(error, path, "a member is compressed");
        if (name_size < 4 || memcmp(name + name_size - 4, ".npy", 4) != 0 || memchr(name, 0, name_size) != NULL)
            return fail(error, path, "a member is no array");
        if (local > size || size - local < LOCAL_SIZE || memcmp(content + local, "PK\3\4", 4) != 0)
            return fail(error, path, "a member is not where it should be");
        size_t data = local + LOCAL_SIZE + number(content + local + 26, 2) + number(content + local + 28, 2);
        if (data > size || size - data < stored)
            return fail(error, path, "a member ends early");
        struct tensor *tensor = &npz->arrays[npz->count];
        char *own = malloc(name_size);
        if (own == NULL)
            return fail(error, path, "memory is short");
        memcpy(own, name, name_size - 4);
        own[name_size - 4] = 0;
        tensor->name = own;
        npz->count++;
        if (parse_array(content + data, stored, tensor) != 0)
            return fail(error, path, "a member is no array of numbers or text");
        at += ENTRY_SIZE + name_size + extra + comment;
    }
    return 0;
}

int npz_open(const char *path, struct npz *npz, char error[ENGINE_ERROR_SIZE])
{
    memset(npz, 0, sizeof *npz);
    size_t size = 0;
    unsigned char *content = read_file(path, &size);
    if (content == NULL)
        return fail(error, path, "it cannot be read");
    int result = parse_members(path, npz, content, size, error);
    free(content);
    if (result != 0)
        npz_close(npz);
    return result;
}

void npz_close(struct npz *npz)
{
    for (size_t i = 0; i < npz->count; i++) {
        free((char *)npz->arrays[i].name);
        free(npz->arrays[i].data);
    }
    free(npz->arrays);
    memset(npz, 0, sizeof *npz);
}
