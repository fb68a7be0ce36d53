/*
 * validate.c - checks of a caller's arguments
 *
 * Owns the rules for every argument of process_payment and submit_payment, and the text of their
 * faults, but for token and card (validate_card.c), options.customer
 * (validate_customer.c) and the trace (validate_trace.c).  One static function per argument; each
 * appends its faults, so that one call names all that is wrong, in the order of the SQL arguments.
 *
 * Invariants: every code is in error_codes.c; no message holds an argument's value, but for the
 * name of an unknown option, and that only after it was seen to hold no secret; the caller's
 * strings are never kept.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "core/request/validate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf_json.h"
#include "core/base/characters.h"
#include "core/base/money.h"
#include "core/card/card_text.h"
#include "core/json/json_read.h"
#include "core/json/json_text.h"
#include "core/request/not_a_card.h"
#include "core/request/validate_internal.h"

#define MAX_JSON_DEPTH 64
#define MAX_OPTION_NAME_BYTES 64 /* longer unknown keys are not named */
#define NOT_A_CARD "not_a_card"

static const char *const payment_stateable[] = {"client_request_id", "reference",     "metadata.",
												"bank_fields.",      "options.actor", NULL};
static const char *const operation_stateable[] = {"client_request_id", "reason", "options.actor",
												  NULL};
static const char *const nothing_stateable[] = {NULL};

static const char *const capture_names[] = {
	[PGW_CAPTURE_IMMEDIATE] = "immediate",
	[PGW_CAPTURE_ON_COMMIT] = "on_commit",
	[PGW_CAPTURE_MANUAL] = "manual",
};


void
pgw_check_fault(PgwChecker *c, const char *field, const char *code, const char *message)
{
	c->count++;
	pgw_buf_json_open(c->faults, '{');
	if (c->args->request > 0)
	{
		pgw_buf_json_name(c->faults, "request");
		pgw_buf_printf(c->faults, "%d", c->args->request);
	}
	pgw_buf_json_member(c->faults, "field", field);
	pgw_buf_json_member(c->faults, "code", code);
	pgw_buf_json_member(c->faults, "message", message);
	pgw_buf_json_close(c->faults, '}');
}

static size_t
utf8_chars(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char) *s & 0xC0) != 0x80;
	return n;
}

/* What was found in a field; nothing: no fault. */
static void
card_fault(PgwChecker *c, const char *field, PgwFound found)
{
	const char *message = "must not contain a card number";

	if (found == PGW_FOUND_CVV)
		message = "must not contain the card's security code";
	else if (found == PGW_FOUND_LOOK_ALIKE && pgw_can_be_stated(c->stateable, field))
		message = c->forbidden
					  ? "must not contain a card number; pgw.allow_not_a_card is off"
					  : "must not contain a card number; if it is none, " PGW_SAY_NOT_A_CARD;
	if (found != PGW_FOUND_NOTHING)
		pgw_check_fault(c, field, "card_number_in_stored_field", message);
}

bool
pgw_check_has_card(const PgwChecker *c, const char *text)
{
	return pgw_card_in_text(&c->sought, PGW_TEXT_ID, text, strlen(text)) != PGW_FOUND_NOTHING;
}

/* A bounded text that is kept or logged: max counts bytes or characters. */
void
pgw_check_text(PgwChecker *c, const char *field, PgwTextKind kind, const char *value, size_t max,
			   bool bytes, bool required, const char *too_long)
{
	if (value == NULL)
	{
		if (required)
			pgw_check_fault(c, field, "required", "must not be null");
		return;
	}
	if (value[0] == '\0' && required)
		pgw_check_fault(c, field, "required", "must not be empty");
	else if ((bytes ? strlen(value) : utf8_chars(value)) > max)
		pgw_check_fault(c, field, "too_long", too_long);
	if (pgw_has_control(value, ""))
		pgw_check_fault(c, field, "control_characters", "must not contain control characters");
	if (strlen(value) <= PGW_MAX_SEARCHED_BYTES)
		card_fault(c, field, pgw_stated_in_text(&c->stated, &c->sought, field, kind, value));
}

/*
 * Blanks as people see them: also U+00A0, U+2000 to U+200F, U+2028, U+2029, U+202F, U+205F, U+3000
 * and U+FEFF. The length of the one at s, or 0.
 */
