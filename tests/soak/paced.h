/* paced.h - a service for tests that says a token of each job at a fixed pace and computes nothing.
 *
 * Idea:    what a job says follows from its seed alone: token i of seed s is "s.i ", filled up with dots to
 *          token_bytes. So who listens sees at once when an event is lost, doubled, or out of order, and
 *          two streams that were mixed up.
 * Thread:  one of its own; submit, stats and destroy from any.
 */
#ifndef NX_TESTS_PACED_H
#define NX_TESTS_PACED_H

#include "engine/service.h"
#include "server/models.h"

typedef struct nx_paced_options {
    double  pace;        /* tokens a second of each job; 0: as fast as they are taken */
    int32_t token_bytes; /* of a token's text, at least; 0: as it comes */
    int32_t n_slots;     /* jobs that speak at once; others wait */
    int32_t n_queue;     /* jobs that may wait */
    int32_t open_ms;     /* how long opening takes */
} nx_paced_options;

nx_status nx_paced_create(nx_service **out, const nx_paced_options *opt,
                          const nx_service_watch *watch, nx_error *err);

/* An opener whose models have the vocabulary and template of the file, and this service. opt is borrowed. */
nx_model_opener nx_paced_opener(nx_paced_options *opt);

#endif
