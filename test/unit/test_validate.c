/*
 * test_validate.c - every fault of every argument, as exact JSON; that all come at once and in
 * order; that none tells a secret
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <json-c/json.h>

#include "core/base/error_codes.h"
#include "core/request/validate.h"

#define NOW INT64_C(1795430000) /* November 2026 */
#define CARD "4111111111111111"
#define CARD_MSG "must not contain a card number"
#define F(field, code, message) \
	"{\"field\":\"" field "\",\"code\":\"" code "\",\"message\":\"" message "\"}"
#define BLANK F("client_request_id", "invalid_format", "must not begin or end with a blank")
#define STORED(field) F(field, "card_number_in_stored_field", CARD_MSG)
#define ALIKE(field) \
	F(field, "card_number_in_stored_field", \
	  CARD_MSG "; if it is none, options.not_a_card can say so")

static PgwPaymentArgs
with_token(void)
{
	PgwPaymentArgs r = {
		.client_request_id = "order-1",
		.amount = 1000,
		.currency = "EUR",
		.token = "tok_abc",
		.card_expiry_month_isnull = true,
		.card_expiry_year_isnull = true,
		.capture = "immediate",
		.metadata = "{}",
		.bank_fields = "{}",
		.timeout_isnull = true,
		.merchant = "default",
		.options = "{}",
	};

	return r;
}

static PgwPaymentArgs
with_card(void)
{
	PgwPaymentArgs r = with_token();

	r.token = NULL;
	r.card_number = CARD;
	r.card_expiry_month_isnull = r.card_expiry_year_isnull = false;
	r.card_expiry_month = 12;
	r.card_expiry_year = 2030;
	r.card_cvv = "123";
	r.card_holder = "J. Doe";
	return r;
}

/* want: the faults without the brackets */
static void
check_at(const PgwPaymentArgs *r, const char *want, int line)
{
	PgwBuf b;
	PgwCheckedArgs out;
	char whole[8192];
	int n;
	struct json_object *parsed;

	pgw_buf_init(&b, 0);
	n = pgw_validate_payment_args(r, NOW, &out, &b);
	assert_false(b.failed);
	snprintf(whole, sizeof(whole), "[%s]", want);
	if (strcmp(b.data, whole) != 0)
		fail_msg("line %d:\n got %s\nwant %s", line, b.data, whole);
	parsed = json_tokener_parse(b.data);
	assert_int_equal(json_object_array_length(parsed), n);
	for (int i = 0; i < n; i++)
	{
		struct json_object *code;

		assert_true(json_object_object_get_ex(json_object_array_get_idx(parsed, (size_t) i), "code",
											  &code));
		assert_non_null(pgw_error_find(json_object_get_string(code)));
	}
	json_object_put(parsed);
	pgw_buf_free(&b);
}

#define TOKEN(change, want) \
	do \
	{ \
		PgwPaymentArgs r = with_token(); \
		change; \
		check_at(&r, want, __LINE__); \
	} while (0)
#define WITH_CARD(change, want) \
	do \
	{ \
		PgwPaymentArgs r = with_card(); \
		change; \
		check_at(&r, want, __LINE__); \
	} while (0)

/* n times the piece, in a buffer that lives until the next call with the same slot */
static const char *
repeat(const char *piece, int n)
{
	static char buf[70000];

	buf[0] = '\0';
	for (int i = 0; i < n; i++)
		memcpy(buf + (size_t) i * strlen(piece), piece, strlen(piece) + 1);
	return buf;
}

#define OF_3(field, code, message) \
	"{\"request\":3,\"field\":\"" field "\",\"code\":\"" code "\",\"message\":\"" message "\"}"

