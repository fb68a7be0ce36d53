/*
 * read_payment.c - pgw.get_payment(), find_payment(), wait_for_payment(), payment_history()
 *
 * Owns nothing.  All of them see the latest committed state, or the own transaction's, at every
 * isolation level, and take no predicate locks; so they are VOLATILE, and a caller sees between two
 * calls what the worker has done.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/wait_event.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "client_api/bounded_call.h"
#include "client_api/pay_common.h"
#include "client_api/payment_result.h"
#include "core/base/buf_json.h"
#include "core/base/uuid7.h"
#include "database/column_values.h"
#include "exchange/commit_signal.h"
#include "sql_function/check_access.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_home.h"
#include "sql_function/result_set.h"
#include "store/events.h"
#include "store/find_attempts.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(pgw_get_payment_1_0);
PG_FUNCTION_INFO_V1(pgw_find_payment_1_0);
PG_FUNCTION_INFO_V1(pgw_wait_for_payment_1_0);
PG_FUNCTION_INFO_V1(pgw_payment_history_1_0);

#define POLL_FIRST_MS 5
#define POLL_MAX_MS 50

static void
begin_faults(PgwBuf *faults)
{
	pgw_buf_init(faults, 0);
	pgw_buf_json_open(faults, '[');
}

/* Raise PW400 if there are any. */
static void
end_faults(PgwBuf *faults, int n)
{
	char *text = NULL;

	pgw_buf_json_close(faults, ']');
	if (n > 0)
		text = MemoryContextStrdup(CurrentMemoryContext, faults->failed ? "[]" : faults->data);
	pgw_buf_free(faults);
	if (n > 0)
		pgw_raise_faults(text);
}

static pg_uuid_t
arg_payment_id(FunctionCallInfo fcinfo)
{
	bool isnull;
	Datum d = pgw_arg(fcinfo, "payment_id", &isnull);

	if (isnull)
		pgw_raise_fault("payment_id", "required", NULL);
	return *DatumGetUUIDP(d);
}

/*
 * The payment as it stands, or as the attempts tell when its own row is not visible. false:
 * neither.
 */
static bool
load(const pg_uuid_t *payment_id, PgwPayment *p, PgwAttempt *attempt, bool *have_t)
{
	PgwAttempt *attempts;
	int n;

	*have_t = false;
	if (pgw_store_payment_by_id(payment_id, p))
	{
		*have_t = pgw_store_attempt_by_id(&p->transaction_id, attempt);
		return true;
	}
	n = pgw_store_attempts(payment_id, &attempts);
	for (int i = n - 1; i >= 0; i--)
	{
		if (attempts[i].kind == PGW_KIND_PAYMENT)
		{
			*attempt = attempts[i];
			*have_t = true;
			pgw_result_from_attempt(attempt, p);
			return true;
		}
	}
	return false;
}

static Datum
get_payment(PG_FUNCTION_ARGS)
{
	pg_uuid_t id = arg_payment_id(fcinfo);
	PgwPayment p;
	PgwAttempt attempt;
	TupleDesc desc;
	Tuplestorestate *store;
	Oid caller;
	int sec_context;
	bool have_t;

	pgw_require(GetUserId(), "auditor", NULL);
	pgw_require_home_of_id(&id);
	store = pgw_result_set(fcinfo, &desc);
	pgw_become_owner(&caller, &sec_context);

	/* Another merchant's payment is no payment: its id is not confirmed. */
	if (load(&id, &p, &attempt, &have_t) && pgw_caller_may(caller, "auditor", p.merchant))
		pgw_result_put(store, desc, &p, have_t ? &attempt : NULL, PGW_AUDIENCE_READ);
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}

Datum
pgw_get_payment_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, false, get_payment);
}

static Datum
find_payment(PG_FUNCTION_ARGS)
{
	char *request_id = pgw_arg_text(fcinfo, "client_request_id");
	char *merchant = pgw_arg_text(fcinfo, "merchant");
	PgwBuf faults;
	PgwPayment p;
	PgwAttempt attempt;
	TupleDesc desc;
	Tuplestorestate *store;
	Oid caller;
	int sec_context;
	int n;
	bool have_t;

	begin_faults(&faults);
	n = pgw_validate_id("client_request_id", request_id, &faults);
	n += pgw_validate_id("merchant", merchant, &faults);
	end_faults(&faults, n);

	pgw_require(GetUserId(), "auditor", merchant);
	pgw_require_home_of_request(request_id);
	store = pgw_result_set(fcinfo, &desc);
	pgw_become_owner(&caller, &sec_context);
	if (pgw_store_payment_by_request(request_id, merchant, &p))
	{
		have_t = pgw_store_attempt_by_id(&p.transaction_id, &attempt);
		pgw_result_put(store, desc, &p, have_t ? &attempt : NULL, PGW_AUDIENCE_READ);
	}
	else if (pgw_store_attempt_by_request(request_id, merchant, &attempt))
	{
		/* Its caller has not committed yet, or has rolled back. */
		pgw_result_from_attempt(&attempt, &p);
		pgw_result_put(store, desc, &p, &attempt, PGW_AUDIENCE_READ);
	}
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}

Datum
pgw_find_payment_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, false, find_payment);
}

/*
 * Is there nothing to wait for?  What this very transaction has asked for is done after its commit:
 * waiting here would never end.
 */
