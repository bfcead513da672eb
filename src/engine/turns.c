/* turns.c - draw a number, wait for it. */
#include "engine/turns.h"

void nx_turns_init(nx_turns *t)
{
    *t = (nx_turns){0};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->next, NULL);
}

void nx_turns_free(nx_turns *t)
{
    pthread_cond_destroy(&t->next);
    pthread_mutex_destroy(&t->lock);
}

void nx_turns_wait(nx_turns *t)
{
    pthread_mutex_lock(&t->lock);
    uint64_t mine = t->n_drawn++;
    while (t->serving != mine) pthread_cond_wait(&t->next, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

void nx_turns_end(nx_turns *t)
{
    pthread_mutex_lock(&t->lock);
    t->serving++;
    pthread_cond_broadcast(&t->next);
    pthread_mutex_unlock(&t->lock);
}