static size_t
blank_length(const char *s)
{
	const unsigned char *b = (const unsigned char *) s;

	if (b[0] == ' ')
		return 1;
	if (b[0] == 0xC2 && b[1] == 0xA0)
		return 2;
	if ((b[0] == 0xE2 && b[1] == 0x80 &&
		 (b[2] <= 0x8F || b[2] == 0xA8 || b[2] == 0xA9 || b[2] == 0xAF)) ||
		(b[0] == 0xE2 && b[1] == 0x81 && b[2] == 0x9F) ||
		(b[0] == 0xE3 && b[1] == 0x80 && b[2] == 0x80) ||
		(b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF))
		return 3;
	return 0;
}

static bool
has_blank_ends(const char *s)
{
	size_t len = strlen(s);

	if (blank_length(s) > 0)
		return true;
	for (size_t n = 1; n <= 3 && n <= len; n++)
	{
		if (blank_length(s + len - n) == n)
			return true;
	}
	return false;
}

/*
 * An id that looks like another one is another payment: what a file, a form or a copied cell has
 * put around it is no part of it.
 */
static void
check_id(PgwChecker *c, const char *field, const char *value)
{
	pgw_check_text(c, field, PGW_TEXT_ID, value, PGW_MAX_ID_CHARS, false, true,
				   "must be at most 255 characters");
	if (value != NULL && value[0] != '\0' && has_blank_ends(value))
		pgw_check_fault(c, field, "invalid_format", "must not begin or end with a blank");
}

static void
check_amount(PgwChecker *c)
{
	if (c->args->amount_isnull)
		pgw_check_fault(c, "amount", "required", "must not be null");
	else if (c->args->amount_fault == PGW_AMOUNT_FRACTION)
		pgw_check_fault(
			c, "amount", "invalid_format",
			"must be a whole number of minor units of the currency: 49.90 EUR is 4990, 500 JPY is 500, 1.234 KWD is 1234");
	else if (c->args->amount_fault == PGW_AMOUNT_NO_NUMBER)
		pgw_check_fault(
			c, "amount", "invalid_format",
			"must be a whole number of minor units of the currency, not NaN or Infinity");
	else if (c->args->amount_fault == PGW_AMOUNT_TOO_LARGE)
		pgw_check_fault(c, "amount", "out_of_range",
						"must be at most 9223372036854775807, in minor units of the currency");
	else if (c->args->amount <= 0)
		pgw_check_fault(c, "amount", "out_of_range",
						"must be greater than 0, in minor units of the currency");
	else if (c->sought.card_number != NULL)
	{
		char digits[24];

		snprintf(digits, sizeof(digits), "%" PRId64, c->args->amount);
		if (pgw_card_in_text(&c->sought, PGW_TEXT_ID, digits, strlen(digits)) == PGW_FOUND_NUMBER)
			card_fault(c, "amount", PGW_FOUND_NUMBER);
	}
}

static void
check_currency(PgwChecker *c)
{
	const char *currency = c->args->currency;
	char upper[4] = "";
	bool letters;

	if (currency == NULL)
	{
		pgw_check_fault(c, "currency", "required", "must not be null");
		return;
	}
	if (pgw_currency_find(currency) != NULL)
		return;
	letters = strlen(currency) == 3;
	for (int i = 0; letters && i < 3; i++)
	{
		bool lower = currency[i] >= 'a' && currency[i] <= 'z';

		upper[i] = lower ? (char) (currency[i] - 'a' + 'A') : currency[i];
	}
	if (letters && pgw_currency_find(upper) != NULL)
		pgw_check_fault(c, "currency", "invalid_format",
						"must be an ISO 4217 alphabetic code; use upper case");
	else
		pgw_check_fault(c, "currency", "unknown_value",
						"must be an ISO 4217 alphabetic code of an active currency, such as EUR");
}

static void
check_capture(PgwChecker *c, PgwCheckedArgs *out)
{
	int mode = pgw_capture_parse(c->args->capture);

	if (c->args->capture == NULL)
		pgw_check_fault(c, "capture", "required", "must not be null");
	else if (mode < 0)
		pgw_check_fault(c, "capture", "unknown_value", "must be immediate, on_commit or manual");
	else
		out->capture = (PgwCaptureMode) mode;
}

/*
 * Read a JSON object; false after a fault, and where there is nothing to check: {} is the default
 * of all such arguments and what nearly every call has.
 */
