/*
 * step.c - what the steps share: the attempt's bank, room there, and the call that a step makes
 *
 * All functions have the attempt's row locked.
 *
 * Orderings that matter
 *     - A step writes its intent in the transaction that makes the call; the visitor (queue/) hands
 *       the call on only when that transaction is committed and flushed.
 *     - A step only sets next_step_at: the visitor reads it, and wakes the worker for it.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/charge_id.h"
#include "attempt/put_off.h"
#include "attempt/step.h"
#include "base/error_detail.h"
#include "core/base/error_codes.h"
#include "core/card/token_object.h"
#include "core/payment/charge_rules.h"
#include "core/payment/unknown_outcome_rules.h"
#include "exchange/log_rate.h"
#include "outcome/record_decision.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/pacing/retry_budget.h"
#include "store/tables.h"

#define NOT_CONFIGURED_DELAY_MS 30000

void
pgw_step_reschedule(PgwAttempt *attempt, TimestampTz when)
{
	Assert(attempt->place.held);
	attempt->next_step_at = when;
	pgw_store_update_attempt(attempt);
}

void
pgw_step_wait(PgwAttempt *attempt, int64 seconds)
{
	pgw_step_reschedule(attempt, TimestampTzPlusMilliseconds(pgw_now(), seconds * 1000));
}

void
pgw_step_cancel_again(PgwAttempt *attempt, const PgwCapabilities *caps)
{
	if (attempt->cancelled_at == 0)
		attempt->cancelled_at = pgw_now();
	attempt->next_step_at =
		TimestampTzPlusMilliseconds(attempt->cancelled_at, caps->cancel_after_s * 1000);
}

int64
pgw_step_cancelled_age_s(const PgwAttempt *attempt)
{
	return attempt->cancelled_at != 0 ? pgw_schedule_age_s(attempt->cancelled_at) : -1;
}

static void
not_configured(PgwAttempt *attempt, PgwStep *step, const char *code, const char *why)
{
	char correlation[37];
	uint64 more;

	pgw_uuid_to_text(attempt->correlation_id.data, correlation);
	if (pgw_log_due(code, attempt->bank, &more))
		ereport(WARNING,
				(errmsg("pgw: an attempt cannot go on now: %s", code),
				 pgw_errdetail_attempt(correlation, &attempt->transaction_id, &attempt->payment_id,
									   attempt->bank, why[0] != '\0' ? why : NULL),
				 pgw_log_more(more)));
	pgw_put_off(attempt, step, code,
				TimestampTzPlusMilliseconds(pgw_now(), NOT_CONFIGURED_DELAY_MS));
}

static PgwLane
lane_of(const PgwAttempt *attempt)
{
	if (attempt->kind != PGW_KIND_PAYMENT)
		return PGW_LANE_FOLLOW_UP;
	switch (attempt->status)
	{
		case PGW_CREATED:
			return attempt->live ? PGW_LANE_CHARGE : PGW_LANE_QUEUED;
		case PGW_BANK_APPROVED:
		case PGW_REFUNDING:
			return PGW_LANE_GIVE_BACK;
		case PGW_SAVED:
			return PGW_LANE_FOLLOW_UP;
		default:
			return PGW_LANE_LOOKUP;
	}
}

/*
 * To its bank's lane, after the commit.  The lane may be full then, so its row has to say that it
 * is due.  Not one that is Created: there "nothing due" means that a request may be under way, and
 * a planned try that none is.
 */
static void
park(PgwAttempt *attempt, PgwStep *step, const char *bank)
{
	strlcpy(step->parked_for, bank, sizeof(step->parked_for));
	step->lane = lane_of(attempt);
	step->merchant = pgw_turns_key(attempt->merchant);
	step->must_stay = attempt->next_step_at == 0 && attempt->status == PGW_CREATED;
	if (attempt->next_step_at == 0 && !step->must_stay)
		pgw_step_reschedule(attempt, pgw_now());
}

PgwBank *
pgw_step_bank(PgwAttempt *attempt, PgwStep *step, bool may_charge)
{
	PgwBank *bank;
	bool unreadable = false;

	/*
	 * A new charge goes to the bank as it is now, and its intent says so; whatever follows goes
	 * where that went.
	 */
	if (may_charge)
		bank = attempt->bank != NULL ? pgw_config_bank(attempt->bank) : NULL;
	else
		bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);

	/*
	 * A table is locked, or the caller may have seen a newer configuration: that is no reason to be
	 * put off, and pgw.health() shows the lock.
	 */
	if (unreadable || (may_charge && (bank == NULL || !bank->enabled) && !pgw_config_is_current()))
	{
		step->try_later = step->blocked = true;
		return NULL;
	}

	/* A disabled bank takes no new charge; what it has is still looked up and given back. */
	if (bank == NULL || (may_charge && !bank->enabled) || bank->connector == NULL)
	{
		if (pgw_step_is_early(attempt, step))
			return NULL; /* its plan stands */
		not_configured(attempt, step,
					   bank == NULL              ? "unknown_bank"
					   : bank->connector == NULL ? "connector_invalid"
												 : "bank_disabled",
					   "");
		return NULL;
	}
	if (!may_charge && attempt->bank_version == 0)
		attempt->bank_version = pgw_config_version_of(bank);
	/*
	 * room that was given to it is its own, at the bank that gave it; else it takes what nobody
	 * waits for
	 */
	if (step->place.lanes != NULL && strcmp(pgw_lanes_name(&step->place), bank->name) != 0)
		pgw_lanes_give_up(&step->place);
	if (step->place.lanes == NULL && !pgw_lanes_room(bank->name, lane_of(attempt), false))
	{
		park(attempt, step, bank->name);
		return NULL;
	}
	return bank;
}

