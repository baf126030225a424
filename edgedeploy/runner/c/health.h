/* Whether the release works here: it loads, and answers the golden inputs as it should. */
#ifndef EDGEDEPLOY_HEALTH_H
#define EDGEDEPLOY_HEALTH_H

#include <stdio.h>

/* Write one line of JSON; 0 when the release is healthy, 1 when it is not. */
int health_check(FILE *sink);

#endif
