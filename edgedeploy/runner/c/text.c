#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "tensors.h"

enum { LENGTH_SIZE = 4, CHARACTER_SIZE = 4 };

static uint32_t number(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

bool text_is_sound(const struct tensor *tensor)
{
    size_t count;
    if (!tensor_elements(tensor, &count) || count > tensor->text_bytes / LENGTH_SIZE)
        return false;
    size_t rest = tensor->text_bytes - count * LENGTH_SIZE;
    const unsigned char *lengths = tensor->data;
    for (size_t i = 0; i < count; i++) {
        uint32_t length = number(lengths + i * LENGTH_SIZE);
        if (length > rest)
            return false;
        rest -= length;
    }
    return rest == 0;
}

struct text_walk text_begin(const struct tensor *tensor, size_t count)
{
    return (struct text_walk){.lengths = tensor->data, .at = (const char *)tensor->data + count * LENGTH_SIZE};
}

const char *text_next(struct text_walk *walk, uint32_t *length)
{
    const char *text = walk->at;
    *length = number(walk->lengths);
    walk->lengths += LENGTH_SIZE;
    walk->at += *length;
    return text;
}

char *text_make(struct tensor *tensor, size_t count, size_t bytes)
{
    tensor->text_bytes = count * LENGTH_SIZE + bytes;
    tensor->data = malloc(tensor->text_bytes + 1);
    return tensor->data != NULL ? (char *)tensor->data + count * LENGTH_SIZE : NULL;
}

void text_set_length(struct tensor *tensor, size_t index, uint32_t length)
{
    unsigned char *at = (unsigned char *)tensor->data + index * LENGTH_SIZE;
    for (int i = 0; i < LENGTH_SIZE; i++)
        at[i] = (unsigned char)(length >> 8 * i);
}

/* https://www.rfc-editor.org/rfc/rfc3629, section 3. Returns the bytes written into `to`, or 0 for what is no character. */
static size_t utf8(uint32_t character, char *to)
{
    if (character >= 0xD800 && (character < 0xE000 || character > 0x10FFFF))
        return 0;
    if (character < 0x80)
        return to[0] = (char)character, 1;
    size_t size = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size - 1; i > 0; i--, character >>= 6)
        to[i] = (char)(0x80 | (character & 0x3F));
    to[0] = (char)(first[size] | character);
    return size;
}

int text_from_ucs4(const unsigned char *content, size_t count, size_t width, struct tensor *tensor)
{
    char encoded[4];
    size_t total = 0;
    for (int writes = 0; writes < 2; writes++) {
        char *to = NULL;
        if (writes && (to = text_make(tensor, count, total)) == NULL)
            return -1;
        for (size_t i = 0; i < count; i++) {
            const unsigned char *text = content + i * width * CHARACTER_SIZE;
            size_t length = width, bytes = 0;
            while (length > 0 && number(text + (length - 1) * CHARACTER_SIZE) == 0)
                length--;
            for (size_t place = 0; place < length; place++) {
                size_t size = utf8(number(text + place * CHARACTER_SIZE), writes ? to + bytes : encoded);
                if (size == 0)
                    return -1;
                bytes += size;
            }
            if (bytes > UINT32_MAX)
                return -1;
            if (writes) {
                text_set_length(tensor, i, (uint32_t)bytes);
                to += bytes;
            }
            total += writes ? 0 : bytes;
        }
    }
    return 0;
}
