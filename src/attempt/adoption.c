/*
 * adoption.c - a retry takes over the attempt of a caller that is gone
 *
 * Owns the decision what a new request under an id means for the earlier attempt with that id.
 *
 * Why the earlier caller is gone: the new one holds the claim on the id, and a claim is had only when the payments row of whoever had
 * it before is rolled back.  So there is no vote for the earlier attempt, and there will be none but the new caller's.
 *
 * Orderings that matter
 *	- The takeover is committed before the new caller hears of it: its own rollback then finds its own xids in the row.
 *	- Takeover and give-back exclude each other under the attempt's row lock: RefundStarted is committed, or the adoption is.
 *	- What is being given back is never taken over: the caller waits for its end, and then begins anew with a new key.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "core/base/mutant.h"
#include "store/tables_internal.h"

static const char *
none(const char *s)
{
	return s[0] != '\0' ? s : NULL;
}

/* The names of the fields that differ, as JSON strings with commas; NULL: it is the same request. */
static char *
differing(const PgwIdentity *asked, const PgwTransaction *earlier)
{
	PgwIdentity recorded;
	PgwBuf		names;
	char	   *fields = NULL;

	pgw_vote_identity(earlier, &recorded);
	pgw_buf_init(&names, 0);
	if (pgw_identity_differ(asked, &recorded, &names) > 0)
		fields = MemoryContextStrdup(CurrentMemoryContext, names.failed ? "" : names.data);
	pgw_buf_free(&names);
	return fields;
}

static void
identity_of_request(const PgwSlotRequest *r, PgwIdentity *out)
{
	out->amount = r->amount;
	out->currency = r->currency;
	out->token = none(r->token);
	out->card_last4 = none(r->card_last4);
	out->card_expiry_month = r->card_expiry_month;
	out->card_expiry_year = r->card_expiry_year;
	out->bank = none(r->bank_requested);
	out->capture = (PgwCaptureMode) r->capture;
	out->reference = none(r->reference);
}

/* Is it in the way of a new attempt, or does its outcome count for the new request? */
static bool
answers(const PgwTransaction *t)
{
	if (t->status == PGW_REFUNDED || (t->status == PGW_CREATED && !t->taken))
		return false;
	/* A decline is an answer.  What failed was not charged: a new attempt may be made. */
	if (t->status == PGW_FAILED)
		return pgw_flow_failed_payment(t->error_code) == PGW_FLOW_PAY_DECLINED;
	return true;
}

static bool
can_be_adopted(const PgwTransaction *t)
{
	return t->status == PGW_CREATED || t->status == PGW_BANK_UNKNOWN || t->status == PGW_BANK_APPROVED;
}

