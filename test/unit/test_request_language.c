/*
 * test_request_language.c - what version 2 of the connector language says of requests: secrets by
 * name
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
			"secret, secret.NAME, bank_fields.NAME");
	for (int i = 0; i < 17; i++)
		snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s\"k%d\":\"{{secret.n%d}}\"",
				 i ? "," : "", i, i);
	refused(document(2, "", "/c", "", body), "/operations/charge/body/k16", "more than 16 names");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_secrets_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
