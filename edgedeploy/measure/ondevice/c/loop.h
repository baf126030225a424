/* The timed loop. */
#ifndef EDGEDEPLOY_LOOP_H
#define EDGEDEPLOY_LOOP_H

#include <stdio.h>

#include "channel.h"
#include "release.h"

/* Answer a request "bench"; 0, or -1 with words in `error` and nothing answered. */
int loop_bench(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE]);

#endif
