/* Messages over two files: a line of JSON, and after it the raw bytes of the arrays that it lists. See runner.py. */
#ifndef EDGEDEPLOY_CHANNEL_H
#define EDGEDEPLOY_CHANNEL_H

#include <stdbool.h>
#include <stdio.h>

#include "engine.h"
#include "json.h"

struct message {
    struct json_document *document; /* `root` and the arrays' names belong to it */
    const struct json *root;
    struct tensor *arrays; /* each with data of its own */
    size_t count;
};

enum received { RECEIVED, RECEIVED_END, RECEIVED_CUT, RECEIVED_NONSENSE };

/* The next message; RECEIVED_CUT when the stream ends within one. After RECEIVED_NONSENSE, with words in `error`, nobody knows where another one begins. */
enum received channel_receive(FILE *source, struct message *message, char error[ENGINE_ERROR_SIZE]);
void message_free(struct message *message);

/* The array of that name, or NULL. */
const struct tensor *message_array(const struct message *message, const char *name);

/* Write `, "arrays": […]}` and the arrays after it, and flush. `prefixes[i]` comes before the i-th name. */
void channel_finish(FILE *sink, const struct tensor *arrays, const char *const *prefixes, size_t count);

#endif
