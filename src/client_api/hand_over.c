/*
 * hand_over.c - a caller's request, handed over to the worker: its slot, and the wait
 *
 * Owns nothing that lasts. Order that matters: the caller's xids are assigned before the request is
 * handed over, because the worker records them with the intent.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "client_api/bounded_call.h"
#include "client_api/hand_over.h"
#include "exchange/commit_signal.h"
#include "exchange/exchange.h"
#include "quota/limit_submitted.h"
#include "sql_function/calling_actor.h"
#include "sql_function/raise_error.h"
#include "store/find_attempts.h"
#include "store/tables.h"

#define GIVE_BACK_POLL_FIRST_MS 5
#define GIVE_BACK_POLL_MAX_MS 200

static void
copy(char *to, size_t size, const char *from)
{
	/* Validation bounds every field below its place in the slot. */
	if (from != NULL && strlcpy(to, from, size) >= size)
		elog(ERROR, "a value does not fit into its slot");
}

/* Behind the token, which stands there already. */
static void
copy_customer(PgwSlotRequest *r, const PgwCheckedArgs *checked)
{
	size_t room;
	char *customer = pgw_slot_customer(r, &room);

	if (checked->customer == NULL)
		return;
	if (checked->customer_len >= room)
		elog(ERROR, "a value does not fit into its slot");
	memcpy(customer, checked->customer, checked->customer_len);
	customer[checked->customer_len] = '\0';
}

void
pgw_hand_over_fill(int slot, const PgwPay *pay)
{
	PgwSlotRequest *r = pgw_exchange_request(slot);
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
	copy_customer(r, &pay->checked);
	copy(r->bank_fields, sizeof(r->bank_fields),
		 pgw_fields_with_trace(args->bank_fields, &pay->checked.trace));
	pgw_actor_calling(&r->actor, pay->caller, &pay->checked.says, &sought);
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
 * Nothing was sent.  Whoever has his share of the slots already is told so at once; the others go
 * on.
 */
void
pgw_hand_over_refuse(const PgwPay *pay, PgwClaimSlot why)
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

int
pgw_hand_over_claim(const PgwPay *pay, bool more, PgwClaimSlot *why)
{
	int (*claim)(const char *, const char *, Oid, bool, PgwClaimSlot *) =
		more ? pgw_exchange_claim_more : pgw_exchange_claim;
	bool only_bank = pgw_config_one_bank();
	int slot = claim(pay->bank, pay->args.merchant, pay->caller, only_bank, why);
	PgwAttempt earlier;

	if (slot < 0 && *why == PGW_SLOT_ROLE_QUOTA &&
		pgw_store_earlier_attempt(pay->args.client_request_id, pay->args.merchant, &earlier) &&
		!pgw_state_is_final(earlier.status))
		slot = claim(pay->bank, pay->args.merchant, InvalidOid, only_bank, why);
	return slot;
}

/*
 * A cancel or a lost connection leaves the slots to the exchange: withdrawn, or abandoned to the
 * worker.  If it had taken over an earlier attempt for us by then, our rollback is its signal, too.
 */
void
pgw_hand_over_wait(TimestampTz deadline, PgwWaited *waited, int n)
{
	static const pg_uuid_t nothing = {{0}};

	/* a cancel must get through: the wait is as long as the bank takes */
	Assert(InterruptHoldoffCount == 0 && CritSectionCount == 0);
	memset(waited, 0, n * sizeof(PgwWaited));
	PG_TRY();
	{
		pgw_exchange_wait(deadline, waited);
	}
	PG_CATCH();
	{
		for (int i = 0; i < n; i++)
		{
			const pg_uuid_t *id = &waited[i].answer.transaction_id;

			if (memcmp(id, &nothing, sizeof(pg_uuid_t)) != 0)
				pgw_commit_signal_add(id, PGW_COMMIT_SIGNAL_PROCESS);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	pgw_bounded_call_answered(deadline);
}

/*
 * The attempt that is in the way is being given back: wait for the end of that, bounded by the
 * deadline.
 */
void
pgw_wait_for_give_back(const PgwPay *pay, const pg_uuid_t *transaction_id)
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

void
pgw_hand_over_check(const PgwWaited *waited)
{
	const PgwSlotAnswer *answer = &waited->answer;

	if (waited->withdrawn)
		pgw_raise(
			"worker_busy",
			pgw_detail(NULL, "reason",
					   "the worker had not come to it, or waited for a lock: see pgw.health()"),
			"Nothing was sent; the call can be repeated, with a longer timeout.");
	if (!waited->answered || answer->kind != PGW_ANSWER_ERROR)
		return;
	if (strcmp(answer->error_code, "idempotency_mismatch") == 0)
		pgw_pay_mismatch(answer->detail);
	pgw_raise(answer->error_code,
			  answer->detail[0] != '\0' ? pgw_detail(NULL, "reason", answer->detail) : NULL, NULL);
}