/* One of many requests: its place stands in each fault, behind those of others; tokens only. */
static void
one_of_many(void **unused)
{
	PgwPaymentArgs r = with_token();
	PgwCheckedArgs out;
	PgwBuf b;

	(void) unused;
	r.request = 3;
	pgw_buf_init(&b, 0);
	assert_int_equal(pgw_validate_payment_args(&r, NOW, &out, &b), 0);
	assert_int_equal(b.len, 0);
	r.amount = 0;
	r.token = NULL;
	pgw_buf_puts(&b, "{}");
	assert_int_equal(pgw_validate_payment_args(&r, NOW, &out, &b), 2);
	assert_string_equal(
		b.data,
		"{}," OF_3(
			"amount", "out_of_range",
			"must be greater than 0, in minor units of the currency") "," OF_3("token", "required",
																			   "must not be null"));
	pgw_buf_free(&b);
	r = with_token();
	r.request = 3;
	r.token = CARD;
	assert_int_equal(pgw_validate_payment_args(&r, NOW, &out, &b), 1);
	assert_string_equal(b.data, OF_3("token", "card_number_in_stored_field",
									 "a card number is not a token; use process_payment"));
	pgw_buf_free(&b);
}

static void
sound_requests(void **unused)
{
	PgwPaymentArgs r = with_card();
	PgwCheckedArgs out;
	PgwBuf b;

	(void) unused;
	pgw_buf_init(&b, 0);
	r.capture = "on_commit";
	r.on_failure = "raise";
	assert_int_equal(pgw_validate_payment_args(&r, NOW, &out, &b), 0);
	assert_string_equal(b.data, "[]");
	assert_int_equal(out.brand, PGW_BRAND_VISA);
	assert_string_equal(out.last4, "1111");
	assert_int_equal(out.capture, PGW_CAPTURE_ON_COMMIT);
	assert_true(out.on_failure_raise);
	r = with_token();
	r.is_submit = true;
	r.capture = "manual";
	r.on_failure = "return";
	assert_int_equal(pgw_validate_payment_args(&r, NOW, &out, &b), 0);
	assert_string_equal(out.last4, "");
	assert_int_equal(out.capture, PGW_CAPTURE_MANUAL);
	assert_false(out.on_failure_raise);
	pgw_buf_free(&b);

	TOKEN(r.client_request_id = repeat("\xc3\xa9", 255), "");
	TOKEN(r.client_request_id = "550e8400-e29b-41d4-a716-446655440000", "");
	TOKEN(r.reference = "", "");
	TOKEN(r.bank = "adyen"; r.reference = "2026/17", "");
	TOKEN(r.token = repeat("x", 512), "");
	TOKEN((r.timeout_isnull = false, r.timeout_ms = 0), "");
	TOKEN((r.timeout_isnull = false, r.timeout_ms = 86400000), "");
	TOKEN(r.metadata =
			  "{\"a\": [1, {\"b\": null}], \"lat\": 48.4111111111111111, \"t\": 1732360000000}",
		  "");
	TOKEN(r.bank_fields = "{\"s\": \"x\", \"n\": 1, \"f\": 1.5, \"b\": true, \"z\": null}", "");
	WITH_CARD(r.card_cvv = NULL; r.card_holder = NULL, "");
	WITH_CARD(r.card_number = "378282246310005"; r.card_cvv = "1234", "");
	WITH_CARD(r.card_expiry_month = 11; r.card_expiry_year = 2026, "");
	WITH_CARD(r.metadata = "{\"last4\": \"1111\"}", "");
}

