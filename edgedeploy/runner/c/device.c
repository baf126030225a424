#define _GNU_SOURCE /* sched_getaffinity, getloadavg, nftw, strcasestr */
#include "device.h"

#include <ctype.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "firmware.h"
#include "json.h"

#ifndef SYS
#define SYS "/sys"
#endif

enum { FILE_LIMIT = 1 << 16, NAME_LIMIT = 256, KINDS_LIMIT = 8, ARM = 0x41 };

/* Part numbers in Arm's MIDR_EL1; the same as in ../python/device.py, which names the source. */
static const struct {
    long part;
    const char *name;
} arm_cores[] = {
    {0xB76, "ARM1176"},     {0xC05, "Cortex-A5"},   {0xC07, "Cortex-A7"},   {0xC08, "Cortex-A8"},
    {0xC09, "Cortex-A9"},   {0xC0D, "Cortex-A17"},  {0xC0E, "Cortex-A17"},  {0xC0F, "Cortex-A15"},
    {0xD01, "Cortex-A32"},  {0xD02, "Cortex-A34"},  {0xD03, "Cortex-A53"},  {0xD04, "Cortex-A35"},
    {0xD05, "Cortex-A55"},  {0xD07, "Cortex-A57"},  {0xD08, "Cortex-A72"},  {0xD09, "Cortex-A73"},
    {0xD0A, "Cortex-A75"},  {0xD0B, "Cortex-A76"},  {0xD0C, "Neoverse N1"}, {0xD0D, "Cortex-A77"},
    {0xD0E, "Cortex-A76AE"}, {0xD40, "Neoverse V1"}, {0xD41, "Cortex-A78"},  {0xD42, "Cortex-A78AE"},
    {0xD46, "Cortex-A510"}, {0xD47, "Cortex-A710"}, {0xD49, "Neoverse N2"}, {0xD4B, "Cortex-A78C"},
    {0xD80, "Cortex-A520"}, {0xD81, "Cortex-A720"},
};

/* A small file's text without white space around it; NULL when it cannot be read. To be freed. */
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    char *text = malloc(FILE_LIMIT + 1);
    size_t size = text != NULL ? fread(text, 1, FILE_LIMIT, file) : 0;
    fclose(file);
    if (text == NULL)
        return NULL;
    /* A device tree's strings end with a zero byte. */
    while (size > 0 && (isspace((unsigned char)text[size - 1]) || text[size - 1] == 0))
        size--;
    text[size] = 0;
    size_t skipped = strspn(text, " \t\r\n");
    memmove(text, text + skipped, strlen(text + skipped) + 1);
    return text;
}

/* The value of `key: value`, or NULL when the line is of another key. Cuts the line's text. */
static char *value_of(char *line, const char *key)
{
    size_t length = strlen(key);
    if (strncasecmp(line, key, length) != 0)
        return NULL;
    char *at = line + length;
    at += strspn(at, " \t");
    if (*at++ != ':')
        return NULL;
    return at + strspn(at, " \t");
}

int device_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (int)count : 1;
}

/* "0,2,3", as far as there is room. */
static void write_set(const cpu_set_t *set, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && used < size; cpu++)
        if (CPU_ISSET(cpu, set))
            used += (size_t)snprintf(text + used, size - used, "%s%d", used > 0 ? "," : "", cpu);
}

int device_bind(const struct json *wanted, char *error, size_t error_size)
{
    cpu_set_t allowed, set, found;
    bool known = true;
    CPU_ZERO(&set);
    for (const struct json *number = wanted->first; number != NULL; number = number->next) {
        known = known && number->kind == JSON_NUMBER && number->number >= 0 && number->number < CPU_SETSIZE;
        if (known)
            CPU_SET((int)number->number, &set);
    }
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return snprintf(error, error_size, "RequestError: this system binds no process to CPUs"), -1;
    /* The kernel leaves out CPUs that there are none of, and takes the rest. */
    if (known && sched_setaffinity(0, sizeof set, &set) == 0 && sched_getaffinity(0, sizeof found, &found) == 0 &&
        CPU_EQUAL(&set, &found))
        return 0;
    sched_setaffinity(0, sizeof allowed, &allowed);
    char asked[160], may[160];
    write_set(&set, asked, sizeof asked);
    write_set(&allowed, may, sizeof may);
    return snprintf(error, error_size, "RequestError: this process cannot be bound to CPU %s; it may use CPU %s", asked, may), -1;
}

