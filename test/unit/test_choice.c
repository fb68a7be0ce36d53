/*
 * test_choice.c - bodies that choose one of several values by what the payment has: a token, a card
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bank_message/render_request.h"
#include "core/connector/connector.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define TOKEN "\"{{token}}\":{\"type\":\"token\",\"token\":\"{{token}}\"}"
#define CARD \
	"\"{{card_number}}\":{\"type\":\"card\",\"number\":\"{{card_number}}\",\"cvv\":\"{{card_cvv}}\"}"

static PgwConnectorError err;

static PgwConnector *
compiled(int version, const char *encoding, const char *source)
{
	char text[4096];

	snprintf(
		text, sizeof(text),
		"{\"v\":%d,\"capabilities\":{\"tokens\":true,\"cards\":true},\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/c\","
		"\"encoding\":\"%s\",\"body\":{\"source\":%s,\"last\":1},\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}",
		version, encoding, source);
	return pgw_connector_compile(text, strlen(text), &err);
}

/* One of them is sent; what was written to choose it is not there. */
static void
chosen(void **state)
{
	static const struct
	{
		const char *source;
		PgwCallParams p;
		const char *want;
	} cases[] = {
		{"{" TOKEN "," CARD "}",
		 {.token = "tok_1"},
		 "{\"source\":{\"type\":\"token\",\"token\":\"tok_1\"},\"last\":1}"},
		{"{" TOKEN "," CARD "}",
		 {.card_number = "4242424242424242", .card_cvv = "100"},
		 "{\"source\":{\"type\":\"card\",\"number\":\"4242424242424242\",\"cvv\":\"100\"},\"last\":1}"},
		{"{" TOKEN "," CARD "}",
		 {.card_number = "4242424242424242"},
		 "{\"source\":{\"type\":\"card\",\"number\":\"4242424242424242\"},\"last\":1}"},
		/* the first one counts */
		{"{" CARD "," TOKEN "}",
		 {.token = "tok_1", .card_number = "4242424242424242"},
		 "{\"source\":{\"type\":\"card\",\"number\":\"4242424242424242\"},\"last\":1}"},
		/* none: no member */
		{"{" TOKEN "," CARD "}", {.reference = "r"}, "{\"last\":1}"},
		/* any value, also one in another, and by what the caller gave */
		{"[{\"{{bank_fields.a}}\":{" TOKEN "," CARD "},\"{{reference}}\":\"for {{reference}}\"}]",
		 {.token = "tok_1", .bank_fields = "{\"a\":false}", .reference = "r"},
		 "{\"source\":[{\"type\":\"token\",\"token\":\"tok_1\"}],\"last\":1}"},
		{"[{\"{{bank_fields.a}}\":1,\"{{reference}}\":\"for {{reference}}\"},{" TOKEN "," CARD "}]",
		 {.token = "tok_1", .reference = "r"},
		 "{\"source\":[\"for r\",{\"type\":\"token\",\"token\":\"tok_1\"}],\"last\":1}"},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwConnector *c = compiled(2, "json", cases[i].source);
		PgwRendered rendered;

		if (c == NULL)
			fail_msg("%s: %s", err.pointer, err.message);
		pgw_rendered_init(&rendered);
		assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &cases[i].p, &rendered, &err));
		assert_int_equal(rendered.body.len, strlen(cases[i].want));
		assert_memory_equal(rendered.body.data, cases[i].want, rendered.body.len);
		/* nothing of what was tried stays behind it */
		for (size_t k = rendered.body.len; k < rendered.body.cap; k++)
			assert_int_equal(rendered.body.data[k], 0);
		pgw_rendered_free(&rendered);
		pgw_connector_free(c);
	}
}

/* What the choice leaves out is what pays. */
static void
paid_by_nothing(void **state)
{
	static const char source[] =
		"{\"{{bank_fields.a}}\":{" TOKEN "," CARD "},\"{{reference}}\":\"for {{reference}}\"}";
	PgwCallParams ways[] = {{.token = "tok_1", .reference = "r"},
							{.card_number = "4242424242424242", .reference = "r"},
							{.token = "tok_1", .reference = "r", .masked = true},
							{.card_number = "4242424242424242", .reference = "r", .masked = true}};
	PgwConnector *c = compiled(2, "json", source);
	PgwRendered rendered;

	(void) state;
	assert_non_null(c);
	for (size_t i = 0; i < LENGTH(ways); i++)
	{
		pgw_rendered_init(&rendered);
		assert_false(pgw_connector_render(c, PGW_OP_CHARGE, &ways[i], &rendered, &err));
		assert_non_null(strstr(err.message, "neither the token nor the card"));
		ways[i].bank_fields = "{\"a\":1}";
		assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &ways[i], &rendered, &err));
		pgw_rendered_free(&rendered);
	}
	pgw_connector_free(c);
}

static void
refused(void **state)
{
	static const struct
	{
		int version;
		const char *encoding;
		const char *source;
		const char *pointer;
		const char *says;
	} cases[] = {
		{1, "json", "{" TOKEN "," CARD "}", "/operations/charge/body/source", "version 2"},
		{2, "form", "{" TOKEN "," CARD "}", "/operations/charge/body/source", "no nesting"},
		{2, "json", "{" TOKEN ",\"type\":\"card\"}", "/operations/charge/body/source/type",
		 "chooses by one placeholder"},
		{2, "json", "{\"type\":\"card\"," TOKEN "}", "/operations/charge/body/source/type",
		 "chooses by one placeholder"},
		{2, "json", "{\"{{token}}x\":1," CARD "}", "/operations/charge/body/source/{{token}}x",
		 "chooses by one placeholder"},
		{2, "json", "{\"{{amount}}\":1," CARD "}", "/operations/charge/body/source/{{amount}}",
		 "chooses by one placeholder"},
		{2, "json", "{\"{{card}}\":1}", "/operations/charge/body/source/{{card}}", "unknown"},
		/* to choose by a token is not to send it */
		{2, "json", "{\"{{token}}\":\"a token\"," CARD "}", "/operations/charge", "{{token}}"},
		{2, "json", "{\"{{card_number}}\":\"a card\"," TOKEN "}", "/operations/charge/body",
		 "{{card_number}}"},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		if (compiled(cases[i].version, cases[i].encoding, cases[i].source) != NULL)
			fail_msg("compiles: %s", cases[i].source);
		if (strcmp(err.pointer, cases[i].pointer) != 0 ||
			strstr(err.message, cases[i].says) == NULL)
			fail_msg("%s: %s\ninstead of %s: %s", err.pointer, err.message, cases[i].pointer,
					 cases[i].says);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chosen),
		cmocka_unit_test(paid_by_nothing),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
