/*
 * exchange.h - shared memory between the callers' backends and the workers: whether there is any
 *
 * What can be done with it is in the other headers of this room; its layout, which few may look at,
 * in exchange_shmem.h.
 */
#ifndef PGW_EXCHANGE_EXCHANGE_H
#define PGW_EXCHANGE_EXCHANGE_H

#include "postgres.h"

extern int pgw_max_waiting;      /* GUC: slots */
extern int pgw_role_max_waiting; /* GUC: slots that one role's callers may hold at once */

extern void pgw_exchange_init(void);      /* _PG_init: settings, shared memory */
extern bool pgw_exchange_available(void); /* preloaded? */

#endif
