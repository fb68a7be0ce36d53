/*
 * pay_common.c - what process_payment and submit_payment have in common
 *
 * Owns: settings pgw.wait_timeout, pgw.on_failure and pgw.allow_not_a_card; the order of the
 * checks; the comparison of a replay with what is recorded. Order that matters: the card refusals
 * come before anything else, so that no other error comes first and shows the text of the
 * statement; then read-only and standby; nothing is written before every check has passed.
 */
#include "postgres.h"

#include <limits.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "bank/choose_bank.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/new_id.h"
#include "card_guard/card_refusals.h"
#include "client_api/bounded_call.h"
#include "client_api/calls_in_one_statement.h"
#include "client_api/pay_common.h"
#include "core/base/error_codes.h"
#include "core/base/mutant.h"
#include "core/base/none_if_empty.h"
#include "core/base/uuid7.h"
#include "core/card/token_object.h"
#include "core/payment/charge_rules.h"
#include "core/request/same_request.h"
#include "database/find_row.h"
#include "exchange/why_paused.h"
#include "exchange/worker_entries.h"
#include "outcome/event_members.h"
#include "outcome/record_decision.h"
#include "shard/home_slots.h"
#include "sql_function/check_access.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_home.h"
#include "sql_function/require_version.h"
#include "sql_function/require_worker.h"
#include "store/claim_id.h"
#include "store/find_attempts.h"
#include "store/look_without_lock.h"
#include "store/merchants.h"
#include "store/tables.h"

static int wait_timeout = 35000;
static int on_failure = 0;
bool pgw_allow_not_a_card = true;

static const struct config_enum_entry on_failure_options[] = {
	{"return", 0, false}, {"raise", 1, false}, {NULL, 0, false}};

void
pgw_pay_init(void)
{
	DefineCustomIntVariable(
		"pgw.wait_timeout",
		"How long a payment waits for its outcome, and a duplicate for the first one.",
		"The argument timeout takes precedence. Longer than the bank's request_timeout, or answers come too late.",
		&wait_timeout, 35000, 0, (int) PGW_MAX_TIMEOUT_MS, PGC_USERSET, GUC_UNIT_MS, NULL, NULL,
		NULL);
	DefineCustomEnumVariable(
		"pgw.on_failure",
		"Whether declines and failures of the bank are returned as rows or raised as errors.",
		"The argument on_failure takes precedence.", &on_failure, 0, on_failure_options,
		PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"pgw.allow_not_a_card",
		"Whether options.not_a_card of a call can say that what looks like a card number is none.",
		"Off, every such number is refused in fields that are stored, whoever says what it is.",
		&pgw_allow_not_a_card, true, PGC_SUSET, 0, NULL, NULL, NULL);
}

char *
pgw_pay_validate(PgwPay *pay)
{
	PgwBuf faults;
	char *text = NULL;
	int64 now = pgw_unix_seconds(GetCurrentTimestamp());

	pay->args.statement_forbidden = !pgw_allow_not_a_card;

	/* malloc'd memory: copied before anything can raise. */
	pgw_buf_init(&faults, 0);
	if (pgw_validate_payment_args(&pay->args, now, &pay->checked, &faults) > 0)
		text = MemoryContextStrdup(CurrentMemoryContext, faults.failed ? "" : faults.data);
	pgw_buf_free(&faults);
	return text;
}

static void
validate(PgwPay *pay)
{
	char *faults = pgw_pay_validate(pay);

	if (faults != NULL)
		pgw_raise_faults(faults[0] != '\0' ? faults : "[]");
}

/* An xid can be had in a READ ONLY transaction; the error would come after the charge. */
void
pgw_pay_require_writable(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	PreventCommandIfParallelMode(function);
}

/* A disabled one makes no new payments; who repeats a call of before learns what became of it. */
static void
require_merchant(const PgwPay *pay)
{
	bool enabled;

	if (!pgw_store_merchant(pay->args.merchant, &enabled))
		pgw_raise("unknown_merchant", pgw_detail(NULL, "merchant", pay->args.merchant), NULL);
	if (!enabled)
		pgw_raise("merchant_disabled", pgw_detail(NULL, "merchant", pay->args.merchant), NULL);
}

TimestampTz
pgw_pay_deadline(bool timeout_isnull, int64 timeout_ms)
{
	return pgw_deadline(timeout_isnull ? wait_timeout : timeout_ms);
}

void
pgw_pay_begin(PgwPay *pay, FunctionCallInfo fcinfo, const char *function, bool is_submit)
{
	memset(pay, 0, sizeof(*pay));
	pgw_args_note_secrets(fcinfo);

	/*
	 * First of all: the text of a statement with a card in it must not reach the log with another
	 * error.
	 */
	pgw_args_read(fcinfo, is_submit, &pay->args);
	pgw_cards_refuse(&pay->args);
	pgw_pay_require_writable(function);

	validate(pay);
	pay->deadline = pgw_pay_deadline(pay->args.timeout_isnull, pay->args.timeout_ms);
	pgw_bounded_call_until(pay->deadline);
	pgw_statement_calls_check(fcinfo, pay->args.client_request_id);
	pgw_require(GetUserId(), "client", pay->args.merchant);
	pgw_require_version();

	pgw_become_owner(&pay->caller, &pay->saved_sec_context);

	pay->raise = pay->args.on_failure != NULL ? pay->checked.on_failure_raise : on_failure == 1;
	pay->capture_op = pgw_op_name(pgw_charge_operation(pay->checked.capture, is_submit));
}