/*
 * When this request was first sent under its key: a repetition says the same time, so that it is
 * the same request byte for byte.  0: it was not, it moves no money, or it is a cancellation, which
 * is never repeated under its key.
 */
static TimestampTz
first_sent(const PgwAttempt *attempt, PgwBankOp op, const char *key)
{
	const PgwBankRequest *const requests[] = {&attempt->own_request, &attempt->refund_request,
											  &attempt->capture_request};

	if (!pgw_op_moves_money(op) || op == PGW_OP_CANCEL)
		return 0;
	for (int i = 0; key != NULL && i < lengthof(requests); i++)
	{
		if (requests[i]->key != NULL && strcmp(requests[i]->key, key) == 0)
			return PGW_MUTATED(REPLAY_NOW) ? 0 : requests[i]->key_used_at;
	}
	return 0;
}

/* Has the bank perhaps had this request before, or is it a question about one that it has had? */
static bool
is_in_doubt(const PgwAttempt *attempt, PgwBankOp op)
{
	if (pgw_breaker_group(op) == PGW_BREAKER_LOOKUPS)
		return true;
	switch (attempt->status)
	{
		case PGW_BANK_UNKNOWN:
			return true;
		case PGW_SAVED:
			return attempt->capture_request.key_used_at != 0;
		case PGW_REFUNDING:
			return attempt->refund_request.key_used_at != 0;
		default:
			return false;
	}
}

/* Asked before the call is made: that ends the time for which it was put off. */
static PgwRetryKind
retry_kind(const PgwAttempt *attempt, const PgwStep *step, PgwBankOp op)
{
	PgwRetryFacts facts = {.tries = attempt->step_tries,
						   .goes_on = step->resend_allowed || step->lookup_inconclusive,
						   .token_owed = step->token_owed,
						   .in_doubt = is_in_doubt(attempt, op),
						   .put_off = attempt->put_off_since != 0,
						   .give_back = lane_of(attempt) == PGW_LANE_GIVE_BACK};

	return pgw_step_is_early(attempt, step) ? PGW_RETRY_NOTIFIED : pgw_retry_kind(&facts);
}

bool
pgw_step_is_early(const PgwAttempt *attempt, const PgwStep *step)
{
	return step->at_rest || (step->bank_spoke && attempt->next_step_at > pgw_now());
}

void
pgw_step_weigh_notified(PgwCall *call, TimestampTz asked_at)
{
	PgwCapabilities caps;

	if (!call->notified)
		return;
	pgw_charge_id_capabilities(
		call->bank, call->bank_reference[0] != '\0' ? call->bank_reference : NULL, &caps);
	if (!pgw_unknown_outcome_counts_early(&caps, call->answer.outcome,
										  pgw_schedule_age_s(asked_at)))
		call->answer.outcome = PGW_OUT_UNKNOWN;
}

bool
pgw_step_call(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, PgwBankOp op,
			  const char *reference, PgwCallParams *params)
{
	PgwConnectorError err = {.message = ""};
	const char *code = NULL;
	TimestampTz when;
	PgwTrace trace;
	PgwRetryKind kind = retry_kind(attempt, step, op);
	bool repeats;

	Assert(attempt->place.held && step->call == NULL);
	step->call = pgw_call_new(&attempt->transaction_id, &attempt->payment_id,
							  &attempt->correlation_id, attempt->submitted);
	step->call->op = op;
	step->call->said_at = first_sent(attempt, op, reference);
	repeats = step->call->said_at != 0;
	step->call->answer.retry_after_s = -1;
	step->call->card_echoed = attempt->card_echoed;
	step->call->charged_in_other_mode = attempt->status == PGW_REFUNDING &&
										attempt->error_code != NULL &&
										strcmp(attempt->error_code, PGW_LIVEMODE_MISMATCH) == 0;
	if (attempt->card_last4 != NULL)
		strlcpy(step->call->card_last4, attempt->card_last4, sizeof(step->call->card_last4));
	if (reference != NULL)
		strlcpy(step->call->reference, reference, sizeof(step->call->reference));
	/* What has to wait for a token here needs another look-up then, which takes it. */
	if (!pgw_call_allowed(step->call, bank->health_name, kind, &when))
	{
		pgw_call_free(step->call);
		step->call = NULL;
		if (pgw_step_is_early(attempt, step))
			return false; /* its plan stands */
		/*
		 * a row less to write, and at the end of the cooldown only as many are looked at as can be
		 * sent
		 */
		if (lane_of(attempt) == PGW_LANE_QUEUED && pgw_lanes_left_alone(bank->name))
			park(attempt, step, bank->name);
		else
			pgw_put_off(attempt, step, "bank_unavailable", when);
		return false;
	}
	step->call->token_owed = kind == PGW_FIRST_TRY && pgw_breaker_group(op) == PGW_BREAKER_LOOKUPS;
	pgw_lanes_give_up(&step->place); /* its call takes it */
	pgw_call_trace(params, attempt->bank_fields, &trace);
	if (pgw_call_render(step->call, bank, params, &code, &err))
	{
		step->call->relies_on_key = repeats && pgw_call_key_remembered(step->call);
		step->call->put_off_since = attempt->put_off_since;
		pgw_put_off_over(attempt);
		return true;
	}
	pgw_call_free(step->call);
	step->call = NULL;
	if (pgw_step_is_early(attempt, step))
		return false;
	not_configured(attempt, step, code, err.message);
	return false;
}

