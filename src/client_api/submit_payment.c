/*
 * submit_payment.c - pgw.submit_payment(): pay after the caller has committed
 *
 * Owns nothing that lasts.  Everything that is written here is in the caller's transaction, so a
 * rollback leaves nothing behind and the bank never hears of it.  No card data: nothing secret may
 * reach disk.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "client_api/bounded_call.h"
#include "client_api/pay_common.h"
#include "client_api/pause_submits.h"
#include "core/base/uuid7.h"
#include "database/find_row.h"
#include "database/table_locks.h"
#include "exchange/commit_signal.h"
#include "outcome/event_members.h"
#include "quota/limit_submitted.h"
#include "sql_function/calling_actor.h"
#include "sql_function/raise_error.h"
#include "store/events.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(pgw_submit_payment_1_0);

/*
 * PW429 when this would be one more than may wait.  Asked for a new payment alone: what is recorded
 * already is replayed whatever waits.  claimed: this transaction has the id.
 */
static void
take_quota(PgwPay *pay, bool claimed)
{
	const char *names[PGW_NQUOTAS] = {[PGW_QUOTA_MERCHANT] = pay->args.merchant,
									  [PGW_QUOTA_ROLE] = GetUserNameFromId(pay->caller, false)};

	for (PgwQuotaOf of = 0; of < PGW_NQUOTAS; of++)
	{
		const char *setting = pgw_quota_setting(of);
		int limit;

		if (pgw_quota_take(of, names[of], &limit))
			continue;

		/* recorded since the first look, by a call that this one repeats */
		if (!claimed && pgw_store_payment_by_request(pay->args.client_request_id,
													 pay->args.merchant, &pay->payment))
		{
			pay->found = PGW_FIND_ROW;
			return;
		}
		pgw_raise(
			"too_many_requests",
			pgw_quota_detail(setting, of == PGW_QUOTA_MERCHANT ? "merchant" : "role", limit),
			psprintf(
				"Nothing was recorded or sent. Call again with the same client_request_id when payments that wait have been sent, or raise %s.",
				setting));
	}
}

static void
start_attempt(PgwPay *pay, TimestampTz expires_at, PgwAttempt *attempt)
{
	const PgwPaymentArgs *args = &pay->args;
	PgwEvent started = {.type = PGW_EV_TRANSACTION_STARTED,
						.from = PGW_STATE_NONE,
						.to = PGW_CREATED,
						.operation = pay->capture_op};
	PgwEventMembers members;
	PgwActor actor;
	char key[33];

	memset(attempt, 0, sizeof(*attempt));
	attempt->transaction_id = pay->payment.transaction_id;
	attempt->payment_id = pay->payment.payment_id;
	attempt->client_request_id = pay->payment.client_request_id;
	attempt->merchant = pay->payment.merchant;
	attempt->kind = PGW_KIND_PAYMENT;
	attempt->status = PGW_CREATED;
	attempt->submitted = true;
	attempt->submitted_by = GetUserNameFromId(pay->caller, false);
	/* live when the worker takes it: no client blocks the worker in the index of live attempts */
	attempt->live = false;
	attempt->amount = args->amount;
	attempt->currency = pay->payment.currency;
	attempt->capture = pay->checked.capture;
	attempt->token = unconstify(char *, args->token);
	attempt->bank = pay->bank;
	attempt->livemode = pay->livemode;
	attempt->bank_requested = unconstify(char *, args->bank);
	attempt->reference = unconstify(char *, args->reference);
	attempt->bank_fields = pgw_fields_with_trace(args->bank_fields, &pay->checked.trace);
	pgw_uuid_to_hex32(attempt->transaction_id.data, key);
	attempt->own_request.key = pstrdup(key);
	attempt->caller_xid = GetTopFullTransactionId();
	attempt->caller_subxid = GetCurrentFullTransactionId();
	attempt->system_identifier = (int64) GetSystemIdentifier();
	attempt->database_oid = MyDatabaseId;
	attempt->next_step_at = GetCurrentTimestamp();
	attempt->expires_at = expires_at;
	attempt->correlation_id = pay->correlation_id;
	pgw_actor_calling(&actor, pay->caller, &pay->checked.says, NULL);
	attempt->actor = &actor;
	pgw_event_members_started(&members, attempt);
	attempt->actor = NULL;
	pgw_event_members_into(&members, &started);
	pgw_store_advance(attempt, true, &started, 1);
}

static bool
claim(PgwPay *pay, PgwAttempt *attempt, bool *have_t)
{
	/* for a call with the same id: whether this is a new payment shows only afterwards */
	bool waited;
	bool inserted;

	pgw_submit_pause();
	pgw_tables_lock(pay->deadline);
	pgw_pay_prepare(pay);
	waited = pay->found == PGW_FIND_IN_PROGRESS;
	if (pay->found == PGW_FIND_NONE)
		take_quota(pay, false);
	inserted = pgw_pay_claim(pay, attempt, have_t);
	if (inserted && waited)
		take_quota(pay, true);
	return inserted;
}

static Datum
submit_payment(PG_FUNCTION_ARGS)
{
	PgwPay pay;
	PgwAttempt attempt;
	PgwAudience audience = PGW_AUDIENCE_SUBMIT;
	Datum expires_at;
	Datum result;
	bool have_t = true;
	bool isnull;

	pgw_pay_begin(&pay, fcinfo, "pgw.submit_payment()", true);
	expires_at = pgw_arg(fcinfo, "expires_at", &isnull);
	if (!pgw_pay_repeat(&pay, &attempt) && claim(&pay, &attempt, &have_t))
	{
		/* 0, which is the beginning of the year 2000, stands for none */
		start_attempt(&pay,
					  isnull                                 ? 0
					  : DatumGetTimestampTz(expires_at) != 0 ? DatumGetTimestampTz(expires_at)
															 : -1,
					  &attempt);
		pgw_commit_signal_add_submitted(&attempt.transaction_id, true, attempt.bank,
										attempt.merchant);
		have_t = true;
	}
	else
		audience = PGW_AUDIENCE_REPLAY;

	pay.raise = false; /* submit only accepts: what the bank says comes later */
	result = pgw_pay_result(&pay, fcinfo, have_t ? &attempt : NULL, audience);
	pgw_pay_end(&pay);
	return result;
}

Datum
pgw_submit_payment_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, true, submit_payment);
}
