/*
 * raise_error.c - errors to callers
 *
 * Owns nothing.  Invariant: what is raised is sanitized: texts come from core/base/error_codes.h,
 * values only from the caller's own arguments that are not secret.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/error_detail.h"
#include "base/json_writer.h"
#include "core/base/error_codes.h"
#include "core/request/validate.h"
#include "exchange/exchange_status.h"
#include "exchange/why_paused.h"
#include "exchange/worker_entries.h"
#include "sql_function/raise_error.h"

static int
sqlstate_of(const char *s)
{
	return MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4]);
}

/* What to do, where the caller of pgw_raise() knows nothing better. */
static const struct
{
	const char *code;
	const char *hint;
} hints[] = {
	{"unknown_merchant", "Insert it into pgw.merchants."},
	{"merchant_disabled", "Set enabled in pgw.merchants, or name another merchant."},
	{"unknown_bank", "Name a row of pgw.banks, or leave bank out to take the first by priority."},
	{"bank_disabled",
	 "Set enabled in pgw.banks, name another bank, or leave bank out to take the first by priority."},
	{"live_bank_in_test_mode",
	 "Name a bank whose livemode is false, or leave bank out. A superuser has set pgw.test_mode for this database or role."},
	{"no_bank_configured", "Insert a row into pgw.banks, or enable one."},
	{"bank_currency_not_supported",
	 "Name a bank whose currencies hold this one, or leave bank out to take the first by priority that does."},
	{"bank_takes_no_cards", "Pay with a token of the bank, or name a bank that takes cards."},
	{"bank_takes_no_tokens", "Pay with a card, or name a bank that takes tokens."},
	{"bank_cannot_capture_separately",
	 "Use capture => 'immediate', or name a bank that can capture separately."},
	{"amount_exceeds_remaining",
	 "DETAIL says how much is left, without what is under way or in doubt; leave amount out to ask for all of it."},
	{"bank_operation_not_supported",
	 "The capabilities of the bank's connector say what it can do: perhaps only the whole amount, or only once."},
	{"amount_not_representable",
	 "Choose an amount that the bank's exponent for the currency can express exactly."},
	{"secret_missing",
	 "The server's log says which file of pgw.secrets_dir cannot be read, and why."},
	{"request_in_flight", "Ask again with the same client_request_id."},
	{"payment_not_found", "find_payment() looks by client_request_id."},
	{"transaction_not_found",
	 "Name a transaction_id, as pgw.manual_reviews and payment_history() show it; a payment_id is none."},
	{"not_recorded",
	 "Nothing was sent; the call can be repeated. The server's log says more, and writes of pgw.health() whether it lasts."},
	{"internal_error", "The server's log says more. Nothing was sent; the call can be repeated."},
	{"extension_dropped",
	 "The extension is being dropped or altered; look at the bank for payments under way."},
};

static const char *
default_hint(const char *code)
{
	if (strcmp(code, "worker_not_running") == 0)
		return pgw_exchange_absence(MyDatabaseId);
	if (strcmp(code, "worker_paused") == 0)
		return pgw_pause_hint(pgw_exchange_paused(MyDatabaseId));
	for (size_t i = 0; i < lengthof(hints); i++)
	{
		if (strcmp(hints[i].code, code) == 0)
			return hints[i].hint;
	}
	if (strcmp(pgw_error_find(code)->sqlstate, "PW402") == 0)
		return "The bank has declined, and nothing was charged. customer_message_key in DETAIL says what the customer may be told; another card or a later try needs a new client_request_id.";
	return NULL;
}

static const PgwErrorInfo *
info_of(const char *error_code)
{
	const PgwErrorInfo *info = pgw_error_find(error_code);

	return info != NULL ? info : pgw_error_find("internal_error");
}

void
pgw_raise_saying(const char *error_code, const char *message, const char *members, const char *hint)
{
	const PgwErrorInfo *info = info_of(error_code);

	Assert(info->class != PGW_CLASS_VALIDATION);
	if (hint == NULL)
		hint = default_hint(info->code);
	ereport(ERROR,
			(errcode(sqlstate_of(info->sqlstate)),
			 errmsg_internal("%s", message != NULL ? message : info->message),
			 errdetail_internal("%s", pgw_error_detail(info->code, members)),
			 hint != NULL ? errhint("%s", hint) : 0, errhidestmt(true), errhidecontext(true)));
}

void
pgw_raise(const char *error_code, const char *members, const char *hint)
{
	pgw_raise_saying(error_code, NULL, members, hint);
}

void
pgw_raise_invalid(const char *primary, const char *faults, const char *hint)
{
	ereport(ERROR, (errcode(MAKE_SQLSTATE('P', 'W', '4', '0', '0')), errmsg_internal("%s", primary),
					errdetail_internal("%s", faults), errhint("%s", hint), errhidestmt(true),
					errhidecontext(true)));
}

void
pgw_raise_faults(const char *faults)
{
	bool may_be_none = strstr(faults, PGW_SAY_NOT_A_CARD) != NULL;

	pgw_raise_invalid(
		"the request is not valid", faults,
		may_be_none
			? "Correct the fields that DETAIL names, and call again. Nothing was sent. Of a number that only looks like a card's, name the field: options => '{\"not_a_card\": [\"reference\", \"metadata.order_no\"]}'."
			: "Correct the fields that DETAIL names, and call again. Nothing was sent.");
}

char *
pgw_arg_fault(const char *before, const char *field, const char *code, const char *message)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	if (before != NULL)
		pgw_json_put_raw(&w, NULL, before);
	pgw_json_begin_object(&w, NULL);
	pgw_json_put_string(&w, "field", field);
	pgw_json_put_string(&w, "code", code);
	pgw_json_put_string(&w, "message", message != NULL ? message : info_of(code)->message);
	pgw_json_end_object(&w);
	return w.text.data;
}

void
pgw_raise_fault(const char *field, const char *code, const char *message)
{
	pgw_raise_faults(pgw_json_array_of(pgw_arg_fault(NULL, field, code, message)));
}

char *
pgw_detail(const char *before, const char *name, const char *value)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	if (before != NULL)
		pgw_json_put_raw(&w, NULL, before);
	pgw_json_put_string(&w, name, value);
	return w.text.data;
}
