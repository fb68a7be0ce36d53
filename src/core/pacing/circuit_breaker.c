/*
 * circuit_breaker.c - circuit breaker: when a bank is left alone, and when it is tried again
 *
 * Owns the states of a breaker, and what counts as a bank's failure.
 *
 * Invariants:
 *     - Half-open: exactly one probe is out.  A second one goes only when the first has been
 *       reported or is lost.
 *     - Only a call that was allowed in the present state changes it: what left before an opening
 *       says nothing about now.
 *     - One payment opens it once at most: what it meets again and again (a 5xx that the bank has
 *       stored under its key) says nothing about the others.
 *     - Never stuck: after a cooldown (or the probe's timeout) of the time that the clock shows,
 *       a call is allowed.  A clock that was set back begins the wait anew, once.
 */
#include "core/pacing/circuit_breaker.h"

#include <limits.h>
#include <string.h>

#include "core/base/clamp.h"
#include "core/base/mutant.h"
#include "core/pacing/retry_delay.h"

PgwBreakerGroup
pgw_breaker_group(PgwBankOp op)
{
	switch (op)
	{
		case PGW_OP_CAPTURE:
			return PGW_BREAKER_CAPTURES;
		case PGW_OP_VOID:
		case PGW_OP_REFUND:
		case PGW_OP_CANCEL:
		case PGW_OP_REVERSE:
			return PGW_BREAKER_GIVE_BACKS;
		case PGW_OP_LOOKUP_CHARGE:
		case PGW_OP_LOOKUP_REFUND:
		case PGW_OP_PING:
			return PGW_BREAKER_LOOKUPS;
		case PGW_OP_VERIFY_NOTIFICATION:
			/* anybody can make such calls fail, and is to hold up nothing by it */
			return PGW_MUTATED(ASKS_WITH_LOOKUPS) ? PGW_BREAKER_LOOKUPS : PGW_BREAKER_NOTIFICATIONS;
		case PGW_OP_CHARGE:
		case PGW_OP_AUTHORIZE:
		case PGW_NOPS:
			break;
	}
	return PGW_BREAKER_CHARGES;
}

const char *
pgw_breaker_group_name(PgwBreakerGroup group)
{
	static const char *const names[] = {"charges", "captures", "give_backs", "lookups",
										"notifications"};

	return names[group];
}

const char *
pgw_breaker_state_name(PgwBreakerState state)
{
	static const char *const names[] = {"closed", "open", "half_open"};

	return names[state];
}

PgwCallVerdict
pgw_breaker_verdict(PgwTransport transport, long http_status, PgwOutcome outcome)
{
	if (transport != PGW_TRANSPORT_ANSWERED)
		return PGW_VERDICT_FAILURE;

	switch (outcome)
	{
		case PGW_OUT_APPROVED:
		case PGW_OUT_DECLINED:
		case PGW_OUT_REQUIRES_ACTION:
		case PGW_OUT_PENDING:
		case PGW_OUT_REJECTED:
		case PGW_OUT_NOT_FOUND:
		case PGW_OUT_ACCEPTED:
			return PGW_VERDICT_SUCCESS;
		case PGW_OUT_UNKNOWN:
		case PGW_OUT_NOT_PROCESSED:
			break;
	}
	return http_status == 429 ? PGW_VERDICT_NEUTRAL : PGW_VERDICT_FAILURE;
}

PgwCallVerdict
pgw_breaker_ask_verdict(PgwTransport transport, long http_status)
{
	if (transport != PGW_TRANSPORT_ANSWERED || http_status >= 500)
		return PGW_VERDICT_FAILURE;
	return http_status == 429 ? PGW_VERDICT_NEUTRAL : PGW_VERDICT_SUCCESS;
}

static int64_t
cooldown(const PgwBreaker *b, const PgwBreakerConfig *cfg)
{
	return pgw_clamp(cfg->cooldown_ms, 0, PGW_DELAY_LIMIT_MS)
		   << pgw_clamp(b->openings - 1, 0, PGW_BREAKER_MAX_DOUBLINGS);
}

/* Of a wait that began at from: how much is left. */
static int64_t
left(int64_t from, int64_t wait, int64_t now)
{
	uint64_t passed = now > from ? (uint64_t) now - (uint64_t) from : 0;

	return passed < (uint64_t) wait ? wait - (int64_t) passed : 0;
}

static void
enter(PgwBreaker *b, PgwBreakerState state)
{
	b->state = state;
	b->failures = 0;
	b->epoch++;
}

static void
trip(PgwBreaker *b, int64_t now)
{
	if (b->openings == 0)
		b->opened_at = now;
	if (b->openings <= PGW_BREAKER_MAX_DOUBLINGS)
		b->openings++;
	b->cooldown_from = now;
	enter(b, PGW_BREAKER_OPEN);
}

/* The bank does its work: what failed before is forgotten, and may count again. */
static void
forgive(PgwBreaker *b)
{
	b->failures = b->openings = 0;
	memset(b->counted, 0, sizeof(b->counted));
	b->ncounted = 0;
}

