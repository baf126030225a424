/* Text: the length in bytes of each as uint32 in little-endian order, then all of them in UTF-8. So it travels, and so it
   lies in a tensor's data. */
#ifndef EDGEDEPLOY_TEXT_H
#define EDGEDEPLOY_TEXT_H

#include <stdbool.h>

#include "engine.h"

/* Whether a tensor's data is text as above, and nothing else. */
bool text_is_sound(const struct tensor *tensor);

/* Texts one after the other. */
struct text_walk {
    const unsigned char *lengths;
    const char *at;
};

/* Begin with the first text of a sound tensor. */
struct text_walk text_begin(const struct tensor *tensor, size_t count);
/* The next text, which has no zero byte at its end. */
const char *text_next(struct text_walk *walk, uint32_t *length);

/* Room for `count` texts of `bytes` bytes together, with the tensor's data set to it; NULL when memory is short. Returns
   where the texts begin, behind their lengths. */
char *text_make(struct tensor *tensor, size_t count, size_t bytes);
void text_set_length(struct tensor *tensor, size_t index, uint32_t length);

/* Text out of NumPy's `<U`: `width` characters of 4 bytes each, zeros at the end left out. 0, or -1 when it is none. */
int text_from_ucs4(const unsigned char *content, size_t count, size_t width, struct tensor *tensor);

#endif
