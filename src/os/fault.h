/* fault.h - reading mapped files whose disk may fail: SIGBUS becomes an error.
 *
 *     static void copy(void *ctx) { struct job *j = ctx; memcpy(j->out, j->mapped, j->n); }
 *     if (!nx_fault_run(copy, &job)) return nx_fail(err, NX_EIO, "%s: can't be read", path);
 *
 * The first use sets the process's handler for SIGBUS; one outside of nx_fault_run goes on to
 * whoever handled it before (by default the program ends, as it should).
 */
#ifndef NX_OS_FAULT_H
#define NX_OS_FAULT_H

#include <stdbool.h>

/* Run fn(ctx). False when it touched a page that couldn't be read: fn then stopped where it stood,
 * so it may hold no lock and own no memory. Any thread; one inside another is fine. */
bool nx_fault_run(void (*fn)(void *ctx), void *ctx);

#endif
