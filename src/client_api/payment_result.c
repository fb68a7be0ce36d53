/*
 * payment_result.c - pgw.payment_result: what callers are told about a payment
 *
 * Owns: the rules for error_*, http_status and retryable.
 * Invariants: texts come from core/base/error_codes.h or from what the worker recorded as
 * sanitized; columns are filled by name, so an older SQL definition with fewer columns works.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "base/json_writer.h"
#include "client_api/bounded_call.h"
#include "client_api/payment_result.h"
#include "core/base/error_codes.h"
#include "database/column_values.h"
#include "exchange/unreplicated.h"
#include "outcome/record_decision.h"
#include "sql_function/raise_error.h"
#include "store/tables.h"

static void
error_from_code(const char *code, PgwResultError *v)
{
	const PgwErrorInfo *info = pgw_error_find(code);

	if (info == NULL)
		info = pgw_error_find("internal_error");
	v->error_class = pgw_error_class_name(info->class);
	v->error_code = info->code;
	v->error_message = info->message;
	v->http_status = info->http_status;
	v->retryable = info->retryable;
}

void
pgw_result_error(const PgwPayment *p, const PgwAttempt *attempt, PgwAudience audience,
				 PgwResultError *v)
{
	memset(v, 0, sizeof(*v));
	switch (p->status)
	{
		case PGW_PAY_DECLINED:
		case PGW_PAY_FAILED:
			if (attempt != NULL && attempt->error_code != NULL)
				error_from_code(attempt->error_code, v);
			else if (attempt != NULL &&
					 (attempt->status == PGW_REFUNDING || attempt->status == PGW_REFUNDED))
				error_from_code("given_back", v);
			else
				error_from_code(p->status == PGW_PAY_DECLINED ? "declined" : "bank_error", v);
			break;

		case PGW_PAY_PENDING:
		case PGW_PAY_IN_REVIEW:
			v->http_status = 202;

			/* Accepted and on its way is no error; not knowing what the bank did is one. */
			if (attempt != NULL && (attempt->status == PGW_BANK_UNKNOWN ||
									attempt->status == PGW_REQUIRES_MANUAL_REVIEW))
				error_from_code(
					attempt->error_code != NULL ? attempt->error_code : "outcome_unknown", v);
			else if (audience == PGW_AUDIENCE_WAIT_ENDED)
				error_from_code("wait_timeout", v);
			break;

		default:
			v->http_status = audience == PGW_AUDIENCE_FIRST_CALL ? 201 : 200;
			break;
	}
	if (attempt != NULL && attempt->error_message != NULL && v->error_code != NULL)
		v->error_message = attempt->error_message;
}

static void
operation_error(const PgwAttempt *op, PgwAudience audience, PgwResultError *v)
{
	memset(v, 0, sizeof(*v));
	if (op->status == PGW_COMPLETED)
		v->http_status = audience == PGW_AUDIENCE_FIRST_CALL ? 201 : 200;
	else
		v->http_status = 202;
	if (op->status == PGW_FAILED || op->status == PGW_BANK_UNKNOWN ||
		op->status == PGW_REQUIRES_MANUAL_REVIEW)
		error_from_code(op->error_code != NULL ? op->error_code : "outcome_unknown", v);

	/*
	 * in doubt, whatever the bank said last: the refusal of one that is being looked up is not
	 * final
	 */
	if (op->status == PGW_BANK_UNKNOWN &&
		strcmp(v->error_class, pgw_error_class_name(PGW_CLASS_TIMEOUT)) != 0)
		error_from_code("outcome_unknown", v);
}

/* Values of one row, put by column name. */
typedef struct Row
{
	TupleDesc desc;
	Datum *values;
	bool *nulls;
	int next; /* most often that is the column that is put next */
} Row;

static int
column(Row *row, const char *name)
{
	int natts = row->desc->natts;

	for (int n = 0; n < natts; n++)
	{
		int i = (row->next + n) % natts;

		if (strcmp(NameStr(TupleDescAttr(row->desc, i)->attname), name) == 0)
		{
			row->next = i + 1;
			return i;
		}
	}
	return -1;
}

static void
put(Row *row, const char *name, Datum value)
{
	int i = column(row, name);

	if (i >= 0)
	{
		row->values[i] = value;
		row->nulls[i] = false;
	}
}

