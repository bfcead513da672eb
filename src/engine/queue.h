/* queue.h - who is next: by priority, then fairly between owners.
 *
 * Idea:   start-time fair queueing (Goyal, Vin, Cheng 1996). Each item costs something; an owner's next
 *         item starts, in virtual time, where his last one ended, or now. The earliest start is first, so
 *         whoever sends a hundred requests at once waits behind whoever sends one.
 * Owns:   nothing: items belong to the caller.
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_QUEUE_H
#define NX_ENGINE_QUEUE_H

#include "engine/job.h"

/* Part of what waits. The caller sets the first three. */
typedef struct nx_queue_item {
    nx_job_priority       priority;
    uint64_t              owner;
    double                cost; /* in tokens, above 0 */
    double                start;
    struct nx_queue_item *next;
} nx_queue_item;

#define NX_QUEUE_OWNERS 128

typedef struct nx_queue {
    nx_queue_item *first; /* in order */
    int32_t        n;
    double         now; /* virtual time */
    /* Where the last item of an owner ends; those that lie before now may be forgotten. */
    struct {
        uint64_t owner;
        double   end;
    } owners[NX_QUEUE_OWNERS];
} nx_queue;

/* Zero-initialise. */
void nx_queue_push(nx_queue *q, nx_queue_item *item);

/* Back to where it was, after nx_queue_pop: it has waited before. */
void nx_queue_return(nx_queue *q, nx_queue_item *item);

nx_queue_item *nx_queue_peek(const nx_queue *q); /* NULL: empty */
nx_queue_item *nx_queue_pop(nx_queue *q);
void           nx_queue_remove(nx_queue *q, nx_queue_item *item); /* which is in it */

#endif
