/*
 * validate_card.c - checks of what a caller pays with: a token, or a card
 *
 * Invariants: no message holds a value; the one copy of card digits is wiped.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "core/request/validate_internal.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/card/card_checks.h"
#include "core/card/token_object.h"
#include "core/json/json_text.h"

#define MAX_CARD_DIGITS 19
#define MIN_CARD_DIGITS 12

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits with blanks or hyphens that pass Luhn: whoever gives that as a token means a card. */
static bool
is_bare_card_number(const char *text)
{
	char digits[MAX_CARD_DIGITS];
	size_t n = 0;
	bool found;

	for (; *text != '\0'; text++)
	{
		if (*text == ' ' || *text == '-')
			continue;
		if (!is_digit(*text) || n == sizeof(digits))
		{
			explicit_bzero(digits, sizeof(digits));
			return false;
		}
		digits[n++] = *text;
	}
	found = n >= MIN_CARD_DIGITS && pgw_luhn_ok(digits, n) &&
			pgw_card_brand(digits, n) != PGW_BRAND_UNKNOWN;
	explicit_bzero(digits, sizeof(digits));
	return found;
}

/*
 * It is kept nowhere, so it cannot wait for a commit, nor stand in a document of many payments,
 * which is not wiped.  What it holds is the bank's affair: a card number, too.
 */
static void
check_token_object(PgwChecker *c)
{
	const char *token = c->args->token;
	PgwJson value;
	PgwJson name;
	PgwJson member;
	const char *at = NULL;

	if (c->args->is_submit)
		pgw_check_fault(
			c, "token", "conflicting_fields",
			"a token that is an object is never stored, so it cannot be submitted; use process_payment");
	else if (c->args->request > 0)
		pgw_check_fault(c, "token", "conflicting_fields",
						"process_payments takes no token that is an object; use process_payment");
	if (strlen(token) > PGW_MAX_TOKEN_OBJECT_BYTES)
		pgw_check_fault(c, "token", "too_long", "must be at most 6144 bytes as a JSON object");
	else if (pgw_json_read(token, strlen(token), PGW_MAX_TOKEN_NESTING, &value) != PGW_JSON_GOOD)
		pgw_check_fault(
			c, "token", "invalid_format",
			"begins as a JSON object and is none: it may be cut off, have a name twice or be nested deeper than 32");
	else if (!pgw_json_next_member(&value, &at, &name, &member))
		pgw_check_fault(c, "token", "required", "must not be an empty object");
}

/*
 * An object within a text or a list, cut at its front, or encoded once more for a URL, has its
 * quotation marks still.  No bank's token has one; and what is taken for a token is stored.
 */
static bool
is_json_in_disguise(const char *token)
{
	return (strpbrk(token, "\"'\\") != NULL || strstr(token, "%22") != NULL) &&
		   !PGW_MUTATED(TOKEN_DISGUISED);
}

void
pgw_check_token(PgwChecker *c)
{
	const char *token = c->args->token;

	if (token == NULL)
	{
		if (c->args->is_submit || c->args->request > 0)
			pgw_check_fault(c, "token", "required", "must not be null");
		else if (c->args->card_number == NULL)
			pgw_check_fault(c, "token", "required",
							"give exactly one of token and card_number; both are null");
		return;
	}
	if (c->args->card_number != NULL)
		pgw_check_fault(c, "token", "conflicting_fields",
						"give exactly one of token and card_number; both are given");
	if (pgw_token_is_object(token))
	{
		check_token_object(c);
		return;
	}
	if (token[0] == '\0')
		pgw_check_fault(c, "token", "required", "must not be empty");
	else if (strlen(token) > PGW_MAX_TOKEN_BYTES)
		pgw_check_fault(c, "token", "too_long", "must be at most 512 bytes");
	for (const char *p = token; *p != '\0'; p++)
	{
		if (*p <= 0x20 || *p >= 0x7F)
		{
			pgw_check_fault(c, "token", "invalid_format",
							"must be printable ASCII characters without blanks");
			break;
		}
	}
	if (is_json_in_disguise(token))
		pgw_check_fault(
			c, "token", "invalid_format",
			"must have no quotation mark or backslash: it is JSON that is no object, or encoded once more; give an object as it is");
	if (strlen(token) <= PGW_MAX_SEARCHED_BYTES &&
		(is_bare_card_number(token) || pgw_check_has_card(c, token)))
		pgw_check_fault(c, "token", "card_number_in_stored_field",
						c->args->is_submit || c->args->request > 0
							? "a card number is not a token; use process_payment"
							: "a card number is not a token; use card_number");
}