static void
ids_and_names(void **unused)
{
	(void) unused;
	TOKEN(r.client_request_id = NULL, F("client_request_id", "required", "must not be null"));
	TOKEN(r.client_request_id = "", F("client_request_id", "required", "must not be empty"));
	TOKEN(r.client_request_id = repeat("\xc3\xa9", 256),
		  F("client_request_id", "too_long", "must be at most 255 characters"));
	TOKEN(r.client_request_id = "a\nb",
		  F("client_request_id", "control_characters", "must not contain control characters"));
	TOKEN(r.client_request_id = "a\x7f",
		  F("client_request_id", "control_characters", "must not contain control characters"));
	TOKEN(r.client_request_id = "a\xc2\x85",
		  F("client_request_id", "control_characters", "must not contain control characters"));
	TOKEN(r.client_request_id = "id " CARD, ALIKE("client_request_id"));
	TOKEN(r.client_request_id = " a", BLANK);
	TOKEN(r.client_request_id = "a ", BLANK);
	TOKEN(r.client_request_id = " ", BLANK);
	TOKEN(r.client_request_id = "a\xc2\xa0", BLANK);
	TOKEN(r.client_request_id = "\xe3\x80\x80"
								"a",
		  BLANK);
	TOKEN(r.client_request_id = "\xef\xbb\xbf"
								"a",
		  BLANK);
	TOKEN(r.client_request_id = "a\xe2\x80\x8b", BLANK);
	TOKEN(r.client_request_id = "a b\xc2\xa0"
								"c",
		  "");
	TOKEN(r.client_request_id = "\xe2\x80\xa6\xe2\x80\xa6", "");
	TOKEN(r.client_request_id = "\xc3\xa0", "");
	TOKEN(r.bank = "", F("bank", "required", "must not be empty"));
	TOKEN(r.bank = repeat("b", 64), F("bank", "too_long", "must be at most 63 bytes"));
	TOKEN(r.bank = "\t", F("bank", "control_characters", "must not contain control characters"));
	TOKEN(r.merchant = NULL, F("merchant", "required", "must not be null"));
	TOKEN(r.merchant = "", F("merchant", "required", "must not be empty"));
	TOKEN(r.merchant = repeat("m", 64), F("merchant", "too_long", "must be at most 63 bytes"));
	TOKEN(r.merchant = CARD, STORED("merchant"));
	TOKEN(r.reference = repeat("r", 256),
		  F("reference", "too_long", "must be at most 255 characters"));
	TOKEN(r.reference = "\x01",
		  F("reference", "control_characters", "must not contain control characters"));
	TOKEN(r.reference = "4111-1111 1111-1111", ALIKE("reference"));
	/* what is kept nowhere is not searched: it may be a gigabyte */
	TOKEN(r.reference = repeat(CARD " ", 65536 / 17 + 1),
		  F("reference", "too_long", "must be at most 255 characters"));
}

static void
amount_and_currency(void **unused)
{
	const char *active =
		F("currency", "unknown_value",
		  "must be an ISO 4217 alphabetic code of an active currency, such as EUR");

	(void) unused;
	TOKEN(r.amount_isnull = true, F("amount", "required", "must not be null"));
	TOKEN(r.amount = 0,
		  F("amount", "out_of_range", "must be greater than 0, in minor units of the currency"));
	TOKEN(r.amount = INT64_MIN,
		  F("amount", "out_of_range", "must be greater than 0, in minor units of the currency"));
	TOKEN(
		r.amount_fault = PGW_AMOUNT_FRACTION,
		F("amount", "invalid_format",
		  "must be a whole number of minor units of the currency: 49.90 EUR is 4990, 500 JPY is 500, 1.234 KWD is 1234"));
	TOKEN(r.amount_fault = PGW_AMOUNT_NO_NUMBER,
		  F("amount", "invalid_format",
			"must be a whole number of minor units of the currency, not NaN or Infinity"));
	TOKEN(r.amount_fault = PGW_AMOUNT_TOO_LARGE,
		  F("amount", "out_of_range",
			"must be at most 9223372036854775807, in minor units of the currency"));
	TOKEN(r.currency = NULL, F("currency", "required", "must not be null"));
	TOKEN(r.currency = "eur",
		  F("currency", "invalid_format", "must be an ISO 4217 alphabetic code; use upper case"));
	TOKEN(r.currency = "Eur",
		  F("currency", "invalid_format", "must be an ISO 4217 alphabetic code; use upper case"));
	TOKEN(r.currency = "XXX", active);
	TOKEN(r.currency = "", active);
	TOKEN(r.currency = "EURO", active);
	TOKEN(r.currency = "978", active);
}