/* `line` of /proc/meminfo or /proc/self/status in bytes, or -1. */
static int64_t kilobytes(const char *path, const char *key)
{
    char *text = read_text(path), *rest = text;
    int64_t found = -1;
    for (char *line; text != NULL && found < 0 && (line = strsep(&rest, "\n")) != NULL;) {
        char *value = value_of(line, key);
        if (value != NULL && isdigit((unsigned char)*value))
            found = strtoll(value, NULL, 10) * 1024;
    }
    free(text);
    return found;
}

int64_t device_peak_rss_bytes(void) { return kilobytes("/proc/self/status", "VmHWM"); }

static void write_member(FILE *file, const char *key, const char *text)
{
    fprintf(file, ", \"%s\": ", key);
    if (text != NULL)
        json_write_text(file, text);
    else
        fputs("null", file);
}

static void write_bytes(FILE *file, const char *key, int64_t bytes)
{
    if (bytes >= 0)
        fprintf(file, ", \"%s\": %lld", key, (long long)bytes);
    else
        fprintf(file, ", \"%s\": null", key);
}

struct core {
    char implementer[16], part[16], variant[16], revision[16], model[NAME_LIMIT];
};

/* Of one block of /proc/cpuinfo; false when it says nothing of a core. */
static bool core_name(const struct core *core, char name[NAME_LIMIT])
{
    if (core->part[0] == 0) {
        snprintf(name, NAME_LIMIT, "%s", core->model);
        return core->model[0] != 0;
    }
    char *stopped_1, *stopped_2;
    long implementer = strtol(core->implementer, &stopped_1, 16), part = strtol(core->part, &stopped_2, 16);
    if (core->implementer[0] == 0 || *stopped_1 != 0 || *stopped_2 != 0)
        snprintf(name, NAME_LIMIT, "part %s", core->part);
    else if (implementer != ARM)
        snprintf(name, NAME_LIMIT, "implementer 0x%02lx part 0x%03lx", implementer, part);
    else {
        char known[24];
        snprintf(known, sizeof known, "core 0x%03lx", part);
        for (size_t i = 0; i < sizeof arm_cores / sizeof *arm_cores; i++)
            if (arm_cores[i].part == part)
                snprintf(known, sizeof known, "%s", arm_cores[i].name);
        const char *variant = strncmp(core->variant, "0x", 2) == 0 ? core->variant + 2 : core->variant;
        snprintf(name, NAME_LIMIT, "Arm %s r%sp%s", known, *variant ? variant : "?", core->revision[0] ? core->revision : "?");
    }
    return true;
}

static void keep(char *place, size_t size, const char *value)
{
    if (value != NULL && place[0] == 0)
        snprintf(place, size, "%s", value);
}

static void write_features(FILE *file, char *features)
{
    fputs(", \"cpu_features\": [", file);
    bool first = true;
    for (char *word; features != NULL && (word = strsep(&features, " \t")) != NULL;) {
        if (*word == 0)
            continue;
        fputs(first ? "" : ", ", file);
        json_write_text(file, word);
        first = false;
    }
    fputs("]", file);
}

/* Names of the cores, with how many of each where there are several kinds, and the features of the first. */
static void write_cpu(FILE *file)
{
    char names[KINDS_LIMIT][NAME_LIMIT], *text = read_text("/proc/cpuinfo"), *rest = text, *features = NULL;
    int counts[KINDS_LIMIT] = {0}, kinds = 0;
    struct core core = {0};
    for (bool more = text != NULL; more;) {
        char *line = strsep(&rest, "\n");
        more = line != NULL;
        char name[NAME_LIMIT];
        if (more && *line != 0) {
            char *value;
            keep(core.implementer, sizeof core.implementer, value_of(line, "CPU implementer"));
            keep(core.part, sizeof core.part, value_of(line, "CPU part"));
            keep(core.variant, sizeof core.variant, value_of(line, "CPU variant"));
            keep(core.revision, sizeof core.revision, value_of(line, "CPU revision"));
            keep(core.model, sizeof core.model, value_of(line, "model name"));
            if (features == NULL && ((value = value_of(line, "Features")) != NULL || (value = value_of(line, "flags")) != NULL))
                features = value;
        } else {
            if (core_name(&core, name)) {
                int kind = 0;
                while (kind < kinds && strcmp(names[kind], name) != 0)
                    kind++;
                if (kind < KINDS_LIMIT) {
                    strcpy(names[kind], name);
                    counts[kind]++;
                    kinds = kind == kinds ? kinds + 1 : kinds;
                }
            }
            memset(&core, 0, sizeof core);
        }
    }
    char all[KINDS_LIMIT * (NAME_LIMIT + 16)] = "unknown";
    size_t used = 0;
    for (int kind = 0; kind < kinds; kind++) {
        const char *joint = kind > 0 ? " + " : "";
        used += kinds > 1 ? (size_t)snprintf(all + used, sizeof all - used, "%s%d x %s", joint, counts[kind], names[kind])
                          : (size_t)snprintf(all, sizeof all, "%s", names[kind]);
    }
    write_member(file, "cpu", all);
    write_features(file, features);
    free(text);
}

