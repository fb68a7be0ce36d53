/*
 * adoption.c - a retry takes over the attempt of a caller that is gone
 *
 * Owns the decision what a new request under an id means for the earlier attempt with that id.
 *
 * Why the earlier caller is gone: the new one holds the claim on the id, and a claim is had only
 * when the payments row of whoever had it before is rolled back.  So no payments row names the
 * earlier attempt, and none will but the new caller's.
 *
 * Orderings that matter
 *     - The takeover is committed before the new caller hears of it: its own rollback then finds
 *       its own xids in the row.
 *     - Takeover and give-back exclude each other under the attempt's row lock: RefundStarted is
 *       committed, or the adoption is.
 *     - What is being given back is never taken over: the caller waits for its end, and then
 *       begins anew with a new key.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "attempt/adoption.h"
#include "attempt/put_off.h"
#include "base/clock.h"
#include "core/base/error_codes.h"
#include "core/base/mutant.h"
#include "core/base/none_if_empty.h"
#include "core/card/token_object.h"
#include "core/payment/charge_rules.h"
#include "exchange/slots.h"
#include "outcome/caller_committed.h"
#include "outcome/event_members.h"
#include "outcome/record_decision.h"
#include "store/find_attempts.h"
#include "store/outcome_message.h"
#include "store/tables.h"

/*
 * The names of the fields that differ, as JSON strings with commas; NULL: it is the same request.
 */
static char *
differing(const PgwIdentity *asked, const PgwAttempt *earlier)
{
	PgwIdentity recorded;
	PgwBuf names;
	char *fields = NULL;

	pgw_record_identity(earlier, &recorded);
	pgw_buf_init(&names, 0);
	if (pgw_identity_differ(asked, &recorded, &names) > 0)
		fields = MemoryContextStrdup(CurrentMemoryContext, names.failed ? "" : names.data);
	pgw_buf_free(&names);
	return fields;
}

/* A real charge is not one for tests, nor the reverse: nobody takes that over unawares. */
static void
identity_of_request(const PgwSlotRequest *r, const PgwBank *bank, PgwIdentity *out,
					char mark[PGW_TOKEN_MARK_SIZE])
{
	out->amount = r->amount;
	out->currency = r->currency;
	out->token = pgw_none_if_empty(pgw_token_to_keep(r->token, mark));
	out->card_last4 = pgw_none_if_empty(r->card_last4);
	out->card_expiry_month = r->card_expiry_month;
	out->card_expiry_year = r->card_expiry_year;
	out->bank = pgw_none_if_empty(r->bank_requested);
	out->capture = (PgwCaptureMode) r->capture;
	out->reference = pgw_none_if_empty(r->reference);
	out->livemode = bank->livemode;
}

/* Is it in the way of a new attempt, or does its outcome count for the new request? */
static bool
answers(const PgwAttempt *attempt)
{
	if (attempt->status == PGW_REFUNDED || (attempt->status == PGW_CREATED && !attempt->live))
		return false;
	/* A decline is an answer.  What failed was not charged: a new attempt may be made. */
	if (attempt->status == PGW_FAILED)
		return pgw_error_is_decline(attempt->error_code);
	return true;
}

static bool
can_be_adopted(const PgwAttempt *attempt)
{
	return attempt->status == PGW_CREATED || attempt->status == PGW_BANK_UNKNOWN ||
		   attempt->status == PGW_BANK_APPROVED;
}

/* The attempt is the new payment's now; the new caller decides about it. */
static void
hand_over(PgwAttempt *attempt, const pg_uuid_t *payment_id, FullTransactionId xid,
		  FullTransactionId subxid, bool submitted, const PgwActor *actor)
{
	PgwDecision d;

	attempt->actor = actor;
	attempt->payment_id = *payment_id;
	attempt->adopted = true;
	attempt->caller_xid = xid;
	attempt->caller_subxid = subxid;
	/*
	 * An on_commit authorization stays one: a submitted on_commit payment is charged at once, so
	 * the two must not be taken for each other.
	 */
	attempt->submitted = submitted && attempt->capture != PGW_CAPTURE_ON_COMMIT;
	attempt->abandoned_at = 0;
	if (attempt->status == PGW_BANK_APPROVED)
		attempt->next_step_at = 0;
	else if (attempt->status == PGW_BANK_UNKNOWN)
		attempt->next_step_at = pgw_now(); /* somebody waits: do not sit out a long delay */
	if (can_be_adopted(attempt))
	{
		pgw_charge_adopt(attempt->status, &d);
		pgw_record_decision(attempt, NULL, &d, NULL, NULL);
	}
	else
		/* no step: a recorded decline, or a review, only gets its new payment */
		pgw_store_update_attempt(attempt);
}

static void
reply_error(PgwCall *call, const char *code, const char *detail)
{
	call->reply.kind = PGW_ANSWER_ERROR;
	strlcpy(call->reply.error_code, code, sizeof(call->reply.error_code));
	strlcpy(call->reply.detail, detail, sizeof(call->reply.detail));
}