static void
put_string(Row *row, const char *name, const char *value)
{
	int i = column(row, name);

	if (i >= 0 && value != NULL)
	{
		row->values[i] = pgw_row_from_string(TupleDescAttr(row->desc, i)->atttypid, value);
		row->nulls[i] = false;
	}
}

static Row *
new_row(TupleDesc desc)
{
	Row *row = palloc0(sizeof(Row));

	row->desc = desc;
	row->values = palloc0(desc->natts * sizeof(Datum));
	row->nulls = palloc(desc->natts * sizeof(bool));
	memset(row->nulls, true, desc->natts * sizeof(bool));
	return row;
}

static void
put_error(Row *row, const PgwResultError *v)
{
	put_string(row, "error_class", v->error_class);
	put_string(row, "error_code", v->error_code);
	put_string(row, "error_message", v->error_message);
	put(row, "http_status", Int32GetDatum(v->http_status));
	put(row, "retryable", BoolGetDatum(v->retryable));
}

/*
 * The customer is told of the payment only: what becomes of a refund is between the shop and its
 * bank.
 */
static const char *
details_of(const PgwAttempt *op, const PgwResultError *v)
{
	const PgwErrorInfo *info = pgw_error_find(v->error_code);

	if (op != NULL)
		return op->unconfirmed
				   ? psprintf("{\"kind\": \"%s\", \"confirmed\": false}", pgw_kind_name(op->kind))
				   : pgw_json_object_of("kind", pgw_kind_name(op->kind));
	if (info != NULL && info->customer != NULL)
		return pgw_json_object_of("customer_message_key", info->customer);
	return "{}";
}

/*
 * attempt: the payment's attempt, or NULL; op: an operation on it that the row is about, or NULL.
 */
static void
fill(Row *row, const PgwPayment *p, const PgwAttempt *attempt, const PgwAttempt *op,
	 PgwAudience audience)
{
	PgwResultError v;

	if (op != NULL)
		operation_error(op, audience, &v);
	else
		pgw_result_error(p, attempt, audience, &v);

	put(row, "payment_id", UUIDPGetDatum(&p->payment_id));
	put(row, "transaction_id",
		UUIDPGetDatum(op != NULL ? &op->transaction_id : &p->transaction_id));
	put_string(row, "client_request_id", op != NULL ? op->client_request_id : p->client_request_id);
	put_string(row, "status", pgw_payment_status_name(p->status));
	put_string(row, "transaction_status",
			   pgw_state_name(op != NULL        ? op->status
							  : attempt != NULL ? attempt->status
												: PGW_CREATED));
	put(row, "amount", Int64GetDatum(op != NULL ? op->amount : p->amount));
	put_string(row, "currency", p->currency);
	put(row, "authorized_amount", Int64GetDatum(p->authorized_amount));
	put(row, "captured_amount", Int64GetDatum(p->captured_amount));
	put(row, "capture_pending_amount", Int64GetDatum(p->capture_pending_amount));
	put(row, "refunded_amount", Int64GetDatum(p->refunded_amount));
	put(row, "refund_pending_amount", Int64GetDatum(p->refund_pending_amount));
	put_string(row, "bank", p->bank != NULL || attempt == NULL ? p->bank : attempt->bank);
	put_string(row, "bank_reference", p->bank_reference);
	put_string(row, "authorization_code", p->authorization_code);
	put_string(row, "card_last4", p->card_last4);
	put_string(row, "card_brand", p->card_brand);
	put_error(row, &v);
	put(row, "replayed", BoolGetDatum(audience == PGW_AUDIENCE_REPLAY));
	put_string(row, "reference", p->reference);
	if (op != NULL || attempt != NULL)
		put(row, "correlation_id",
			UUIDPGetDatum(op != NULL ? &op->correlation_id : &attempt->correlation_id));
	put_string(row, "details", details_of(op, &v));
	put(row, "created_at", TimestampTzGetDatum(p->created_at));
	put(row, "livemode", BoolGetDatum(p->livemode));
}

/*
 * The payment's row is the caller's vote, and the standby that may be promoted gives back what has
 * none there.  By the call that makes the payment nobody is told before its COMMIT, which waits for
 * the standbys.
 */
