/*
 * process_payment.c - pgw.process_payment(): pay while the caller waits
 *
 * Owns nothing that lasts. Invariant: the payments row names an attempt of this payment, or the
 * call fails: what the answer names is looked at before it is written. Order that matters: what is
 * recorded already is answered first, without a lock that stays (look_without_lock.c).  Then the
 * locks of all tables (table_locks.c), so that DDL cannot come between the caller and the worker;
 * then the claim (payments row), so that duplicates wait in their own backends; the caller's xids
 * are assigned before the request is handed over, because the worker records them with the intent;
 * the signal of the transaction's end is registered before the worker can see the request, so that
 * no rollback goes unheard; ForceSyncCommit() comes as soon as the bank is known to have approved.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/debug_points.h"
#include "client_api/pay_common.h"
#include "core/base/error_codes.h"
#include "core/base/mutant.h"
#include "core/payment/charge_rules.h"
#include "database/caller_locks.h"
#include "database/row.h"
#include "exchange/caller_slot.h"
#include "exchange/commit_signal.h"
#include "exchange/exchange.h"
#include "outcome/record_decision.h"
#include "quota/limit_submitted.h"
#include "sql_function/calling_actor.h"
#include "sql_function/raise_error.h"
#include "store/find_attempts.h"
#include "store/tables.h"

#define GIVE_BACK_POLL_FIRST_MS 5
#define GIVE_BACK_POLL_MAX_MS 200

PG_FUNCTION_INFO_V1(pgw_process_payment_1_0);

static void
copy(char *to, size_t size, const char *from)
{
	/* Validation bounds every field below its place in the slot. */
	if (from != NULL && strlcpy(to, from, size) >= size)
		elog(ERROR, "a value does not fit into its slot");
}

static void
fill_slot(PgwSlotRequest *r, const PgwPay *pay)
{
	const PgwPaymentArgs *args = &pay->args;
	PgwSought sought = {.card_number = args->card_number, .card_cvv = args->card_cvv};

	r->payment_id = pay->payment.payment_id;
	r->transaction_id = pay->payment.transaction_id;
	r->correlation_id = pay->correlation_id;

	/*
	 * A subtransaction's own xid: ROLLBACK TO a savepoint inside a transaction that commits is a
	 * rollback too.
	 */
	r->caller_xid = GetTopFullTransactionId();
	r->caller_subxid = GetCurrentFullTransactionId();
	r->deadline = pay->deadline;
	r->generation = pay->config_number;
	r->config_changing = pay->config_changing;
	r->amount = args->amount;
	r->capture = (int) pay->checked.capture;
	copy(r->currency, sizeof(r->currency), args->currency);
	copy(r->client_request_id, sizeof(r->client_request_id), args->client_request_id);
	copy(r->merchant, sizeof(r->merchant), args->merchant);
	copy(r->bank, sizeof(r->bank), pay->bank);
	copy(r->bank_requested, sizeof(r->bank_requested), args->bank);
	copy(r->reference, sizeof(r->reference), args->reference);
	copy(r->token, sizeof(r->token), args->token);
	copy(r->bank_fields, sizeof(r->bank_fields), args->bank_fields);
	pgw_actor_calling(&r->actor, pay->caller, pay->checked.end_user, &sought);
	if (args->card_number != NULL)
	{
		r->card_expiry_month = args->card_expiry_month;
		r->card_expiry_year = args->card_expiry_year;
		copy(r->card_number, sizeof(r->card_number), args->card_number);
		copy(r->card_cvv, sizeof(r->card_cvv), args->card_cvv);
		copy(r->card_holder, sizeof(r->card_holder), args->card_holder);
		copy(r->card_last4, sizeof(r->card_last4), pay->checked.last4);
		copy(r->card_brand, sizeof(r->card_brand), pgw_card_brand_name(pay->checked.brand));
	}
}

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
	p->status = d.payment == PGW_PAYMENT_BECOMES_CAPTURED ? PGW_PAY_CAPTURED : PGW_PAY_AUTHORIZED;
	p->authorized_amount = d.authorized_amount;
	p->captured_amount = d.captured_amount;
	p->reserved_amount = d.reserved_amount;
}

/*
 * The worker knows the outcome: write what it means to the payments row.  place: where the worker
 * has left the attempt.
 */