bool
pgw_step_can_repeat(const PgwAttempt *attempt)
{
	return pgw_token_is_kept(attempt->token) && !attempt->customer_sent;
}

bool
pgw_step_charge_call(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const char *key)
{
	PgwCallParams params;

	memset(&params, 0, sizeof(params));
	params.amount = attempt->amount;
	params.currency = attempt->currency;
	params.token = pgw_token_is_kept(attempt->token) ? attempt->token : NULL;
	params.merchant = attempt->merchant;
	params.reference = attempt->reference;
	params.bank_fields = attempt->bank_fields;
	return pgw_step_call(attempt, step, bank,
						 pgw_charge_operation(attempt->capture, attempt->submitted), key, &params);
}

void
pgw_step_params_about_charge(const PgwAttempt *attempt, PgwCallParams *params)
{
	memset(params, 0, sizeof(*params));
	params->currency = attempt->currency;
	params->merchant = attempt->merchant;
	params->reference = attempt->reference;
	params->original_ref = attempt->own_request.key;
	params->bank_reference = attempt->bank_reference;
}

/* ---------------------------------------------------------------- what becomes of it */

/* Since when this process is the one that sends; 0: it is no worker. */
static TimestampTz sends_since;

void
pgw_step_worker_begins(void)
{
	sends_since = pgw_now();
}

TimestampTz
pgw_step_asked_at(const PgwBankRequest *request)
{
	TimestampTz now = pgw_now();

	/* the clock was set back: no later than now, or the wait would last until it is there again */
	if (sends_since > now)
		sends_since = now;
	if (request->asked_at == 0 || PGW_MUTATED(ASKED_BY_ANOTHER))
		return request->asked_at;
	return Max(request->asked_at, sends_since);
}

/* Each repetition moves asked_at on; the key stays. */
TimestampTz
pgw_step_doubt_since(const PgwBankRequest *request)
{
	return request->key_used_at != 0 && !PGW_MUTATED(DOUBT_AGE) ? request->key_used_at
																: request->asked_at;
}

void
pgw_step_doubt_begins(PgwAttempt *attempt)
{
	attempt->watch_until =
		pgw_schedule_ask_until(attempt->watch_until, 0, attempt->own_request.key_used_at);
}

void
pgw_step_lost(PgwAttempt *attempt, PgwStep *step, const char *operation)
{
	PgwDecision d;

	Assert(attempt->place.held && attempt->status == PGW_CREATED && attempt->live &&
		   attempt->next_step_at == 0);
	pgw_charge_lost(&d);
	attempt->step_tries = 0;
	attempt->next_step_at = attempt->own_request.asked_at = pgw_now();
	pgw_step_doubt_begins(attempt);
	pgw_record_decision(attempt, NULL, &d, operation, NULL);
	step->next_step_now = true;
}

void
pgw_step_review(PgwAttempt *attempt, const char *code, const char *reason, const char *operation,
				TimestampTz next_step_at)
{
	PgwDecision d;

	Assert(attempt->place.held);
	pgw_charge_review(attempt->status, code, reason, &d);
	attempt->next_step_at = next_step_at;
	attempt->watch_until = 0;
	pgw_record_decision(attempt, NULL, &d, operation, NULL);
}

bool
pgw_step_watch_is_over(PgwAttempt *attempt, PgwStep *step)
{
	if (attempt->watch_until > pgw_now())
		return false;
	step->unwatched = attempt->put_off_since != 0;
	pgw_step_end_watch(attempt);
	return true;
}

void
pgw_step_end_watch(PgwAttempt *attempt)
{
	pgw_put_off_over(attempt);
	attempt->watch_until = 0;
	pgw_step_reschedule(attempt, 0);
}