static bool
read_object(PgwChecker *c, const char *field, const char *text, size_t max, const char *too_long,
			PgwJson *value)
{
	size_t len;

	if (text == NULL)
	{
		pgw_check_fault(c, field, "required", "must not be null");
		return false;
	}
	if (strcmp(text, "{}") == 0)
		return false;
	len = strlen(text);
	if (len > max)
	{
		pgw_check_fault(c, field, "too_long", too_long);
		return false;
	}
	if (pgw_json_read(text, len, MAX_JSON_DEPTH, value) != PGW_JSON_GOOD ||
		pgw_json_type(value) != PGW_JSON_OBJECT)
	{
		pgw_check_fault(c, field, "invalid_format",
						"must be a JSON object, nested at most 64 deep");
		return false;
	}
	return true;
}

static void
check_metadata(PgwChecker *c)
{
	PgwJson value;

	if (read_object(c, "metadata", c->args->metadata, PGW_MAX_METADATA_BYTES,
					"must be at most 16384 bytes", &value))
		card_fault(
			c, "metadata",
			pgw_stated_in_json(&c->stated, &c->sought, "metadata", c->args->metadata, &value));
}

static void
check_bank_fields(PgwChecker *c)
{
	PgwJson value;
	PgwJson name;
	PgwJson member;
	const char *at = NULL;

	if (!read_object(c, "bank_fields", c->args->bank_fields, PGW_MAX_BANK_FIELDS_BYTES,
					 "must be at most 4096 bytes", &value))
		return;
	while (pgw_json_next_member(&value, &at, &name, &member))
	{
		PgwJsonType type = pgw_json_type(&member);

		if (type == PGW_JSON_OBJECT || type == PGW_JSON_ARRAY)
		{
			pgw_check_fault(c, "bank_fields", "invalid_format",
							"members must be strings, numbers, booleans or null");
			break;
		}
	}
	if (pgw_json_member(&value, PGW_TRACE_FIELD, &member))
		pgw_check_fault(c, "bank_fields", "invalid_format",
						"must not hold a member " PGW_TRACE_FIELD ", which is pgw's own");
	card_fault(
		c, "bank_fields",
		pgw_stated_in_json(&c->stated, &c->sought, "bank_fields", c->args->bank_fields, &value));
}

static void
check_timeout(PgwChecker *c)
{
	if (!c->args->timeout_isnull &&
		(c->args->timeout_ms < 0 || c->args->timeout_ms > PGW_MAX_TIMEOUT_MS))
		pgw_check_fault(c, "timeout", "out_of_range", "must be 0 to 24 hours");
}

static void
check_on_failure(PgwChecker *c, PgwCheckedArgs *out)
{
	const char *value = c->args->on_failure;

	if (value == NULL)
		return;
	out->on_failure_raise = strcmp(value, "raise") == 0;
	if (!out->on_failure_raise && strcmp(value, "return") != 0)
		pgw_check_fault(c, "on_failure", "unknown_value", "must be return or raise");
}

/* May an option's name be told? Not when it is long, or holds what must stay secret. */
static bool
may_name(const PgwChecker *c, const char *key)
{
	const char *const secrets[] = {c->args->token, c->args->card_number, c->args->card_cvv};

	if (strlen(key) > MAX_OPTION_NAME_BYTES || pgw_check_has_card(c, key))
		return false;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
	{
		if (secrets[i] != NULL && secrets[i][0] != '\0' && strstr(key, secrets[i]) != NULL)
			return false;
	}
	return true;
}

/* Whom the application acts for, in its own words. */
static void
check_end_user(PgwChecker *c, const PgwJson *value, char *end_user)
{
	size_t len;

	if (pgw_json_type(value) != PGW_JSON_STRING)
	{
		pgw_check_fault(c, "options.actor", "invalid_format", "must be a string");
		return;
	}
	len = pgw_json_text(value, end_user, PGW_MAX_END_USER_BYTES);
	if (len > PGW_MAX_END_USER_BYTES)
	{
		end_user[0] = '\0';
		pgw_check_fault(c, "options.actor", "too_long", "must be at most 255 bytes");
		return;
	}
	end_user[len] = '\0';
	if (strlen(end_user) != len)
		pgw_check_fault(c, "options.actor", "control_characters",
						"must not contain control characters");
	else
		pgw_check_text(c, "options.actor", PGW_TEXT_ID, end_user, PGW_MAX_END_USER_BYTES, true,
					   true, "must be at most 255 bytes");
}

