/*
 * test_unchecked_cards.c - UnionPay's numbers without a check digit: who takes them, and where they
 * must not stand
 *
 * Documents and answers are written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/bank_message/judge_answer.h"
#include "core/card/card_text.h"
#include "core/request/validate.h"
#include "quotes.h"

#define CHECKED "6200000000000005"   /* UnionPay's test number of many banks */
#define UNCHECKED "6200000000000001" /* ... with another last digit */
#define OURS "0123456789abcdef0123456789abcdef"
#define NOW INT64_C(1795430000) /* November 2026 */

static PgwConnectorError err;

static PgwConnector *
compile(const char *v, const char *cards, const char *list)
{
	char document[1024];

	snprintf(
		document, sizeof(document),
		"{'v':%s,'capabilities':{'cards':%s,'tokens':true%s%s},'operations':{'charge':{'method':'POST','path':'/c',"
		"'body':{'t':'{{token}}','n':'{{card_number}}','b':'{{amount}}'},'answer':{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],"
		"'fields':{'bank_reference':'/id','authorization_code':'/auth'}}}}}",
		v, cards, list[0] != '\0' ? ",'cards_without_check_digit':" : "", list);
	with_quotes(document);
	return pgw_connector_compile(document, strlen(document), &err);
}

static void
documents(void **unused)
{
	static const struct
	{
		const char *v;
		const char *cards;
		const char *list;
		const char *message;
	} faults[] = {{"1", "true", "['unionpay']", "version 2"},
				  {"2", "false", "['unionpay']", "takes no cards"},
				  {"2", "true", "[]", "must be a list of brands: [\"unionpay\"]"},
				  {"2", "true", "true", "must be a list of brands"},
				  {"2", "true", "['visa']", "only \"unionpay\""},
				  {"2", "true", "['unionpay', 7]", "only \"unionpay\""}};
	PgwConnector *c;

	(void) unused;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
	{
		assert_null(compile(faults[i].v, faults[i].cards, faults[i].list));
		if (strstr(err.message, faults[i].message) == NULL)
			fail_msg("%s: %s", faults[i].list, err.message);
		assert_non_null(strstr(err.pointer, "/capabilities/cards_without_check_digit"));
	}
	c = compile("2", "true", "");
	assert_non_null(c);
	assert_false(pgw_connector_capabilities(c)->unchecked_unionpay);
	pgw_connector_free(c);
	c = compile("2", "true", "['unionpay']");
	assert_non_null(c);
	assert_true(pgw_connector_capabilities(c)->unchecked_unionpay);
	pgw_connector_free(c);
}

static int
validate(const char *number, PgwCheckedArgs *checked, char *faults, size_t size)
{
	PgwPaymentArgs args = {.client_request_id = "order-1",
						   .amount = 1000,
						   .currency = "EUR",
						   .card_number = number,
						   .card_expiry_month = 12,
						   .card_expiry_year = 2030,
						   .capture = "immediate",
						   .reference = "of " UNCHECKED,
						   .metadata = "{}",
						   .bank_fields = "{}",
						   .timeout_isnull = true,
						   .merchant = "default",
						   .options = "{}"};
	PgwBuf b;
	int n;

	pgw_buf_init(&b, 0);
	n = pgw_validate_payment_args(&args, NOW, checked, &b);
	snprintf(faults, size, "%s", b.data);
	pgw_buf_free(&b);
	return n;
}

/* The number passes, and must not stand anywhere else; of all other brands it is a slip. */
static void
arguments(void **unused)
{
	PgwCheckedArgs checked;
	char faults[1024];

	(void) unused;
	assert_int_equal(validate(UNCHECKED, &checked, faults, sizeof(faults)), 1);
	assert_non_null(strstr(faults, "\"reference\",\"code\":\"card_number_in_stored_field\""));
	assert_true(checked.unchecked);
	assert_int_equal(checked.brand, PGW_BRAND_UNIONPAY);
	assert_string_equal(checked.last4, "0001");

	assert_int_equal(validate(CHECKED, &checked, faults, sizeof(faults)), 0);
	assert_false(checked.unchecked);

	assert_int_equal(validate("4242424242424241", &checked, faults, sizeof(faults)), 1);
	assert_non_null(strstr(faults, "\"card_number\",\"code\":\"luhn_failed\""));
	assert_int_equal(validate("620000000000001", &checked, faults, sizeof(faults)), 1);
	assert_non_null(strstr(faults, "luhn_failed")); /* 15 digits: no card of UnionPay's */
}

/* A line of a log may lose too much; what is refused for its look must look like a card. */
static void
texts(void **unused)
{
	static const char *const lines[] = {"$1 = 'c1', $2 = '" UNCHECKED "'",
										"$1 = '6200 0000 0000 0000 001'", "$2 = '8100000000000001'",
										"NjIwMDAwMDAwMDAwMDAwMQ=="};

	(void) unused;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
	{
		if (!pgw_text_may_have_card_number(lines[i], strlen(lines[i])))
			fail_msg("not seen: %s", lines[i]);
		assert_false(pgw_text_has_card_number(lines[i], strlen(lines[i])));
	}
	assert_false(pgw_text_may_have_card_number("$1 = '4242424242424241'", 23));
	assert_true(pgw_text_may_have_card_number("$1 = '4242424242424242'", 23));
}

static PgwAnswer
judge(const PgwConnector *c, const PgwSought *sought, const char *members)
{
	char body[512];
	PgwQuestion question = {.op = PGW_OP_CHARGE,
							.transaction_ref = OURS,
							.currency = "EUR",
							.iso_exponent = 2,
							.sought = sought};
	PgwAnswer answer;

	snprintf(body, sizeof(body), "{'s':'ok',%s}", members);
	with_quotes(body);
	pgw_connector_judge(
		c, &question, &(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)}, &answer);
	return answer;
}

/* What a bank repeats is left out, with the card at hand and without it. */
static void
echoes(void **unused)
{
	PgwConnector *takes = compile("2", "true", "['unionpay']");
	PgwConnector *other = compile("2", "true", "");
	const PgwSought with_card = {.card_number = UNCHECKED, .parts = true, .last4 = "0001"};
	const PgwSought without_card = {.last4 = "0001"};
	const PgwSought another_card = {.last4 = "4242"};

	(void) unused;
	assert_string_equal(judge(takes, &with_card, "'id':'p-" UNCHECKED "'").bank_reference, "");
	assert_string_equal(judge(takes, &without_card, "'id':'p-" UNCHECKED "'").bank_reference, "");
	assert_true(judge(takes, &without_card, "'id':'p-" UNCHECKED "'").bank_reference_invalid);
	assert_string_equal(
		judge(takes, &without_card, "'id':'7','auth':'" UNCHECKED "'").authorization_code, "");
	/* an id that only begins like a card of UnionPay's is one: banks' ids are long numbers */
	assert_string_equal(judge(takes, &another_card, "'id':'" UNCHECKED "'").bank_reference,
						UNCHECKED);
	assert_string_equal(
		judge(other, &another_card, "'id':'7','auth':'" UNCHECKED "'").authorization_code,
		UNCHECKED);
	pgw_connector_free(takes);
	pgw_connector_free(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(documents), cmocka_unit_test(arguments),
									   cmocka_unit_test(texts), cmocka_unit_test(echoes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
