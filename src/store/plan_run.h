/* plan_run.h - a plan run in full: for groups. */
#ifndef NX_STORE_PLAN_RUN_H
#define NX_STORE_PLAN_RUN_H

#include "store/plan.h"

/* As nx_plan_run. open: offsets and the limits of sources don't count. */
nx_status nx_plan_run_open(nx_snapshot *s, const nx_plan *plan, bool open, nx_results *out,
                           nx_pool *pool, nx_error *err);

#endif