static void
tokens(void **unused)
{
	const char *plain =
		F("token", "invalid_format", "must be printable ASCII characters without blanks");
	const char *use_card =
		F("token", "card_number_in_stored_field", "a card number is not a token; use card_number");
	const char *broken = F(
		"token", "invalid_format",
		"begins as a JSON object and is none: it may be cut off, have a name twice or be nested deeper than 32");
	char large[6200];
	const char *use_process = F("token", "card_number_in_stored_field",
								"a card number is not a token; use process_payment");
	const char *disguised = F(
		"token", "invalid_format",
		"must have no quotation mark or backslash: it is JSON that is no object, or encoded once more; give an object as it is");

	(void) unused;
	TOKEN(r.token = NULL,
		  F("token", "required", "give exactly one of token and card_number; both are null"));
	TOKEN((r.token = NULL, r.is_submit = true), F("token", "required", "must not be null"));
	WITH_CARD(r.token = "tok_abc", F("token", "conflicting_fields",
									 "give exactly one of token and card_number; both are given"));
	TOKEN(r.token = "", F("token", "required", "must not be empty"));
	TOKEN(r.token = repeat("x", 513), F("token", "too_long", "must be at most 512 bytes"));
	TOKEN(r.token = repeat(CARD, 65536 / 16 + 1),
		  F("token", "too_long", "must be at most 512 bytes"));
	/* meant as an object: never taken for a token, which is stored */
	TOKEN(r.token = "{\"n\": \"" CARD "\", \"a\": 1}", "");
	TOKEN(r.token = "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", "");
	TOKEN(r.token = "[{\"a\":1}]", disguised);
	TOKEN(r.token = "\"{\\\"a\\\":1}\"", disguised);
	TOKEN(r.token = "{\\\"a\\\":1}", disguised);
	TOKEN(r.token = "{'a':'b'}", disguised);
	TOKEN(r.token = "%7B%22a%22:1%7D", disguised);
	TOKEN(r.token = "tok_100%25", "");
	TOKEN(r.token = "{\"n\":\"" CARD, broken);
	TOKEN(r.token = "{\"a\":1,\"a\":2}", broken);
	TOKEN(r.token = "{ }", F("token", "required", "must not be an empty object"));
	snprintf(large, sizeof(large), "{\"a\":\"%s\"}", repeat("x", 6144 - 8));
	TOKEN(r.token = large, "");
	snprintf(large, sizeof(large), "{\"a\":\"%s\"}", repeat("x", 6145 - 8));
	TOKEN(r.token = large, F("token", "too_long", "must be at most 6144 bytes as a JSON object"));
	TOKEN(
		(r.token = "{\"a\":1}", r.is_submit = true),
		F("token", "conflicting_fields",
		  "a token that is an object is never stored, so it cannot be submitted; use process_payment"));
	WITH_CARD(r.token = "{\"a\":1}",
			  F("token", "conflicting_fields",
				"give exactly one of token and card_number; both are given"));
	TOKEN(r.token = "a b", plain);
	TOKEN(r.token = "a\x7f", plain);
	TOKEN(r.token = "\xc3\xa9", plain);
	TOKEN(r.token = CARD, use_card);
	TOKEN(r.token = "tok_" CARD, use_card);
	/* twelve digits: too short for a find in text */
	TOKEN(r.token = "501800000009", use_card);
	TOKEN((r.token = CARD, r.is_submit = true), use_process);
	TOKEN((r.token = "4111-1111-1111-1111", r.is_submit = true), use_process);
	WITH_CARD(r.is_submit = true,
			  F("token", "required", "must not be null") "," F(
				  "card_number", "conflicting_fields",
				  "a submitted payment takes a token only; use process_payment"));
}

