/* watch.h - how long one document may take, and whether it is still wanted.
 *
 *     nx_watch w = nx_watch_start(limits);
 *     for (...) if ((st = nx_watch_check(&w, err))) return st;
 *
 * Thread: any; one watch each.
 */
#ifndef NX_RAG_WATCH_H
#define NX_RAG_WATCH_H

#include "os/clock.h"
#include "rag/extract.h"

typedef struct nx_watch {
    const atomic_bool *cancel; /* may be NULL */
    int64_t            end_ns;
    int32_t            seconds;
    uint32_t           n; /* of calls of nx_watch_often */
} nx_watch;

static inline nx_watch nx_watch_start(const nx_extract_limits *limits)
{
    int32_t s = limits->seconds > 0 ? limits->seconds : 1;

    return (nx_watch){limits->cancel, nx_clock_ns() + s * (int64_t)1000000000, s, 0};
}

/* NX_ECANCELLED, NX_ELIMIT (time). */
static inline nx_status nx_watch_check(const nx_watch *w, nx_error *err)
{
    if (w->cancel && atomic_load_explicit(w->cancel, memory_order_relaxed))
        return nx_fail(err, NX_ECANCELLED, "cancelled");
    if (nx_clock_ns() > w->end_ns)
        return nx_fail(err, NX_ELIMIT, "reading it takes more than %d s (the limit)", w->seconds);
    return NX_OK;
}

/* The same, looking up only every 64th time: for every tag. */
static inline nx_status nx_watch_often(nx_watch *w, nx_error *err)
{
    return w->n++ % 64 ? NX_OK : nx_watch_check(w, err);
}

#endif