void
pgw_need_worker(bool is_submit)
{
	pgw_require_worker();

	/* A submitted payment waits for the end of the pause in its table. */
	if (!is_submit && pgw_pause_refuses(pgw_exchange_paused(MyDatabaseId)))
		pgw_raise("worker_paused", NULL, NULL);
}

/* What only banks whose connector says so take: to all others the number is mistyped, as ever. */
static void
refuse_unchecked(const char *code)
{
	if (strcmp(code, "luhn_failed") == 0)
		pgw_raise_invalid(
			"the request is not valid",
			pgw_json_array_of(pgw_arg_fault(NULL, "card_number", code, PGW_LUHN_FAILED)),
			"Correct card_number, and call again. Nothing was sent. If it is one of UnionPay's numbers without a check digit: name a bank whose connector has \"cards_without_check_digit\" in its capabilities.");
	if (strcmp(code, "card_number_in_stored_field") == 0)
		pgw_raise_fault("token", code, "a card number is not a token; use card_number");
}

static void
route(PgwPay *pay)
{
	const char *code = NULL;
	char *detail = NULL;
	PgwBank *bank;

	pgw_config_refresh(false);
	bank = pgw_config_route(pay->args.bank, pay->args.amount, pay->args.currency,
							pgw_means_of(pay->args.token, pay->args.card_number),
							pay->checked.capture, &code, &detail);
	if (bank == NULL)
		refuse_unchecked(code);
	if (bank == NULL)
		pgw_raise(code, detail != NULL ? pgw_detail(NULL, "reason", detail) : NULL, NULL);
	strlcpy(pay->bank, bank->name, sizeof(pay->bank));
	pay->livemode = bank->livemode;
	pay->config_number = pgw_config_number(&pay->config_changing);
}

void
pgw_pay_prepare(PgwPay *pay)
{
	/*
	 * Under the tables' locks now: a slot that has gone meanwhile is seen.
	 */
	pgw_hold_home_of_request(pay->args.client_request_id);

	/*
	 * A replay needs neither: it must answer also when the bank is disabled by now.  Where there
	 * was none, there is no second look: who has taken the id since is met by the claim, and what
	 * is refused here is refused as of the first look.
	 */
	pay->found = PGW_FIND_NONE;
	if (!pay->was_none)
		pay->found =
			pgw_store_payment_probe(pay->args.client_request_id, pay->args.merchant, &pay->payment);
	if (pay->found == PGW_FIND_ROW)
		return;
	pgw_need_worker(pay->args.is_submit);
	route(pay);
}

/* ---- replay ---- */

/*
 * Would the request move money now, as far as that can be said without a bank for it?  What is
 * recorded is the answer of last resort: whoever has lost an answer must learn of his payment also
 * when its bank is gone.  A named bank is compared by its name.
 */
static bool
asked_livemode(const PgwPaymentArgs *args, bool recorded)
{
	if (args->bank != NULL || PGW_MUTATED(OTHER_MODE))
		return recorded;
	if (pgw_test_mode)
		return false;
	if (recorded)
		return true;
	pgw_config_refresh(false);
	return pgw_config_has_real_bank();
}

/* PW422 when the request is not the one that is recorded under its id. */
static void
compare_replay(const PgwPay *pay, const PgwPayment *p, const PgwAttempt *attempt)
{
	const PgwPaymentArgs *args = &pay->args;
	bool card = args->card_number != NULL;
	char mark[PGW_TOKEN_MARK_SIZE];
	PgwIdentity asked = {.amount = args->amount,
						 .currency = args->currency,
						 .token = pgw_token_to_keep(args->token, mark),
						 .card_last4 = card ? pay->checked.last4 : NULL,
						 .card_expiry_month = card ? args->card_expiry_month : 0,
						 .card_expiry_year = card ? args->card_expiry_year : 0,
						 .bank = args->bank,
						 .capture = pay->checked.capture,
						 .reference = args->reference};
	PgwIdentity recorded = asked;
	PgwBuf names;
	char *fields = NULL;

	recorded.amount = p->amount;
	recorded.currency = p->currency;
	recorded.capture = p->capture;
	recorded.reference = p->reference;
	recorded.livemode = p->livemode;
	if (attempt != NULL)
		pgw_record_identity(attempt, &recorded);
	else if (card)
		recorded.card_last4 = p->card_last4;
	asked.livemode = asked_livemode(args, recorded.livemode);

	/* malloc'd memory: copied before anything can raise. */
	pgw_buf_init(&names, 0);
	if (pgw_identity_differ(&asked, &recorded, &names) > 0)
		fields = names.failed ? "" : MemoryContextStrdup(CurrentMemoryContext, names.data);
	pgw_buf_free(&names);
	if (fields != NULL)
		pgw_pay_mismatch(fields);
}

