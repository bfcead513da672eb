/* stops.h - holds text back while it could be the beginning of a stop text.
 *
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_STOPS_H
#define NX_ENGINE_STOPS_H

#include "base/buf.h"

typedef struct nx_stops {
    const nx_str *stop; /* [n_stop], borrowed; empty ones are ignored */
    size_t        n_stop;
    nx_buf        held; /* text not handed out yet */
} nx_stops;

/* Look at s->held. *n_ready is the number of bytes at its beginning that can be handed out: up to
 * the earliest stop text when one is complete (then true is returned), else all but the longest
 * ending that could still become one. */
bool nx_stops_scan(const nx_stops *s, size_t *n_ready);

/* Drop n bytes from the beginning of s->held. */
void nx_stops_drop(nx_stops *s, size_t n);

#endif