static void
cards(void **unused)
{
	const char *digits =
		F("card_number", "invalid_format", "must be 12 to 19 digits without blanks or hyphens");
	const char *cvv = F("card_cvv", "cvv_invalid", "must be 3 digits, for American Express 4");

	(void) unused;
	WITH_CARD(r.card_number = "", digits);
	WITH_CARD(r.card_number = "41111111111", digits);
	WITH_CARD(r.card_number = "41111111111111111111", digits);
	WITH_CARD(r.card_number = "4111 1111 1111 1111", digits);
	WITH_CARD(r.card_number = "4111111111111112",
			  F("card_number", "luhn_failed",
				"fails its check digit (Luhn); a digit is probably mistyped"));
	WITH_CARD(r.card_expiry_month_isnull = true,
			  F("card_expiry_month", "required", "is required with card_number"));
	WITH_CARD(r.card_expiry_month = 0, F("card_expiry_month", "out_of_range", "must be 1 to 12"));
	WITH_CARD(r.card_expiry_month = 13, F("card_expiry_month", "out_of_range", "must be 1 to 12"));
	WITH_CARD(r.card_expiry_year_isnull = true,
			  F("card_expiry_year", "required", "is required with card_number"));
	WITH_CARD(r.card_expiry_year = 30,
			  F("card_expiry_year", "out_of_range", "must have four digits, 2000 to 2099"));
	WITH_CARD(r.card_expiry_year = 2100,
			  F("card_expiry_year", "out_of_range", "must have four digits, 2000 to 2099"));
	WITH_CARD((r.card_expiry_year = 2026, r.card_expiry_month = 10),
			  F("card_expiry_year", "card_expired", "the card has expired"));
	WITH_CARD(r.card_cvv = "", cvv);
	WITH_CARD(r.card_cvv = "1234", cvv);
	WITH_CARD(r.card_cvv = "12x", cvv);
	WITH_CARD(r.card_number = "378282246310005", cvv);
	WITH_CARD(r.card_holder = repeat("h", 256),
			  F("card_holder", "too_long", "must be at most 255 bytes"));
	WITH_CARD(r.card_holder = "a\rb",
			  F("card_holder", "control_characters", "must not contain control characters"));
	WITH_CARD(r.card_holder = "Doe " CARD, STORED("card_holder"));
	TOKEN((r.card_expiry_month_isnull = false, r.card_expiry_month = 1),
		  F("card_expiry_month", "conflicting_fields", "is allowed only with card_number"));
	TOKEN((r.card_expiry_year_isnull = false, r.card_expiry_year = 2030),
		  F("card_expiry_year", "conflicting_fields", "is allowed only with card_number"));
	TOKEN(r.card_cvv = "123",
		  F("card_cvv", "conflicting_fields", "is allowed only with card_number"));
	TOKEN(r.card_holder = "x",
		  F("card_holder", "conflicting_fields", "is allowed only with card_number"));
}

static void
words_and_timeout(void **unused)
{
	(void) unused;
	TOKEN(r.capture = NULL, F("capture", "required", "must not be null"));
	TOKEN(r.capture = "Immediate",
		  F("capture", "unknown_value", "must be immediate, on_commit or manual"));
	TOKEN(r.on_failure = "", F("on_failure", "unknown_value", "must be return or raise"));
	TOKEN((r.timeout_isnull = false, r.timeout_ms = -1),
		  F("timeout", "out_of_range", "must be 0 to 24 hours"));
	TOKEN((r.timeout_isnull = false, r.timeout_ms = 86400001),
		  F("timeout", "out_of_range", "must be 0 to 24 hours"));
	assert_string_equal(pgw_capture_name(PGW_CAPTURE_ON_COMMIT), "on_commit");
	assert_null(pgw_capture_name((PgwCaptureMode) 3));
	for (int i = 0; i <= PGW_CAPTURE_MANUAL; i++)
		assert_int_equal(pgw_capture_parse(pgw_capture_name((PgwCaptureMode) i)), i);
	assert_int_equal(pgw_capture_parse(NULL), -1);
}

