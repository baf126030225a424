/* What each operator takes, by the engine's own profiler. */
#ifndef EDGEDEPLOY_PROFILE_H
#define EDGEDEPLOY_PROFILE_H

#include <stdio.h>

#include "channel.h"
#include "release.h"

/* Answer a request "profile"; 0, or -1 with words in `error` and nothing answered. */
int profile_answer(struct release *release, const struct message *request, FILE *sink, char error[ENGINE_ERROR_SIZE]);

#endif
