/*
 * config_generation.h - a number that grows with every change of the banks and connectors
 *
 * The triggers on pgw.banks and pgw.connectors raise it, after the commit.
 */
#ifndef PGW_EXCHANGE_CONFIG_GENERATION_H
#define PGW_EXCHANGE_CONFIG_GENERATION_H

#include "postgres.h"

extern uint64 pgw_exchange_generation(void);
extern void pgw_exchange_bump_generation(void);

/*
 * Between the commit of a change and the bump, others can see the change already. So from before
 * the commit until after the bump (or the abort) the configuration counts as changing: what is read
 * meanwhile may be used once only.
 */
extern void pgw_exchange_begin_config_change(void);
extern void pgw_exchange_end_config_change(void);
extern bool pgw_exchange_config_is_changing(void);

/*
 * A transaction that has changed the configuration is being PREPAREd: who ends it will have no
 * trigger to tell of the change.  So it takes a lock that goes with it, over a restart, too.
 */
extern void pgw_exchange_mark_prepared_change(void);

/* Is there such a transaction in this database?  Never waits; yes may also be said wrongly. */
extern bool pgw_exchange_prepared_change(void);

#endif
