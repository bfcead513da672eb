/* order.h - what a payload's values say about a point's place: of ORDER, and chance.
 *
 * Thread: any; nothing is kept.
 */
#ifndef NX_STORE_ORDER_H
#define NX_STORE_ORDER_H

#include "store/ranks.h"

/* Into best: the point once for each different number or time at the plan's path that counts. NX_ENOMEM. */
nx_status nx_order_push(nx_ranks *best, const nx_plan *plan, nx_point_id id, nx_value payload,
                        nx_error *err);

/* The plan's draw for a point: the same for the same seed. */
nx_order_value nx_order_chance(uint64_t seed, nx_point_id id);

#endif
