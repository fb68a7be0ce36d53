/*
 * circuit_breaker.h - circuit breaker: when a bank is left alone, and when it is tried again
 *
 * One breaker per bank and group of operations, so that failing charges do not hold up refunds and
 * look-ups.
 *
 *                        failures in a row reach the limit;
 *                        on trial: one failure
 *            +----------+ ---------------------------------> +----------+
 *    success |  closed  |                                    |   open   | refuses every call
 *      +---->|          |                                    |          |
 *      |     +----------+                                    +----------+
 *      +---------'   ^                                          |    ^
 *                    |               cooldown over: the next    |    |  probe fails: cooldown
 *                    doubled;
 *     probe succeeds |               call is the probe          |    |  probe is told "not now":
 *     cooldown again;
 *    (by ping or     |                                          v    |  probe not sent: the next
 *    call is the probe
 *     look-up: on    |             +-----------+ <--------------'    |
 *     trial)         `------------ | half-open | --------------------'
 *                                  |           | refuses all but the probe
 *                                  +-----------+
 *                                     |     ^
 *                                     `-----'  probe is lost: the next call is the probe
 *
 * Pure: the time is passed in (milliseconds, of one clock that survives a restart).
 * docs/breaker.md explains the choices.
 */
#ifndef PGW_CORE_PACING_CIRCUIT_BREAKER_H
#define PGW_CORE_PACING_CIRCUIT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/connector/bank_op.h"

/* One breaker each. */
typedef enum PgwBreakerGroup
{
	PGW_BREAKER_CHARGES = 0, /* charge, authorize */
	PGW_BREAKER_CAPTURES,
	PGW_BREAKER_GIVE_BACKS,    /* void, refund, cancel */
	PGW_BREAKER_LOOKUPS,       /* look-ups, ping */
	PGW_BREAKER_NOTIFICATIONS, /* asking for what anybody may have sent */
	PGW_BREAKER_NGROUPS
} PgwBreakerGroup;

extern PgwBreakerGroup pgw_breaker_group(PgwBankOp op);
extern const char *pgw_breaker_group_name(PgwBreakerGroup group);

typedef enum PgwBreakerState
{
	PGW_BREAKER_CLOSED = 0,
	PGW_BREAKER_OPEN,
	PGW_BREAKER_HALF_OPEN /* exactly one probe is out */
} PgwBreakerState;

extern const char *pgw_breaker_state_name(PgwBreakerState state);

/* A call's result, as the breaker counts it. */
typedef enum PgwCallVerdict
{
	PGW_VERDICT_SUCCESS = 0, /* the bank does its work, whatever it said */
	PGW_VERDICT_FAILURE,
	PGW_VERDICT_NEUTRAL, /* there, but asks to be left alone for a while */
	/* only a ping or look-up succeeded in place of the call itself */
	PGW_VERDICT_ALIVE,
	PGW_VERDICT_UNUSED /* the call was allowed, but not made */
} PgwCallVerdict;

/* outcome counts with PGW_TRANSPORT_ANSWERED only. */
extern PgwCallVerdict pgw_breaker_verdict(PgwTransport transport, long http_status,
										  PgwOutcome outcome);

/*
 * ... of asking for a notification: whatever the bank says to an id that somebody has made up, it
 * does its work.
 */
extern PgwCallVerdict pgw_breaker_ask_verdict(PgwTransport transport, long http_status);

/* The n-th opening in a row waits cooldown_ms * 2^(n-1), doubled at most this often. */
#define PGW_BREAKER_MAX_DOUBLINGS 2

/* Values out of any sense count as the nearest that has one. */
typedef struct PgwBreakerConfig
{
	int failures; /* in a row */
	int64_t cooldown_ms;
	/* a probe not heard of for so long is lost; longer than a call can take */
	int64_t probe_timeout_ms;
} PgwBreakerConfig;

/* So many of the payments that failed last are remembered by name. */
#define PGW_BREAKER_REMEMBERED 64

/* To be saved: all up to cooldown_from; the rest means nothing to another process. */
typedef struct PgwBreaker
{
	PgwBreakerState state;
	int failures; /* in a row, in this closed state */
	/*
	 * consecutive openings, capped. 0: healthy. Closed with > 0: on trial until a real call
	 * succeeds
	 */
	int openings;
	int64_t opened_at;     /* the first of these openings; for people only */
	int64_t cooldown_from; /* open: when the present cooldown began */
	/* changes with every change of state: older calls have no say */
	int64_t epoch;
	int64_t probe_at; /* half-open: when the probe was allowed */
	/* whose failures have been counted since the last success; 0: nobody */
	uint64_t counted[PGW_BREAKER_REMEMBERED];
	int ncounted; /* the next one's place */
} PgwBreaker;

/*
 * Permission for one call. Report its result exactly once. All zero: no permission was asked for,
 * and the report is ignored.
 */
typedef struct PgwBreakerPermit
{
	int64_t epoch;
	bool probe;
	/*
	 * which payment calls; 0: none. Set by the caller. The failures of one payment count once,
	 * until a success
	 */
	uint64_t payment;
} PgwBreakerPermit;

typedef enum PgwBreakerTransition
{
	PGW_BREAKER_NO_TRANSITION = 0,
	PGW_BREAKER_OPENED,      /* save it, tell people */
	PGW_BREAKER_STILL_OPEN,  /* save it: another cooldown began */
	PGW_BREAKER_CLOSED_AGAIN /* save it, tell people */
} PgwBreakerTransition;

/*
 * Call this first, on zeroed memory (a new, closed breaker) or on a saved breaker. Forgets any
 * outstanding probe and corrects impossible values.
 */
extern void pgw_breaker_restore(PgwBreaker *b);

/*
 * May a call be made now? If so, its result must be reported with *permit; the caller sets
 * permit->payment.
 */
extern bool pgw_breaker_allows(PgwBreaker *b, const PgwBreakerConfig *cfg, int64_t now_ms,
							   PgwBreakerPermit *permit);

extern PgwBreakerTransition pgw_breaker_report(PgwBreaker *b, const PgwBreakerConfig *cfg,
											   int64_t now_ms, const PgwBreakerPermit *permit,
											   PgwCallVerdict verdict);

/* How long until a call may be allowed at the latest; 0: it would be now. */
extern int64_t pgw_breaker_wait_ms(const PgwBreaker *b, const PgwBreakerConfig *cfg,
								   int64_t now_ms);

#endif
