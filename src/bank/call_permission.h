/*
 * call_permission.h - whether a bank may be called now: circuit breakers and retry budgets (core/pacing/circuit_breaker.h, core/pacing/retry_budget.h)
 */
#ifndef PGW_BANK_CALL_PERMISSION_H
#define PGW_BANK_CALL_PERMISSION_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "core/pacing/circuit_breaker.h"

extern void pgw_bank_health_init(void); /* _PG_init: settings */
extern void pgw_bank_health_start(void);	/* the worker's start, in its transaction: what was saved */

/*
 * Leave for one call.  A retry also needs a token of the bank's budget.  true: *pass is to be reported.  false: not before *when.
 */
extern bool pgw_bank_allows(const char *bank, PgwOp op, bool retry, PgwBreakerPass *pass, TimestampTz *when);

/* Would it be refused by an open breaker?  Takes nothing. */
extern bool pgw_bank_is_shut(const char *bank, PgwOp op);

/* What came of a call with that pass. */
extern void pgw_bank_report(const char *bank, PgwOp op, const PgwBreakerPass *pass, PgwVerdict verdict);

/* The next bank whose charges are refused until somebody has seen it alive, and whose time for that has come: *pass is for its ping. NULL: none. */
extern const char *pgw_bank_to_probe(PgwBreakerPass *pass);
extern TimestampTz pgw_bank_next_probe(void);	/* 0: none */

extern bool pgw_bank_health_changed(void);
extern void pgw_bank_health_save(void); /* in the worker's transaction: what has changed goes to pgw.bank_states */
extern void pgw_bank_health_saved(void);

/* The worker, in a transaction: forget what is no bank's, and was not asked about for an hour. */
extern void pgw_bank_health_tidy(void);	/* ... and is committed */

#endif
