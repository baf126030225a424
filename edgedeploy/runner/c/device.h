/* What this device says of itself. */
#ifndef EDGEDEPLOY_DEVICE_H
#define EDGEDEPLOY_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "json.h"

/* How many cores this process may use. */
int device_cores(void);
/* Let this process, and the threads that it will start, run on these CPUs only: an array of their numbers. 0, or -1 with
   words for a person in `error`. */
int device_bind(const struct json *wanted, char *error, size_t error_size);
/* Largest resident set of this process so far, or -1. */
int64_t device_peak_rss_bytes(void);
/* Members of the answer to "memory", each with a comma before it: the largest resident set of this process so far, and
   what it has in memory now, all of it and its proportional share. */
void device_write_memory(FILE *file);
/* The object "state" as ../python/device.py writes it. `asks`: what the kernel does not tell is asked of the firmware's program. */
void device_write_state(FILE *file, bool asks);
/* Take the files in a folder out of the page cache, as far as nobody has them mapped (posix_fadvise(2)). */
void device_forget_files(const char *folder);
/* The object "conditions" as ../python/device.py writes it; `runtime` are the members of its "runtime". */
void device_write_conditions(FILE *file, const char *runtime);

#endif
