/*
 * submit_payment.c - pgw.submit_payment(): pay after the caller has committed
 *
 * Owns nothing that lasts.  Everything that is written here is in the caller's transaction, so a rollback leaves nothing behind and the bank
 * never hears of it.  No card data: nothing secret may reach disk.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "client_api/pay_common.h"
#include "core/base/uuid7.h"
#include "database/table_locks.h"
#include "exchange/commit_signal.h"
#include "quota/quota.h"
#include "sql_function/raise_error.h"

PG_FUNCTION_INFO_V1(pgw_submit_payment_1_0);

/*
 * PW429 when this would be one more than may wait.  Asked for a new payment alone: what is recorded already is replayed whatever waits.  claimed: this
 * transaction has the id.
 */
static void
take_quota(PgwPay *pay, bool claimed)
{
	const char *names[PGW_NQUOTAS] = {[PGW_QUOTA_MERCHANT] = pay->req.merchant, [PGW_QUOTA_ROLE] = GetUserNameFromId(pay->caller, false)};

	for (PgwQuotaOf of = 0; of < PGW_NQUOTAS; of++)
	{
		const char *setting = pgw_quota_setting(of);
		int			limit;

		if (pgw_quota_take(of, names[of], &limit))
			continue;

		/* recorded since the first look, by a call that this one repeats */
		if (!claimed && pgw_store_payment_by_request(pay->req.client_request_id, pay->req.merchant, &pay->payment))
		{
			pay->found = PGW_FIND_ROW;
			return;
		}
		pgw_raise("too_many_requests",
				  psprintf("\"quota\": \"%s\", \"of\": \"%s\", \"limit\": %d", setting, of == PGW_QUOTA_MERCHANT ? "merchant" : "role", limit),
				  psprintf("Nothing was recorded or sent. Call again with the same client_request_id when payments that wait have been sent, or raise %s.", setting));
	}
}

static void
start_attempt(PgwPay *pay, TimestampTz expires_at, PgwTransaction *t)
{
	const PgwRequest *req = &pay->req;
	PgwEvent	started = {PGW_EV_TRANSACTION_STARTED, PGW_STATE_NONE, PGW_CREATED, pay->capture_op, NULL, NULL};
	char		key[33];

	memset(t, 0, sizeof(*t));
	t->transaction_id = pay->payment.transaction_id;
	t->payment_id = pay->payment.payment_id;
	t->client_request_id = pay->payment.client_request_id;
	t->merchant = pay->payment.merchant;
	t->kind = PGW_KIND_PAYMENT;
	t->status = PGW_CREATED;
	t->submitted = true;
	t->submitted_by = GetUserNameFromId(pay->caller, false);
	t->taken = false;			/* joins the one-live-attempt index when the worker takes it: no client blocks the worker there */
	t->amount = req->amount;
	t->currency = pay->payment.currency;
	t->capture = pay->checked.capture;
	t->token = unconstify(char *, req->token);
	t->bank = pay->bank;
	t->bank_requested = unconstify(char *, req->bank);
	t->reference = unconstify(char *, req->reference);
	t->bank_fields = unconstify(char *, req->bank_fields);
	pgw_uuid_to_hex32(t->transaction_id.data, key);
	t->bank_key = pstrdup(key);
	t->caller_xid = GetTopFullTransactionId();
	t->caller_subxid = GetCurrentFullTransactionId();
	t->system_identifier = (int64) GetSystemIdentifier();
	t->database_oid = MyDatabaseId;
	t->next_attempt_at = GetCurrentTimestamp();
	t->expires_at = expires_at;
	t->correlation_id = pay->correlation_id;
	pgw_store_advance(t, true, &started, 1);
}

static bool
claim(PgwPay *pay, PgwTransaction *t, bool *have_t)
{
	bool		waited;			/* for a call with the same id: whether this is a new payment shows only afterwards */
	bool		inserted;

	pgw_tables_lock(pay->deadline);
	pgw_pay_prepare(pay);
	waited = pay->found == PGW_FIND_IN_PROGRESS;
	if (pay->found == PGW_FIND_NONE)
		take_quota(pay, false);
	inserted = pgw_pay_claim(pay, t, have_t);
	if (inserted && waited)
		take_quota(pay, true);
	return inserted;
}

Datum
pgw_submit_payment_1_0(PG_FUNCTION_ARGS)
{
	PgwPay		pay;
	PgwTransaction t;
	PgwTold		told = PGW_TOLD_SUBMITTED;
	Datum		expires_at;
	Datum		result;
	bool		have_t = true;
	bool		isnull;

	pgw_pay_begin(&pay, fcinfo, "pgw.submit_payment()", true);
	expires_at = pgw_arg(fcinfo, "expires_at", &isnull);
	if (!pgw_pay_repeat(&pay, &t) && claim(&pay, &t, &have_t))
	{
		/* 0, which is the beginning of the year 2000, stands for none */
		start_attempt(&pay, isnull ? 0 : DatumGetTimestampTz(expires_at) != 0 ? DatumGetTimestampTz(expires_at) : -1, &t);
		pgw_fate_add_submitted(&t);
		have_t = true;
	}
	else
		told = PGW_TOLD_REPLAYED;

	pay.raise = false;			/* submit only accepts: what the bank says comes later */
	result = pgw_pay_result(&pay, fcinfo, have_t ? &t : NULL, told);
	pgw_pay_end(&pay);
	return result;
}
