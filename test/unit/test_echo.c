/*
 * test_echo.c - what a bank repeats of the card: left out of an answer that is judged with the
 * card, and of every later one, which is judged without
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/bank_message/judge_answer.h"

#define NUMBER "4242424242424242"
#define BACKWARDS "2424242424242424"
#define OURS "0123456789abcdef0123456789abcdef"

static const char definition[] =
	"{\"v\":1,\"capabilities\":{\"cards\":true},\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/c\","
	"\"encoding\":\"json\",\"body\":{\"r\":\"{{transaction_ref}}\",\"a\":\"{{amount}}\",\"n\":\"{{card_number}}\",\"c\":\"{{card_cvv}}\"},"
	"\"answer\":{\"rules\":[{\"status\":200,\"when\":{\"/s\":\"ok\"},\"outcome\":\"approved\"}],"
	"\"fields\":{\"reference\":\"/ref\",\"bank_reference\":\"/id\",\"authorization_code\":\"/auth\",\"bank_code\":\"/code\","
	"\"amount\":\"/total\",\"captured\":\"/captured\",\"refunded\":\"/refunded\",\"card_brand\":\"/brand\",\"card_last4\":\"/last4\"}}}}}";

static PgwConnector *connector;
static PgwAnswer answer;

/* What is known while the card is, and what is left of it. */
static const PgwSought with_card = {.card_number = NUMBER,
									.parts = true,
									.card_cvv = "737",
									.words = {"sk_live_vault", "ERIKA ECHOLESS"},
									.last4 = "4242"};
static const PgwSought without_card = {.words = {"sk_live_vault"}, .last4 = "4242"};

typedef enum Knowing
{
	WITH_CARD,
	WITHOUT_CARD,
	AFTER_ECHO /* without it, and an earlier answer repeated it */
} Knowing;

static void
judge(Knowing how, const char *members)
{
	char body[1024];
	PgwQuestion question = {.op = PGW_OP_CHARGE,
							.transaction_ref = OURS,
							.currency = "EUR",
							.iso_exponent = 2,
							.sought = how == WITH_CARD ? &with_card : &without_card,
							.sought_later = how == WITH_CARD ? &without_card : NULL,
							.card_echoed = how == AFTER_ECHO};

	snprintf(body, sizeof(body), "{\"s\":\"ok\",%s}", members);
	pgw_connector_judge(connector, &question, 200, NULL, body, strlen(body), &answer);
}

static int
compile(void **state)
{
	PgwConnectorError err;

	(void) state;
	connector = pgw_connector_compile(definition, sizeof(definition) - 1, &err);
	return connector != NULL ? 0 : -1;
}

static int
drop(void **state)
{
	(void) state;
	pgw_connector_free(connector);
	return 0;
}

/* What is refused only because the card is known has to be remembered; the rest is refused again.
 */
static void
remembered(void **state)
{
	static const struct
	{
		const char *members;
		bool echoed;
		bool remembered;
	} rows[] = {
		{"\"id\":\"ch_1\",\"auth\":\"A1\",\"code\":\"limit\",\"total\":42", false, false},
		{"\"id\":\"737\"", true, true},
		{"\"id\":737", true, true},
		{"\"id\":\"cvv=737/1\"", true, true},
		{"\"id\":\"ch-erika.echoless-1\"", true, true},
		{"\"id\":\"" BACKWARDS "\"", true, true},
		{"\"id\":\"x-42424242424-y\"", true, true},
		{"\"id\":\"" NUMBER "\"", true, false},
		{"\"id\":\"4242-4242-4242-4242\"", true, false},
		{"\"id\":\"sk_live_vault\"", true, false},
		{"\"id\":\"ch_1\",\"auth\":\"737\"", true, true},
		{"\"id\":\"ch_1\",\"auth\":\"" NUMBER "\"", true, false},
		{"\"id\":\"ch_1\",\"code\":\"CVC 737 is wrong\"", true, true},
		{"\"id\":\"ch_1\",\"brand\":\"Erika Echoless\"", true, true},
		{"\"id\":\"ch_1\",\"total\":" BACKWARDS, true, true},
		{"\"id\":\"ch_1\",\"captured\":" NUMBER, true, false},
		/* somebody else's answer: nothing of it is kept, but the bank repeats it all the same */
		{"\"ref\":\"another\",\"id\":\"737\"", true, true},
		{"\"ref\":\"another\",\"id\":\"" NUMBER "\"", false, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		judge(WITH_CARD, rows[i].members);
		if (answer.echoed != rows[i].echoed || answer.card_echoed != rows[i].remembered)
			fail_msg("%s: echoed %d, remembered %d", rows[i].members, answer.echoed,
					 answer.card_echoed);
		/* without the card there is nothing that could be remembered */
		judge(WITHOUT_CARD, rows[i].members);
		assert_false(answer.card_echoed);
		assert_int_equal(answer.echoed, rows[i].echoed && !rows[i].remembered);
	}
}

static void
nothing_of_it_is_kept(void)
{
	assert_string_equal(answer.bank_reference, "");
	assert_string_equal(answer.authorization_code, "");
	assert_string_equal(answer.bank_code, "");
	assert_string_equal(answer.card_brand, "");
	assert_string_equal(answer.card_last4, "");
	assert_false(answer.echoed || answer.card_echoed);
}

/* The outcome and the amounts count; the id only says whose charge it is. */
static void
later_answers(void **state)
{
	static const char everything[] =
		"\"ref\":\"" OURS
		"\",\"id\":\"ch_1\",\"auth\":\"A1\",\"code\":\"limit\",\"brand\":\"visa\",\"last4\":\"4242\","
		"\"total\":42,\"captured\":42,\"refunded\":1";

	(void) state;
	judge(WITHOUT_CARD, everything);
	assert_string_equal(answer.bank_reference, "ch_1");
	assert_string_equal(answer.authorization_code, "A1");
	assert_string_equal(answer.compared_reference, "");

	judge(AFTER_ECHO, everything);
	nothing_of_it_is_kept();
	assert_int_equal(answer.outcome, PGW_OUT_APPROVED);
	assert_true(answer.bank_reference_invalid);
	assert_string_equal(answer.compared_reference, "ch_1");
	assert_true(answer.has_amount && answer.amount == 42 && answer.captured == 42 &&
				answer.refunded == 1);

	judge(AFTER_ECHO, "\"id\":\"ch_1\",\"total\":" BACKWARDS ",\"captured\":" BACKWARDS
					  ",\"refunded\":" BACKWARDS);
	nothing_of_it_is_kept();
	assert_true(answer.amount_unreadable && !answer.has_amount && answer.amount == 0);
	assert_true(answer.captured == -1 && answer.refunded == -1);

	/* no id is none to compare */
	judge(AFTER_ECHO, "\"auth\":\"A1\"");
	nothing_of_it_is_kept();
	assert_string_equal(answer.compared_reference, "");
	assert_false(answer.bank_reference_invalid);

	/* nor one that is refused by itself, or somebody else's */
	judge(AFTER_ECHO, "\"id\":\"" NUMBER "\"");
	assert_true(answer.echoed);
	assert_string_equal(answer.compared_reference, "");
	judge(AFTER_ECHO, "\"ref\":\"another\",\"id\":\"ch_1\"");
	nothing_of_it_is_kept();
	assert_true(answer.other_reference);
	assert_string_equal(answer.compared_reference, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(remembered),
									   cmocka_unit_test(later_answers)};

	return cmocka_run_group_tests(tests, compile, drop);
}
