/*
 * put_off.c - attempts whose next request cannot be made now: since when, why, and what becomes of
 * them in the end
 *
 * A request cannot be made: the bank is gone or takes no new charge, its key cannot be read, its
 * connector cannot be used, a value is missing that its path needs, its breaker is open or its
 * retries are used up for now.  That is a fact in the attempt's row (put_off_since,
 * put_off_reason), which pgw.health() and pgw.metrics count, and it has an end:
 * pgw.unknown_deadline after it began, or when its bank ought to have decided what it says is
 * pending, if that is later.
 *
 * Owns those two columns.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *     - Each look first tries to make the request; only one that is put off again asks whether
 *       the end has come.
 *     - It is over when a request has been made (pgw_step_call), an answer is written
 *       (bank_answers.c), or the attempt's state changes (pgw_store_advance).  A takeover by a
 *       retry does not end it.
 *     - Failed is only what was provably never taken by a bank: Created, where nothing was sent,
 *       or nothing that was sent did anything; or what was refused, and has not been sent
 *       otherwise.  All else goes to a person.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/attempt_alerts.h"
#include "attempt/charge_id.h"
#include "attempt/put_off.h"
#include "attempt/requested_operation.h"
#include "attempt/unsent_charge.h"
#include "attempt/watch_after_end.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/payment/charge_rules.h"
#include "observe/alerts.h"
#include "outcome/record_decision.h"
#include "store/tables.h"

/*
 * It has ended, and is looked at for what the bank may do later: that has its own end
 * (watch_until).
 */
static bool
is_watched(const PgwAttempt *attempt)
{
	return attempt->status == PGW_FAILED || attempt->status == PGW_REFUNDED ||
		   (attempt->status == PGW_COMPLETED && attempt->kind != PGW_KIND_PAYMENT);
}

/* Of what is not watched. */
static TimestampTz
ends_at(const PgwAttempt *attempt)
{
	TimestampTz until = pgw_schedule_put_off_until(attempt->put_off_since);
	PgwBank *bank;
	bool unreadable;
	int64 pending_s;

	if (!pgw_charge_is_pending(attempt->kind, attempt->status, attempt->error_code))
		return until;
	bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);
	if (unreadable)
		return DT_NOEND; /* somebody has a lock on the banks: how long it may take is not known */
	if (bank == NULL || bank->connector == NULL)
		return until;
	pending_s = pgw_connector_capabilities(bank->connector)->pending_deadline_s;
	return Max(until, TimestampTzPlusMilliseconds(pgw_step_doubt_since(&attempt->own_request),
												  pending_s * 1000));
}

static void
give_to_review(PgwAttempt *attempt, PgwStep *step, const char *why)
{
	const char *code = attempt->status != PGW_BANK_UNKNOWN ? "follow_up_impossible"
					   : pgw_charge_id_is_missing(attempt) ? PGW_APPROVAL_INCOMPLETE
														   : "outcome_unknown";

	/*
	 * the payments row of a charge is written next; an operation's keeps its claim, as it may have
	 * been done
	 */
	step->next_step_now = attempt->kind == PGW_KIND_PAYMENT;
	pgw_step_review(attempt, code, why, NULL, step->next_step_now ? pgw_now() : 0);
}

/* The time is up. */
static void
end(PgwAttempt *attempt, PgwStep *step, const char *why)
{
	if (attempt->kind != PGW_KIND_PAYMENT && pgw_step_operation_is_unsent(attempt))
	{
		pgw_step_operation_give_up(attempt, step, why);
		return;
	}
	switch (attempt->status)
	{
		case PGW_CREATED:
			if (attempt->kind == PGW_KIND_PAYMENT)
				pgw_step_charge_give_up(attempt, step, why);
			else
				pgw_step_operation_give_up(attempt, step, why);
			return;
		case PGW_COMPLETED:
			pgw_step_watch_authorization_give_up(attempt, step);
			return;
		default:
			give_to_review(attempt, step, why);
	}
}

void
pgw_put_off(PgwAttempt *attempt, PgwStep *step, const char *why, TimestampTz when)
{
	TimestampTz now = pgw_now();
	TimestampTz until;

	Assert(attempt->place.held);
	attempt->put_off_since =
		pgw_schedule_put_off_since(attempt->put_off_since, attempt->next_step_at);
	attempt->put_off_reason = pstrdup(why);
	until = is_watched(attempt) ? attempt->watch_until : ends_at(attempt);
	if (now >= until && !is_watched(attempt) && !PGW_MUTATED(PUT_OFF_DEADLINE))
	{
		end(attempt, step, why);
		return;
	}
	pgw_step_reschedule(attempt, until > now ? Min(when, until) : when);
}

bool
pgw_put_off_ended(PgwAttempt *attempt, PgwStep *step)
{
	if (attempt->put_off_since == 0)
		return false;
	attempt->put_off_since =
		pgw_schedule_put_off_since(attempt->put_off_since, attempt->next_step_at);
	if (pgw_now() < ends_at(attempt) || PGW_MUTATED(PUT_OFF_DEADLINE))
		return false;
	end(attempt, step, attempt->put_off_reason);
	return true;
}

void
pgw_put_off_goes_on(const PgwCall *call, PgwAttempt *attempt, const char *why)
{
	attempt->put_off_since = call->put_off_since != 0 ? call->put_off_since : pgw_now();
	attempt->put_off_reason = pstrdup(why);
}

void
pgw_put_off_wait(const PgwCall *call, PgwAttempt *attempt, int64 seconds)
{
	pgw_put_off_goes_on(call, attempt, PGW_REFUND_UNSETTLED);
	attempt->next_step_at = TimestampTzPlusMilliseconds(pgw_now(), seconds * 1000);
}

bool
pgw_put_off_wait_over(PgwAttempt *attempt)
{
	if (attempt->put_off_reason == NULL ||
		strcmp(attempt->put_off_reason, PGW_REFUND_UNSETTLED) != 0)
		return false;
	pgw_put_off_over(attempt);
	return true;
}

bool
pgw_put_off_blocked(PgwAttempt *attempt, PgwStep *step, const char *why)
{
	step->blocked = true;
	if (pgw_put_off_ended(attempt, step))
		return true;
	/* for one reason after another: how long it has been so is one time */
	if (attempt->put_off_since == 0)
		attempt->put_off_since = pgw_now();
	else if (strcmp(attempt->put_off_reason, why) == 0)
		return false;
	attempt->put_off_reason = pstrdup(why);
	pgw_store_update_attempt(attempt);
	return false;
}

void
pgw_put_off_over(PgwAttempt *attempt)
{
	attempt->put_off_since = 0;
	attempt->put_off_reason = NULL;
}
