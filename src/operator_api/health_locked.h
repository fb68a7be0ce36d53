/*
 * health_locked.h - pgw.health(): a check that would have to wait for a lock says so instead
 */
#ifndef PGW_OPERATOR_API_HEALTH_LOCKED_H
#define PGW_OPERATOR_API_HEALTH_LOCKED_H

#include "operator_api/health_report.h"

#define PGW_HEALTH_CHECK_ROWS 10

typedef struct PgwHealthCheck
{
	void (*look)(PgwHealthReport *r);
	const char *rows[PGW_HEALTH_CHECK_ROWS]; /* what it puts, in that order; the last one always */
} PgwHealthCheck;

/*
 * From here to pgw_health_unbound_waits() no lock is waited for longer than a moment.
 * Returns what that function takes.  An error in between undoes it, as it undoes all settings.
 */
extern int pgw_health_bound_waits(void);
extern void pgw_health_unbound_waits(int nest_level);

/*
 * Runs that in a subtransaction.  Returns NULL, or what it has failed with, after it was rolled
 * back.
 */
extern ErrorData *pgw_health_try(void (*run)(void *arg), void *arg);

/* Puts the rows of the check: for those that a lock kept it from, rows that say so.  Within SPI. */
extern void pgw_health_run(PgwHealthReport *r, const PgwHealthCheck *check);

/* pgw_require(caller, level), which reads a table, too: who must not wait for it is told why. */
extern void pgw_health_require(Oid caller, const char *level);

#endif
