/*
 * test_explain.c - why an answer says what it says: which rule decided, what did not fit of those
 * before it, as pointers into the document; and headers as a person has them
 *
 * Documents and answers are written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bank_message/header_text.h"
#include "core/bank_message/judge_answer.h"
#include "quotes.h"

#define OURS "0123456789abcdef0123456789abcdef"

/* The answer to a charge stands by itself, that to a look-up by name. */
static const char document[] =
	"{'v':2,'capabilities':{'tokens':true},'answers':{'a/b~c':{"
	"'select':{'in':'/data','where':{'/ref':'{{original_ref}}'},'more':'/more'},"
	"'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'},{'status':500,'when':{'/s':'ok'},'outcome':'approved'}],"
	"'fields':{'livemode':'/live'}}},"
	"'operations':{'charge':{'method':'POST','path':'/c','body':{'r':'{{transaction_ref}}','a':'{{amount}}','t':'{{token}}'},"
	"'answer':{'rules':[{'status':201,'when':{'/s':'ok'},'outcome':'approved'},"
	"{'status':'2xx','when':{'/s':'ok','/a~1b/~0':1},'outcome':'approved'},"
	"{'status':'2xx','outcome':'pending'},{'status':'5xx','outcome':'not_processed'}],"
	"'fields':{'reference':'/ref'}}},"
	"'lookup_charge':{'method':'GET','path':'/c?r={{original_ref}}','answer':'a/b~c'}}}";

static PgwConnector *connector;
static PgwAnswer answer;
static PgwWhy why;

static int
compile(void **state)
{
	char text[sizeof(document)];
	PgwConnectorError err;

	(void) state;
	memcpy(text, document, sizeof(document));
	with_quotes(text);
	connector = pgw_connector_compile(text, strlen(text), &err);
	return connector == NULL;
}

static int
let_go(void **state)
{
	(void) state;
	pgw_connector_free(connector);
	return 0;
}

/* The same as pgw_connector_judge() says, whoever asks why. */
static void
explain(PgwBankOp op, long status, const char *text, PgwOutcome outcome, PgwDecidedBy by,
		const char *pointer, const char *passed_over)
{
	PgwQuestion q = {.op = op,
					 .transaction_ref = OURS,
					 .original_ref = OURS,
					 .currency = "EUR",
					 .iso_exponent = 2};
	char body[512];
	char expected[512];
	PgwAnswer judged;

	snprintf(body, sizeof(body), "%s", text);
	with_quotes(body);
	snprintf(expected, sizeof(expected), "%s", passed_over);
	with_quotes(expected);
	pgw_connector_judge(connector, &q,
						&(PgwGivenAnswer){.status = status, .body = body, .len = strlen(body)},
						&judged);
	pgw_connector_explain(connector, &q,
						  &(PgwGivenAnswer){.status = status, .body = body, .len = strlen(body)},
						  &answer, &why);
	assert_memory_equal(&judged, &answer, sizeof(judged));
	assert_int_equal(answer.outcome, outcome);
	assert_int_equal(why.by, by);
	assert_string_equal(why.pointer, pointer);
	assert_string_equal(why.passed_over.len > 0 ? why.passed_over.data : "", expected);
	pgw_buf_free(&why.passed_over);
}

static void
test_rule(void **state)
{
	(void) state;
	explain(PGW_OP_CHARGE, 201, "{'s':'ok'}", PGW_OUT_APPROVED, PGW_DECIDED_BY_RULE,
			"/operations/charge/answer/rules/0", "");
	/* of each rule before: its status, or the first of its conditions that does not hold */
	explain(
		PGW_OP_CHARGE, 200, "{'s':'ok','a/b':{'~':2}}", PGW_OUT_PENDING, PGW_DECIDED_BY_RULE,
		"/operations/charge/answer/rules/2",
		"'/operations/charge/answer/rules/0/status', '/operations/charge/answer/rules/1/when/~1a~01b~1~00'");
	explain(
		PGW_OP_CHARGE, 302, "{'s':'ok'}", PGW_OUT_UNKNOWN, PGW_DECIDED_BY_NO_RULE, "",
		"'/operations/charge/answer/rules/0/status', '/operations/charge/answer/rules/1/status', "
		"'/operations/charge/answer/rules/2/status', '/operations/charge/answer/rules/3/status'");
}

static void
test_not_readable(void **state)
{
	(void) state;
	explain(PGW_OP_CHARGE, 201, "<html>", PGW_OUT_UNKNOWN, PGW_DECIDED_BY_NO_RULE, "",
			"'/operations/charge/answer/rules/0', '/operations/charge/answer/rules/1', "
			"'/operations/charge/answer/rules/2', '/operations/charge/answer/rules/3/status'");
	assert_false(why.readable);
	explain(
		PGW_OP_CHARGE, 503, "<html>", PGW_OUT_NOT_PROCESSED, PGW_DECIDED_BY_RULE,
		"/operations/charge/answer/rules/3",
		"'/operations/charge/answer/rules/0/status', '/operations/charge/answer/rules/1/status', "
		"'/operations/charge/answer/rules/2/status'");
}

