/* JSON, read and written in bounded memory. By hand: boards get one static program, and common libraries allocate without
   a bound or accept what the protocol does not. */
#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_LIMIT = 64, NUMBER_LIMIT = 64, BLOCK_NODES = 256 };

struct block {
    struct block *next;
    size_t used;
    struct json nodes[BLOCK_NODES];
};

struct json_document {
    struct block *blocks;
    char *strings; /* all texts, unescaped, which never makes them longer */
    size_t strings_used;
};

struct parser {
    struct json_document *document;
    const char *at, *end;
};

static struct json *new_node(struct json_document *document, enum json_kind kind)
{
    struct block *block = document->blocks;
    if (block == NULL || block->used == BLOCK_NODES) {
        block = calloc(1, sizeof *block);
        if (block == NULL)
            return NULL;
        block->next = document->blocks;
        document->blocks = block;
    }
    struct json *node = &block->nodes[block->used++];
    node->kind = kind;
    return node;
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

static bool word(struct parser *p, const char *wanted)
{
    size_t length = strlen(wanted);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, wanted, length) != 0)
        return false;
    p->at += length;
    return true;
}

static int hex4(struct parser *p)
{
    int value = 0;
    if (p->end - p->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *p->at++;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* At most three bytes for the six of \uXXXX, and four for twelve. */
static char *put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/* The quote is read already. NULL when the string is malformed or holds a zero byte, which no name has. */
static const char *string(struct parser *p)
{
    char *begin = p->document->strings + p->document->strings_used, *out = begin;
    while (p->at < p->end) {
        unsigned char c = (unsigned char)*p->at++;
        if (c == '"') {
            *out++ = 0;
            p->document->strings_used += (size_t)(out - begin);
            return begin;
        }
        if (c < 0x20)
            return NULL;
        if (c != '\\') {
            *out++ = (char)c;
            continue;
        }
        if (p->at == p->end)
            return NULL;
        c = (unsigned char)*p->at++;
        static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
        const char *letter = c ? strchr(letters, c) : NULL;
        if (letter != NULL) {
            *out++ = meant[letter - letters];
            continue;
        }
        int code = c == 'u' ? hex4(p) : -1;
        if (code <= 0)
            return NULL;
        if (code >= 0xD800 && code < 0xE000) {
            int low = code < 0xDC00 && word(p, "\\u") ? hex4(p) : -1;
            if (low < 0xDC00 || low > 0xDFFF)
                return NULL;
            out = put_utf8(out, 0x10000u + ((unsigned)(code - 0xD800) << 10) + (unsigned)(low - 0xDC00));
        } else {
            out = put_utf8(out, (unsigned)code);
        }
    }
    return NULL;
}

static bool number(struct parser *p, double *value)
{
    char text[NUMBER_LIMIT + 1];
    size_t length = 0;
    while (p->at < p->end && length < NUMBER_LIMIT && *p->at != 0 && strchr("+-.eE0123456789", *p->at))
        text[length++] = *p->at++;
    text[length] = 0;
    char *stopped;
    *value = strtod(text, &stopped);
    return length > 0 && *stopped == 0 && isfinite(*value);
}

static struct json *value(struct parser *p, int depth);

static bool members(struct parser *p, struct json *parent, char closing, int depth)
{
    struct json **last = &parent->first;
    skip_space(p);
    if (p->at < p->end && *p->at == closing) {
        p->at++;
        return true;
    }
    for (;;) {
        const char *key = NULL;
        if (parent->kind == JSON_OBJECT) {
            skip_space(p);
            if (!word(p, "\"") || (key = string(p)) == NULL)
                return false;
            skip_space(p);
            if (!word(p, ":"))
                return false;
        }
        struct json *member = value(p, depth + 1);
        if (member == NULL)
            return false;
        member->key = key;
        *last = member;
        last = &member->next;
        skip_space(p);
        if (p->at == p->end)
            return false;
        char c = *p->at++;
        if (c == closing)
            return true;
        if (c != ',')
            return false;
    }
}

static struct json *value(struct parser *p, int depth)
{
    skip_space(p);
    if (p->at == p->end || depth > DEPTH_LIMIT)
        return NULL;
    struct json *node = new_node(p->document, JSON_NULL);
    if (node == NULL)
        return NULL;
    if (word(p, "{")) {
        node->kind = JSON_OBJECT;
        return members(p, node, '}', depth) ? node : NULL;
    }
    if (word(p, "[")) {
        node->kind = JSON_ARRAY;
        return members(p, node, ']', depth) ? node : NULL;
    }
    if (word(p, "\"")) {
        node->kind = JSON_STRING;
        node->text = string(p);
        return node->text != NULL ? node : NULL;
    }
    if (word(p, "null"))
        return node;
    if (word(p, "true") || word(p, "false")) {
        node->kind = p->at[-2] == 'u' ? JSON_TRUE : JSON_FALSE;
        return node;
    }
    node->kind = JSON_NUMBER;
    return number(p, &node->number) ? node : NULL;
}

struct json_document *json_parse(const char *text, size_t length, const struct json **root)
{
    struct json_document *document = calloc(1, sizeof *document);
    if (document == NULL || (document->strings = malloc(length + 1)) == NULL) {
        free(document);
        return NULL;
    }
    struct parser p = {document, text, text + length};
    struct json *found = value(&p, 0);
    skip_space(&p);
    if (found == NULL || p.at != p.end) {
        json_free(document);
        return NULL;
    }
    *root = found;
    return document;
}

void json_free(struct json_document *document)
{
    if (document == NULL)
        return;
    for (struct block *block = document->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(document->strings);
    free(document);
}

const struct json *json_member(const struct json *object, const char *key)
{
    if (object == NULL || object->kind != JSON_OBJECT)
        return NULL;
    const struct json *found = NULL;
    /* The last of several wins, as Python has it. */
    for (const struct json *member = object->first; member != NULL; member = member->next)
        if (strcmp(member->key, key) == 0)
            found = member;
    return found;
}

const char *json_text(const struct json *object, const char *key)
{
    const struct json *member = json_member(object, key);
    return member != NULL && member->kind == JSON_STRING ? member->text : NULL;
}

bool json_true(const struct json *object, const char *key)
{
    const struct json *member = json_member(object, key);
    return member != NULL && member->kind == JSON_TRUE;
}

bool json_number(const struct json *object, const char *key, double *value)
{
    const struct json *member = json_member(object, key);
    if (member == NULL || member->kind != JSON_NUMBER)
        return false;
    *value = member->number;
    return true;
}

bool json_integer(const struct json *object, const char *key, int64_t low, int64_t high, int64_t *value)
{
    double found;
    /* Beyond 2^53 doubles do not tell neighbours apart; nothing here counts so far. */
    if (!json_number(object, key, &found) || found != floor(found) || fabs(found) > 9007199254740992.0)
        return false;
    if (found < (double)low || found > (double)high)
        return false;
    *value = (int64_t)found;
    return true;
}

/* How many bytes a UTF-8 sequence has that begins here; 0 when it is none. */
static size_t sequence(const unsigned char *s)
{
    size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : s[0] >= 0xE0 && s[0] < 0xF0 ? 3 : s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
    bool outside = (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF4 && s[1] > 0x8F);
    return overlong || outside ? 0 : length;
}

void json_write_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (const unsigned char *s = (const unsigned char *)text; *s != 0;) {
        size_t length = sequence(s);
        if (length == 0)
            fputs("\\ufffd", file);
        else if (*s == '"' || *s == '\\')
            fprintf(file, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7F)
            fprintf(file, "\\u%04x", *s);
        else
            fwrite(s, 1, length, file);
        s += length != 0 ? length : 1;
    }
    fputc('"', file);
}