static bool
is_over(const PgwPayment *p)
{
	PgwAttempt *attempts;
	int n;

	if (p->status == PGW_PAY_PENDING)
		return pgw_commit_signal_is_pending_submit(&p->transaction_id);
	if (p->reserved_amount == 0 && p->capture_pending_amount == 0 && p->refund_pending_amount == 0)
		return true;
	if (pgw_commit_signal_is_pending(&p->transaction_id))
		return true;
	n = pgw_store_attempts(&p->payment_id, &attempts);
	for (int i = 0; i < n; i++)
	{
		if (pgw_commit_signal_is_pending_submit(&attempts[i].transaction_id))
			return true;
	}
	return false;
}

/* PW400 for what is wrong with them, with every fault of them at once. */
static void
read_wait_arguments(FunctionCallInfo fcinfo, pg_uuid_t *id, TimestampTz *deadline)
{
	char *faults = NULL;
	Datum timeout;
	int64 timeout_ms;
	bool isnull;

	(void) pgw_arg(fcinfo, "payment_id", &isnull);
	if (isnull)
		faults = pgw_arg_fault(faults, "payment_id", "required", NULL);
	timeout = pgw_arg(fcinfo, "timeout", &isnull);
	timeout_ms = isnull ? 0 : pgw_interval_ms(timeout);
	if (isnull)
		faults = pgw_arg_fault(faults, "timeout", "required", NULL);
	if (timeout_ms < 0 || timeout_ms > PGW_MAX_TIMEOUT_MS)
		faults = pgw_arg_fault(faults, "timeout", "out_of_range", "must be 0 to 24 hours");
	if (faults != NULL)
		pgw_raise_faults(pgw_json_array_of(faults));
	*id = arg_payment_id(fcinfo);
	*deadline = pgw_deadline(timeout_ms);
	pgw_bounded_call_until(*deadline);
}

/* As load(), but PW404 when there is none, or none that this role may see. */
static void
load_or_raise(const pg_uuid_t *id, Oid caller, PgwPayment *p, PgwAttempt *attempt, bool *have_t)
{
	char text[37];

	if (load(id, p, attempt, have_t) && pgw_caller_may(caller, "auditor", p->merchant))
		return;
	pgw_uuid_to_text(id->data, text);
	pgw_raise("payment_not_found", pgw_detail(NULL, "payment_id", text), NULL);
}

static void
pause_until(long pause_ms, TimestampTz deadline)
{
	(void) WaitLatch(
		MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
		Max(1, Min(pause_ms, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline))),
		PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static Datum
wait_for_payment(PG_FUNCTION_ARGS)
{
	pg_uuid_t id;
	PgwPayment p;
	PgwAttempt attempt;
	TimestampTz deadline;
	Datum result;
	MemoryContext scratch;
	MemoryContext old;
	Oid caller;
	int sec_context;
	bool have_t;
	bool over;

	read_wait_arguments(fcinfo, &id, &deadline);
	pgw_require(GetUserId(), "auditor", NULL);
	pgw_require_home_of_id(&id);
	pgw_become_owner(&caller, &sec_context);
	scratch =
		AllocSetContextCreate(CurrentMemoryContext, "pgw wait_for_payment", ALLOCSET_SMALL_SIZES);
	for (long pause_ms = POLL_FIRST_MS;; pause_ms = Min(pause_ms * 2, POLL_MAX_MS))
	{
		MemoryContextReset(scratch);
		old = MemoryContextSwitchTo(scratch);
		load_or_raise(&id, caller, &p, &attempt, &have_t);
		over = is_over(&p);
		MemoryContextSwitchTo(old);
		if (over || GetCurrentTimestamp() >= deadline)
			break;
		pause_until(pause_ms, deadline);
	}
	result = pgw_result_datum(fcinfo, &p, have_t ? &attempt : NULL, PGW_AUDIENCE_READ);
	MemoryContextDelete(scratch);
	pgw_become_caller(caller, sec_context);
	return result;
}

Datum
pgw_wait_for_payment_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, false, wait_for_payment);
}

static Datum
payment_history(PG_FUNCTION_ARGS)
{
	pg_uuid_t id = arg_payment_id(fcinfo);
	PgwAttempt *attempts;
	TupleDesc desc;
	Tuplestorestate *store;
	Oid caller;
	int sec_context;
	int n;

	pgw_require(GetUserId(), "auditor", NULL);
	pgw_require_home_of_id(&id);
	store = pgw_result_set(fcinfo, &desc);
	if (desc->natts != 8)
		elog(ERROR, "unexpected result type of pgw.payment_history()");
	pgw_become_owner(&caller, &sec_context);
	n = pgw_store_attempts(&id, &attempts);
	for (int i = 0; i < n; i++)
	{
		PgwEventRow *events;
		int nevents;

		if (!pgw_caller_may(caller, "auditor", attempts[i].merchant))
			continue;
		nevents = pgw_store_events(&attempts[i].transaction_id, &events);
		for (int j = 0; j < nevents; j++)
		{
			Datum values[8];
			bool nulls[8] = {false};

			values[0] = UUIDPGetDatum(&events[j].event_id);
			values[1] = UUIDPGetDatum(&events[j].transaction_id);
			values[2] = pgw_row_from_string(TupleDescAttr(desc, 2)->atttypid,
											pgw_kind_name(attempts[i].kind));
			values[3] = Int32GetDatum(events[j].step_order);
			values[4] = pgw_row_from_string(TupleDescAttr(desc, 4)->atttypid, events[j].event_type);
			values[5] = TimestampTzGetDatum(events[j].occurred_at);
			values[6] = JsonbPGetDatum(pgw_event_in_full(events, j));
			nulls[7] = events[j].error_details == NULL;
			values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(events[j].error_details);
			tuplestore_putvalues(store, desc, values, nulls);
		}
	}
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}

Datum
pgw_payment_history_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, false, payment_history);
}
