/* What a Raspberry Pi's firmware tells where the kernel does not: by its own program, vcgencmd. */
#ifndef EDGEDEPLOY_FIRMWARE_H
#define EDGEDEPLOY_FIRMWARE_H

#include <stdbool.h>

/* The bits of get_throttled; false where there is no such program, or it says something else. It is started for that,
   which takes milliseconds: not to be asked while inferences are timed. */
bool firmware_throttled(double *bits);
/* Of the processor, in degrees Celsius; likewise. */
bool firmware_temperature_c(double *degrees);

#endif
