/* desk.h - threads for what is too long for an I/O thread: big bodies, tokenising, whole answers.
 *
 * Owns:   n threads and a list of tasks. A task is part of whoever posts it, so posting can't fail; it
 *         must not be posted again before its function began.
 * Thread: post from any.
 */
#ifndef NX_SERVER_DESK_H
#define NX_SERVER_DESK_H

#include "base/error.h"

typedef struct nx_task {
    struct nx_task *next;
    void (*run)(void *ctx);
    void *ctx;
} nx_task;

typedef struct nx_desk nx_desk;

nx_status nx_desk_create(nx_desk **out, int n_threads, nx_error *err); /* NX_ENOMEM */
void      nx_desk_destroy(nx_desk *d); /* does what was posted first */
void      nx_desk_post(nx_desk *d, nx_task *task, void (*run)(void *ctx), void *ctx);

#endif
