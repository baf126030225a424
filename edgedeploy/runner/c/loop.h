/* The timed loop. */
#ifndef EDGEDEPLOY_LOOP_H
#define EDGEDEPLOY_LOOP_H

#include <stdio.h>

#include "channel.h"
#include "release.h"

/* Answer a request "bench"; 0, or -1 with words in `error` and nothing answered. */
int loop_bench(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE]);

/* Run the golden inputs in turn, so many times in all; 0, or -1 with words in `error`. */
int loop_golden(struct release *release, int64_t runs, char error[ENGINE_ERROR_SIZE]);

/* Time the golden inputs for so many seconds and say in one line of JSON what was seen; 0 or 1, to exit with. */
int loop_alone(double seconds, FILE *sink);

#endif
