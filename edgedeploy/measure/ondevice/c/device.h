/* What this device says of itself. */
#ifndef EDGEDEPLOY_DEVICE_H
#define EDGEDEPLOY_DEVICE_H

#include <stdint.h>
#include <stdio.h>

/* How many cores this process may use. */
int device_cores(void);
/* Largest resident set of this process so far, or -1. */
int64_t device_peak_rss_bytes(void);
/* The object "conditions" as runner.py writes it; `runtime` are the members of its "runtime". */
void device_write_conditions(FILE *file, const char *runtime);

#endif
