/* pace.c - running means in classes of row counts, and lines between them. */
#include "engine/pace.h"

#include <stddef.h>

#define EXACT    16  /* row counts up to here are classes of their own */
#define NEW      0.2 /* weight of what was just seen */
#define JUMP     2.0 /* a step that was interrupted counts for at most so many of its like */
#define FORGIVES 0.998

static int class_of(int32_t rows)
{
    int class = EXACT - 1;

    if (rows <= EXACT) return rows - 1;
    /* 17..20, 21..24, 25..28, 29..32; then steps of 8, of 16, ... */
    for (int32_t from = EXACT; class < NX_PACE_CLASSES - 5; from *= 2, class += 4)
        if (rows <= 2 * from) return class + 1 + (int)((rows - from - 1) / (from / 4));
    return NX_PACE_CLASSES - 1;
}

void nx_pace_learn(nx_pace *p, int32_t rows, double seconds)
{
    struct nx_pace_point *at = &p->point[class_of(rows)];

    if (at->rows == 0) {
        at->rows = rows;
        at->seconds = seconds;
        return;
    }
    if (seconds > JUMP * at->seconds) seconds = JUMP * at->seconds;
    at->rows += NEW * (rows - at->rows);
    at->seconds += NEW * (seconds - at->seconds);
}

bool nx_pace_knows(const nx_pace *p, int32_t rows)
{
    return p->point[class_of(rows)].rows > 0;
}

double nx_pace_cost(const nx_pace *p, int32_t rows)
{
    const struct nx_pace_point *below = NULL, *above = NULL;

    for (int i = 0; i < NX_PACE_CLASSES && !above; i++) {
        const struct nx_pace_point *at = &p->point[i];
        if (at->rows == 0) continue;
        if (at->rows <= rows)
            below = at;
        else
            above = at;
    }
    if (below && above)
        return below->seconds + (above->seconds - below->seconds) * (rows - below->rows) /
                                    (above->rows - below->rows);
    if (below) return below->seconds * rows / below->rows;
    return above ? above->seconds : 0;
}

int32_t nx_pace_room(const nx_pace *p, int32_t n_rows, int32_t n_max, double stretch)
{
    double  most = stretch * nx_pace_cost(p, n_rows);
    int32_t lo = 0, hi = n_max / 4;

    if (!nx_pace_knows(p, n_rows)) return -1;
    while (lo < hi) {
        int32_t mid = hi - (hi - lo) / 2;
        if (nx_pace_cost(p, n_rows + 4 * mid) <= most)
            lo = mid;
        else
            hi = mid - 1;
    }
    return 4 * lo;
}

void nx_pace_forgive(nx_pace *p, int32_t rows)
{
    p->point[class_of(rows)].seconds *= FORGIVES;
}
