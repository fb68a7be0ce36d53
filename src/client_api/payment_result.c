/*
 * payment_result.c - pgw.payment_result: what callers are told about a payment
 *
 * Owns: the rules for error_*, http_status and retryable.
 * Invariants: texts come from core/base/error_codes.h or from what the worker recorded as sanitized; columns are filled by name, so an older SQL
 * definition with fewer columns works.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "client_api/payment_result.h"
#include "core/base/error_codes.h"
#include "database/row.h"

static void
verdict_from_code(const char *code, PgwVerdict *v)
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
pgw_result_verdict(const PgwPayment *p, const PgwTransaction *t, PgwTold told, PgwVerdict *v)
{
	memset(v, 0, sizeof(*v));
	switch (p->status)
	{
		case PGW_PAY_DECLINED:
		case PGW_PAY_FAILED:
			if (t != NULL && t->error_code != NULL)
				verdict_from_code(t->error_code, v);
			else if (t != NULL && (t->status == PGW_REFUNDING || t->status == PGW_REFUNDED))
				verdict_from_code("given_back", v);
			else
				verdict_from_code(p->status == PGW_PAY_DECLINED ? "declined" : "bank_error", v);
			break;

		case PGW_PAY_PENDING:
		case PGW_PAY_IN_REVIEW:
			v->http_status = 202;

			/* Accepted and on its way is no error; not knowing what the bank did is one. */
			if (t != NULL && (t->status == PGW_BANK_UNKNOWN || t->status == PGW_REQUIRES_MANUAL_REVIEW))
				verdict_from_code(t->error_code != NULL ? t->error_code : "outcome_unknown", v);
			else if (told == PGW_TOLD_WAIT_OVER)
				verdict_from_code("wait_timeout", v);
			break;

		default:
			v->http_status = told == PGW_TOLD_TAKEN ? 201 : 200;
			break;
	}
	if (t != NULL && t->error_message != NULL && v->error_code != NULL)
		v->error_message = t->error_message;
}

static void
operation_verdict(const PgwTransaction *op, PgwTold told, PgwVerdict *v)
{
	memset(v, 0, sizeof(*v));
	if (op->status == PGW_COMPLETED)
		v->http_status = told == PGW_TOLD_TAKEN ? 201 : 200;
	else
		v->http_status = 202;
	if (op->status == PGW_FAILED || op->status == PGW_BANK_UNKNOWN || op->status == PGW_REQUIRES_MANUAL_REVIEW)
		verdict_from_code(op->error_code != NULL ? op->error_code : "outcome_unknown", v);

	/* in doubt, whatever the bank said last: the refusal of one that is being looked up is not final */
	if (op->status == PGW_BANK_UNKNOWN && strcmp(v->error_class, pgw_error_class_name(PGW_CLASS_TIMEOUT)) != 0)
		verdict_from_code("outcome_unknown", v);
}

/* Values of one row, put by column name. */
typedef struct Row
{
	TupleDesc	desc;
	Datum		values[MaxTupleAttributeNumber];
	bool		nulls[MaxTupleAttributeNumber];
} Row;

static int
column(Row *row, const char *name)
{
	for (int i = 0; i < row->desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(row->desc, i)->attname), name) == 0)
			return i;
	}
	return -1;
}

static void
put(Row *row, const char *name, Datum value)
{
	int			i = column(row, name);

	if (i >= 0)
	{
		row->values[i] = value;
		row->nulls[i] = false;
	}
}

static void
put_string(Row *row, const char *name, const char *value)
{
	int			i = column(row, name);

	if (i >= 0 && value != NULL)
	{
		row->values[i] = pgw_row_from_string(TupleDescAttr(row->desc, i)->atttypid, value);
		row->nulls[i] = false;
	}
}

