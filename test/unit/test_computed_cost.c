/*
 * test_computed_cost.c - what is computed for a request is computed once, however often it stands
 * somewhere
 *
 * Its worker renders the requests of all banks, one after the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/bank_message/render_request.h"
#include "core/connector/connector.h"

#define VALUES 16
#define USES 20 /* of the value before */

/* Sixteen values, each made of twenty times the one before it. */
static const char *
nested(const char *kind, const char *as)
{
	static char text[32768];
	size_t len = 0;

	len += (size_t) sprintf(text, "{\"v\":2,\"capabilities\":{\"tokens\":true},\"computed\":[");
	for (int i = 0; i < VALUES; i++)
	{
		len += (size_t) sprintf(text + len, "%s{\"name\":\"n%d\",\"as\":\"%s\",\"%s\":\"x",
								i > 0 ? "," : "", i, as, kind);
		for (int k = 0; i > 0 && k < USES; k++)
			len += (size_t) sprintf(text + len, "{{computed.n%d}}", i - 1);
		len += (size_t) sprintf(text + len, "\"}");
	}
	sprintf(
		text + len,
		"],\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"headers\":{\"H\":\"{{computed.n%d}}\"},"
		"\"body\":{\"t\":\"{{token}}\"},\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}",
		VALUES - 1);
	return text;
}

static bool
render(const char *document, PgwRendered *rendered, PgwConnectorError *err)
{
	PgwConnector *c = pgw_connector_compile(document, strlen(document), err);
	PgwCallParams params = {.currency = "EUR", .iso_exponent = 2, .token = "tok"};
	bool good;

	if (c == NULL)
		fail_msg("%s: %s", err->pointer, err->message);
	pgw_rendered_init(rendered);
	alarm(30); /* without an end there would be no failure */
	good = pgw_connector_render(c, PGW_OP_CHARGE, &params, rendered, err);
	alarm(0);
	pgw_connector_free(c);
	return good;
}

static void
test_digests_of_digests(void **state)
{
	PgwConnectorError err;
	PgwRendered rendered;

	(void) state;
	assert_true(render(nested("sha512", "hex"), &rendered, &err));
	assert_int_equal(strlen(rendered.headers[0].data), strlen("H: ") + 128);
	pgw_rendered_free(&rendered);
}

/* Texts grow until they are too long, which is a fault like any other. */
static void
test_texts_of_texts(void **state)
{
	PgwConnectorError err;
	PgwRendered rendered;

	(void) state;
	assert_false(render(nested("text", "plain"), &rendered, &err));
	assert_non_null(strstr(err.message, "too long"));
	pgw_rendered_free(&rendered);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digests_of_digests),
		cmocka_unit_test(test_texts_of_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