static void
require_replicated(PgwAudience audience)
{
	if (audience != PGW_AUDIENCE_REPLAY && audience != PGW_AUDIENCE_READ)
		return;
	if (!pgw_wait_until_replicated(pgw_bounded_call_deadline()))
		pgw_raise(
			"request_in_flight",
			pgw_detail(NULL, "reason",
					   "what is recorded may not be at the synchronous standby yet"),
			"Ask again with the same client_request_id. See \"After a failover\" in docs/reliability.md.");
}

static HeapTuple
build(TupleDesc desc, const PgwPayment *p, const PgwAttempt *attempt, const PgwAttempt *op,
	  PgwAudience audience)
{
	Row *row = new_row(desc);

	require_replicated(audience);
	fill(row, p, attempt, op, audience);
	return heap_form_tuple(desc, row->values, row->nulls);
}

/*
 * The type as the server has it in its own cache: get_call_result_type() would make a copy of it
 * for each call.
 */
static Datum
row_of_call(FunctionCallInfo fcinfo, const PgwPayment *p, const PgwAttempt *attempt,
			const PgwAttempt *op, PgwAudience audience)
{
	Oid type = get_fn_expr_rettype(fcinfo->flinfo);
	TupleDesc desc = lookup_rowtype_tupdesc(
		OidIsValid(type) ? type : get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	HeapTuple tuple = build(desc, p, attempt, op, audience);

	ReleaseTupleDesc(desc);
	return HeapTupleGetDatum(tuple);
}

Datum
pgw_result_datum(FunctionCallInfo fcinfo, const PgwPayment *p, const PgwAttempt *attempt,
				 PgwAudience audience)
{
	return row_of_call(fcinfo, p, attempt, NULL, audience);
}

Datum
pgw_result_operation_datum(FunctionCallInfo fcinfo, const PgwPayment *p, const PgwAttempt *op,
						   PgwAudience audience)
{
	return row_of_call(fcinfo, p, NULL, op, audience);
}

void
pgw_result_put(Tuplestorestate *store, TupleDesc desc, const PgwPayment *p,
			   const PgwAttempt *attempt, PgwAudience audience)
{
	tuplestore_puttuple(store, build(desc, p, attempt, NULL, audience));
}

void
pgw_result_put_request(Tuplestorestate *store, TupleDesc desc, int ordinal, const PgwPayment *p,
					   const PgwAttempt *attempt, PgwAudience audience)
{
	Row *row = new_row(desc);

	require_replicated(audience);
	fill(row, p, attempt, NULL, audience);
	put(row, "ordinal", Int32GetDatum(ordinal));
	tuplestore_putvalues(store, desc, row->values, row->nulls);
	pfree(row);
}

void
pgw_result_put_refused(Tuplestorestate *store, TupleDesc desc, const PgwPaymentArgs *args,
					   const char *error_code, const char *details)
{
	Row *row = new_row(desc);
	PgwResultError v;

	error_from_code(error_code, &v);
	put_error(row, &v);
	put(row, "ordinal", Int32GetDatum(args->request));
	put_string(row, "client_request_id", args->client_request_id);
	put(row, "amount", Int64GetDatum(args->amount));
	put_string(row, "currency", args->currency);
	put_string(row, "bank", args->bank);
	put_string(row, "reference", args->reference);
	put(row, "replayed", BoolGetDatum(false));
	put_string(row, "details", details);
	tuplestore_putvalues(store, desc, row->values, row->nulls);
	pfree(row);
}

void
pgw_result_from_attempt(const PgwAttempt *attempt, PgwPayment *p)
{
	memset(p, 0, sizeof(*p));
	p->payment_id = attempt->payment_id;
	p->transaction_id = attempt->transaction_id;
	p->client_request_id = attempt->client_request_id;
	p->merchant = attempt->merchant;
	p->capture = attempt->capture;
	p->amount = attempt->amount;
	p->currency = attempt->currency;
	pgw_record_bank_fields(p, attempt);
	p->reference = attempt->reference;
	p->created_at = attempt->created_at;
	p->updated_at = attempt->updated_at;
	if (!pgw_record_status(p, attempt))
		p->status = PGW_PAY_PENDING; /* no payments row that names it is visible yet */
}
