/*
 * test_not_a_card.c - options.not_a_card: what a caller can state, what passes by it, and what is
 * refused whatever he states
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/request/validate.h"

#define NOW INT64_C(1795430000) /* November 2026 */
#define OWN "4111111111111111"
#define ORDER "5555555555554444" /* looks like a card's; here an order's */
#define ORDER_B64 "NTU1NTU1NTU1NTU1NDQ0NA=="
#define OWN_B64 "NDExMTExMTExMTExMTExMQ=="
#define F(field, code, message) \
	"{\"field\":\"" field "\",\"code\":\"" code "\",\"message\":\"" message "\"}"
#define CARD "card_number_in_stored_field"
#define ALIKE(field) \
	F(field, CARD, "must not contain a card number; if it is none, options.not_a_card can say so")
#define STORED(field) F(field, CARD, "must not contain a card number")
#define CVV(field) F(field, CARD, "must not contain the card's security code")
#define STATE(names) "{\"not_a_card\": [" names "]}"

static PgwPaymentArgs
by_token(void)
{
	return (PgwPaymentArgs){
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
}

static PgwPaymentArgs
by_card(void)
{
	PgwPaymentArgs r = by_token();

	r.token = NULL;
	r.card_number = OWN;
	r.card_expiry_month_isnull = r.card_expiry_year_isnull = false;
	r.card_expiry_month = 12;
	r.card_expiry_year = 2030;
	r.card_cvv = "737";
	return r;
}

/* The faults without the brackets, and what is kept of the statement. */
static void
check_at(const PgwPaymentArgs *r, const char *faults, const char *kept, int line)
{
	PgwBuf b;
	PgwCheckedArgs out;
	char whole[4096];

	pgw_buf_init(&b, 0);
	(void) pgw_validate_payment_args(r, NOW, &out, &b);
	snprintf(whole, sizeof(whole), "[%s]", faults);
	if (strcmp(b.data, whole) != 0)
		fail_msg("line %d:\n got %s\nwant %s", line, b.data, whole);
	if (strcmp(out.says.not_a_card, kept) != 0)
		fail_msg("line %d: kept %s instead of %s", line, out.says.not_a_card, kept);
	pgw_buf_free(&b);
}

#define TOKEN(change, faults, kept) \
	do \
	{ \
		PgwPaymentArgs r = by_token(); \
		change; \
		check_at(&r, faults, kept, __LINE__); \
	} while (0)
#define WITH_CARD(change, faults) \
	do \
	{ \
		PgwPaymentArgs r = by_card(); \
		change; \
		check_at(&r, faults, "", __LINE__); \
	} while (0)

static void
passes(void **unused)
{
	(void) unused;
	TOKEN((r.reference = ORDER, r.options = STATE("\"reference\"")), "", "[\"reference\"]");
	TOKEN((r.client_request_id = "o-" ORDER, r.options = STATE("\"client_request_id\"")), "",
		  "[\"client_request_id\"]");
	TOKEN((r.reference = ORDER_B64, r.options = STATE("\"reference\"")), "", "[\"reference\"]");
	TOKEN(r.options = "{\"actor\": \"" ORDER "\", \"not_a_card\": [\"options.actor\"]}", "",
		  "[\"options.actor\"]");
	TOKEN(
		(r.metadata = "{\"order\": " ORDER ", \"n\": 1}", r.options = STATE("\"metadata.order\"")),
		"", "[\"metadata.order\"]");
	TOKEN((r.metadata = "{\"cart\": {\"order\": [\"" ORDER "\"]}}",
		   r.options = STATE("\"metadata.cart\"")),
		  "", "[\"metadata.cart\"]");
	TOKEN((r.bank_fields = "{\"loyalty\": \"" ORDER "\"}",
		   r.options = STATE("\"bank_fields.loyalty\"")),
		  "", "[\"bank_fields.loyalty\"]");
	TOKEN((r.metadata = "{\"a\\\"b.c\": " ORDER "}", r.options = STATE("\"metadata.a\\\"b.c\"")),
		  "", "[\"metadata.a\\\"b.c\"]");

	/* only what has let something pass is kept; what is not needed does no harm */
	TOKEN(r.options = STATE("\"reference\""), "", "");
	TOKEN((r.reference = "order-1", r.options = STATE("\"reference\", \"metadata.x\"")), "", "");
	TOKEN((r.reference = ORDER, r.metadata = "{\"x\": 1}",
		   r.options = STATE("\"metadata.x\", \"reference\"")),
		  "", "[\"reference\"]");
	TOKEN((r.is_submit = true, r.reference = ORDER, r.options = STATE("\"reference\"")), "",
		  "[\"reference\"]");
	TOKEN(r.options = STATE(""), "", "");
}

static void
is_refused(void **unused)
{
	(void) unused;

	/* another field, another member, a name in a document, what is split over neighbours */
	TOKEN((r.reference = ORDER, r.options = STATE("\"client_request_id\"")), ALIKE("reference"),
		  "");
	TOKEN((r.metadata = "{\"order\": " ORDER ", \"note\": \"" ORDER "\"}",
		   r.options = STATE("\"metadata.order\"")),
		  ALIKE("metadata"), "");
	TOKEN((r.metadata = "{\"a\": {\"order\": " ORDER "}}", r.options = STATE("\"metadata.order\"")),
		  ALIKE("metadata"), "");
	TOKEN((r.metadata = "{\"" ORDER "\": 1}", r.options = STATE("\"metadata.order\"")),
		  ALIKE("metadata"), "");
	TOKEN((r.metadata = "{\"a\": \"5555\", \"b\": \"5555\", \"c\": \"5555\", \"d\": \"4444\"}",
		   r.options = STATE("\"metadata.x\"")),
		  ALIKE("metadata"), "");
	TOKEN((r.bank_fields = "{\"order\": " ORDER "}", r.options = STATE("\"metadata.order\"")),
		  ALIKE("bank_fields"), "");

	/* what no statement is for */
	TOKEN((r.merchant = ORDER, r.options = STATE("\"reference\"")), STORED("merchant"), "");
	TOKEN((r.token = ORDER, r.options = STATE("\"reference\"")),
		  F("token", CARD, "a card number is not a token; use card_number"), "");

	/* where it is forbidden it is no fault, and counts for nothing */
	TOKEN((r.reference = ORDER, r.statement_forbidden = true, r.options = STATE("\"reference\"")),
		  F("reference", CARD, "must not contain a card number; pgw.allow_not_a_card is off"), "");
	TOKEN((r.statement_forbidden = true, r.options = STATE("\"reference\"")), "", "");
}

/* This call's own card, in any disguise, and its security code. */
static void
own_card(void **unused)
{
	static const char *const disguised[] = {
		OWN,
		"order " OWN,
		"9" OWN "9",
		"4111-1111-1111-1111",
		"4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1",
		OWN_B64,
		"1111111111111114",
		"%34111111111111111",
		ORDER " " OWN_B64,
		ORDER " " OWN,
	};
	char json[256];

	(void) unused;
	for (size_t i = 0; i < sizeof(disguised) / sizeof(disguised[0]); i++)
	{
		WITH_CARD((r.reference = disguised[i], r.options = STATE("\"reference\"")),
				  STORED("reference"));
		snprintf(json, sizeof(json), "{\"order\": \"%s\"}", disguised[i]);
		WITH_CARD((r.metadata = json, r.options = STATE("\"metadata.order\"")), STORED("metadata"));
	}
	WITH_CARD((r.metadata = "{\"a\": \"41111111\", \"b\": \"11111111\", \"c\": " ORDER "}",
			   r.options = STATE("\"metadata.a\", \"metadata.b\", \"metadata.c\"")),
			  STORED("metadata"));
	WITH_CARD((r.reference = ORDER " cvv 737", r.options = STATE("\"reference\"")),
			  CVV("reference"));
	WITH_CARD((r.metadata = "{\"a\": " ORDER ", \"cvv\": 737}",
			   r.options = STATE("\"metadata.a\", \"metadata.cvv\"")),
			  CVV("metadata"));
}

static void
statements(void **unused)
{
	const char *unknown = F(
		"options.not_a_card", "unknown_value",
		"must name fields that can hold an id: client_request_id, options.actor; reference, metadata.NAME, bank_fields.NAME of a payment; reason of a refund");
	const char *array = F("options.not_a_card", "invalid_format", "must be an array of strings");
	const char *const not_known[] = {"",      "metadata",   "metadata.", "bank_fields",
									 "token", "merchant",   "Reference", "reason",
									 "*",     "card_number"};
	char options[256];
	char both[1024];

	(void) unused;
	for (size_t i = 0; i < sizeof(not_known) / sizeof(not_known[0]); i++)
	{
		snprintf(options, sizeof(options), STATE("\"reference\", \"%s\""), not_known[i]);
		TOKEN(r.options = options, unknown, "");
	}
	/* a list with a fault states nothing */
	snprintf(both, sizeof(both), "%s,%s", ALIKE("reference"), unknown);
	TOKEN((r.reference = ORDER, r.options = STATE("\"reference\", \"x\"")), both, "");
	TOKEN(r.options = "{\"not_a_card\": \"reference\"}", array, "");
	TOKEN(r.options = "{\"not_a_card\": null}", array, "");
	TOKEN(r.options = STATE("1"), array, "");
	TOKEN(r.options = STATE("\"a\", \"a\""), unknown, "");
	TOKEN(r.options = STATE("\"reference\",\"reference\",\"reference\",\"reference\",\"reference\","
							"\"reference\",\"reference\",\"reference\",\"reference\""),
		  F("options.not_a_card", "too_long", "must hold at most 8 names"), "");
	TOKEN(r.options =
			  STATE("\"metadata.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""),
		  F("options.not_a_card", "too_long", "must hold names of at most 64 bytes"), "");
	TOKEN(r.options = STATE("\"metadata.\\u0007\""),
		  F("options.not_a_card", "control_characters", "must not contain control characters"), "");
	TOKEN(r.options = STATE("\"metadata." ORDER "\""), STORED("options.not_a_card"), "");
	WITH_CARD(r.options = STATE("\"metadata.4111-1111-1111-1111\""), STORED("options.not_a_card"));
}

static void
operations(void **unused)
{
	PgwOperationArgs o = {.client_request_id = ORDER,
						  .has_amount = true,
						  .amount = 1,
						  .reason = "order " ORDER,
						  .options = STATE("\"reason\", \"client_request_id\"")};
	PgwCallerSays says;
	PgwTrace trace;
	char end_user[PGW_MAX_END_USER_BYTES + 1];
	PgwBuf b;

	(void) unused;
	pgw_buf_init(&b, 0);
	assert_int_equal(pgw_validate_operation_args(&o, &says, &trace, NULL, &b), 0);
	assert_string_equal(says.not_a_card, "[\"reason\", \"client_request_id\"]");
	o.options = STATE("\"reference\"");
	pgw_buf_reset(&b);
	assert_int_equal(pgw_validate_operation_args(&o, &says, &trace, NULL, &b), 3);
	assert_string_equal(says.not_a_card, "");

	/* an operator's words are no ids: he can put it otherwise */
	pgw_buf_reset(&b);
	assert_int_equal(pgw_validate_options(STATE("\"client_request_id\""), end_user, &b), 1);
	assert_non_null(strstr(b.data, "unknown_option"));

	/* what is only looked for is not kept */
	pgw_buf_reset(&b);
	assert_int_equal(pgw_validate_id("client_request_id", ORDER, &b), 0);
	pgw_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes),     cmocka_unit_test(is_refused), cmocka_unit_test(own_card),
		cmocka_unit_test(statements), cmocka_unit_test(operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
