/*
 * raise.c - errors to callers
 *
 * Owns nothing.  Invariant: what is raised is sanitized: texts come from core/errors.h, values only from the caller's own arguments
 * that are not secret.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/json.h"

#include "core/errors.h"
#include "infra/exchange.h"
#include "interface/raise.h"

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
}			hints[] = {
	{"unknown_merchant", "Insert it into pgw.merchants."},
	{"merchant_disabled", "Set enabled in pgw.merchants, or name another merchant."},
	{"unknown_bank", "Name a row of pgw.banks, or leave bank out to take the first by priority."},
	{"bank_disabled", "Set enabled in pgw.banks, name another bank, or leave bank out to take the first by priority."},
	{"no_bank_configured", "Insert a row into pgw.banks, or enable one."},
	{"bank_currency_not_supported", "Name a bank whose currencies hold this one, or leave bank out to take the first by priority that does."},
	{"bank_takes_no_cards", "Pay with a token of the bank, or name a bank that takes cards."},
	{"bank_takes_no_tokens", "Pay with a card, or name a bank that takes tokens."},
	{"bank_cannot_capture_separately", "Use capture => 'immediate', or name a bank that can capture separately."},
	{"amount_exceeds_remaining", "DETAIL says how much is left, without what is under way or in doubt; leave amount out to ask for all of it."},
	{"bank_operation_not_supported", "The capabilities of the bank's connector say what it can do: perhaps only the whole amount, or only once."},
	{"amount_not_representable", "Choose an amount that the bank's exponent for the currency can express exactly."},
	{"secret_missing", "The server's log says which file of pgw.secrets_dir cannot be read, and why."},
	{"request_in_flight", "Ask again with the same client_request_id."},
	{"payment_not_found", "find_payment() looks by client_request_id."},
	{"internal_error", "The server's log says more. Nothing was sent; the call can be repeated."},
	{"extension_dropped", "The extension is being dropped or altered; look at the bank for payments under way."},
};

static const char *
default_hint(const char *code)
{
	if (strcmp(code, "worker_paused") == 0)
		return pgw_pause_hint(pgw_exchange_paused(MyDatabaseId));
	for (size_t i = 0; i < lengthof(hints); i++)
	{
		if (strcmp(hints[i].code, code) == 0)
			return hints[i].hint;
	}
	return NULL;
}

void
pgw_raise(const char *error_code, const char *members, const char *hint)
{
	const PgwErrorInfo *info = pgw_error_find(error_code);
	StringInfoData detail;

	if (info == NULL)
		info = pgw_error_find("internal_error");
	if (hint == NULL)
		hint = default_hint(info->code);
	initStringInfo(&detail);
	appendStringInfoString(&detail, "{\"code\": ");
	escape_json(&detail, info->code);
	if (members != NULL && members[0] != '\0')
		appendStringInfo(&detail, ", %s", members);
	appendStringInfoChar(&detail, '}');
	ereport(ERROR,
			(errcode(sqlstate_of(info->sqlstate)),
			 errmsg("%s", info->message),
			 errdetail_internal("%s", detail.data),
			 hint != NULL ? errhint("%s", hint) : 0,
			 errhidestmt(true),
			 errhidecontext(true)));
}

void
pgw_raise_faults(const char *faults)
{
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE('P', 'W', '4', '0', '0')),
			 errmsg("the request is not valid"),
			 errdetail_internal("%s", faults),
			 errhint("Correct the fields that DETAIL names, and call again. Nothing was sent."),
			 errhidestmt(true),
			 errhidecontext(true)));
}

char *
pgw_detail(const char *before, const char *name, const char *value)
{
	StringInfoData s;

	initStringInfo(&s);
	if (before != NULL && before[0] != '\0')
		appendStringInfo(&s, "%s, ", before);
	escape_json(&s, name);
	appendStringInfoString(&s, ": ");
	if (value != NULL)
		escape_json(&s, value);
	else
		appendStringInfoString(&s, "null");
	return s.data;
}