static void
json_fields(void **unused)
{
	static char big[PGW_MAX_METADATA_BYTES + 16];
	static char deep[600];
	const char *object =
		F("metadata", "invalid_format", "must be a JSON object, nested at most 64 deep");

	(void) unused;
	TOKEN(r.metadata = NULL, F("metadata", "required", "must not be null"));
	TOKEN(r.metadata = "", object);
	TOKEN(r.metadata = "[]", object);
	TOKEN(r.metadata = "null", object);
	TOKEN(r.metadata = "\"x\"", object);
	TOKEN(r.metadata = "{\"a\":1", object);
	TOKEN(r.metadata = "{} x", object);
	memset(deep, 0, sizeof(deep));
	for (int i = 0; i < 100; i++)
		memcpy(deep + i * 5, "{\"a\":", 5);
	deep[500] = '1';
	memset(deep + 501, '}', 98);
	TOKEN(r.metadata = deep, object);
	snprintf(big, sizeof(big), "{\"a\":\"%s\"}", repeat("x", PGW_MAX_METADATA_BYTES - 8));
	assert_int_equal(strlen(big), PGW_MAX_METADATA_BYTES);
	TOKEN(r.metadata = big, "");
	snprintf(big, sizeof(big), "{\"a\":\"%s\"}", repeat("x", PGW_MAX_METADATA_BYTES - 7));
	TOKEN(r.metadata = big, F("metadata", "too_long", "must be at most 16384 bytes"));

	/* a number of any length */
	TOKEN(r.metadata = "{\"rrn\": 123456789012345678901}", "");
	TOKEN(r.bank_fields = "{\"rrn\": -123456789012345678901, \"x\": 1e400}", "");
	TOKEN(r.metadata = "{\"note\": \"cr\xC3\xA9"
					   "dit accept\xC3\xA9\"}",
		  "");
	TOKEN(r.metadata = "{\"note\": \"\xE9\"}", object);

	TOKEN(r.metadata = "{\"c\": \"" CARD "\"}", ALIKE("metadata"));
	TOKEN(r.metadata = "{\"c\": \"4111 1111 1111 1111 12/30\"}", ALIKE("metadata"));
	TOKEN(r.metadata = "{\"" CARD "\": 1}", ALIKE("metadata"));
	TOKEN(r.metadata = "{\"n\": 4111111111111111}", ALIKE("metadata"));
	TOKEN(r.metadata = "{\"n\": -4111111111111111}", ALIKE("metadata"));
	TOKEN(r.metadata = "{\"n\": 4111111111111111.0}", ALIKE("metadata"));
	TOKEN(r.metadata = "{\"n\": 4.111111111111111e15}", ALIKE("metadata"));
	TOKEN(r.metadata = "{\"a\": [0, {\"b\": [\"" CARD "\"]}]}", ALIKE("metadata"));
	TOKEN(r.metadata = "{\"a\": \"\\u0034111111111111111\"}", ALIKE("metadata"));

	TOKEN(r.bank_fields = NULL, F("bank_fields", "required", "must not be null"));
	TOKEN(r.bank_fields = "[1]",
		  F("bank_fields", "invalid_format", "must be a JSON object, nested at most 64 deep"));
	TOKEN(r.bank_fields = "{\"a\": {}, \"b\": []}",
		  F("bank_fields", "invalid_format", "members must be strings, numbers, booleans or null"));
	TOKEN(r.bank_fields = "{\"n\": 5555555555554444}", ALIKE("bank_fields"));
	snprintf(big, sizeof(big), "{\"a\":\"%s\"}", repeat("x", PGW_MAX_BANK_FIELDS_BYTES - 7));
	TOKEN(r.bank_fields = big, F("bank_fields", "too_long", "must be at most 4096 bytes"));

	TOKEN(r.options = NULL, F("options", "required", "must not be null"));
	TOKEN(r.options = "1",
		  F("options", "invalid_format", "must be a JSON object, nested at most 64 deep"));
	TOKEN(r.options = "{\"speed\": 1, \"a\\\"b\": 2}",
		  F("options", "unknown_option", "unknown option \\\"speed\\\"") "," F(
			  "options", "unknown_option", "unknown option \\\"a\\\"b\\\""));
	TOKEN(r.options = "{\"x\": \"" CARD "\"}",
		  F("options", "unknown_option", "unknown option \\\"x\\\"") "," STORED("options"));
}

