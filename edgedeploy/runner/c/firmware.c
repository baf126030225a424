#define _GNU_SOURCE /* popen */
#include "firmware.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What stands behind `key` in the answer; false where it does not begin with that, or the program failed. */
static bool answer(const char *command, const char *key, char *value, int size)
{
    FILE *program = popen(command, "r");
    if (program == NULL)
        return false;
    char line[128] = "";
    bool told = fgets(line, sizeof line, program) != NULL && strncmp(line, key, strlen(key)) == 0;
    if (pclose(program) != 0 || !told)
        return false;
    snprintf(value, (size_t)size, "%s", line + strlen(key));
    return true;
}

bool firmware_throttled(double *bits)
{
    char value[128], *stopped;
    if (!answer("exec vcgencmd get_throttled 2>/dev/null </dev/null", "throttled=", value, sizeof value))
        return false;
    *bits = (double)strtol(value, &stopped, 16);
    return stopped != value && *bits >= 0;
}

bool firmware_temperature_c(double *degrees)
{
    char value[128], *stopped;
    if (!answer("exec vcgencmd measure_temp 2>/dev/null </dev/null", "temp=", value, sizeof value))
        return false;
    *degrees = strtod(value, &stopped);
    return stopped != value && *degrees > -273 && *degrees < 1000;
}