/* Has a failure of this payment been counted since the last success?  If not, it has now. */
static bool
counted_before(PgwBreaker *b, uint64_t payment)
{
	if (payment == 0 || PGW_MUTATED(BREAKER_ONCE))
		return false;
	for (int i = 0; i < PGW_BREAKER_REMEMBERED; i++)
	{
		if (b->counted[i] == payment)
			return true;
	}
	b->counted[b->ncounted] = payment;
	b->ncounted = (b->ncounted + 1) % PGW_BREAKER_REMEMBERED;
	return false;
}

static PgwBreakerTransition
report_closed(PgwBreaker *b, const PgwBreakerConfig *cfg, int64_t now, uint64_t payment,
			  PgwCallVerdict verdict)
{
	if (verdict == PGW_VERDICT_SUCCESS)
		forgive(b);
	if (verdict != PGW_VERDICT_FAILURE || counted_before(b, payment))
		return PGW_BREAKER_NO_TRANSITION;

	if (b->openings == 0 && b->failures < pgw_clamp(cfg->failures, 1, INT_MAX) - 1)
	{
		b->failures++;
		return PGW_BREAKER_NO_TRANSITION;
	}
	trip(b, now);
	return PGW_BREAKER_OPENED;
}

/*
 * A probe that has failed before says nothing new: another call tries after another cooldown, which
 * is no longer than the last.
 */
static PgwBreakerTransition
report_probe(PgwBreaker *b, int64_t now, uint64_t payment, PgwCallVerdict verdict)
{
	if (verdict == PGW_VERDICT_FAILURE && counted_before(b, payment))
		verdict = PGW_VERDICT_NEUTRAL;
	switch (verdict)
	{
		case PGW_VERDICT_SUCCESS:
			forgive(b);
			enter(b, PGW_BREAKER_CLOSED);
			return PGW_BREAKER_CLOSED_AGAIN;
		case PGW_VERDICT_ALIVE:
			enter(b, PGW_BREAKER_CLOSED);
			return PGW_BREAKER_CLOSED_AGAIN;
		case PGW_VERDICT_UNUSED:
			enter(b, PGW_BREAKER_OPEN);
			return PGW_BREAKER_NO_TRANSITION;
		case PGW_VERDICT_NEUTRAL:
			b->cooldown_from = now;
			enter(b, PGW_BREAKER_OPEN);
			return PGW_BREAKER_STILL_OPEN;
		case PGW_VERDICT_FAILURE:
			break;
	}
	trip(b, now);
	return PGW_BREAKER_STILL_OPEN;
}

void
pgw_breaker_restore(PgwBreaker *b)
{
	if (b->state == PGW_BREAKER_HALF_OPEN)
		b->state = PGW_BREAKER_OPEN; /* its cooldown is over, so the next call is a probe */
	else if (b->state != PGW_BREAKER_OPEN)
		b->state = PGW_BREAKER_CLOSED;
	b->openings = (int) pgw_clamp(b->openings, b->state == PGW_BREAKER_OPEN ? 1 : 0,
								  PGW_BREAKER_MAX_DOUBLINGS + 1);
	if (b->failures < 0)
		b->failures = 0;

	memset(b->counted, 0, sizeof(b->counted));
	b->ncounted = 0;

	/* Epoch 0 is for calls that did not ask. */
	b->epoch = b->epoch > 0 && b->epoch < INT64_MAX / 2 ? b->epoch + 1 : 1;
}

bool
pgw_breaker_allows(PgwBreaker *b, const PgwBreakerConfig *cfg, int64_t now_ms,
				   PgwBreakerPermit *permit)
{
	if (b->cooldown_from > now_ms)
		b->cooldown_from = now_ms;
	if (b->probe_at > now_ms)
		b->probe_at = now_ms;

	if (pgw_breaker_wait_ms(b, cfg, now_ms) > 0)
		return false;

	if (b->state != PGW_BREAKER_CLOSED)
	{
		enter(b, PGW_BREAKER_HALF_OPEN);
		b->probe_at = now_ms;
	}
	permit->payment = 0;
	permit->epoch = b->epoch;
	permit->probe = b->state == PGW_BREAKER_HALF_OPEN;
	return true;
}

PgwBreakerTransition
pgw_breaker_report(PgwBreaker *b, const PgwBreakerConfig *cfg, int64_t now_ms,
				   const PgwBreakerPermit *permit, PgwCallVerdict verdict)
{
	if (permit->epoch != b->epoch)
		return PGW_BREAKER_NO_TRANSITION;
	if (b->state == PGW_BREAKER_HALF_OPEN)
		return report_probe(b, now_ms, permit->payment, verdict);
	return report_closed(b, cfg, now_ms, permit->payment, verdict);
}

int64_t
pgw_breaker_wait_ms(const PgwBreaker *b, const PgwBreakerConfig *cfg, int64_t now_ms)
{
	switch (b->state)
	{
		case PGW_BREAKER_OPEN:
			return left(b->cooldown_from, cooldown(b, cfg), now_ms);
		case PGW_BREAKER_HALF_OPEN:
			return left(b->probe_at, pgw_clamp(cfg->probe_timeout_ms, 1, PGW_DELAY_LIMIT_MS),
						now_ms);
		case PGW_BREAKER_CLOSED:
			break;
	}
	return 0;
}