/* key: NULL where it is too long to be told. */
static void
unknown_option(PgwChecker *c, const char *key)
{
	char message[MAX_OPTION_NAME_BYTES + 32];

	if (key != NULL && may_name(c, key))
		snprintf(message, sizeof(message), "unknown option \"%s\"", key);
	else
		snprintf(message, sizeof(message), "unknown option");
	pgw_check_fault(c, "options", "unknown_option", message);
}

/*
 * What is stated of the fields counts before they are looked at; what is wrong with the statement
 * is told in its place, by check_options().
 */
static void
read_statement(PgwChecker *c, PgwStateable stateable, bool forbidden)
{
	const char *options = c->args->options;
	size_t len = options != NULL ? strlen(options) : 0;
	PgwJson value;
	PgwJson list;

	c->stateable = stateable;
	c->forbidden = forbidden;
	if (len == 0 || len > PGW_MAX_BANK_FIELDS_BYTES || strstr(options, NOT_A_CARD) == NULL ||
		pgw_json_read(options, len, MAX_JSON_DEPTH, &value) != PGW_JSON_GOOD ||
		!pgw_json_member(&value, NOT_A_CARD, &list))
		return;
	if (pgw_stated_read(&list, stateable, &c->sought, &c->stated, &c->statement_fault) && forbidden)
		c->stated.n = 0;
}

/* The member not_a_card, where something can be stated at all. */
static bool
is_statement(PgwChecker *c, const char *key)
{
	if (c->stateable[0] == NULL || strcmp(key, NOT_A_CARD) != 0)
		return false;
	if (c->statement_fault.code != NULL)
		pgw_check_fault(c, "options.not_a_card", c->statement_fault.code,
						c->statement_fault.message);
	return true;
}

static void
check_despite_dispute(PgwChecker *c, const PgwJson *value, bool *despite_dispute)
{
	if (pgw_json_type(value) != PGW_JSON_BOOLEAN)
		pgw_check_fault(c, "options.despite_dispute", "invalid_format", "must be true or false");
	else
		*despite_dispute = pgw_json_is_true(value);
}

/*
 * end_user: 1 + PGW_MAX_END_USER_BYTES.  trace: NULL where options are an operator's; out: where
 * they are not a payment's; despite_dispute: where they are not a refund's.
 */
static void
check_options(PgwChecker *c, char *end_user, PgwTrace *trace, PgwCheckedArgs *out,
			  bool *despite_dispute)
{
	PgwJson value;
	PgwJson name;
	PgwJson member;
	const char *at = NULL;
	int unknown = 0;

	end_user[0] = '\0';
	if (!read_object(c, "options", c->args->options, PGW_MAX_BANK_FIELDS_BYTES,
					 "must be at most 4096 bytes", &value))
		return;
	while (pgw_json_next_member(&value, &at, &name, &member))
	{
		char key[MAX_OPTION_NAME_BYTES + 1];
		size_t len = pgw_json_text(&name, key, MAX_OPTION_NAME_BYTES);

		key[len <= MAX_OPTION_NAME_BYTES ? len : 0] = '\0';
		if (len == strlen("actor") && strcmp(key, "actor") == 0)
		{
			check_end_user(c, &member, end_user);
			continue;
		}
		if (is_statement(c, key) ||
			(trace != NULL && pgw_check_trace_option(c, key, &member, trace)))
			continue;
		if (out != NULL && strcmp(key, "customer") == 0)
		{
			pgw_check_customer(c, &member, out);
			continue;
		}
		if (despite_dispute != NULL && strcmp(key, "despite_dispute") == 0)
		{
			check_despite_dispute(c, &member, despite_dispute);
			continue;
		}
		unknown_option(c, len <= MAX_OPTION_NAME_BYTES ? key : NULL);
		unknown++;
		explicit_bzero(key, sizeof(key));
	}
	if (unknown > 0)
		card_fault(c, "options",
				   pgw_card_in_json(&c->sought, c->args->options, strlen(c->args->options)));
	if (trace != NULL)
		pgw_check_trace(c, c->args->bank_fields != NULL ? c->args->bank_fields : "{}", trace);
}

