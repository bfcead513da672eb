/* snapshot.c - how readers get a snapshot without waiting for anyone.
 *
 * Idea:      `published` names the newest snapshot, which holds a reference to itself. A reader
 *            writes its pointer into a hazard slot, looks whether it is still the published one,
 *            and only then counts itself in. A writer that replaces it first looks through the
 *            slots: one that is named there stays on the list of retired ones until the next time.
 * Invariant: a retired snapshot's own reference is given up only when no slot names it, and no
 *            slot can come to name it after that, since it is no longer published.
 */
#include <sched.h>

#include "base/alloc.h"
#include "store/collection.h"

nx_snapshot *nx_snapshot_spare(void)
{
    return nx_calloc(1, sizeof(nx_snapshot));
}

static void free_snapshot(nx_snapshot *s)
{
    nx_head_release(s->head);
    nx_head_release(s->frozen);
    for (int i = 0; i < s->n_segs; i++) nx_seg_release(s->segs[i]);
    nx_free(s);
}

void nx_snapshot_release(nx_snapshot *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) free_snapshot(s);
}

/* A free hazard slot, taken with s in it. Each is held for some instructions only. */
static _Atomic(nx_snapshot *) *take_slot(nx_collection *c, nx_snapshot *s)
{
    static _Thread_local unsigned last;

    for (unsigned tries = 0;; tries++) {
        _Atomic(nx_snapshot *) *slot = &c->hazards[(last + tries) % NX_HAZARDS];
        nx_snapshot            *none = NULL;
        if (atomic_compare_exchange_strong(slot, &none, s)) {
            last = (last + tries) % NX_HAZARDS;
            return slot;
        }
        if (tries % NX_HAZARDS == NX_HAZARDS - 1) sched_yield();
    }
}

nx_snapshot *nx_snapshot_take(nx_collection *c)
{
    nx_snapshot            *s = atomic_load(&c->published);
    _Atomic(nx_snapshot *) *slot = take_slot(c, s);

    for (;;) {
        nx_snapshot *now = atomic_load(&c->published);
        if (now == s) break;
        s = now;
        atomic_store(slot, s);
    }
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    atomic_store(slot, NULL);
    return s;
}

static bool in_hazard(nx_collection *c, const nx_snapshot *s)
{
    for (int i = 0; i < NX_HAZARDS; i++)
        if (atomic_load(&c->hazards[i]) == s) return true;
    return false;
}

static void sweep_retired(nx_collection *c)
{
    nx_snapshot **at = &c->retired;

    while (*at) {
        nx_snapshot *s = *at;
        if (in_hazard(c, s)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        nx_snapshot_release(s);
    }
}

void nx_publish(nx_collection *c, uint64_t seq)
{
    nx_snapshot *s = c->spares, *old = atomic_load(&c->published);

    c->spares = s->next;
    s->next = NULL;
    atomic_init(&s->refs, 1);
    s->c = c;
    s->seq = old && old->seq > seq ? old->seq : seq;
    nx_head_retain(s->head = c->head);
    if (c->frozen) nx_head_retain(s->frozen = c->frozen);
    for (s->n_segs = 0; s->n_segs < c->n_segs; s->n_segs++)
        nx_seg_retain(s->segs[s->n_segs] = c->segs[s->n_segs]);
    atomic_store(&c->published, s);
    if (old) {
        old->next = c->retired;
        c->retired = old;
    }
    sweep_retired(c);
}

void nx_unpublish(nx_collection *c)
{
    nx_snapshot *s = atomic_exchange(&c->published, NULL);

    sweep_retired(c);
    nx_snapshot_release(s);
    while (c->spares) {
        s = c->spares;
        c->spares = s->next;
        nx_free(s);
    }
}

uint64_t nx_snapshot_seq(const nx_snapshot *s)
{
    return s->seq;
}
