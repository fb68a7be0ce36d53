/*
 * test_request_language.c - what version 2 of the connector language says of requests: secrets by
 * name, and how values are written
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cmocka_names.h"
#include "core/bank_message/render_request.h"
#include "core/connector/connector.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static PgwRendered rendered;
static PgwConnectorError err;

/* A document whose charge has this path, these members beside, and the token in its body. */
static const char *
document(int version, const char *top, const char *path, const char *headers, const char *body)
{
	static char text[8192];

	snprintf(
		text, sizeof(text),
		"{\"v\":%d,\"capabilities\":{\"tokens\":true},%s\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"%s\","
		"\"headers\":{%s},\"body\":{\"t\":\"{{token}}\"%s%s},\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}",
		version, top, path, headers, *body ? "," : "", body);
	return text;
}

static PgwConnector *
compile(const char *text)
{
	PgwConnector *c = pgw_connector_compile(text, strlen(text), &err);

	if (c == NULL)
		fail_msg("%s: %s in %s", err.pointer, err.message, text);
	return c;
}

/* It does not compile: where, and what the message must say. */
static void
refused(const char *text, const char *pointer, const char *says)
{
	PgwConnector *c = pgw_connector_compile(text, strlen(text), &err);

	if (c != NULL)
		fail_msg("compiles: %s", text);
	if (strcmp(err.pointer, pointer) != 0 || strstr(err.message, says) == NULL)
		fail_msg("%s: %s\ninstead of %s: %s", err.pointer, err.message, pointer, says);
}

static void
render(const PgwConnector *c, PgwBankOp op, const PgwCallParams *p)
{
	pgw_rendered_init(&rendered);
	if (!pgw_connector_render(c, op, p, &rendered, &err))
		fail_msg("%s: %s", err.pointer, err.message);
}

static const char *
header(const char *name)
{
	for (int i = 0; i < rendered.nheaders; i++)
	{
		const char *line = rendered.headers[i].data;

		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			return line + strlen(name) + 2;
	}
	return NULL;
}

/* ---- secrets by name ---- */

static void
test_secrets(void **state)
{
	static const PgwSecretValues secrets = {3, {{"user", "m=1"}, {"key", "s/3"}, {"other", "o"}}};
	PgwCallParams p = {.token = "tok", .secrets = &secrets};
	PgwConnector *c = compile(document(2, "\"headers\":{\"X-Key\":\"Key {{secret.key}}\"},", "/c",
									   "\"A\":\"{{secret.user}}:{{secret.key}}\"",
									   "\"u\":\"{{secret.user}}\",\"gone\":\"{{secret.gone}}\""));
	const char *const *names;

	(void) state;
	assert_int_equal(pgw_connector_secret_names(c, &names), 3);
	assert_string_equal(names[0], "key");
	assert_string_equal(names[1], "user");
	assert_string_equal(names[2], "gone");
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(header("X-Key"), "Key s/3");
	assert_string_equal(header("A"), "m=1:s/3");
	assert_string_equal(rendered.body.data, "{\"t\":\"tok\",\"u\":\"m=1\"}");
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);

	/* one value without a name, whatever stands in it */
	c = compile(document(2, "", "/c", "\"A\":\"{{secret}}\"", ""));
	assert_int_equal(pgw_connector_secret_names(c, &names), 0);
	p.secrets = &(PgwSecretValues){1, {{"", "user=m=1"}}};
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(header("A"), "user=m=1");
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

static void
test_secrets_refused(void **state)
{
	char body[1024] = "";

	(void) state;
	refused(document(1, "", "/c", "\"A\":\"{{secret.key}}\"", ""), "/operations/charge/headers/A",
			"a secret by name needs version 2");
	refused(document(2, "", "/c/{{secret.key}}", "", ""), "/operations/charge/path",
			"must not stand in a path");
	refused(
		document(2, "\"headers\":{\"K\":\"{{secret}}\"},", "/c", "", "\"k\":\"{{secret.key}}\""),
		"/operations/charge/body/k", "{{secret}} and {{secret.key}} in one connector");
	refused(
		document(2, "\"headers\":{\"K\":\"{{secret.key}}\"},", "/c", "", "\"k\":\"{{secret}}\""),
		"/operations/charge/body/k", "{{secret}} and {{secret.key}} in one connector");
	refused(document(2, "", "/c", "", "\"k\":\"{{secret.}}\""), "/operations/charge/body/k",
			"unknown placeholder {{secret.}}; known: amount, ");
	refused(document(2, "", "/c", "", "\"k\":\"{{secret.a b}}\""), "/operations/charge/body/k",
			"secret, secret.NAME, card_expiry");
	for (int i = 0; i < 17; i++)
		snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s\"k%d\":\"{{secret.n%d}}\"",
				 i ? "," : "", i, i);
	refused(document(2, "", "/c", "", body), "/operations/charge/body/k16", "more than 16 names");
}

