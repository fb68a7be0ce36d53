/*
 * rebuild_payment.c - pgw.rebuild_payment(): what a payment stands at, from events alone
 *
 * Owns nothing, changes nothing.  The rows of payments and attempts serve to find the events, and
 * to see whose they are; no status and no amount is read from them.  The rule is
 * core/payment/payment_from_events.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

#include "core/base/uuid7.h"
#include "core/payment/payment_from_events.h"
#include "core/request/validate.h"
#include "database/column_values.h"
#include "operator_api/check_consistency.h"
#include "sql_function/check_access.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "store/events.h"
#include "store/find_attempts.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(pgw_rebuild_payment_1_0);

/* ---------------------------------------------------------------- what an event says */

static bool
member(Jsonb *data, const char *name, JsonbValue *v)
{
	return data != NULL && JB_ROOT_IS_OBJECT(data) &&
		   getKeyJsonValueFromContainer(&data->root, name, strlen(name), v) != NULL;
}

static char *
text_member(Jsonb *data, const char *name)
{
	JsonbValue v;

	return member(data, name, &v) && v.type == jbvString
			   ? pnstrdup(v.val.string.val, v.val.string.len)
			   : NULL;
}

static int64
number_member(Jsonb *data, const char *name)
{
	JsonbValue v;

	return member(data, name, &v) && v.type == jbvNumeric
			   ? DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(v.val.numeric)))
			   : 0;
}

static bool
is_false(Jsonb *data, const char *name)
{
	JsonbValue v;

	return member(data, name, &v) && v.type == jbvBool && !v.val.boolean;
}

static void
tell(PgwToldAttempt *told, const PgwEventRow *events, int index)
{
	const PgwEventRow *event = &events[index];
	Jsonb *data = pgw_event_in_full(events, index);
	char *capture = text_member(data, "capture");
	char *origin = text_member(data, "origin");
	PgwToldEvent e = {.type = (PgwEventType) pgw_event_parse(event->event_type),
					  .to = event->to,
					  .error_code = text_member(data, "error_code"),
					  .bank_amount = number_member(data, "bank_amount"),
					  .operation = text_member(data, "operation"),
					  .amount = number_member(data, "amount"),
					  .on_commit =
						  capture != NULL && pgw_capture_parse(capture) == PGW_CAPTURE_ON_COMMIT,
					  .not_final = is_false(data, "final"),
					  .taken = number_member(data, "taken"),
					  .by_bank = origin != NULL && strcmp(origin, PGW_ORIGIN_BANK) == 0};

	pgw_told_add(told, &e);
}

static void
tell_attempt(const PgwAttempt *attempt, PgwToldAttempt *told, char **currency)
{
	PgwEventRow *events;
	PgwState state;
	int n = pgw_rebuild_from_events(attempt, &events, &state);

	memset(told, 0, sizeof(*told));
	for (int i = 0; i < n; i++)
		tell(told, events, i);
	if (n > 0 && currency != NULL)
		*currency = text_member(pgw_event_in_full(events, 0), "currency");
}

/* ---------------------------------------------------------------- a payment's attempts */

/*
 * The attempt at the charge: one that the payment has taken over counts before its own, which has
 * ended as superseded.  -1: there is none.
 */
static int
charge_of(const PgwAttempt *attempts, int n)
{
	int found = -1;

	for (int i = 0; i < n; i++)
	{
		if (attempts[i].kind == PGW_KIND_PAYMENT &&
			(found < 0 || (attempts[i].adopted && !attempts[found].adopted)))
			found = i;
	}
	return found;
}

static Datum
result(FunctionCallInfo fcinfo, const PgwAttempt *charge, const PgwToldAttempt *told,
	   const char *currency, const PgwToldPayment *p)
{
	TupleDesc desc;
	Datum values[14];
	bool nulls[14] = {false};
	const PgwPaymentAmounts *s = &p->amounts;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type of pgw.rebuild_payment()");
	values[0] = UUIDPGetDatum(&charge->transaction_id);
	values[1] =
		pgw_row_from_string(TupleDescAttr(desc, 1)->atttypid, pgw_payment_status_name(s->status));
	values[2] = Int64GetDatum(told->amount);
	nulls[3] = currency == NULL;
	values[3] = currency != NULL ? CStringGetTextDatum(currency) : (Datum) 0;
	values[4] = Int64GetDatum(s->authorized);
	values[5] = Int64GetDatum(s->captured);
	values[6] = Int64GetDatum(s->reserved);
	values[7] = Int64GetDatum(s->refunded);
	values[8] = Int64GetDatum(s->refund_pending);
	values[9] = Int64GetDatum(p->given_back);
	values[10] = Int64GetDatum(s->capture_pending);
	values[11] = Int64GetDatum(s->bank_captured);
	values[12] = Int64GetDatum(s->bank_refunded);
	values[13] = Int64GetDatum(s->disputed);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
pgw_rebuild_payment_1_0(PG_FUNCTION_ARGS)
{
	bool isnull;
	Datum arg = pgw_arg(fcinfo, "payment_id", &isnull);
	PgwAttempt *attempts;
	PgwToldAttempt charge;
	PgwToldAttempt *operations;
	PgwToldPayment payment;
	char *currency = NULL;
	Oid caller;
	int sec_context;
	int noperations = 0;
	int which;
	int n;

	if (isnull)
		pgw_raise_fault("payment_id", "required", NULL);
	pgw_require(GetUserId(), "auditor", NULL);
	pgw_become_owner(&caller, &sec_context);
	n = pgw_store_attempts(DatumGetUUIDP(arg), &attempts);
	which = charge_of(attempts, n);

	/* Another merchant's payment is no payment: its id is not confirmed. */
	if (which < 0 || !pgw_caller_may(caller, "auditor", attempts[which].merchant))
	{
		char text[37];

		pgw_uuid_to_text(DatumGetUUIDP(arg)->data, text);
		pgw_raise("payment_not_found", pgw_detail(NULL, "payment_id", text), NULL);
	}
	tell_attempt(&attempts[which], &charge, &currency);
	operations = palloc(n * sizeof(PgwToldAttempt));
	for (int i = 0; i < n; i++)
	{
		if (attempts[i].kind != PGW_KIND_PAYMENT)
			tell_attempt(&attempts[i], &operations[noperations++], NULL);
	}
	pgw_told_payment(&charge, operations, noperations, &payment);
	pgw_become_caller(caller, sec_context);
	return result(fcinfo, &attempts[which], &charge, currency, &payment);
}