static void
test_other_reference(void **state)
{
	(void) state;
	explain(PGW_OP_CHARGE, 201, "{'s':'ok','ref':'order-7'}", PGW_OUT_UNKNOWN,
			PGW_DECIDED_BY_REFERENCE, "/operations/charge/answer/fields/reference", "");
	assert_string_equal(why.reference, "order-7");
	explain(PGW_OP_CHARGE, 201, "{'s':'ok','ref':'" OURS "'}", PGW_OUT_APPROVED,
			PGW_DECIDED_BY_RULE, "/operations/charge/answer/rules/0", "");
}

static void
test_list(void **state)
{
	(void) state;
	explain(PGW_OP_LOOKUP_CHARGE, 200, "{'data':[{'ref':'" OURS "','s':'ok'}]}", PGW_OUT_APPROVED,
			PGW_DECIDED_BY_RULE, "/answers/a~1b~0c/rules/0", "");
	explain(PGW_OP_LOOKUP_CHARGE, 200, "{'data':[]}", PGW_OUT_NOT_FOUND, PGW_DECIDED_BY_ABSENCE,
			"/answers/a~1b~0c/select", "");
	explain(PGW_OP_LOOKUP_CHARGE, 200, "{'data':[],'more':true}", PGW_OUT_UNKNOWN,
			PGW_DECIDED_BY_DOUBT, "/answers/a~1b~0c/select", "");
	/* an error shows no charge, whatever its rule says */
	explain(PGW_OP_LOOKUP_CHARGE, 500, "{'s':'ok'}", PGW_OUT_UNKNOWN, PGW_DECIDED_BY_ERROR,
			"/answers/a~1b~0c/rules/1", "'/answers/a~1b~0c/rules/0/status'");
	explain(PGW_OP_LOOKUP_CHARGE, 200, "{'data':[{'ref':'" OURS "','s':'ok','live':true}]}",
			PGW_OUT_UNKNOWN, PGW_DECIDED_BY_MODE, "/answers/a~1b~0c/fields/livemode", "");
}

static void
test_no_operation(void **state)
{
	(void) state;
	explain(PGW_OP_REFUND, 200, "{}", PGW_OUT_UNKNOWN, PGW_DECIDED_BY_NO_OPERATION, "", "");
}

/* ---- headers ---- */

static void
headers(const char *text, const char *lines, const char *fault)
{
	char given[512];
	PgwBuf b;
	const char *said;

	snprintf(given, sizeof(given), "%s", text);
	with_quotes(given);
	pgw_buf_init(&b, 0);
	said = pgw_header_text_read(given, &b);
	if (fault == NULL)
	{
		assert_null(said);
		assert_string_equal(b.len > 0 ? b.data : "", lines);
	}
	else
	{
		assert_non_null(said);
		if (strstr(said, fault) == NULL)
			fail_msg("%s", said);
	}
	pgw_buf_free(&b);
}

static void
test_header_forms(void **state)
{
	(void) state;
	headers("", "", NULL);
	headers("HTTP/2 429 \r\nRetry-After:  30 \r\n\r\nX:\r\n", "Retry-After: 30\nX: \n", NULL);
	headers(" {'Retry-After': 30, 'Location': '/c/1?a=:'}\n",
			"Retry-After: 30\nLocation: /c/1?a=:\n", NULL);
	headers("{}", "", NULL);
	headers("retry after thirty", "", "lines of the form");
	headers(": 30", "", "lines of the form");
	headers("Retry After: 30", "", "lines of the form");
	headers("{'a': 1, 'a': 2}", "", "each name once");
	headers("{'a': ", "", "no valid JSON");
	headers("{'a': {'b': 1}}", "", "lines of the form");
	headers("{'a': '1\\nEvil: 2'}", "", "control character");
	headers("{'a\\nEvil': '2'}", "", "lines of the form");
}

static void
test_header_found(void **state)
{
	PgwBuf b;
	char value[8];

	(void) state;
	pgw_buf_init(&b, 0);
	assert_false(pgw_header_text_find(&b, "a", value, sizeof(value)));
	assert_null(pgw_header_text_read(
		"Retry-After-All: 9\nretry-AFTER: 30\nRetry-After: 31\nlong: 12345678", &b));
	assert_true(pgw_header_text_find(&b, "Retry-After", value, sizeof(value)));
	assert_string_equal(value, "30");
	assert_false(pgw_header_text_find(&b, "Retry", value, sizeof(value)));
	assert_false(pgw_header_text_find(&b, "long", value, sizeof(value)));
	pgw_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_not_readable),
		cmocka_unit_test(test_other_reference),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_no_operation),
		cmocka_unit_test(test_header_forms),
		cmocka_unit_test(test_header_found),
	};

	return cmocka_run_group_tests(tests, compile, let_go);
}
