/*
 * put_off.c - attempts whose next request cannot be made now: since when, why, and what becomes of them in the end
 *
 * A request cannot be made: the bank is gone or takes no new charge, its key cannot be read, its connector cannot be used, a value is missing that its
 * path needs, its breaker is open or its retries are used up for now.  That is a fact in the attempt's row (put_off_since, put_off_reason), which
 * pgw.health() and pgw.metrics count, and it has an end: pgw.unknown_deadline after it began.
 *
 * Owns those two columns.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *	- Each look first tries to make the request; only one that is put off again asks whether the end has come.
 *	- It is over when a request has been made (pgw_attempts_call), an answer is written (write_results.c), or the attempt's state changes
 *	  (pgw_store_advance).  A takeover by a retry does not end it.
 *	- Failed is only what was provably never taken by a bank: Created, where nothing was sent, or nothing that was sent did anything.  All else goes to a
 *	  person.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "observe/alerts.h"
#include "store/tables_internal.h"

/* It has ended, and is looked at for what the bank may do later: that has its own end (watch_until). */
static bool
is_watched(const PgwTransaction *t)
{
	return t->status == PGW_FAILED || t->status == PGW_REFUNDED || (t->status == PGW_COMPLETED && t->kind != PGW_KIND_PAYMENT);
}

static void
give_to_review(PgwTransaction *t, PgwAttempt *a, const char *why)
{
	PgwFlowDecision d;
	const char *code = t->status != PGW_BANK_UNKNOWN ? "follow_up_impossible" : pgw_reference_is_missing(t) ? PGW_FLOW_INCOMPLETE : "outcome_unknown";

	pgw_flow_review(t->status, code, why, &d);
	t->watch_until = 0;

	/* the payments row of a charge is settled next; an operation's keeps its claim, as it may have been done */
	t->next_attempt_at = t->kind == PGW_KIND_PAYMENT ? pgw_now() : 0;
	a->again = t->kind == PGW_KIND_PAYMENT;
	pgw_vote_record(t, NULL, &d, NULL, NULL);
}

/* The time is up. */
static void
end(PgwTransaction *t, PgwAttempt *a, const char *why)
{
	switch (t->status)
	{
		case PGW_CREATED:
			if (t->kind == PGW_KIND_PAYMENT)
				pgw_charges_give_up(t, a, why);
			else
				pgw_operations_give_up(t, a, why);
			return;
		case PGW_COMPLETED:
			pgw_watch_authorization_give_up(t, a);
			return;
		default:
			give_to_review(t, a, why);
	}
}

void
pgw_put_off(PgwTransaction *t, PgwAttempt *a, const char *why, TimestampTz when)
{
	TimestampTz now = pgw_now();
	TimestampTz until;

	t->put_off_since = pgw_schedule_put_off_since(t->put_off_since, t->next_attempt_at);
	t->put_off_reason = pstrdup(why);
	until = is_watched(t) ? t->watch_until : pgw_schedule_put_off_until(t->put_off_since);
	if (now >= until && !is_watched(t) && !PGW_MUTATED(PUT_OFF_DEADLINE))
	{
		end(t, a, why);
		return;
	}
	pgw_attempts_put_off(t, until > now ? Min(when, until) : when);
}

bool
pgw_put_off_ended(PgwTransaction *t, PgwAttempt *a)
{
	if (t->put_off_since == 0)
		return false;
	t->put_off_since = pgw_schedule_put_off_since(t->put_off_since, t->next_attempt_at);
	if (pgw_now() < pgw_schedule_put_off_until(t->put_off_since) || PGW_MUTATED(PUT_OFF_DEADLINE))
		return false;
	end(t, a, t->put_off_reason);
	return true;
}

void
pgw_put_off_goes_on(const PgwCall *call, PgwTransaction *t, const char *why)
{
	t->put_off_since = call->put_off_since != 0 ? call->put_off_since : pgw_now();
	t->put_off_reason = pstrdup(why);
}

bool
pgw_put_off_blocked(PgwTransaction *t, PgwAttempt *a, const char *why)
{
	a->blocked = true;
	if (pgw_put_off_ended(t, a))
		return true;
	if (t->put_off_since == 0)
	{
		t->put_off_since = pgw_now();
		t->put_off_reason = pstrdup(why);
		pgw_store_update_transaction(t);
	}
	return false;
}

void
pgw_put_off_over(PgwTransaction *t)
{
	t->put_off_since = 0;
	t->put_off_reason = NULL;
}

void
pgw_put_off_tell(const PgwAttempt *a)
{
	char		id[37];

	pgw_uuid_to_text(a->transaction_id.data, id);
	pgw_alert("watch_ended", id, a->bank, &a->transaction_id, a->correlation,
			  "what the bank did later with a transaction that had ended could not be looked at to the end of its time");
}
