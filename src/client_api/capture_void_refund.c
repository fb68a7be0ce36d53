/*
 * capture_void_refund.c - pgw.capture_payment(), void_payment(), refund_payment(): what follows an
 * authorization or a charge
 *
 * Owns nothing that lasts.  All is written in the caller's transaction, so a rollback leaves
 * nothing behind and the bank never hears of it; the worker does it after the commit
 * (attempt/requested_operation.c).
 *
 * Order that matters: the payments row is locked first and the grid of
 * core/payment/payment_amounts.h asked under that lock, so that of two that race for the last unit
 * one is refused; what is accepted claims its amount in the same row.  Then the operation's own id
 * is claimed.
 * Locks: the payments row (as an UPDATE of it takes), until the transaction ends.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/uuid.h"

#include "bank/bank_config.h"
#include "bank/choose_bank.h"
#include "base/debug_points.h"
#include "base/json_writer.h"
#include "base/new_id.h"
#include "client_api/bounded_call.h"
#include "client_api/calls_in_one_statement.h"
#include "client_api/pay_common.h"
#include "client_api/payment_result.h"
#include "core/base/mutant.h"
#include "core/base/shard_slot.h"
#include "core/base/uuid7.h"
#include "core/payment/operation_rules.h"
#include "database/table_locks.h"
#include "exchange/commit_signal.h"
#include "outcome/event_members.h"
#include "sql_function/calling_actor.h"
#include "sql_function/check_access.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_home.h"
#include "sql_function/require_version.h"
#include "store/claim_id.h"
#include "store/events.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(pgw_capture_payment_1_0);
PG_FUNCTION_INFO_V1(pgw_void_payment_1_0);
PG_FUNCTION_INFO_V1(pgw_refund_payment_1_0);

#define DESPITE_DISPUTE \
	"a refund of it would be paid twice: refund no more than what is left beside it, or say options => '{\"despite_dispute\": true}' if it is to be paid all the same"

typedef struct RequestedOperation
{
	PgwKind kind;
	pg_uuid_t payment_id;
	PgwOperationArgs args;
	bool final;
	bool despite_dispute;
	PgwCallerSays says;
	PgwTrace trace;
	Oid caller;
	int sec_context;
} RequestedOperation;

static void
get_arguments(FunctionCallInfo fcinfo, PgwKind kind, RequestedOperation *o)
{
	PgwBuf faults;
	char *text = NULL;
	bool isnull;
	Datum d;

	memset(o, 0, sizeof(*o));
	o->kind = kind;
	d = pgw_arg(fcinfo, "payment_id", &o->args.payment_id_isnull);
	if (!o->args.payment_id_isnull)
		o->payment_id = *DatumGetUUIDP(d);
	o->args.client_request_id = pgw_arg_text(fcinfo, "client_request_id");
	o->args.amount_fault = pgw_arg_amount(fcinfo, "amount", &isnull, &o->args.amount);
	o->args.has_amount = !isnull;
	if (kind == PGW_KIND_CAPTURE)
	{
		d = pgw_arg(fcinfo, "final", &o->args.final_isnull);
		o->final = !o->args.final_isnull && DatumGetBool(d);
	}
	if (kind == PGW_KIND_REFUND)
		o->args.reason = pgw_arg_text(fcinfo, "reason");
	o->args.options = pgw_arg_json(fcinfo, "options");

	o->args.statement_forbidden = !pgw_allow_not_a_card;

	/* malloc'd memory: copied before anything can raise. */
	pgw_buf_init(&faults, 0);
	if (pgw_validate_operation_args(&o->args, &o->says, &o->trace,
									kind == PGW_KIND_REFUND ? &o->despite_dispute : NULL,
									&faults) > 0)
		text = faults.failed ? "[]" : MemoryContextStrdup(CurrentMemoryContext, faults.data);
	pgw_buf_free(&faults);
	if (text != NULL)
		pgw_raise_faults(text);
}

static void
raise_not_found(const RequestedOperation *o)
{
	char id[37];

	pgw_uuid_to_text(o->payment_id.data, id);
	pgw_raise("payment_not_found", pgw_detail(NULL, "payment_id", id), NULL);
}

/* Another merchant's payment is no payment: its id is not confirmed, nor its row locked. */
static void
find_payment(const RequestedOperation *o, PgwPayment *p)
{
	if (!pgw_store_payment_by_id(&o->payment_id, p) ||
		!pgw_caller_may(o->caller, "client", p->merchant))
		raise_not_found(o);
}

/* ---------------------------------------------------------------- the same id again */

static void
append_field(PgwJsonWriter *fields, bool differs, const char *name)
{
	if (differs)
		pgw_json_put_string(fields, NULL, name);
}