/* The attempt is the new payment's now; its vote is the new caller's. */
static void
hand_over(PgwTransaction *t, const pg_uuid_t *payment_id, FullTransactionId xid, FullTransactionId subxid, bool submitted)
{
	PgwFlowDecision d;

	t->payment_id = *payment_id;
	t->caller_xid = xid;
	t->caller_subxid = subxid;
	/* An on_commit authorization stays one: a submitted on_commit payment is charged at once, so the two must not be taken for each other. */
	t->submitted = submitted && t->capture != PGW_CAPTURE_ON_COMMIT;
	t->abandoned_at = 0;
	if (t->status == PGW_BANK_APPROVED)
		t->next_attempt_at = 0;
	else if (t->status == PGW_BANK_UNKNOWN)
		t->next_attempt_at = pgw_now(); /* somebody waits: do not sit out a long delay */
	if (can_be_adopted(t))
	{
		pgw_flow_adopt(t->status, &d);
		pgw_vote_record(t, NULL, &d, NULL, NULL);
	}
	else
		pgw_store_update_transaction(t);	/* no step: a recorded decline, or a review, only gets its new payment */
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
	PgwTransaction t;
	PgwIdentity asked;
	char	   *fields;
	bool		busy = false;

	if (PGW_MUTATED(CLAIM))
		return false;
	if (!pgw_store_earlier_attempt(r->client_request_id, r->merchant, &t) || !answers(&t))
		return false;
	if (!pgw_store_lock_transaction(&t.transaction_id, false, &t, &busy))
	{
		call->later = busy;
		return true;
	}
	if (!answers(&t))
		return false;

	memset(&call->reply, 0, sizeof(call->reply));
	call->reply.transaction_id = t.transaction_id;
	call->reply.status = t.status;
	identity_of_request(r, &asked);
	fields = differing(&asked, &t);
	if (pgw_vote_is_foreign(&t))
		reply_error(call, "worker_paused", "");
	else if (t.status == PGW_REFUNDING && !PGW_MUTATED(ADOPTION_LOCK))
		call->reply.kind = PGW_ANSWER_BLOCKED;
	else if (fields != NULL)
		reply_error(call, "idempotency_mismatch", fields);
	else if (t.status == PGW_SAVED || t.status == PGW_COMPLETED)
		reply_error(call, "request_in_flight", "an earlier attempt with this id has ended well, but its payment is not there");
	else
	{
		call->reply.kind = PGW_ANSWER_OUTCOME;
		call->reply.replayed = t.status == PGW_FAILED;
		call->wait = t.status == PGW_CREATED || t.status == PGW_BANK_UNKNOWN;
		call->look = call->wait;
		hand_over(&t, &r->payment_id, r->caller_xid, r->caller_subxid, false);
	}
	return true;
}

/* The submitted payment's row votes for the earlier attempt now, and tells its outcome if there is one. */
static void
repoint(PgwPayment *p, const PgwTransaction *earlier)
{
	p->transaction_id = earlier->transaction_id;
	p->bank = earlier->bank;
	if (earlier->status == PGW_FAILED)
		p->status = PGW_PAY_DECLINED;
	else if (earlier->status == PGW_REQUIRES_MANUAL_REVIEW)
		p->status = PGW_PAY_IN_REVIEW;
	pgw_store_update_payment(p);
	if (p->status != PGW_PAY_PENDING)
		pgw_store_notify_payment(p);
}

bool
pgw_adopt_for_submitted(PgwTransaction *t, PgwAttempt *a)
{
	PgwTransaction earlier;
	PgwFlowDecision d;
	PgwIdentity asked;
	PgwPayment	p;
	bool		busy = false;

	if (PGW_MUTATED(CLAIM))
		return false;
	if (!pgw_store_earlier_attempt(t->client_request_id, t->merchant, &earlier) || !answers(&earlier) ||
		memcmp(&earlier.transaction_id, &t->transaction_id, sizeof(pg_uuid_t)) == 0)
		return false;
	if (!pgw_store_lock_transaction(&earlier.transaction_id, false, &earlier, &busy) ||
		!pgw_store_lock_payment(&t->payment_id, false, &p, &busy))
	{
		a->later = true;
		return true;
	}
	if (!answers(&earlier))
		return false;
	pgw_vote_identity(t, &asked);
	if (earlier.status == PGW_REFUNDING || differing(&asked, &earlier) != NULL)
	{
		/* Not the same, or too late: that one is given back first.  Only what is declined for good does not hinder a different request. */
		if (earlier.status == PGW_FAILED)
			return false;
		if (pgw_put_off_blocked(t, a, "request_in_flight"))
			return true;
		a->later = true;
		a->busy = PGW_BUSY_MAX; /* that takes a while */
		return true;
	}

	repoint(&p, &earlier);
	hand_over(&earlier, &t->payment_id, t->caller_xid, t->caller_subxid, true);
	pgw_flow_superseded(&d);
	t->next_attempt_at = 0;
	pgw_vote_record(t, NULL, &d, NULL, NULL);
	a->other = earlier.transaction_id;
	return true;
}
