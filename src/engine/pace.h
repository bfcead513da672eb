/* pace.h - what a step costs by the number of its rows, learnt while stepping.
 *
 * Idea:   few rows cost hardly more than one where memory is the limit, and as many times more where
 *         arithmetic is; where the bend lies depends on machine, model and type of weights. So nothing
 *         is assumed: each step teaches the cost of its number of rows. Numbers of rows are kept in
 *         classes, one each up to 16 and four for each doubling above.
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_PACE_H
#define NX_ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define NX_PACE_CLASSES 80

/* Zero-initialise. */
typedef struct nx_pace {
    struct nx_pace_point {
        double rows, seconds; /* running means of the steps of this class; 0: none yet */
    } point[NX_PACE_CLASSES];
} nx_pace;

void nx_pace_learn(nx_pace *p, int32_t rows, double seconds);

/* Has a step of about so many rows been seen? */
bool nx_pace_knows(const nx_pace *p, int32_t rows);

/* Seconds that a step of so many rows may take: between its neighbours, or in proportion to the nearest
 * one when there is none on the other side. 0: nothing is known. */
double nx_pace_cost(const nx_pace *p, int32_t rows);

/* The most rows, beside the n_rows that are there, with which a step costs at most `stretch` times as
 * much; a multiple of 4, at most n_max. -1: nothing is known of n_rows. */
int32_t nx_pace_room(const nx_pace *p, int32_t n_rows, int32_t n_max, double stretch);

/* A step of so many rows was not taken since it seems dear: let it seem a little less so, that one
 * day it is tried again. What was measured in a bad moment isn't believed for ever. */
void nx_pace_forgive(nx_pace *p, int32_t rows);

#endif
