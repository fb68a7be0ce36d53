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
#define X30 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X300 X30 X30 X30 X30 X30 X30 X30 X30 X30 X30
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
	char body[8192];
	PgwQuestion question = {.op = PGW_OP_CHARGE,
							.transaction_ref = OURS,
							.currency = "EUR",
							.iso_exponent = 2,
							.sought = how == WITH_CARD ? &with_card : &without_card,
							.sought_later = how == WITH_CARD ? &without_card : NULL,
							.card_echoed = how == AFTER_ECHO};

	snprintf(body, sizeof(body), "{\"s\":\"ok\",%s}", members);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
						&answer);
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

typedef struct Row
{
	const char *members;
	bool echoed;
	bool remembered;
} Row;

static void
check_remembered(const Row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
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

/* What is refused only because the card is known has to be remembered; the rest is refused again.
 */
static void
remembered(void **state)
{
	static const Row rows[] = {
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
	check_remembered(rows, sizeof(rows) / sizeof(rows[0]));
}

/* What counts as absent, is of another kind or stands where nothing is taken from is remembered. */
static void
remembered_unkept(void **state)
{
	static const Row rows[] = {
		/* too long, with control characters, or no text at all */
		{"\"id\":\"cvv=737 " X300 "\"", true, true},
		{"\"auth\":\"Erika Echoless " X30 X30 "\"", true, true},
		{"\"brand\":\"" X30 " cvv=737\"", true, true},
		{"\"code\":\"" X300 X300 X300 " cvv=737\"", true, true},
		{"\"id\":\"737\\n\"", true, true},
		{"\"id\":\"737\\u0000\"", true, true},
		{"\"brand\":\"cvv=\\u0001737\"", true, true},
		{"\"id\":[\"737\"]", true, true},
		{"\"id\":{\"a\":[1,\"737\"]}", true, true},
		{"\"auth\":{\"cvv\":737}", true, true},
		{"\"id\":737.0", true, true},
		{"\"id\":-737", true, true},
		{"\"auth\":[\"" BACKWARDS "\"]", true, true},
		/* in fields for something else */
		{"\"last4\":\"cvv=737\"", true, true},
		{"\"last4\":\"737\"", true, true},
		{"\"total\":\"cvv=737\"", true, true},
		{"\"captured\":\"Erika Echoless\"", true, true},
		{"\"refunded\":[\"cvv\",\"cvv 737\"]", true, true},
		{"\"ref\":\"" OURS " cvv=737\"", true, true},
		{"\"ref\":\"" OURS "/737\"", true, true},
		{"\"ref\":\"another cvv=737\"", true, true},
		{"\"ref\":\"737\"", true, true},
		/* in none of them */
		{"\"other\":\"cvv=737\"", true, true},
		{"\"request\":{\"card\":{\"cvv\":\"737\"}}", true, true},
		{"\"request\":[\"" BACKWARDS "\"]", true, true},
		{"\"auth\":\"cvv=737\",\"auth\":\"x\"", true, true},
		/* what later answers are seen to repeat, and what only happens to look so */
		{"\"request\":{\"number\":\"" NUMBER "\"}", false, false},
		{"\"request\":\"424242xxxxxx4242\"", false, false},
		{"\"request\":{\"total\":737,\"lines\":\"737\",\"flight\":\"Boeing 737\"}", false, false},
		{"\"total\":737,\"captured\":\"737\",\"refunded\":737", false, false},
		{"\"billing\":{\"name\":\"Erika Echoless\"}", false, false},
		{"\"request\":\"5555555555554444\"", false, false},
	};

	(void) state;
	check_remembered(rows, sizeof(rows) / sizeof(rows[0]));

	/* beside a number that is refused by its look: the security code may come alone next time */
	judge(WITH_CARD, "\"code\":\"" NUMBER " cvv=737\"");
	assert_true(answer.echoed && answer.card_echoed);
}

/* A body that is no JSON is searched, too; none at all is not. */
static void
remembered_unreadable(void **state)
{
	static const char *const bodies[] = {"<html>cvv=737</html>", "{\"auth\":\"cvv=737\"} x",
										 "Erika Echoless", "{\"a\":\"" BACKWARDS "\"} x"};
	PgwQuestion question = {.op = PGW_OP_CHARGE,
							.transaction_ref = OURS,
							.currency = "EUR",
							.iso_exponent = 2,
							.sought = &with_card,
							.sought_later = &without_card};

	(void) state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		pgw_connector_judge(
			connector, &question,
			&(PgwGivenAnswer){.status = 502, .body = bodies[i], .len = strlen(bodies[i])}, &answer);
		if (!answer.card_echoed || answer.outcome != PGW_OUT_UNKNOWN)
			fail_msg("not remembered: %s", bodies[i]);
	}
	pgw_connector_judge(connector, &question, &(PgwGivenAnswer){.status = 502}, &answer);
	assert_false(answer.echoed || answer.card_echoed);
}

/* Backwards it is a card number, too, but one that a look-up's id may have: it ends otherwise. */
static void
remembered_backwards(void **state)
{
	static const PgwSought card = {
		.card_number = "5555555555554444", .parts = true, .last4 = "4444"};
	static const PgwSought later = {.last4 = "4444"};
	static const struct
	{
		const char *members;
		bool remembered;
	} rows[] = {{"\"id\":\"4444555555555555\"", true},
				{"\"auth\":\"4444555555555555\"", true},
				{"\"brand\":\"NDQ0NDU1NTU1NTU1NTU1NQ==\"", true},
				{"\"code\":\"5555555555554444\"", false},
				/* somebody else's */
				{"\"auth\":\"4111111111111111\"", false}};
	PgwQuestion question = {.op = PGW_OP_CHARGE,
							.transaction_ref = OURS,
							.currency = "EUR",
							.iso_exponent = 2,
							.sought = &card,
							.sought_later = &later};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char body[128];

		snprintf(body, sizeof(body), "{\"s\":\"ok\",%s}", rows[i].members);
		pgw_connector_judge(connector, &question,
							&(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
							&answer);
		if (!answer.echoed || answer.card_echoed != rows[i].remembered)
			fail_msg("%s: remembered %d", rows[i].members, answer.card_echoed);
	}
}

/* The key that the request was sent with, and not the present one: later it is not known. */
static void
an_old_key(void **state)
{
	static const PgwSought now = {.words = {"sk_new_key_2", NULL, "sk_old_key_1"}};
	static const PgwSought later = {.words = {"sk_new_key_2"}};
	PgwQuestion question = {.op = PGW_OP_CHARGE,
							.transaction_ref = OURS,
							.currency = "EUR",
							.iso_exponent = 2,
							.sought = &now,
							.sought_later = &later};
	static const char old[] = "{\"s\":\"ok\",\"id\":\"ch_sk_old_key_1\",\"auth\":\"A1\"}";
	static const char present[] = "{\"s\":\"ok\",\"id\":\"ch_1\",\"auth\":\"sk_new_key_2\"}";

	(void) state;
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = old, .len = strlen(old)}, &answer);
	assert_true(answer.echoed && answer.card_echoed && answer.bank_reference_invalid);
	assert_string_equal(answer.bank_reference, "");
	assert_string_equal(answer.authorization_code, "A1");
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = present, .len = strlen(present)},
						&answer);
	assert_true(answer.echoed && !answer.card_echoed);
	assert_string_equal(answer.bank_reference, "ch_1");
	assert_string_equal(answer.authorization_code, "");
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
									   cmocka_unit_test(remembered_unkept),
									   cmocka_unit_test(remembered_unreadable),
									   cmocka_unit_test(remembered_backwards),
									   cmocka_unit_test(an_old_key),
									   cmocka_unit_test(later_answers)};

	return cmocka_run_group_tests(tests, compile, drop);
}