/* The recorded operation as it stands, or PW422 when this is another request. */
static Datum
replay(FunctionCallInfo fcinfo, const RequestedOperation *o, const PgwAttempt *recorded)
{
	PgwJsonWriter fields;
	const char *reason = o->args.reason != NULL ? o->args.reason : "";
	PgwPayment p;

	pgw_json_begin(&fields);
	append_field(&fields, memcmp(&recorded->payment_id, &o->payment_id, sizeof(pg_uuid_t)) != 0,
				 "payment_id");
	append_field(&fields, o->args.has_amount && o->args.amount != recorded->amount, "amount");
	append_field(&fields, o->kind == PGW_KIND_CAPTURE && o->final != recorded->final_capture,
				 "final");
	append_field(&fields, strcmp(reason, recorded->reason != NULL ? recorded->reason : "") != 0,
				 "reason");
	if (fields.text.len > 0)
		pgw_raise(
			"idempotency_mismatch", pgw_fields_detail(fields.text.data),
			"Use a new client_request_id for a new operation, or repeat the first call's arguments.");
	if (!pgw_store_payment_by_id(&o->payment_id, &p))
		raise_not_found(o);
	return pgw_result_operation_datum(fcinfo, &p, recorded, PGW_AUDIENCE_REPLAY);
}

/* ---------------------------------------------------------------- a new one */

/* What an operation has of the charge that it follows. */
typedef struct Charge
{
	int version;   /* of its bank: where it lies, and so where the operation goes */
	bool livemode; /* has it moved money?  Its attempt says so for good, the payments row can be
					* updated by the owner */
} Charge;

static void
find_charge(const PgwPayment *p, Charge *charge)
{
	PgwAttempt attempt;
	bool found = pgw_store_attempt_by_id(&p->transaction_id, &attempt);

	charge->version = found ? attempt.bank_version : 0;
	charge->livemode = found ? attempt.livemode : p->livemode;
}

static void
check(const RequestedOperation *o, const PgwPayment *p, PgwPaymentAmounts *s, int64 *amount,
	  Charge *charge)
{
	PgwOperationCheck result;
	const PgwCapabilities none = {0};
	PgwOperationWish wish = {.amount = o->args.has_amount ? o->args.amount : 0,
							 .final = o->final,
							 .despite_dispute = o->despite_dispute};
	PgwBank *bank;

	pgw_config_refresh(false);
	find_charge(p, charge);
	bank = pgw_config_bank_of(p->bank, charge->version, NULL);
	pgw_store_get_amounts(p, s);
	pgw_payment_operation_check(o->kind, s,
								bank != NULL && bank->connector != NULL
									? pgw_connector_capabilities(bank->connector)
									: &none,
								&wish, &result);
	if (pgw_test_mode && charge->livemode)
		result.error_code = "live_bank_in_test_mode";
	if (result.error_code == NULL && (bank == NULL || bank->connector == NULL))
		result.error_code = bank == NULL ? "unknown_bank" : "connector_invalid";
	if (result.error_code == NULL && !pgw_config_takes_amount(bank, result.amount, p->currency))
		result.error_code = "amount_not_representable";
	if (result.error_code != NULL)
	{
		PgwJsonWriter detail;

		pgw_json_begin(&detail);
		pgw_json_put_string(&detail, "operation", pgw_kind_name(o->kind));
		pgw_json_put_string(&detail, "status", pgw_payment_status_name(p->status));
		if (strcmp(result.error_code, "amount_exceeds_remaining") == 0)
			pgw_json_put_int(&detail, "left", result.left);
		if (strcmp(result.error_code, "amount_disputed") == 0)
		{
			pgw_json_put_int(&detail, "left", result.left);
			pgw_json_put_int(&detail, "disputed", p->disputed_amount);
			result.hint = DESPITE_DISPUTE;
		}
		pgw_raise(
			result.error_code, detail.text.data,
			result.hint != NULL
				? psprintf("%c%s.", pg_toupper((unsigned char) result.hint[0]), result.hint + 1)
				: NULL);
	}
	*amount = result.amount;
}