/* What of the statement has let something pass, for the record. */
static void
keep_statement(const PgwChecker *c, char *not_a_card)
{
	PgwBuf text;

	pgw_buf_init(&text, 0);
	pgw_stated_used(&c->stated, &text);
	not_a_card[0] = '\0';
	if (!text.failed && text.len > 0 && text.len < PGW_NOT_A_CARD_SIZE)
		memcpy(not_a_card, text.data, text.len + 1);
	pgw_buf_free(&text);
}

int
pgw_validate_payment_args(const PgwPaymentArgs *args, int64_t now, PgwCheckedArgs *out,
						  PgwBuf *faults)
{
	PgwChecker c = {.args = args,
					.faults = faults,
					.sought = {.card_number = args->card_number, .card_cvv = args->card_cvv}};

	memset(out, 0, sizeof(*out));
	read_statement(&c, payment_stateable, args->statement_forbidden);

	if (args->request == 0)
		pgw_buf_json_open(faults, '[');
	check_id(&c, "client_request_id", args->client_request_id);
	check_amount(&c);
	check_currency(&c);
	pgw_check_token(&c);
	pgw_check_card(&c, now, out);
	if (args->bank != NULL)
		pgw_check_text(&c, "bank", PGW_TEXT_ID, args->bank, PGW_MAX_NAME_BYTES, true, true,
					   "must be at most 63 bytes");
	check_capture(&c, out);
	pgw_check_text(&c, "reference", PGW_TEXT_VALUE, args->reference, PGW_MAX_REFERENCE_CHARS, false,
				   false, "must be at most 255 characters");
	check_metadata(&c);
	check_bank_fields(&c);
	check_timeout(&c);
	check_on_failure(&c, out);
	pgw_check_text(&c, "merchant", PGW_TEXT_ID, args->merchant, PGW_MAX_NAME_BYTES, true, true,
				   "must be at most 63 bytes");
	check_options(&c, out->says.end_user, &out->trace, out, NULL);
	keep_statement(&c, out->says.not_a_card);
	if (args->request == 0)
		pgw_buf_json_close(faults, ']');
	return c.count;
}

int
pgw_validate_operation_args(const PgwOperationArgs *args, PgwCallerSays *says, PgwTrace *trace,
							bool *despite_dispute, PgwBuf *faults)
{
	PgwPaymentArgs none = {
		.amount_fault = args->amount_fault, .amount = args->amount, .options = args->options};
	PgwChecker c = {.args = &none, .faults = faults};

	read_statement(&c, operation_stateable, args->statement_forbidden);
	pgw_buf_json_open(faults, '[');
	if (args->payment_id_isnull)
		pgw_check_fault(&c, "payment_id", "required", "must not be null");
	check_id(&c, "client_request_id", args->client_request_id);
	if (args->has_amount)
		check_amount(&c);
	if (args->final_isnull)
		pgw_check_fault(&c, "final", "required", "must not be null");
	pgw_check_text(&c, "reason", PGW_TEXT_VALUE, args->reason, PGW_MAX_REFERENCE_CHARS, false,
				   false, "must be at most 255 characters");
	memset(trace, 0, sizeof(*trace));
	check_options(&c, says->end_user, trace, NULL, despite_dispute);
	keep_statement(&c, says->not_a_card);
	pgw_buf_json_close(faults, ']');
	return c.count;
}

int
pgw_validate_options(const char *options, char end_user[PGW_MAX_END_USER_BYTES + 1], PgwBuf *faults)
{
	PgwPaymentArgs none = {.options = options};
	PgwChecker c = {.args = &none, .faults = faults, .stateable = nothing_stateable};

	check_options(&c, end_user, NULL, NULL, NULL);
	return c.count;
}

int
pgw_validate_id(const char *field, const char *value, PgwBuf *faults)
{
	/* it is only compared, and never kept: an id may have been stated to be no card's */
	PgwPaymentArgs none = {0};
	PgwChecker c = {.args = &none,
					.faults = faults,
					.sought = {.last4 = PGW_NO_STRANGERS},
					.stateable = nothing_stateable};

	check_id(&c, field, value);
	return c.count;
}

const char *
pgw_capture_name(PgwCaptureMode m)
{
	return (int) m >= 0 && m <= PGW_CAPTURE_MANUAL ? capture_names[m] : NULL;
}

int
pgw_capture_parse(const char *name)
{
	if (name != NULL)
	{
		for (int i = 0; i <= PGW_CAPTURE_MANUAL; i++)
		{
			if (strcmp(name, capture_names[i]) == 0)
				return i;
		}
	}
	return -1;
}