static bool
check_card_number(PgwChecker *c, PgwCheckedArgs *out)
{
	const char *number = c->args->card_number;
	size_t len;

	len = strlen(number);
	if (len < MIN_CARD_DIGITS || len > MAX_CARD_DIGITS || strspn(number, "0123456789") != len)
	{
		pgw_check_fault(c, "card_number", "invalid_format",
						"must be 12 to 19 digits without blanks or hyphens");
		return false;
	}
	/* whether there is a bank that takes it is not known here: bank/choose_bank.c */
	out->unchecked = !pgw_luhn_ok(number, len);
	if (out->unchecked && !pgw_card_may_lack_check_digit(number, len))
	{
		pgw_check_fault(c, "card_number", "luhn_failed", PGW_LUHN_FAILED);
		return false;
	}
	out->brand = pgw_card_brand(number, len);
	memcpy(out->last4, number + len - 4, 4);
	return true;
}

static void
check_expiry(PgwChecker *c, int64_t now)
{
	const PgwPaymentArgs *args = c->args;
	bool month_ok = !args->card_expiry_month_isnull && args->card_expiry_month >= 1 &&
					args->card_expiry_month <= 12;
	bool year_ok = !args->card_expiry_year_isnull && args->card_expiry_year >= 2000 &&
				   args->card_expiry_year <= 2099;

	if (args->card_expiry_month_isnull)
		pgw_check_fault(c, "card_expiry_month", "required", "is required with card_number");
	else if (!month_ok)
		pgw_check_fault(c, "card_expiry_month", "out_of_range", "must be 1 to 12");
	if (args->card_expiry_year_isnull)
		pgw_check_fault(c, "card_expiry_year", "required", "is required with card_number");
	else if (!year_ok)
		pgw_check_fault(c, "card_expiry_year", "out_of_range",
						"must have four digits, 2000 to 2099");
	else if (month_ok && pgw_card_expired(args->card_expiry_month, args->card_expiry_year, now))
		pgw_check_fault(c, "card_expiry_year", "card_expired", "the card has expired");
}

void
pgw_check_card(PgwChecker *c, int64_t now, PgwCheckedArgs *out)
{
	const PgwPaymentArgs *args = c->args;
	const char *only = "is allowed only with card_number";
	bool number_ok;

	if (args->card_number == NULL)
	{
		if (!args->card_expiry_month_isnull)
			pgw_check_fault(c, "card_expiry_month", "conflicting_fields", only);
		if (!args->card_expiry_year_isnull)
			pgw_check_fault(c, "card_expiry_year", "conflicting_fields", only);
		if (args->card_cvv != NULL)
			pgw_check_fault(c, "card_cvv", "conflicting_fields", only);
		if (args->card_holder != NULL)
			pgw_check_fault(c, "card_holder", "conflicting_fields", only);
		return;
	}
	if (args->is_submit)
	{
		pgw_check_fault(c, "card_number", "conflicting_fields",
						"a submitted payment takes a token only; use process_payment");
		return;
	}
	number_ok = check_card_number(c, out);
	check_expiry(c, now);
	if (args->card_cvv != NULL &&
		!pgw_card_cvv_ok(number_ok ? out->brand : PGW_BRAND_UNKNOWN, args->card_cvv))
		pgw_check_fault(c, "card_cvv", "cvv_invalid", "must be 3 digits, for American Express 4");
	pgw_check_text(c, "card_holder", PGW_TEXT_VALUE, args->card_holder, PGW_MAX_HOLDER_BYTES, true,
				   false, "must be at most 255 bytes");
}
