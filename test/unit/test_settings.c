/*
 * test_settings.c - a path that needs a setting which the bank's row does not have
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/bank_message/render_request.h"
#include "core/connector/connector.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char document[] =
	"{\"v\":2,\"capabilities\":{\"tokens\":true},\"operations\":{"
	"\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"headers\":{\"X\":\"{{settings.header}}\"},"
	"\"body\":{\"t\":\"{{token}}\",\"b\":\"{{settings.body}}\",\"r\":\"{{transaction_ref}}\"},"
	"\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}],\"fields\":{\"bank_reference\":\"/id\"}}},"
	"\"lookup_charge\":{\"method\":\"GET\",\"path\":\"/s/{{settings.shop}}/{{original_ref}}\","
	"\"answer\":{\"rules\":[{\"status\":200,\"when\":{\"/ok\":1},\"outcome\":\"approved\"}],"
	"\"fields\":{\"reference\":\"/r\",\"bank_reference\":\"/id\"}}},"
	"\"lookup_by_id\":{\"method\":\"GET\",\"path\":\"/c/{{bank_reference}}?a={{settings.account}}\","
	"\"answer\":{\"rules\":[{\"status\":200,\"when\":{\"/ok\":1},\"outcome\":\"approved\"}],"
	"\"fields\":{\"reference\":\"/r\",\"bank_reference\":\"/id\"}}}}}";

static void
lacks(void **state)
{
	static const struct
	{
		const char *settings;
		const char *name; /* NULL: nothing */
	} cases[] = {
		{NULL, "{{settings.shop}}"},
		{"{}", "{{settings.shop}}"},
		{"{\"shop\":null,\"account\":\"a\"}", "{{settings.shop}}"},
		{"{\"shop\":\"s\"}", "{{settings.account}}"},
		/* header and body go without; a number will do */
		{"{\"shop\":\"s\",\"account\":7}", NULL},
	};
	PgwConnectorError err;
	PgwConnector *c = pgw_connector_compile(document, strlen(document), &err);

	(void) state;
	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwBankOp op = PGW_NOPS;
		char name[80] = "";
		bool lack = pgw_connector_lacks_setting(c, cases[i].settings, &op, name, sizeof(name));

		assert_int_equal(lack, cases[i].name != NULL);
		if (!lack)
			continue;
		assert_string_equal(name, cases[i].name);
		assert_int_equal(op, PGW_OP_LOOKUP_CHARGE);
	}
	pgw_connector_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lacks)};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