static void write_os(FILE *file, const char *system)
{
    char *text = read_text("/etc/os-release"), *rest = text, *name = NULL;
    for (char *line; text != NULL && name == NULL && (line = strsep(&rest, "\n")) != NULL;)
        if (strncmp(line, "PRETTY_NAME=", 12) == 0) {
            name = line + 12;
            name += strspn(name, "\"'");
            for (size_t length = strlen(name); length > 0 && strchr("\"'", name[length - 1]) != NULL; length--)
                name[length - 1] = 0;
        }
    write_member(file, "os", name != NULL ? name : system);
    free(text);
}

/* Of the whole numbers that the files hold which the pattern matches; false where there is none. */
static bool largest(const char *pattern, int base, double *found)
{
    glob_t paths;
    bool any = false;
    if (glob(pattern, 0, NULL, &paths) != 0)
        return false;
    for (size_t i = 0; i < paths.gl_pathc; i++) {
        char *text = read_text(paths.gl_pathv[i]), *stopped;
        double number = text != NULL ? (double)strtoll(text, &stopped, base) : 0;
        if (text != NULL && stopped != text && *stopped == 0 && (!any || number > *found)) {
            *found = number;
            any = true;
        }
        free(text);
    }
    globfree(&paths);
    return any;
}

static void write_largest(FILE *file, const char *key, const char *pattern, double unit)
{
    double found;
    if (largest(pattern, 10, &found))
        fprintf(file, ", \"%s\": %.10g", key, found / unit);
    else
        fprintf(file, ", \"%s\": null", key);
}

static void write_load(FILE *file)
{
    double load;
    if (getloadavg(&load, 1) == 1)
        fprintf(file, ", \"load_average_1min\": %.2f", load);
    else
        fputs(", \"load_average_1min\": null", file);
}

/* Of the largest sensor; the kernel gives microwatts, or a rail's milliamperes and millivolts (a Jetson's INA3221). */
static void write_power(FILE *file)
{
    glob_t paths;
    double most = 0, found, voltage;
    bool any = largest(SYS "/class/hwmon/hwmon*/power*_input", 10, &most);
    if (glob(SYS "/class/hwmon/hwmon*/curr*_input", 0, NULL, &paths) == 0) {
        for (size_t i = 0; i < paths.gl_pathc; i++) {
            char path[512];
            const char *name = strrchr(paths.gl_pathv[i], '/');
            snprintf(path, sizeof path, "%.*s/in%s", (int)(name - paths.gl_pathv[i]), paths.gl_pathv[i], name + strlen("/curr"));
            if (largest(paths.gl_pathv[i], 10, &found) && largest(path, 10, &voltage)) {
                most = any && most > found * voltage ? most : found * voltage;
                any = true;
            }
        }
        globfree(&paths);
    }
    fprintf(file, any ? ", \"power_w\": %.10g" : ", \"power_w\": null", most / 1e6);
}

/* How far the kernel slows the cores down. "cpufreq-cpu0" on Arm, "Processor" on x86; others are fans and the like. */
static void write_cooling(FILE *file)
{
    glob_t paths;
    double most = -1, found;
    if (glob(SYS "/class/thermal/cooling_device*", 0, NULL, &paths) == 0) {
        for (size_t i = 0; i < paths.gl_pathc; i++) {
            char path[512], *kind;
            snprintf(path, sizeof path, "%s/type", paths.gl_pathv[i]);
            kind = read_text(path);
            snprintf(path, sizeof path, "%s/cur_state", paths.gl_pathv[i]);
            if (kind != NULL && (strcasestr(kind, "cpu") != NULL || strcasecmp(kind, "Processor") == 0) && largest(path, 10, &found))
                most = found > most ? found : most;
            free(kind);
        }
        globfree(&paths);
    }
    fprintf(file, most >= 0 ? ", \"cooling\": %.0f" : ", \"cooling\": null", most);
}

