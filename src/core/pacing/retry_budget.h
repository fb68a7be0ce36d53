/*
 * retry_budget.h - how many retries a bank may get
 *
 * One bucket per bank.  First tries are never counted; a retry takes one token.  What is a retry
 * says pgw_retry_kind().  Tokens come from two sources:
 *
 *     time		per_second, kept for at most PGW_BUDGET_BURST_S seconds' worth; of that the part
 *				of one shard, but always two tokens
 *     successes	success_percent of a token for each success, halved every
 * PGW_BUDGET_HALF_LIFE_MS, so that only recent ones count
 *
 * A bank that fails altogether soon gets per_second retries and no more, however many payments
 * wait; the better it answers, the more it gets.  Pure: the time is passed in (milliseconds, of any
 * clock); a clock that jumps gives no storm and stops nothing.
 */
#ifndef PGW_CORE_PACING_RETRY_BUDGET_H
#define PGW_CORE_PACING_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define PGW_BUDGET_BURST_S 10
#define PGW_BUDGET_HALF_LIFE_MS 10000

/* Tokens that successes can pile up at most. */
#define PGW_BUDGET_EARNED_LIMIT 1000

/* Values out of range count as the nearest one in it. */
typedef struct PgwBudgetConfig
{
	int success_percent; /* 0 .. 100: pgw.retry_budget */
	int per_second;      /* 1 .. 10000; never 0, or retries could stop for ever */
	/* whole tokens that this retry leaves for what goes before it: 0 or 1 */
	int leave;
	/* so many shards have a part of what comes with time; up to 1: this one has all */
	int shards;
} PgwBudgetConfig;

/* Look-ups that notifications may cause at a bank, whatever it answers. */
#define PGW_BUDGET_NOTIFIED_PER_SECOND 5

#define PGW_BUDGET_DEFAULT ((PgwBudgetConfig){.success_percent = 10, .per_second = 1})

/* Whose retry it is: give-backs go before all else, which leaves them the last token. */
typedef enum PgwRetryKind
{
	PGW_FIRST_TRY = 0, /* takes none */
	PGW_RETRY,
	PGW_RETRY_GIVE_BACK,
	PGW_RETRY_NOTIFIED /* before its time, on a notification's word: from a bucket of its own */
} PgwRetryKind;

/* Amounts in thousandths of a token. */
typedef struct PgwBudget
{
	int64_t granted;    /* by time */
	int64_t earned;     /* by successes */
	int64_t granted_at; /* time has been counted up to here */
	int64_t halved_at;  /* earned has been halved up to here */
} PgwBudget;

/* What is known of a request that is to be made now. */
typedef struct PgwRetryFacts
{
	int tries; /* of the present step, before this one */
	/* the look-up just before it allows it, or was answered without telling what this can tell */
	bool goes_on;
	bool token_owed; /* ... and that look-up took no token */
	bool in_doubt;   /* a look-up, or a request that the bank may have had before */
	bool put_off;    /* it was due before now, and could not be made */
	bool give_back;  /* it is part of giving back what a caller does not want */
} PgwRetryFacts;

extern PgwRetryKind pgw_retry_kind(const PgwRetryFacts *facts);
/* ... as PgwBudgetConfig has it */
extern int pgw_retry_leaves(PgwRetryKind kind);

/* A full bucket of time's tokens. The budget need not survive a restart. */
extern void pgw_budget_init(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now_ms);

/* The bank gave a trusted answer (PGW_VERDICT_SUCCESS of circuit_breaker.h). */
extern void pgw_budget_success(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now_ms);

/* May a retry go now? Takes the token. */
extern bool pgw_budget_take(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now_ms);

/* When there is a token at the latest, from now; 0: there is one. Takes nothing. */
extern int64_t pgw_budget_wait_ms(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now_ms);

#endif