/* options.actor: whom the application acts for; kept, so it is looked at as all that is kept. */
static void
end_users(void **unused)
{
	static char big[PGW_MAX_END_USER_BYTES + 64];
	PgwPaymentArgs r = with_token();
	PgwOperationArgs o = {.client_request_id = "c-1", .options = "{\"actor\": \"user 42\"}"};
	PgwCheckedArgs out;
	char end_user[PGW_MAX_END_USER_BYTES + 1];
	PgwCallerSays says;
	PgwTrace trace;
	PgwBuf b;

	(void) unused;
	TOKEN(r.options = "{\"actor\": 7}", F("options.actor", "invalid_format", "must be a string"));
	TOKEN(r.options = "{\"actor\": null}",
		  F("options.actor", "invalid_format", "must be a string"));
	TOKEN(r.options = "{\"actor\": {\"id\": \"u\"}}",
		  F("options.actor", "invalid_format", "must be a string"));
	TOKEN(r.options = "{\"actor\": \"\"}", F("options.actor", "required", "must not be empty"));
	TOKEN(r.options = "{\"actor\": \"a\\nb\"}",
		  F("options.actor", "control_characters", "must not contain control characters"));
	TOKEN(r.options = "{\"actor\": \"a\\u0085b\"}",
		  F("options.actor", "control_characters", "must not contain control characters"));
	TOKEN(r.options = "{\"actor\": \"a\\u0000b\"}",
		  F("options.actor", "control_characters", "must not contain control characters"));
	TOKEN(r.options = "{\"actor\": \"" CARD "\"}", ALIKE("options.actor"));
	TOKEN(r.options = "{\"actor\": \"4111 1111-1111 1111 anna\"}", ALIKE("options.actor"));
	TOKEN(r.options = "{\"actor\": \"anna\", \"tip\": 1}",
		  F("options", "unknown_option", "unknown option \\\"tip\\\""));
	snprintf(big, sizeof(big), "{\"actor\":\"%s\"}", repeat("x", PGW_MAX_END_USER_BYTES + 1));
	TOKEN(r.options = big, F("options.actor", "too_long", "must be at most 255 bytes"));
	/* an id that is the same three digits as the CVV by chance is none */
	WITH_CARD(r.options = "{\"actor\": \"123\"}", "");
	snprintf(big, sizeof(big), "{\"actor\":\"%s\"}", repeat("x", PGW_MAX_END_USER_BYTES));
	TOKEN(r.options = big, "");

	pgw_buf_init(&b, 0);
	r.options = "{\"actor\": \"J\\u00f6rg \\\"42\\\"\"}";
	assert_int_equal(pgw_validate_payment_args(&r, NOW, &out, &b), 0);
	assert_string_equal(out.says.end_user, "J\xC3\xB6rg \"42\"");
	r.options = "{}";
	assert_int_equal(pgw_validate_payment_args(&r, NOW, &out, &b), 0);
	assert_string_equal(out.says.end_user, "");

	assert_int_equal(pgw_validate_operation_args(&o, &says, &trace, NULL, &b), 0);
	assert_string_equal(says.end_user, "user 42");
	pgw_buf_reset(&b);
	assert_int_equal(pgw_validate_options("{\"actor\": \"op\"}", end_user, &b), 0);
	assert_string_equal(end_user, "op");
	assert_int_equal(pgw_validate_options("{\"actor\": 1, \"b\": 2}", end_user, &b), 2);
	assert_string_equal(b.data, F("options.actor", "invalid_format", "must be a string") "," F(
									"options", "unknown_option", "unknown option \\\"b\\\""));
	pgw_buf_free(&b);
}

/* The call's own number counts wherever it stands, also where text in general is let through. */
static void
own_number(void **unused)
{
	(void) unused;
	WITH_CARD(r.reference = "9" CARD "99999", STORED("reference"));
	WITH_CARD(r.reference = "4111  1111 - 1111  1111", STORED("reference"));
	WITH_CARD(r.client_request_id = "a" CARD "bcdefabcdefabcd", STORED("client_request_id"));
	WITH_CARD(r.metadata = "{\"n\": 0." CARD "}", STORED("metadata"));
	WITH_CARD(r.metadata = "{\"n\": 99999999" CARD "99999999}", STORED("metadata"));
	WITH_CARD(r.bank_fields = "{\"k" CARD "\": 1}", STORED("bank_fields"));
	/* an unknown brand: only because it is this call's */
	WITH_CARD((r.card_number = "9999999999999995", r.reference = "9999999999999995"),
			  STORED("reference"));
	WITH_CARD((r.card_number = "9999 9999 9999 9995", r.reference = "9999999999999995"),
			  F("card_number", "invalid_format",
				"must be 12 to 19 digits without blanks or hyphens") "," STORED("reference"));
	WITH_CARD(
		(r.card_number = "12", r.reference = "order 12"),
		F("card_number", "invalid_format", "must be 12 to 19 digits without blanks or hyphens"));
	WITH_CARD(r.merchant = CARD, STORED("merchant"));
}