static void
fill_attempt(const RequestedOperation *o, const PgwPayment *p, int64 amount, const Charge *charge,
			 PgwAttempt *attempt)
{
	char key[33];

	memset(attempt, 0, sizeof(*attempt));
	pgw_new_id_in_slot(&attempt->transaction_id, pgw_shard_slot_of_id(p->payment_id.data));
	pgw_new_id(&attempt->correlation_id);
	pgw_uuid_to_hex32(attempt->transaction_id.data, key);
	attempt->payment_id = p->payment_id;
	attempt->client_request_id = unconstify(char *, o->args.client_request_id);
	attempt->merchant = p->merchant;
	attempt->kind = o->kind;
	attempt->submitted = true;
	attempt->amount = amount;
	attempt->currency = p->currency;
	attempt->capture = p->capture;
	attempt->final_capture = o->kind == PGW_KIND_CAPTURE && o->final;
	attempt->reason = unconstify(char *, o->args.reason);
	attempt->despite_dispute = o->despite_dispute;
	attempt->card_last4 = p->card_last4;
	attempt->card_brand = p->card_brand;
	attempt->bank = p->bank;
	attempt->livemode = charge->livemode;
	attempt->bank_version = charge->version;
	attempt->reference = p->reference;
	attempt->bank_fields = pgw_fields_with_trace("{}", &o->trace);
	attempt->own_request.key = pstrdup(key);
	attempt->caller_xid = GetTopFullTransactionId();
	attempt->caller_subxid = GetCurrentFullTransactionId();
	attempt->system_identifier = (int64) GetSystemIdentifier();
	attempt->database_oid = MyDatabaseId;
	attempt->next_step_at = GetCurrentTimestamp();
}

/* Under the payments row's lock. */
static Datum
carry_out(FunctionCallInfo fcinfo, const RequestedOperation *o, PgwPayment *p)
{
	PgwEvent started = {.type = PGW_EV_TRANSACTION_STARTED,
						.from = PGW_STATE_NONE,
						.to = PGW_CREATED,
						.operation = pgw_kind_name(o->kind)};
	PgwEventMembers members;
	PgwActor actor;
	PgwAttempt attempt;
	PgwAttempt existing;
	PgwPaymentAmounts s;
	Charge charge;
	int64 amount;

	if (pgw_store_operation(o->kind, o->args.client_request_id, p->merchant, &existing))
		return replay(fcinfo, o, &existing);
	check(o, p, &s, &amount, &charge);
	pgw_need_worker(true);
	fill_attempt(o, p, amount, &charge, &attempt);
	pgw_actor_calling(&actor, o->caller, &o->says, NULL);
	attempt.actor = &actor;
	pgw_event_members_started(&members, &attempt);
	pgw_event_members_into(&members, &started);
	if (pgw_store_claim_operation(&attempt, &started, pgw_bounded_call_deadline(), &existing) ==
		PGW_CLAIM_EXISTS)
		/* by a caller with this id on another payment */
		return replay(fcinfo, o, &existing);
	if (!PGW_MUTATED(OPERATION_CLAIM))
		pgw_payment_operation_begin(o->kind, amount, &s);
	pgw_store_set_amounts(p, &s);
	pgw_store_update_payment(p);
	pgw_commit_signal_add_submitted(&attempt.transaction_id, false, attempt.bank, attempt.merchant);
	return pgw_result_operation_datum(fcinfo, p, &attempt, PGW_AUDIENCE_SUBMIT);
}

static Datum
operate(FunctionCallInfo fcinfo, PgwKind kind, const char *function)
{
	RequestedOperation o;
	PgwPayment p;
	PgwAttempt existing;
	Datum result;

	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	PreventCommandIfParallelMode(function);
	get_arguments(fcinfo, kind, &o);
	pgw_statement_calls_check(fcinfo, o.args.client_request_id);
	pgw_require(GetUserId(), "client", NULL);
	pgw_require_version();
	pgw_become_owner(&o.caller, &o.sec_context);
	pgw_require_home_of_id(&o.payment_id);
	pgw_tables_lock(pgw_bounded_call_deadline());
	pgw_hold_home_of_id(&o.payment_id);
	find_payment(&o, &p);

	/*
	 * A replay waits for nobody.  Whoever has not committed yet holds the payments row: then it is
	 * looked for again, under that lock.
	 */
	if (pgw_store_operation(kind, o.args.client_request_id, p.merchant, &existing))
		result = replay(fcinfo, &o, &existing);
	else
	{
		if (!pgw_store_lock_payment(&o.payment_id, true, &p, NULL))
			raise_not_found(&o);
		PGW_DEBUG_POINT("operation_locked");
		result = carry_out(fcinfo, &o, &p);
	}
	pgw_become_caller(o.caller, o.sec_context);
	return result;
}

static Datum
capture_payment(PG_FUNCTION_ARGS)
{
	return operate(fcinfo, PGW_KIND_CAPTURE, "pgw.capture_payment()");
}

Datum
pgw_capture_payment_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, true, capture_payment);
}

static Datum
void_payment(PG_FUNCTION_ARGS)
{
	return operate(fcinfo, PGW_KIND_VOID, "pgw.void_payment()");
}

Datum
pgw_void_payment_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, true, void_payment);
}

static Datum
refund_payment(PG_FUNCTION_ARGS)
{
	return operate(fcinfo, PGW_KIND_REFUND, "pgw.refund_payment()");
}

Datum
pgw_refund_payment_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, true, refund_payment);
}