/* t: the payment's attempt, or NULL; op: an operation on it that the row is about, or NULL. */
static HeapTuple
build(TupleDesc desc, const PgwPayment *p, const PgwTransaction *t, const PgwTransaction *op, PgwTold told)
{
	Row		   *row = palloc0(sizeof(Row));
	PgwVerdict	v;

	row->desc = desc;
	memset(row->nulls, true, sizeof(row->nulls));
	if (op != NULL)
		operation_verdict(op, told, &v);
	else
		pgw_result_verdict(p, t, told, &v);

	put(row, "payment_id", UUIDPGetDatum(&p->payment_id));
	put(row, "transaction_id", UUIDPGetDatum(op != NULL ? &op->transaction_id : &p->transaction_id));
	put_string(row, "client_request_id", op != NULL ? op->client_request_id : p->client_request_id);
	put_string(row, "status", pgw_payment_status_name(p->status));
	put_string(row, "transaction_status", pgw_state_name(op != NULL ? op->status : t != NULL ? t->status : PGW_CREATED));
	put(row, "amount", Int64GetDatum(op != NULL ? op->amount : p->amount));
	put_string(row, "currency", p->currency);
	put(row, "authorized_amount", Int64GetDatum(p->authorized_amount));
	put(row, "captured_amount", Int64GetDatum(p->captured_amount));
	put(row, "refunded_amount", Int64GetDatum(p->refunded_amount));
	put(row, "refund_pending_amount", Int64GetDatum(p->refund_pending_amount));
	put_string(row, "bank", p->bank != NULL || t == NULL ? p->bank : t->bank);
	put_string(row, "bank_reference", p->bank_reference);
	put_string(row, "authorization_code", p->authorization_code);
	put_string(row, "card_last4", p->card_last4);
	put_string(row, "card_brand", p->card_brand);
	put_string(row, "error_class", v.error_class);
	put_string(row, "error_code", v.error_code);
	put_string(row, "error_message", v.error_message);
	put(row, "http_status", Int32GetDatum(v.http_status));
	put(row, "retryable", BoolGetDatum(v.retryable));
	put(row, "replayed", BoolGetDatum(told == PGW_TOLD_REPLAYED));
	put_string(row, "reference", p->reference);
	if (op != NULL || t != NULL)
		put(row, "correlation_id", UUIDPGetDatum(op != NULL ? &op->correlation_id : &t->correlation_id));
	put_string(row, "details", op != NULL ? psprintf("{\"kind\": \"%s\"}", pgw_kind_name(op->kind)) : "{}");
	put(row, "created_at", TimestampTzGetDatum(p->created_at));
	return heap_form_tuple(desc, row->values, row->nulls);
}

Datum
pgw_result_datum(FunctionCallInfo fcinfo, const PgwPayment *p, const PgwTransaction *t, PgwTold told)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(build(BlessTupleDesc(desc), p, t, NULL, told));
}

Datum
pgw_result_operation_datum(FunctionCallInfo fcinfo, const PgwPayment *p, const PgwTransaction *op, PgwTold told)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(build(BlessTupleDesc(desc), p, NULL, op, told));
}

Tuplestorestate *
pgw_result_set(FunctionCallInfo fcinfo, TupleDesc *desc)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	Tuplestorestate *store;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || (rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	*desc = BlessTupleDesc(*desc);
	store = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = store;
	rsinfo->setDesc = *desc;
	MemoryContextSwitchTo(old);
	return store;
}

void
pgw_result_put(Tuplestorestate *store, TupleDesc desc, const PgwPayment *p, const PgwTransaction *t, PgwTold told)
{
	tuplestore_puttuple(store, build(desc, p, t, NULL, told));
}

void
pgw_result_from_attempt(const PgwTransaction *t, PgwPayment *p)
{
	memset(p, 0, sizeof(*p));
	p->payment_id = t->payment_id;
	p->transaction_id = t->transaction_id;
	p->client_request_id = t->client_request_id;
	p->merchant = t->merchant;
	p->capture = t->capture;
	p->amount = t->amount;
	p->currency = t->currency;
	p->bank = t->bank;
	p->bank_reference = t->bank_reference;
	p->authorization_code = t->authorization_code;
	p->card_last4 = t->card_last4;
	p->card_brand = t->card_brand;
	p->reference = t->reference;
	p->created_at = t->created_at;
	p->updated_at = t->updated_at;
	switch (t->status)
	{
		case PGW_FAILED:
			p->status = t->error_class != NULL && strcmp(t->error_class, "business") == 0 ? PGW_PAY_DECLINED : PGW_PAY_FAILED;
			break;
		case PGW_REFUNDING:
		case PGW_REFUNDED:
			p->status = PGW_PAY_FAILED;
			break;
		case PGW_REQUIRES_MANUAL_REVIEW:
			p->status = PGW_PAY_IN_REVIEW;
			break;
		default:
			p->status = PGW_PAY_PENDING;	/* no vote for it is visible yet */
			break;
	}
}