char *
pgw_quota_detail(const char *setting, const char *of, int limit)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_put_string(&w, "quota", setting);
	pgw_json_put_string(&w, "of", of);
	pgw_json_put_int(&w, "limit", limit);
	return w.text.data;
}

char *
pgw_fields_with_trace(const char *bank_fields, const PgwTrace *trace)
{
	PgwBuf text;
	char *copy;

	if (trace->parent[0] == '\0')
		return unconstify(char *, pgw_none_if_no_members(bank_fields));

	/* malloc'd memory: copied before anything else can raise */
	pgw_buf_init(&text, 0);
	pgw_trace_into_fields(trace, bank_fields, &text);
	copy = text.failed
			   ? NULL
			   : MemoryContextAllocExtended(CurrentMemoryContext, text.len + 1, MCXT_ALLOC_NO_OOM);
	if (copy != NULL)
		memcpy(copy, text.data, text.len + 1);
	pgw_buf_free(&text);
	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return copy;
}

char *
pgw_fields_detail(const char *fields)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_array(&w, "fields");
	pgw_json_put_raw(&w, NULL, fields);
	pgw_json_end_array(&w);
	return w.text.data;
}

void
pgw_pay_mismatch(const char *fields)
{
	pgw_raise(
		"idempotency_mismatch", pgw_fields_detail(fields),
		"Use a new client_request_id for a new payment, or repeat the first call's arguments.");
}

bool
pgw_pay_repeat(PgwPay *pay, PgwAttempt *attempt)
{
	pgw_require_home_of_request(pay->args.client_request_id);
	if (!pgw_store_look(pay->args.client_request_id, pay->args.merchant, &pay->payment, attempt,
						&pay->was_none))
	{
		/* Here, and not later: nobody waits for its table's lock while he holds those of payments.
		 */
		require_merchant(pay);
		return false;
	}
	compare_replay(pay, &pay->payment, attempt);
	return true;
}

/* The row of a new payment. */
static void
fill_payment(PgwPay *pay)
{
	PgwPaymentArgs *args = &pay->args;
	PgwPayment *p = &pay->payment;

	memset(p, 0, sizeof(*p));
	/* always: also what was made before there were shards is found by it when there are */
	pgw_new_id_in_slot(&p->payment_id, pgw_slot_of_request(args->client_request_id));
	p->transaction_id = pgw_store_first_attempt_id(&p->payment_id);
	pgw_new_id(&pay->correlation_id);
	p->client_request_id = unconstify(char *, args->client_request_id);
	p->merchant = unconstify(char *, args->merchant);
	p->status = PGW_PAY_PENDING;
	p->capture = pay->checked.capture;
	p->amount = args->amount;
	p->currency = unconstify(char *, args->currency);
	p->bank = pay->bank;
	p->livemode = pay->livemode;
	if (args->card_number != NULL)
	{
		p->card_last4 = pay->checked.last4;
		p->card_brand = unconstify(char *, pgw_card_brand_name(pay->checked.brand));
	}
	p->reference = unconstify(char *, args->reference);
	p->metadata = unconstify(char *, args->metadata);
}

bool
pgw_pay_claim(PgwPay *pay, PgwAttempt *attempt, bool *have_t)
{
	PgwPayment *p = &pay->payment;
	PgwPayment existing;

	*have_t = false;
	if (pay->found != PGW_FIND_ROW)
	{
		fill_payment(pay);
		if (pgw_store_claim(p, pay->found == PGW_FIND_NONE, pay->deadline, &existing) ==
			PGW_CLAIM_INSERTED)
			return true;
		*p = existing;
	}
	*have_t = pgw_store_attempt_by_id(&p->transaction_id, attempt);
	compare_replay(pay, p, *have_t ? attempt : NULL);
	return false;
}

void
pgw_pay_end(PgwPay *pay)
{
	pgw_args_wipe(&pay->args);
	pgw_become_caller(pay->caller, pay->saved_sec_context);
}

Datum
pgw_pay_result(PgwPay *pay, FunctionCallInfo fcinfo, const PgwAttempt *attempt,
			   PgwAudience audience)
{
	if (pay->raise && audience != PGW_AUDIENCE_SUBMIT)
	{
		PgwResultError v;

		pgw_result_error(&pay->payment, attempt, audience, &v);
		if (v.error_code != NULL)
		{
			const pg_uuid_t *correlation_id =
				attempt != NULL ? &attempt->correlation_id : &pay->correlation_id;
			char *members;
			char id[37];

			pgw_uuid_to_text(pay->payment.payment_id.data, id);
			members = pgw_detail(NULL, "payment_id", id);
			pgw_uuid_to_text(pay->payment.transaction_id.data, id);
			members = pgw_detail(members, "transaction_id", id);
			pgw_uuid_to_text(correlation_id->data, id);
			pgw_raise(
				v.error_code, pgw_detail(members, "correlation_id", id),
				v.http_status == 504
					? "The charge may stand: ask again with the same client_request_id, never with a new one."
					: NULL);
		}
	}
	return pgw_result_datum(fcinfo, &pay->payment, attempt, audience);
}