bool
pgw_adopt_for_request(PgwCall *call, const PgwSlotRequest *r)
{
	PgwAttempt attempt;
	PgwIdentity asked;
	char mark[PGW_TOKEN_MARK_SIZE];
	char *fields;
	bool busy = false;

	if (PGW_MUTATED(CLAIM))
		return false;
	if (!pgw_store_earlier_attempt(r->client_request_id, r->merchant, &attempt))
		return false;
	/* a card that the bank repeated then it may repeat now, perhaps in an answer that gets lost */
	call->card_echoed = attempt.card_echoed && r->card_number[0] != '\0';
	if (!answers(&attempt))
		return false;
	if (!pgw_store_lock_attempt(&attempt.transaction_id, false, &attempt, &busy))
	{
		call->row_was_busy = busy;
		return true;
	}
	if (!answers(&attempt))
		return false;

	memset(&call->reply, 0, sizeof(call->reply));
	call->reply.transaction_id = attempt.transaction_id;
	call->reply.status = attempt.status;
	identity_of_request(r, call->bank, &asked, mark);
	if (PGW_MUTATED(OTHER_MODE))
		asked.livemode = attempt.livemode;
	fields = differing(&asked, &attempt);
	if (pgw_attempt_of_other_database(&attempt))
		reply_error(call, "worker_paused", "");
	else if (attempt.status == PGW_REFUNDING && !PGW_MUTATED(ADOPTION_LOCK))
		call->reply.kind = PGW_ANSWER_BLOCKED;
	else if (fields != NULL)
		reply_error(call, "idempotency_mismatch", fields);
	else if (attempt.status == PGW_SAVED || attempt.status == PGW_COMPLETED)
		reply_error(call, "request_in_flight",
					"an earlier attempt with this id has ended well, but its payment is not there");
	else
	{
		call->reply.kind = PGW_ANSWER_OUTCOME;
		call->reply.replayed = attempt.status == PGW_FAILED;
		call->wait_for_outcome =
			attempt.status == PGW_CREATED || attempt.status == PGW_BANK_UNKNOWN;
		call->has_next_step = call->wait_for_outcome;
		hand_over(&attempt, &r->payment_id, r->caller_xid, r->caller_subxid, false, &r->actor);
	}
	return true;
}

/*
 * The submitted payment's row names the earlier attempt now, and tells its outcome if there is one.
 */
static void
repoint(PgwPayment *p, const PgwAttempt *earlier)
{
	p->transaction_id = earlier->transaction_id;
	p->bank = earlier->bank;
	p->livemode = earlier->livemode;
	if (earlier->status == PGW_FAILED)
		p->status = PGW_PAY_DECLINED;
	else if (earlier->status == PGW_REQUIRES_MANUAL_REVIEW)
		p->status = PGW_PAY_IN_REVIEW;
	pgw_store_update_payment(p);
	if (p->status != PGW_PAY_PENDING)
		pgw_store_notify_payment(p);
}

bool
pgw_adopt_for_submitted(PgwAttempt *attempt, PgwStep *step)
{
	PgwAttempt earlier;
	PgwDecision d;
	PgwIdentity asked;
	PgwPayment p;
	bool busy = false;

	Assert(attempt->place.held && attempt->status == PGW_CREATED && !attempt->live);
	if (PGW_MUTATED(CLAIM))
		return false;
	if (!pgw_store_earlier_attempt(attempt->client_request_id, attempt->merchant, &earlier) ||
		!answers(&earlier) ||
		memcmp(&earlier.transaction_id, &attempt->transaction_id, sizeof(pg_uuid_t)) == 0)
		return false;
	if (!pgw_store_lock_attempt(&earlier.transaction_id, false, &earlier, &busy) ||
		!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
	{
		step->try_later = true;
		return true;
	}
	if (!answers(&earlier))
		return false;
	pgw_record_identity(attempt, &asked);
	if (earlier.status == PGW_REFUNDING || differing(&asked, &earlier) != NULL)
	{
		/*
		 * Not the same, or too late: that one is given back first.  Only what is declined for good
		 * does not hinder a different request.
		 */
		if (earlier.status == PGW_FAILED)
			return false;
		if (pgw_put_off_blocked(attempt, step, "request_in_flight"))
			return true;
		step->try_later = true;
		step->takes_long = true;
		return true;
	}

	repoint(&p, &earlier);
	/* who has submitted it stands in its own first event, with this payment_id */
	hand_over(&earlier, &attempt->payment_id, attempt->caller_xid, attempt->caller_subxid, true,
			  NULL);
	pgw_charge_superseded(&d);
	attempt->next_step_at = 0;
	pgw_record_decision(attempt, NULL, &d, NULL, NULL);
	step->other_attempt = earlier.transaction_id;
	return true;
}
