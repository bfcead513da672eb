/* turns.h - steps of several requests, in the order in which they were asked for.
 *
 * Idea:   a number is drawn, as at a counter: whoever takes many steps draws anew for each, and lets in
 *         between those who came meanwhile. A plain mutex promises no order.
 * Thread: any.
 */
#ifndef NX_ENGINE_TURNS_H
#define NX_ENGINE_TURNS_H

#include <pthread.h>
#include <stdint.h>

typedef struct nx_turns {
    pthread_mutex_t lock;
    pthread_cond_t  next;
    uint64_t        n_drawn, serving;
} nx_turns;

void nx_turns_init(nx_turns *t);
void nx_turns_free(nx_turns *t); /* nobody waits any more */
void nx_turns_wait(nx_turns *t); /* until it is the caller's */
void nx_turns_end(nx_turns *t);

#endif
