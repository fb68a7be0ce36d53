/*
 * save_answer.c - what the worker answers, in the caller's own transaction
 *
 * Owns nothing that lasts. Invariant: the payments row names an attempt of this payment, or the
 * call fails: what the answer names is looked at before it is written. Order that matters:
 * ForceSyncCommit() comes as soon as the bank is known to have approved.
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/debug_points.h"
#include "client_api/save_answer.h"
#include "core/base/mutant.h"
#include "core/payment/charge_rules.h"
#include "exchange/commit_signal.h"
#include "outcome/record_decision.h"
#include "sql_function/raise_error.h"
#include "store/tables.h"

/*
 * An attempt that answers names our payment: it is our own, or it was handed over to us
 * (adoption.c) before we heard of it.  Were it another's, our row would name a stranger's charge
 * and no row would name ours, so whatever has mixed them up, nothing of it is committed.
 */
static void
require_own(const PgwPay *pay, const PgwAttempt *attempt)
{
	bool own = memcmp(&attempt->payment_id, &pay->payment.payment_id, sizeof(pg_uuid_t)) == 0 &&
			   strcmp(attempt->client_request_id, pay->payment.client_request_id) == 0 &&
			   strcmp(attempt->merchant, pay->payment.merchant) == 0;

	if (own || PGW_MUTATED(SLOT_OWNER))
		return;
	pgw_raise(
		"internal_error",
		pgw_detail(NULL, "reason", "the worker's answer names another payment's attempt"),
		"Nothing of it was saved, and a charge of this call is given back. Please report this.");
}

/*
 * The bank has approved: the attempt is completed, and the payments row of this caller shall say
 * so.
 */
static void
save_approved(PgwPay *pay, PgwAttempt *attempt)
{
	PgwDecision d;
	PgwPayment *p = &pay->payment;

	/* The worker's commit of the approval may be asynchronous; ours has a later LSN and must not
	 * be. */
	if (!PGW_MUTATED(SYNC_COMMIT))
		ForceSyncCommit();
	pgw_charge_save(attempt->capture, false, attempt->amount, &d);
	attempt->next_step_at = pgw_record_authorization_end(attempt);
	attempt->by_caller = true;

	/*
	 * Without the payments row: that would NOTIFY, which the worker does after our commit. Here it
	 * would forbid PREPARE TRANSACTION.
	 */
	pgw_record_decision(attempt, NULL, &d, pay->capture_op, NULL);
	if (attempt->place.overtaken)
		return;
	p->status = d.payment == PGW_PAYMENT_BECOMES_CAPTURED ? PGW_PAY_CAPTURED : PGW_PAY_AUTHORIZED;
	p->authorized_amount = d.authorized_amount;
	p->captured_amount = d.captured_amount;
	p->reserved_amount = d.reserved_amount;
}

/*
 * The row as it stands now decides; the answer only said that it is worth looking.  Nobody else has
 * it nearly always, and then it is not locked first: completing it is the lock, as an update takes
 * none but what it was told to.  What has been overtaken since is read again, under its lock.
 * false: the outcome is not known.
 */
static bool
save_attempt(PgwPay *pay, const ItemPointerData *place, PgwAttempt *attempt)
{
	const pg_uuid_t *id = &pay->payment.transaction_id;
	bool found = pgw_store_take_attempt_at(id, place, true, attempt, NULL);

	for (;;)
	{
		bool known = true;

		if (!found)
			elog(ERROR, "the attempt that the worker recorded is not there");
		require_own(pay, attempt);
		Assert(attempt->kind == PGW_KIND_PAYMENT && !attempt->submitted);
		PGW_DEBUG_POINT("attempt_taken");
		if (attempt->status == PGW_BANK_APPROVED)
			save_approved(pay, attempt);
		else if (pgw_store_hold_attempt(attempt))
			known = pgw_record_status(&pay->payment, attempt);
		if (!attempt->place.overtaken)
			return known;
		found = pgw_store_lock_attempt_at(id, place, true, attempt, NULL);
	}
}

/*
 * The worker knows the outcome: write what it means to the payments row.  place: where the worker
 * has left the attempt.
 */
static PgwAudience
save_outcome(PgwPay *pay, const ItemPointerData *place, PgwAttempt *attempt)
{
	PgwPayment *p = &pay->payment;

	/* not known: the row stays pending, the worker writes the rest */
	if (!save_attempt(pay, place, attempt))
		return PGW_AUDIENCE_WAIT_ENDED;
	pgw_record_bank_fields(p, attempt);
	pgw_store_update_payment(p);
	return PGW_AUDIENCE_FIRST_CALL;
}

/* An earlier attempt answers: the payments row now names that one. */
static void
name_attempt(PgwPay *pay, const pg_uuid_t *transaction_id)
{
	PgwAttempt attempt;

	if (memcmp(&pay->payment.transaction_id, transaction_id, sizeof(pg_uuid_t)) == 0)
		return;
	if (!pgw_store_attempt_by_id(transaction_id, &attempt))
		elog(ERROR, "the attempt that the worker recorded is not there");
	require_own(pay, &attempt);
	pay->payment.transaction_id = *transaction_id;
	pgw_store_update_payment(&pay->payment);
	pgw_commit_signal_add(transaction_id, PGW_COMMIT_SIGNAL_PROCESS);
}

PgwAudience
pgw_save_answer(PgwPay *pay, const PgwWaited *waited, PgwAttempt *attempt, bool *have_t)
{
	PgwAudience audience = PGW_AUDIENCE_WAIT_ENDED;

	name_attempt(pay, &waited->answer.transaction_id);
	if (waited->answered)
	{
		audience = save_outcome(pay, &waited->answer.place, attempt);
		*have_t = true;
		if (waited->answer.replayed)
			audience = PGW_AUDIENCE_REPLAY;
	}
	else
		*have_t = pgw_store_attempt_by_id(&pay->payment.transaction_id, attempt);
	return audience;
}