static void
all_at_once_in_order(void **unused)
{
	static const char *const order[] = {
		"client_request_id", "amount",           "currency", "token",       "card_number",
		"card_expiry_month", "card_expiry_year", "card_cvv", "card_holder", "bank",
		"capture",           "reference",        "metadata", "bank_fields", "timeout",
		"on_failure",        "merchant",         "options"};
	PgwPaymentArgs r = {
		.amount = -5,
		.currency = "zzz",
		.token = "a b",
		.card_number = "7",
		.card_expiry_month = 99,
		.card_expiry_year = 1,
		.card_cvv = "9",
		.card_holder = "\n",
		.bank = "",
		.reference = "\n",
		.timeout_ms = -1,
		.on_failure = "x",
		.metadata = "[]",
		.bank_fields = "[]",
		.options = "[]",
	};
	PgwBuf b;
	PgwCheckedArgs out;
	const char *at;

	(void) unused;
	pgw_buf_init(&b, 0);
	assert_int_equal(pgw_validate_payment_args(&r, NOW, &out, &b), 19); /* token has two */
	at = b.data;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
	{
		char want[64];

		snprintf(want, sizeof(want), "{\"field\":\"%s\"", order[i]);
		at = strstr(at, want);
		if (at == NULL)
			fail_msg("%s is missing or out of order", order[i]);
	}
	pgw_buf_free(&b);
}

static void
no_secret_in_faults(void **unused)
{
	static const char *const keys[] = {"{\"" CARD "\": 1}", "{\"x4111 1111 1111 1111\": 1}",
									   "{\"sesame-token\": 1}", "{\"my9876\": 1}"};
	PgwBuf b;
	PgwCheckedArgs out;

	(void) unused;
	pgw_buf_init(&b, 0);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		PgwPaymentArgs r = with_card();

		r.token = "sesame-token";
		r.card_cvv = "9876";
		r.client_request_id = r.bank = r.merchant = r.reference = r.card_holder = r.currency =
			r.capture = r.on_failure = CARD;
		r.metadata = r.bank_fields = "{\"" CARD "\": \"" CARD "\"}";
		r.options = keys[i];
		pgw_buf_reset(&b);
		assert_true(pgw_validate_payment_args(&r, NOW, &out, &b) > 8);
		assert_null(strstr(b.data, "4111"));
		assert_null(strstr(b.data, "9876"));
		assert_null(strstr(b.data, "sesame"));
		assert_non_null(strstr(b.data, "\"unknown option\""));
	}
	pgw_buf_free(&b);
	{
		PgwPaymentArgs r = with_token();
		static char key[128];

		snprintf(key, sizeof(key), "{\"%s\": 1}", repeat("k", 65));
		r.options = key;
		check_at(&r, F("options", "unknown_option", "unknown option"), __LINE__);
	}
}

static void
lone_ids(void **unused)
{
	PgwBuf b;

	(void) unused;
	pgw_buf_init(&b, 0);
	assert_int_equal(pgw_validate_id("client_request_id", "refund-1", &b), 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(pgw_validate_id("client_request_id", NULL, &b), 1);
	assert_string_equal(b.data, F("client_request_id", "required", "must not be null"));
	assert_int_equal(pgw_validate_id("reason", "a\n" CARD, &b), 1);
	assert_string_equal(b.data,
						F("client_request_id", "required", "must not be null") "," F(
							"reason", "control_characters", "must not contain control characters"));
	pgw_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_requests),
		cmocka_unit_test(one_of_many),
		cmocka_unit_test(ids_and_names),
		cmocka_unit_test(amount_and_currency),
		cmocka_unit_test(tokens),
		cmocka_unit_test(cards),
		cmocka_unit_test(words_and_timeout),
		cmocka_unit_test(json_fields),
		cmocka_unit_test(end_users),
		cmocka_unit_test(own_number),
		cmocka_unit_test(all_at_once_in_order),
		cmocka_unit_test(no_secret_in_faults),
		cmocka_unit_test(lone_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