/* Seconds that all CPUs together were at work since the start, or taken by a hypervisor; and this process was. */
static void write_cpu_time(FILE *file)
{
    long long user, nice, system, idle, iowait, irq, softirq, steal;
    char *text = read_text("/proc/stat");
    if (text != NULL && sscanf(text, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system, &idle, &iowait, &irq,
                               &softirq, &steal) == 8)
        fprintf(file, ", \"cpu_busy_s\": %.2f",
                (double)(user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK));
    else
        fputs(", \"cpu_busy_s\": null", file);
    free(text);
    struct timespec own;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    fprintf(file, ", \"cpu_own_s\": %.6f", (double)own.tv_sec + (double)own.tv_nsec / 1e9);
}

void device_write_state(FILE *file, bool asks)
{
    double bits, degrees;
    bool told = largest(SYS "/devices/platform/soc*/*firmware/get_throttled", 16, &bits) || (asks && firmware_throttled(&bits));
    fprintf(file, told ? "{\"throttled\": %.0f" : "{\"throttled\": null", told ? bits : 0);
    if (asks && !largest(SYS "/class/thermal/thermal_zone*/temp", 10, &degrees) && firmware_temperature_c(&degrees))
        fprintf(file, ", \"temperature_c\": %.10g", degrees);
    else
        write_largest(file, "temperature_c", SYS "/class/thermal/thermal_zone*/temp", 1e3);
    write_largest(file, "clock_mhz", SYS "/devices/system/cpu/cpufreq/policy*/scaling_cur_freq", 1e3);
    write_power(file);
    write_cooling(file);
    write_bytes(file, "memory_available_bytes", kilobytes("/proc/meminfo", "MemAvailable"));
    int64_t swap = kilobytes("/proc/meminfo", "SwapTotal"), free_swap = kilobytes("/proc/meminfo", "SwapFree");
    write_bytes(file, "swap_used_bytes", swap >= 0 && free_swap >= 0 ? swap - free_swap : -1);
    write_load(file);
    write_cpu_time(file);
    fputs("}", file);
}

static int forget(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)place;
    int file = kind == FTW_F ? open(path, O_RDONLY) : -1;
    if (file >= 0) {
        fdatasync(file); /* only what is on the disk already can be taken out */
        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
    }
    return 0;
}

void device_forget_files(const char *folder) { nftw(folder, forget, 16, FTW_PHYS); }

void device_write_memory(FILE *file)
{
    write_bytes(file, "rss_bytes", kilobytes("/proc/self/smaps_rollup", "Rss"));
    write_bytes(file, "pss_bytes", kilobytes("/proc/self/smaps_rollup", "Pss"));
    write_bytes(file, "peak_rss_bytes", kilobytes("/proc/self/status", "VmHWM"));
}

void device_write_conditions(FILE *file, const char *runtime)
{
    struct utsname names;
    char kernel[sizeof names.sysname + sizeof names.release + 2];
    if (uname(&names) != 0)
        memset(&names, 0, sizeof names);
    snprintf(kernel, sizeof kernel, "%s %s", names.sysname, names.release);
    fputs("{\"machine\": ", file);
    json_write_text(file, names.machine);
    write_member(file, "kernel", kernel);
    write_cpu(file);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    fprintf(file, ", \"cores\": %ld", cores > 0 ? cores : 1);
    char *board = read_text("/proc/device-tree/model");
    write_member(file, "board", board != NULL && *board != 0 ? board : NULL);
    free(board);
    write_os(file, names.sysname);
    write_bytes(file, "memory_total_bytes", kilobytes("/proc/meminfo", "MemTotal"));
    write_bytes(file, "memory_available_bytes", kilobytes("/proc/meminfo", "MemAvailable"));
    write_load(file);
    write_largest(file, "temperature_c", SYS "/class/thermal/thermal_zone*/temp", 1e3);
    write_largest(file, "clock_max_mhz", SYS "/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq", 1e3);
    char *governor = read_text(SYS "/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    write_member(file, "governor", governor);
    free(governor);
    fprintf(file, ", \"python\": \"none\", \"runtime\": {%s}}", runtime);
}
