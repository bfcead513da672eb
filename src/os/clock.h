/* clock.h - time. Any thread. */
#ifndef NX_OS_CLOCK_H
#define NX_OS_CLOCK_H

#include <stdint.h>

int64_t nx_clock_ns(void);      /* monotonic, for durations */
int64_t nx_clock_unix_ms(void); /* wall clock, for people */

#endif
