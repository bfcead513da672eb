/* log.h - leveled log to stderr: text for people, JSON lines for machines.
 *
 * Thread: any. One line is one write, so lines from several threads never mix.
 * The clock is handed in (base/ doesn't know the OS): without one, lines carry no time.
 */
#ifndef NX_BASE_LOG_H
#define NX_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef enum nx_log_level {
    NX_LOG_ERROR,
    NX_LOG_WARN,
    NX_LOG_INFO,
    NX_LOG_DEBUG,
} nx_log_level;

typedef struct nx_log_options {
    nx_log_level level;        /* lines above it are dropped; default NX_LOG_INFO */
    bool         json;         /* one JSON object a line: time, level, message */
    bool         colour;       /* text only */
    int          fd;           /* default 2 */
    int64_t (*clock_ms)(void); /* Unix time in milliseconds, or NULL */
} nx_log_options;

/* Before the first other thread starts; the options are copied. */
void nx_log_setup(const nx_log_options *opt);

void nx_log(nx_log_level level, const char *fmt, ...) NX_PRINTF(2, 3);

#define nx_log_error(...) nx_log(NX_LOG_ERROR, __VA_ARGS__)
#define nx_log_warn(...)  nx_log(NX_LOG_WARN, __VA_ARGS__)
#define nx_log_info(...)  nx_log(NX_LOG_INFO, __VA_ARGS__)
#define nx_log_debug(...) nx_log(NX_LOG_DEBUG, __VA_ARGS__)

#endif
