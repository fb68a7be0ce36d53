/*
 * call_permission.h - whether a bank may be called now: circuit breakers and retry budgets
 * (core/pacing/circuit_breaker.h, core/pacing/retry_budget.h)
 */
#ifndef PGW_BANK_CALL_PERMISSION_H
#define PGW_BANK_CALL_PERMISSION_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "core/pacing/circuit_breaker.h"
#include "core/pacing/retry_budget.h"

extern void pgw_bank_health_init(void); /* _PG_init: settings */
/* the worker's start, in its transaction: what was saved */
extern void pgw_bank_health_start(void);

/*
 * Ask for permission to call. A retry also takes a token from the bank's retry budget. Returns true
 * and fills *permit, whose result must be reported; or false and sets *when, the earliest time to
 * ask again.
 */
extern bool pgw_bank_allows(const char *bank, PgwBankOp op, PgwRetryKind kind,
							PgwBreakerPermit *permit, TimestampTz *when);

/* Would an open breaker refuse the call? Takes neither token nor permit. */
extern bool pgw_bank_is_shut(const char *bank, PgwBankOp op);

/* How many shards share the banks (pgw.bank_shards), this one counted. */
extern int pgw_bank_shards(void);

/* This shard's part of what a bank may have under way at once (pgw.bank_shards). */
extern int pgw_bank_share(int max_in_flight);

/* Report the result of a call that was made with this permit. */
extern void pgw_bank_report(const char *bank, PgwBankOp op, const PgwBreakerPermit *permit,
							PgwCallVerdict verdict);

/*
 * The next bank whose charge breaker is open and due for a probe; *permit allows the ping. NULL:
 * none.
 */
extern const char *pgw_bank_to_probe(PgwBreakerPermit *permit);
extern TimestampTz pgw_bank_next_probe(void); /* 0: none */

extern bool pgw_bank_health_changed(void);
/* in the worker's transaction: what has changed goes to pgw.bank_states */
extern void pgw_bank_health_save(void);
extern void pgw_bank_health_saved(void);

/*
 * The worker, in a transaction: forget breakers that belong to no bank and were not used for an
 * hour.
 */
extern void pgw_bank_health_tidy(void); /* ... and is committed */

#endif