static PgwAudience
save_outcome(PgwPay *pay, const ItemPointerData *place, PgwAttempt *attempt)
{
	PgwPayment *p = &pay->payment;

	/*
	 * The row as it stands now, under its lock, decides; the answer only said that it is worth
	 * looking.
	 */
	if (!pgw_store_lock_attempt_at(&p->transaction_id, place, true, attempt, NULL))
		elog(ERROR, "the attempt that the worker recorded is not there");
	require_own(pay, attempt);
	Assert(attempt->kind == PGW_KIND_PAYMENT && !attempt->submitted);

	if (attempt->status == PGW_BANK_APPROVED)
		save_approved(pay, attempt);
	else if (!pgw_record_status(p, attempt))
		/* not known: the row stays pending, the worker writes the rest */
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

/*
 * The attempt that is in the way is being given back: wait for the end of that, bounded by the
 * deadline.
 */
static void
wait_for_give_back(const PgwPay *pay, const pg_uuid_t *transaction_id)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "pgw wait for a give-back",
												  ALLOCSET_SMALL_SIZES);
	long pause = GIVE_BACK_POLL_FIRST_MS;

	for (;;)
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);
		PgwAttempt attempt;
		bool over =
			!pgw_store_attempt_by_id(transaction_id, &attempt) || attempt.status != PGW_REFUNDING;
		TimestampTz now = GetCurrentTimestamp();

		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
		if (over)
			break;
		if (pay->deadline != 0 && now >= pay->deadline)
			pgw_raise("request_in_flight",
					  pgw_detail(NULL, "reason", "an earlier attempt is being given back"), NULL);
		if (pay->deadline != 0)
			pause = Min(pause, TimestampDifferenceMilliseconds(now, pay->deadline) + 1);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(pause * 2, GIVE_BACK_POLL_MAX_MS);
	}
	MemoryContextDelete(scratch);
}

/*
 * A cancel or a lost connection leaves the slot to the exchange: withdrawn, or abandoned to the
 * worker.  If it had taken over an earlier attempt for us by then, our rollback is its signal, too.
 */