/* ---- how a value is written ---- */

static const PgwCallParams everything = {.amount = 1234,
										 .has_amount = true,
										 .currency = "EUR",
										 .iso_exponent = 2,
										 .token = "tok",
										 .card_number = "4111111111111111",
										 .card_expiry_month = 9,
										 .card_expiry_year = 2031,
										 .transaction_ref = "0123456789abcdef0123456789abcdef",
										 .original_ref = "ffffffffffffffffffffffffffffffff",
										 .reference = "a?b~",
										 .bank_fields = "{\"n\": 5, \"s\": \"x\"}",
										 /* 2026-11-07 08:09:10.123456 */
										 .now = INT64_C(1794038950123456)};

/* What stands in the body as "v" with this placeholder there. */
static void
written(const char *top, const char *value, const PgwCallParams *p, const char *expected)
{
	char member[200];
	char body[300];
	PgwConnector *c;

	snprintf(member, sizeof(member), "\"v\":\"%s\"", value);
	c = compile(document(2, top, "/c", "", member));
	render(c, PGW_OP_CHARGE, p);
	snprintf(body, sizeof(body), "{\"t\":\"tok\"%s%s}", *expected ? ",\"v\":" : "", expected);
	if (strcmp(rendered.body.data, body) != 0)
		fail_msg("%s: %s instead of %s", value, rendered.body.data, body);
	for (size_t i = rendered.body.len; i < rendered.body.cap; i++)
		assert_int_equal(rendered.body.data[i], 0);
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

static void
test_filters(void **state)
{
	static const char *const cases[][2] = {
		{"{{amount}}", "1234"},
		{"{{amount|string}}", "\"1234\""},
		{"{{amount_decimal}}", "\"12.34\""},
		{"{{amount_decimal|number}}", "12.34"},
		{"{{currency|lower}}", "\"eur\""},
		{"{{currency|numeric}}", "\"978\""},
		{"{{currency|numeric|number}}", "978"},
		{"{{card_expiry|MM}}", "\"09\""},
		{"{{card_expiry|MM|number}}", "9"},
		{"{{card_expiry|YY}}", "\"31\""},
		{"{{card_expiry|YYYY|number}}", "2031"},
		{"{{card_expiry|MM/YY}}", "\"09/31\""},
		{"{{card_expiry|MM-YYYY}}", "\"09-2031\""},
		{"{{card_expiry|YYYY-MM}}", "\"2031-09\""},
		{"{{card_expiry|YYMM}}", "\"3109\""},
		{"{{card_expiry_month|string}}", "\"09\""},
		{"{{bank_fields.n}}", "5"},
		{"{{bank_fields.n|string}}", "\"5\""},
		{"{{bank_fields.s|base64}}", "\"eA==\""},
		{"{{reference|base64}}", "\"YT9ifg==\""},
		{"{{reference|hex}}", "\"613f627e\""},
		{"{{currency|lower|hex}}", "\"657572\""},
		{"{{card_brand}}", "\"visa\""},
		{"{{now|rfc1123}}", "\"Sat, 07 Nov 2026 08:09:10 GMT\""},
		{"{{now|iso8601}}", "\"2026-11-07T08:09:10Z\""},
		{"{{now|epoch}}", "\"1794038950\""},
		{"{{now|epoch|number}}", "1794038950"},
		{"{{now|epoch_ms|number}}", "1794038950123"},
		{"<{{amount_decimal|number}}:{{currency|numeric|number}}>", "\"<12.34:978>\""},
		{"{{merchant|base64}}", ""},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		written("", cases[i][0], &everything, cases[i][1]);
}

static void
test_filters_at_the_rim(void **state)
{
	static const char brands[] = "\"card_brands\":{\"visa\":\"VI\",\"amex\":\"AX\"},";
	PgwCallParams p = everything;

	(void) state;
	written(brands, "{{card_brand}}", &p, "\"VI\"");
	p.card_number = "5555555555554444";
	written("", "{{card_brand}}", &p, "\"mastercard\"");
	written(brands, "{{card_brand}}", &p, "");
	p.card_number = NULL;
	written("", "{{card_brand}}", &p, "");
	p.currency = "ALL"; /* 008 */
	written("", "{{currency|numeric}}", &p, "\"008\"");
	written("", "{{currency|numeric|number}}", &p, "8");
	p.currency = "JPY";
	p.iso_exponent = 0;
	written("", "{{amount_decimal|number}}", &p, "1234");
	p.card_expiry_year = 2000;
	written("", "{{card_expiry|YY|number}}", &p, "0");
	p.card_expiry_month = 0;
	written("", "{{card_expiry|MM/YY}}", &p, "");
	p.now = 0;
	written("", "{{now|epoch}}", &p, "");
	written("", "{{nonce}}", &p, "");
	p.reference = "";
	written("", "{{reference|base64}}", &p, "\"\"");
}

/* The same again for the same request, another for every other. */
static void
test_nonce(void **state)
{
	PgwConnector *c = compile(document(2, "", "/c", "\"N\":\"{{nonce}}\"", ""));
	PgwCallParams p = everything;
	char first[64];

	(void) state;
	render(c, PGW_OP_CHARGE, &p);
	snprintf(first, sizeof(first), "%s", header("N"));
	assert_int_equal(strlen(first), 32);
	assert_int_equal(strspn(first, "0123456789abcdef"), 32);
	pgw_rendered_free(&rendered);
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(header("N"), first);
	pgw_rendered_free(&rendered);
	p.now++;
	render(c, PGW_OP_CHARGE, &p);
	assert_string_not_equal(header("N"), first);
	pgw_rendered_free(&rendered);
	p = everything;
	p.transaction_ref = everything.original_ref;
	render(c, PGW_OP_CHARGE, &p);
	assert_string_not_equal(header("N"), first);
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

static void
test_filters_refused(void **state)
{
	static const char *const cases[][2] = {
		{"{{amount|lower}}",
		 "\"|lower\" cannot stand here in {{amount}}; known: |string, |base64, |hex"},
		{"{{currency|number}}", "known: |lower, |numeric, |base64, |hex"},
		{"{{currency|numeric|lower}}", "known: |number, |base64, |hex"},
		{"{{currency|}}", "\"|\" cannot stand here"},
		{"{{currency|numeric|number|hex}}", "nothing can stand behind this filter"},
		{"{{token|frob}}", "\"|frob\" cannot stand here in {{token}}; known: |base64, |hex"},
		{"{{bank_fields.x|lower}}", "in {{bank_fields.x}}; known: |string, |base64, |hex"},
		{"{{card_expiry}}", "{{card_expiry}} needs a format, one of |MM, |YY, |YYYY"},
		{"{{card_expiry|MMMM}}", "known: |MM, |YY"},
		{"{{card_expiry|MM/YY|number}}", "known: |base64, |hex"},
		{"{{now}}", "{{now}} needs a format, one of |rfc1123, |iso8601, |epoch, |epoch_ms"},
		{"{{now|rfc1123|number}}", "known: |base64, |hex"},
		{"{{token|base64|base64|base64|base64}}", "more than 3 filters"},
		{"{{nope|hex}}", "unknown placeholder {{nope}}"},
	};
	char member[200];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		snprintf(member, sizeof(member), "\"v\":\"%s\"", cases[i][0]);
		refused(document(2, "", "/c", "", member), "/operations/charge/body/v", cases[i][1]);
	}
	refused(document(1, "", "/c", "", "\"v\":\"{{currency|lower}}\""), "/operations/charge/body/v",
			"a filter needs version 2");
	refused(document(1, "", "/c", "", "\"v\":\"{{nonce}}\""), "/operations/charge/body/v",
			"needs version 2");
	refused(document(2, "", "/c", "\"E\":\"{{card_expiry|MM}}\"", ""),
			"/operations/charge/headers/E", "card data must not stand in a header");
	refused(document(2, "", "/c/{{secret|base64}}", "", ""), "/operations/charge/path",
			"must not stand in a path");
	refused(document(2, "\"card_brands\":{\"visas\":\"V\"},", "/c", "", ""), "/card_brands/visas",
			"unknown brand; known: visa, mastercard");
	refused(document(2, "\"card_brands\":{\"visa\":1},", "/c", "", ""), "/card_brands/visa",
			"must be a string");
	refused(document(1, "\"card_brands\":{},", "/c", "", ""), "/card_brands", "needs version 2");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets), cmocka_unit_test(test_secrets_refused),
		cmocka_unit_test(test_filters), cmocka_unit_test(test_filters_at_the_rim),
		cmocka_unit_test(test_nonce),   cmocka_unit_test(test_filters_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
