/* queue.c - an ordered list; short enough (hundreds) that walking it costs nothing. */
#include "engine/queue.h"

#include <stddef.h>

/* The end of the owner's last item, to be read and set. A full table gives up the earliest end: that
 * owner has waited longest for nothing. */
static double *end_of(nx_queue *q, uint64_t owner)
{
    size_t oldest = 0;

    for (size_t i = 0; i < NX_QUEUE_OWNERS; i++) {
        if (q->owners[i].owner == owner && q->owners[i].end > 0) return &q->owners[i].end;
        if (q->owners[i].end < q->owners[oldest].end) oldest = i;
    }
    q->owners[oldest].owner = owner;
    q->owners[oldest].end = q->now;
    return &q->owners[oldest].end;
}

static bool before(const nx_queue_item *a, const nx_queue_item *b)
{
    if (a->priority != b->priority) return a->priority < b->priority;
    return a->start < b->start;
}

void nx_queue_return(nx_queue *q, nx_queue_item *item)
{
    nx_queue_item **link = &q->first;

    while (*link && !before(item, *link)) link = &(*link)->next;
    item->next = *link;
    *link = item;
    q->n++;
}

void nx_queue_push(nx_queue *q, nx_queue_item *item)
{
    double *end = end_of(q, item->owner);

    item->start = *end > q->now ? *end : q->now;
    *end = item->start + item->cost;
    nx_queue_return(q, item);
}

nx_queue_item *nx_queue_peek(const nx_queue *q)
{
    return q->first;
}

nx_queue_item *nx_queue_pop(nx_queue *q)
{
    nx_queue_item *item = q->first;

    if (!item) return NULL;
    q->first = item->next;
    q->n--;
    if (item->start > q->now) q->now = item->start;
    return item;
}

void nx_queue_remove(nx_queue *q, nx_queue_item *item)
{
    nx_queue_item **link = &q->first;

    while (*link != item) link = &(*link)->next;
    *link = item->next;
    q->n--;
}
