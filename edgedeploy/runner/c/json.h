/* Reading JSON that a stranger wrote: bounded in depth, and in memory by the length of the text. */
#ifndef EDGEDEPLOY_JSON_H
#define EDGEDEPLOY_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    double number;
    const char *key;  /* of a member of an object */
    const char *text; /* of a string: UTF-8, ends with a zero byte and holds no other */
    struct json *first, *next;
};

struct json_document;

/* NULL when the text is not JSON, too deep, or memory is short. `root` is set to the value. */
struct json_document *json_parse(const char *text, size_t length, const struct json **root);
void json_free(struct json_document *document);

/* The member of that name, or NULL; of what is no object, NULL. */
const struct json *json_member(const struct json *object, const char *key);
/* The text of a string member, or NULL. */
const char *json_text(const struct json *object, const char *key);
/* Whether there is a member that is a whole number in [low, high]. */
bool json_integer(const struct json *object, const char *key, int64_t low, int64_t high, int64_t *value);
/* Whether there is a member that is a number. */
bool json_number(const struct json *object, const char *key, double *value);

/* Whether there is a member that is true. */
bool json_true(const struct json *object, const char *key);

/* A string in quotes; bytes that are no UTF-8 become U+FFFD. */
void json_write_text(FILE *file, const char *text);

#endif