static bool
wait_for_worker(int slot, TimestampTz deadline, PgwSlotAnswer *answer, bool *withdrawn)
{
	static const pg_uuid_t nothing = {{0}};
	volatile bool answered = false;

	/* a cancel must get through: the wait is as long as the bank takes */
	Assert(InterruptHoldoffCount == 0 && CritSectionCount == 0);
	memset(answer, 0, sizeof(*answer));
	PG_TRY();
	{
		answered = pgw_exchange_wait(slot, deadline, answer, withdrawn);
	}
	PG_CATCH();
	{
		if (memcmp(&answer->transaction_id, &nothing, sizeof(pg_uuid_t)) != 0)
			pgw_commit_signal_add(&answer->transaction_id, PGW_COMMIT_SIGNAL_PROCESS);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return answered;
}

/*
 * Nothing was sent.  Whoever has his share of the slots already is told so at once; the others go
 * on.
 */
static void
raise_no_slot(const PgwPay *pay, PgwClaimSlot why)
{
	if (why == PGW_SLOT_BANK_SHARE)
		pgw_raise(
			"worker_busy",
			pgw_detail(pgw_detail(NULL, "reason",
								  "the bank's callers have their share of pgw.max_waiting"),
					   "bank", pay->bank),
			"Nothing was sent: the bank is slower than its callers come. Try again later, name another bank, or raise pgw.max_waiting.");
	if (why == PGW_SLOT_MERCHANT_SHARE)
		pgw_raise(
			"worker_busy",
			pgw_detail(pgw_detail(NULL, "reason",
								  "the merchant's callers have their share of pgw.max_waiting"),
					   "merchant", pay->args.merchant),
			"Nothing was sent. Try again later, or raise pgw.max_waiting.");
	if (why == PGW_SLOT_ROLE_QUOTA)
		pgw_raise(
			"too_many_requests",
			pgw_quota_detail("pgw.role_max_waiting", "role", pgw_role_max_waiting),
			"Nothing was sent. Call again with the same client_request_id when calls of this role have ended, or raise pgw.role_max_waiting.");
	pgw_raise("no_free_slot", NULL, "Raise pgw.max_waiting, or try again.");
}

/*
 * A slot.  A call that repeats an attempt which is still under way gets one whatever its role's
 * quota says: nothing new is charged for it, and without it a charge that the caller wants would be
 * given back.
 */
static int
claim_slot(const PgwPay *pay, PgwClaimSlot *why)
{
	bool only_bank = pgw_config_nth(1) == NULL;
	int slot = pgw_exchange_claim(pay->bank, pay->args.merchant, pay->caller, only_bank, why);
	PgwAttempt earlier;

	if (slot < 0 && *why == PGW_SLOT_ROLE_QUOTA &&
		pgw_store_earlier_attempt(pay->args.client_request_id, pay->args.merchant, &earlier) &&
		!pgw_state_is_final(earlier.status))
		slot = pgw_exchange_claim(pay->bank, pay->args.merchant, InvalidOid, only_bank, why);
	return slot;
}

/* Hand the request over and wait; again after the give-back of an earlier attempt. */
static bool
ask_worker(PgwPay *pay, PgwSlotAnswer *answer)
{
	bool answered;
	bool withdrawn = false;

	pgw_commit_signal_add(&pay->payment.transaction_id, PGW_COMMIT_SIGNAL_PROCESS);
	PGW_DEBUG_POINT("claimed");
	for (;;)
	{
		PgwClaimSlot why;
		int slot = claim_slot(pay, &why);

		if (slot < 0)
			raise_no_slot(pay, why);
		fill_slot(pgw_exchange_request(slot), pay);
		pgw_exchange_submit(slot);
		PGW_DEBUG_POINT("requested");

		answered = wait_for_worker(slot, pay->deadline, answer, &withdrawn);
		if (!answered || answer->kind != PGW_ANSWER_BLOCKED)
			break;
		wait_for_give_back(pay, &answer->transaction_id);
	}
	pgw_args_wipe(&pay->args);
	if (withdrawn)
		pgw_raise("worker_busy", NULL,
				  "Nothing was sent; the call can be repeated, with a longer timeout.");
	PGW_DEBUG_POINT("answered");
	return answered;
}

static Datum
process(PgwPay *pay, FunctionCallInfo fcinfo)
{
	PgwAttempt attempt;
	PgwSlotAnswer answer;
	PgwAudience audience = PGW_AUDIENCE_WAIT_ENDED;
	bool have_t;
	bool answered;

	if (!pgw_pay_claim(pay, &attempt, &have_t))
		return pgw_pay_result(pay, fcinfo, have_t ? &attempt : NULL, PGW_AUDIENCE_REPLAY);

	answered = ask_worker(pay, &answer);
	if (answered && answer.kind == PGW_ANSWER_ERROR)
	{
		if (strcmp(answer.error_code, "idempotency_mismatch") == 0)
			pgw_pay_mismatch(answer.detail);
		pgw_raise(answer.error_code,
				  answer.detail[0] != '\0' ? pgw_detail(NULL, "reason", answer.detail) : NULL,
				  NULL);
	}
	name_attempt(pay, &answer.transaction_id);
	if (answered)
	{
		audience = save_outcome(pay, &answer.place, &attempt);
		have_t = true;
		if (answer.replayed)
			audience = PGW_AUDIENCE_REPLAY;
	}
	else
		have_t = pgw_store_attempt_by_id(&pay->payment.transaction_id, &attempt);
	PGW_DEBUG_POINT("saved");
	return pgw_pay_result(pay, fcinfo, have_t ? &attempt : NULL, audience);
}

/* The tables are written before and after the wait. */
static Datum
process_with_open_tables(PgwPay *pay, FunctionCallInfo fcinfo)
{
	bool keep = pgw_row_keep(CurrentMemoryContext);
	Datum result;

	PG_TRY();
	{
		result = process(pay, fcinfo);
	}
	PG_CATCH();
	{
		if (keep)
			pgw_row_forget_kept();
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (keep)
		pgw_row_close_kept();
	return result;
}

Datum
pgw_process_payment_1_0(PG_FUNCTION_ARGS)
{
	PgwPay pay;
	PgwAttempt attempt;
	Datum result;

	pgw_pay_begin(&pay, fcinfo, "pgw.process_payment()", false);
	if (pgw_pay_repeat(&pay, &attempt))
		result = pgw_pay_result(&pay, fcinfo, &attempt, PGW_AUDIENCE_REPLAY);
	else
	{
		pgw_tables_enter(pay.deadline);
		pgw_pay_prepare(&pay);
		result = process_with_open_tables(&pay, fcinfo);
	}
	pgw_pay_end(&pay);
	return result;
}
