/*
 * test_connector.c - the connector engine: compile faults, rendering, judging, with the built-in
 * document and a bank of quite another shape
 *
 * Reads src/connectors/ and test/connectors/ under PGW_SRCDIR, or relative to where it is run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmocka_names.h"
#include "core/bank_message/judge_answer.h"
#include "core/bank_message/render_request.h"
#include "core/bank_message/retry_after.h"
#include "core/base/buf_json.h"
#include "core/base/error_codes.h"
#include "core/connector/connector.h"
#include "documents.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static PgwConnector *json_bank;
static PgwConnector *form_bank;
static int
setup(void **state)
{
	(void) state;
	json_bank = compile(read_document("src/connectors/json.json"));
	form_bank = compile(read_document("test/connectors/formbank.json"));
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	pgw_connector_free(json_bank);
	pgw_connector_free(form_bank);
	return 0;
}

/* ---- buffers ---- */

/* What was written there has been wiped. */
static void
is_wiped(const PgwBuf *b, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		assert_int_equal(b->data[i], 0);
}

static void
test_buf(void **state)
{
	PgwBuf b;

	(void) state;
	pgw_buf_init(&b, 0);
	for (int i = 0; i < 1000; i++)
		pgw_buf_printf(&b, "%04d", i);
	assert_int_equal(b.len, 4000);
	assert_memory_equal(b.data + 3996, "0999", 5);
	pgw_buf_truncate(&b, 4);
	assert_string_equal(b.data, "0000");
	is_wiped(&b, 4, 4000);
	pgw_buf_truncate(&b, 100);
	assert_int_equal(b.len, 4);
	pgw_buf_reset(&b);
	assert_int_equal(b.len, 0);
	is_wiped(&b, 0, b.cap);
	pgw_buf_json_string(&b, "a\"\\\n\r\t\x01\x7F\xC3\xA9");
	assert_string_equal(b.data, "\"a\\\"\\\\\\n\\r\\t\\u0001\x7F\xC3\xA9\"");
	pgw_buf_reset(&b);
	pgw_buf_json_open(&b, '[');
	pgw_buf_json_open(&b, '{');
	pgw_buf_json_member(&b, "a", "{");
	pgw_buf_json_member(&b, "b", ":");
	pgw_buf_json_close(&b, '}');
	pgw_buf_json_open(&b, '{');
	pgw_buf_json_close(&b, '}');
	pgw_buf_json_comma(&b, ", ");
	pgw_buf_json_string(&b, "[");
	pgw_buf_json_close(&b, ']');
	assert_string_equal(b.data, "[{\"a\":\"{\",\"b\":\":\"},{}, \"[\"]");
	pgw_buf_free(&b);
	pgw_buf_free(&b);
	assert_null(b.data);

	pgw_buf_init(&b, 8);
	pgw_buf_puts(&b, "12345678");
	assert_false(b.failed);
	pgw_buf_puts(&b, "9");
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	is_wiped(&b, 0, b.cap);
	pgw_buf_puts(&b, "1");
	assert_int_equal(b.len, 0);
	pgw_buf_reset(&b);
	pgw_buf_puts(&b, "ok");
	assert_string_equal(b.data, "ok");
	pgw_buf_free(&b);
}

/* ---- compile faults ---- */

#define CAPS "\"capabilities\":{\"tokens\":true}"
#define RULE "{\"status\":200,\"when\":{\"/s\":\"ok\"},\"outcome\":\"approved\"}"
#define ANSWER "\"answer\":{\"rules\":[" RULE "]}"
#define BODY "\"body\":{\"t\":\"{{token}}\"}"
#define CHARGE(rest) "\"charge\":{\"method\":\"POST\",\"path\":\"/c\"," rest "}"
#define GOOD CHARGE(BODY "," ANSWER)
#define DOC(caps, ops) "{\"v\":1," caps ",\"operations\":{" ops "}}"
#define WITH_ANSWER(answer) DOC(CAPS, CHARGE(BODY ",\"answer\":" answer))
#define WITH_BODY(body) DOC(CAPS, CHARGE("\"body\":" body "," ANSWER))
#define WITH_HEADERS(h) DOC(CAPS, CHARGE("\"headers\":" h "," BODY "," ANSWER))
#define WITH_CAPS(caps) DOC("\"capabilities\":" caps, GOOD)

static const struct
{
	const char *doc;
	const char *pointer;
	const char *message; /* a part of it */
} faults[] = {
	{"", "", "1 to 262144 bytes"},
	{"{", "", "ends too early"},
	{"{} x", "", "not valid JSON"},
	{"17", "", "ends too early"},
	{"[]", "", "must be an object"},
	{"{'v':1}", "", "not valid JSON"},
	{"{\"v\":1,\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
	 "", "deeper than 32"},
	{"{\"v\":1,\"ops\":{}}", "/ops",
	 "unknown key \"ops\"; known here: v, name, description, capabilities"},
	{"{}", "/v", "must be 1"},
	{"{\"v\":0}", "/v", "must be 1 or 2"},
	{"{\"v\":3}", "/v", "must be 1 or 2"},
	{"{\"v\":2}", "/capabilities", "missing"},
	{"{\"v\":\"1\"}", "/v", "must be 1"},
	{"{\"v\":1,\"name\":5}", "/name", "string"},
	{"{\"v\":1}", "/capabilities", "missing"},
	{"{\"v\":1,\"capabilities\":{}}", "/capabilities",
	 "\"cards\", \"tokens\" or \"token_objects\""},
	{"{\"v\":1," CAPS "}", "/operations", "missing"},
	{DOC(CAPS, ""), "/operations", "\"charge\" and \"authorize\""},
	{DOC(CAPS, "\"pay\":{}"), "/operations/pay", "unknown operation; known: charge"},
	{DOC(CAPS, "\"a/b~c\":{}"), "/operations/a~1b~0c", "unknown operation"},
	{WITH_CAPS("{\"cards\":1}"), "/capabilities/cards", "true or false"},
	{WITH_CAPS("{\"card\":true}"), "/capabilities/card", "unknown key"},
	{WITH_CAPS("{\"cards\":true}"), "/operations/charge/body", "{{card_number}}"},
	{DOC(CAPS, CHARGE("\"body\":{\"a\":1}," ANSWER)), "/operations/charge", "{{token}}"},
	{WITH_CAPS("{\"tokens\":true,\"idempotency\":{\"header\":\"K\"}}"),
	 "/capabilities/idempotency/lifetime_seconds", "missing"},
	{WITH_CAPS("{\"tokens\":true,\"idempotency\":{\"header\":\"K:\",\"lifetime_seconds\":1}}"),
	 "/capabilities/idempotency/header", "not a header name"},
	{WITH_CAPS("{\"tokens\":true,\"idempotency\":{\"lifetime_seconds\":60}}"), "/operations/charge",
	 "{{idempotency_key}}"},
	{WITH_CAPS("{\"tokens\":true,\"idempotency\":{\"lifetime_seconds\":0}}"),
	 "/capabilities/idempotency/lifetime_seconds", "from 1 to"},
	{WITH_CAPS("{\"tokens\":true,\"lookup_consistent_after_seconds\":2}"),
	 "/capabilities/lookup_consistent_after_seconds", "lookup_charge"},
	{WITH_CAPS("{\"tokens\":true,\"partial_capture\":true}"), "/capabilities/partial_capture",
	 "capture"},
	{WITH_CAPS("{\"tokens\":true,\"partial_refund\":true}"), "/capabilities/partial_refund",
	 "refund"},
	{WITH_CAPS("{\"tokens\":true,\"exponents\":{\"isk\":2}}"), "/capabilities/exponents/isk",
	 "ISO 4217"},
	{WITH_CAPS("{\"tokens\":true,\"amount_multiple\":{\"KWD\":10}}"),
	 "/capabilities/amount_multiple", "needs version 2"},
	{WITH_CAPS("{\"tokens\":true,\"exponents\":{\"ISK\":5}}"), "/capabilities/exponents/ISK",
	 "0 to 4"},
	{DOC(CAPS, "\"charge\":[]"), "/operations/charge", "object"},
	{DOC(CAPS, "\"charge\":{\"path\":\"/c\"}"), "/operations/charge/method", "missing"},
	{DOC(CAPS, "\"charge\":{\"method\":\"post\"}"), "/operations/charge/method",
	 "must be GET, POST"},
	{DOC(CAPS, "\"charge\":{\"method\":\"POST\"}"), "/operations/charge/path", "missing"},
	{DOC(CAPS, "\"charge\":{\"method\":\"POST\",\"path\":\"c\"}"), "/operations/charge/path",
	 "begin with one"},
	{DOC(CAPS, "\"charge\":{\"method\":\"POST\",\"path\":\"//c\"}"), "/operations/charge/path",
	 "begin with one"},
	{DOC(CAPS, "\"charge\":{\"method\":\"POST\",\"path\":\"/a b\"}"), "/operations/charge/path",
	 "percent-encoded"},
	{DOC(CAPS, "\"charge\":{\"method\":\"POST\",\"path\":\"/{{card_number}}\"}"),
	 "/operations/charge/path", "card data"},
	{DOC(CAPS, "\"charge\":{\"method\":\"POST\",\"path\":\"/{{secret}}\"}"),
	 "/operations/charge/path", "logged"},
	{DOC(CAPS, "\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"url\":1}"),
	 "/operations/charge/url", "unknown key"},
	{DOC(CAPS, CHARGE(BODY)), "/operations/charge/answer", "missing"},
	{DOC(CAPS, CHARGE("\"encoding\":\"xml\"," BODY "," ANSWER)), "/operations/charge/encoding",
	 "\"json\", \"form\""},
	{DOC(CAPS, CHARGE("\"encoding\":\"none\"," BODY "," ANSWER)), "/operations/charge/body",
	 "no body with encoding"},
	{DOC(CAPS, CHARGE("\"encoding\":\"json\"," ANSWER)), "/operations/charge/body", "missing"},
	{DOC(CAPS, GOOD ",\"ping\":{\"method\":\"GET\",\"path\":\"/c\"," BODY "," ANSWER "}"),
	 "/operations/ping/body", "GET has no body"},
	{DOC(CAPS, CHARGE("\"encoding\":\"form\",\"body\":{\"a\":{\"t\":\"{{token}}\"}}," ANSWER)),
	 "/operations/charge/body/a", "no nesting"},
	{WITH_BODY("{\"t\":\"{{tokn}}\"}"), "/operations/charge/body/t",
	 "unknown placeholder {{tokn}}; known: amount, amount_decimal"},
	{WITH_BODY("{\"a\":[1,\"{{ token }}\"]}"), "/operations/charge/body/a/1",
	 "unknown placeholder"},
	{WITH_BODY("{\"t\":\"{{token\"}"), "/operations/charge/body/t", "without \"}}\""},
	{WITH_BODY("{\"t\":\"{{settings.}}\"}"), "/operations/charge/body/t", "unknown placeholder"},
	{WITH_BODY("{\"t\":\"{{settings.a.b}}\"}"), "/operations/charge/body/t", "unknown placeholder"},
	{WITH_BODY("{\"t\":\"\\u0000\"}"), "/operations/charge/body/t", "U+0000"},
	{WITH_BODY("{\"{{token}}\":1}"), "/operations/charge/body/{{token}}", "not in names"},
	{WITH_BODY("[]"), "/operations/charge/body", "must be an object"},
	{WITH_HEADERS("{\"A B\":\"x\"}"), "/operations/charge/headers/A B", "not a header name"},
	{WITH_HEADERS("{\"Host\":\"x\"}"), "/operations/charge/headers/Host", "HTTP layer"},
	{WITH_HEADERS("{\"X\":\"a\\r\\nb\"}"), "/operations/charge/headers/X", "control characters"},
	{WITH_HEADERS("{\"X\":\"{{card_cvv}}\"}"), "/operations/charge/headers/X", "card data"},
	{WITH_HEADERS("{\"X\":\"1\",\"x\":\"2\"}"), "/operations/charge/headers/x", "twice"},
	{WITH_HEADERS("{\"X\":1}"), "/operations/charge/headers/X", "string"},
	{"{\"v\":1," CAPS ",\"not_ids\":\"0\",\"operations\":{" GOOD "}}", "/not_ids",
	 "array of strings"},
	{"{\"v\":1," CAPS ",\"not_ids\":[\"\",0],\"operations\":{" GOOD "}}", "/not_ids/1", "string"},
	{"{\"v\":1,\"v\":1," CAPS ",\"operations\":{" GOOD "}}", "/v", "this name stands twice"},
	{WITH_BODY("{\"t\":\"{{token}}\",\"a\":[{},{\"b\":1,\"c\":2,\"\\u0062\":1}]}"),
	 "/operations/charge/body/a/1/b", "this name stands twice"},
	{WITH_BODY("{\"t\":\"{{token}}\",\"a\\u0000b\":1}"), "/operations/charge/body",
	 "a name must not hold U+0000"},
	{DOC(CAPS, GOOD ",\"lookup_charge\":{\"method\":\"GET\",\"path\":\"/c?limit=1\"," ANSWER "}"),
	 "/operations/lookup_charge", "{{original_ref}}"},
	{DOC(CAPS, GOOD
		 ",\"lookup_charge\":{\"method\":\"GET\",\"path\":\"/c/{{transaction_ref}}\"," ANSWER "}"),
	 "/operations/lookup_charge", "which charge it is about"},
	{DOC(CAPS, GOOD
		 ",\"lookup_charge\":{\"method\":\"GET\",\"path\":\"/c/{{original_ref}}\"," ANSWER "}"),
	 "/operations/lookup_charge/answer/fields/reference", "\"reference_echoed\": false"},
	{DOC(CAPS, GOOD
		 ",\"refund\":{\"method\":\"POST\",\"path\":\"/r/{{original_ref}}\"," ANSWER
		 "},\"lookup_refund\":{\"method\":\"GET\",\"path\":\"/r/{{original_ref}}\"," ANSWER "}"),
	 "/operations/lookup_refund", "{{transaction_ref}}"},
	{DOC(CAPS, GOOD
		 ",\"refund\":{\"method\":\"POST\",\"path\":\"/r/{{original_ref}}\"," ANSWER
		 "},\"lookup_refund\":{\"method\":\"GET\",\"path\":\"/r/{{transaction_ref}}\"," ANSWER "}"),
	 "/operations/lookup_refund/answer/fields/reference",
	 "where does the answer name {{transaction_ref}}"},
	{DOC(CAPS, GOOD
		 ",\"refund\":{\"method\":\"POST\",\"path\":\"/r\",\"body\":{\"amount\":\"{{amount}}\"}," ANSWER
		 "}"),
	 "/operations/refund", "which charge it is about"},
	{DOC(CAPS,
		 GOOD ",\"cancel\":{\"method\":\"POST\",\"path\":\"/r/{{transaction_ref}}\"," ANSWER "}"),
	 "/operations/cancel", "which charge it is about"},
	{WITH_ANSWER("{\"rules\":[" RULE "],\"reference_echoed\":1}"),
	 "/operations/charge/answer/reference_echoed", "true or false"},
	{WITH_ANSWER("{\"rules\":[" RULE "],\"reference_echoed\":true}"),
	 "/operations/charge/answer/reference_echoed", "say where"},
	{WITH_ANSWER("{\"rules\":[" RULE
				 "],\"fields\":{\"reference\":\"/r\"},\"reference_echoed\":false}"),
	 "/operations/charge/answer/reference_echoed", "leave one of them out"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"when\":{\"/a\":99999999999999999999}}]}"),
	 "/operations/charge/answer/rules/0/when/~1a", "beyond 64 bits"},
	{DOC(CAPS, CHARGE("\"body\":{\"t\":\"{{token}}\",\"n\":123456789012345678901}," ANSWER)),
	 "/operations/charge/body/n", "beyond 64 bits"},
	{WITH_ANSWER("{}"), "/operations/charge/answer/rules", "missing"},
	{WITH_ANSWER("{\"rules\":[]}"), "/operations/charge/answer/rules", "at least one"},
	{WITH_ANSWER("{\"rules\":[{}]}"), "/operations/charge/answer/rules/0/status", "missing"},
	{WITH_ANSWER("{\"rules\":[" RULE ",{\"status\":99,\"outcome\":\"declined\"}]}"),
	 "/operations/charge/answer/rules/1/status", "100 to 599"},
	{WITH_ANSWER("{\"rules\":[{\"status\":[200,\"6xx\"]}]}"),
	 "/operations/charge/answer/rules/0/status/1", "class"},
	{WITH_ANSWER("{\"rules\":[{\"status\":[]}]}"), "/operations/charge/answer/rules/0/status",
	 "empty"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200}]}"), "/operations/charge/answer/rules/0/outcome",
	 "missing"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"outcome\":\"ok\"}]}"),
	 "/operations/charge/answer/rules/0/outcome", "must be approved, declined"},
	{WITH_ANSWER("{\"rules\":[{\"status\":404,\"outcome\":\"not_found\"}]}"),
	 "/operations/charge/answer/rules/0/outcome", "look-ups only"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"if\":1}]}"), "/operations/charge/answer/rules/0/if",
	 "unknown key"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"when\":{},\"outcome\":\"approved\"}]}"),
	 "/operations/charge/answer/rules/0/when", "empty"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"when\":{\"a\":1}}]}"),
	 "/operations/charge/answer/rules/0/when/a", "JSON pointer"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"when\":{\"/a~2\":1}}]}"),
	 "/operations/charge/answer/rules/0/when/~1a~02", "~0"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"when\":{\"/a\":1.5}}]}"),
	 "/operations/charge/answer/rules/0/when/~1a", "whole number"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"when\":{\"/a\":{\"exist\":true}}}]}"),
	 "/operations/charge/answer/rules/0/when/~1a/exist", "unknown key"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"when\":{\"/a\":{\"exists\":1}}}]}"),
	 "/operations/charge/answer/rules/0/when/~1a/exists", "true or false"},
	{WITH_ANSWER("{\"rules\":[{\"status\":200,\"when\":{\"/a\":[1,[]]}}]}"),
	 "/operations/charge/answer/rules/0/when/~1a/1", "must be a string"},
	{WITH_ANSWER("{\"rules\":[" RULE "],\"fields\":{\"ammount\":\"/a\"}}"),
	 "/operations/charge/answer/fields/ammount", "unknown key"},
	{WITH_ANSWER("{\"rules\":[" RULE "],\"fields\":{\"amount\":\"a\"}}"),
	 "/operations/charge/answer/fields/amount", "JSON pointer"},
	{WITH_ANSWER("{\"rules\":[" RULE "],\"fields\":{\"amount_format\":\"cents\"}}"),
	 "/operations/charge/answer/fields/amount_format", "\"integer\""},
	{WITH_ANSWER("{\"rules\":[" RULE "],\"error_codes\":{\"x\":\"declined\"}}"),
	 "/operations/charge/answer/error_codes", "bank_code"},
	{WITH_ANSWER("{\"rules\":[" RULE
				 "],\"fields\":{\"bank_code\":\"/c\"},\"error_codes\":{\"x\":\"nope\"}}"),
	 "/operations/charge/answer/error_codes/x", "unknown error code \"nope\""},
	{DOC(CAPS, GOOD ",\"authorize\":{\"method\":\"POST\",\"path\":\"/a\"," BODY "," ANSWER "}"),
	 "/operations/capture", "missing"},
	{DOC(CAPS, GOOD ",\"capture\":{\"method\":\"POST\",\"path\":\"/a\"," ANSWER "}"),
	 "/operations/authorize", "missing"},
	{DOC(CAPS, GOOD ",\"lookup_refund\":{\"method\":\"GET\",\"path\":\"/a\"," ANSWER "}"),
	 "/operations/refund", "missing"},
	{DOC(CAPS,
		 GOOD ",\"void\":{\"method\":\"POST\",\"path\":\"/c/{{bank_reference}}\"," ANSWER "}"),
	 "/operations/charge/answer/fields/bank_reference", "missing"},
};

static void
test_faults(void **state)
{
	(void) state;
	for (size_t i = 0; i < LENGTH(faults); i++)
	{
		PgwConnectorError err;
		size_t len = strlen(faults[i].doc);
		char *exact = malloc(len + 1);
		PgwConnector *c;

		memcpy(exact, faults[i].doc, len);
		exact = realloc(exact, len > 0 ? len : 1); /* no NUL: nothing may be read beyond len */
		c = pgw_connector_compile(exact, len, &err);
		free(exact);
		if (c != NULL)
			fail_msg("accepted: %s", faults[i].doc);
		if (strcmp(err.pointer, faults[i].pointer) != 0 ||
			strstr(err.message, faults[i].message) == NULL)
			fail_msg("%s\n gave %s: %s\n not %s: %s", faults[i].doc, err.pointer, err.message,
					 faults[i].pointer, faults[i].message);
	}
}

static void
test_faults_long(void **state)
{
	static char text[400000];
	PgwConnectorError err;
	size_t n;

	(void) state;
	/* a pointer longer than the place for it is cut, never overrun; whole escapes only */
	n = (size_t) snprintf(text, sizeof(text), "{\"v\":1," CAPS ",\"operations\":{\"");
	memset(text + n, '~', 1000);
	snprintf(text + n + 1000, sizeof(text) - n - 1000, "\":1}}");
	assert_null(pgw_connector_compile(text, strlen(text), &err));
	assert_true(strlen(err.pointer) < sizeof(err.pointer));
	assert_int_equal(err.pointer[strlen(err.pointer) - 1], '0');
	/*
	 * nor is a character cut in two, in the pointer or in the message: both go into an error of the
	 * server's
	 */
	n = (size_t) snprintf(text, sizeof(text), "{\"v\":1,\"x");
	for (int i = 0; i < 400; i++)
		n += (size_t) snprintf(text + n, sizeof(text) - n, "\xC3\xA4");
	snprintf(text + n, sizeof(text) - n, "\":1}");
	assert_null(pgw_connector_compile(text, strlen(text), &err));
	assert_string_equal(err.pointer + strlen(err.pointer) - 2, "\xC3\xA4");
	assert_non_null(strstr(err.message, "\xC3\xA4\"; known"));
	/* too many headers */
	n = (size_t) snprintf(text, sizeof(text), "{\"v\":1," CAPS ",\"headers\":{");
	for (int i = 0; i < 25; i++)
		n += (size_t) snprintf(text + n, sizeof(text) - n, "%s\"H%d\":\"x\"", i ? "," : "", i);
	snprintf(text + n, sizeof(text) - n, "},\"operations\":{" GOOD "}}");
	assert_null(pgw_connector_compile(text, strlen(text), &err));
	assert_string_equal(err.pointer, "/headers/H24");
	assert_non_null(strstr(err.message, "more than 24"));
	memset(text, ' ', 300000);
	text[0] = '{';
	text[300000] = '}';
	text[300001] = '\0';
	assert_null(pgw_connector_compile(text, strlen(text), &err));
	assert_string_equal(err.pointer, "");
}

static void
test_truncated_documents(void **state)
{
	size_t len = strlen(read_document("src/connectors/json.json"));
	PgwConnectorError err;

	(void) state;
	while (len > 0 && document[len - 1] != '}')
		len--;
	for (size_t n = 0; n < len; n += 7)
	{
		assert_null(pgw_connector_compile(document, n, &err));
		assert_true(err.message[0] != '\0');
	}
}

static void
test_capabilities(void **state)
{
	const PgwCapabilities *caps = pgw_connector_capabilities(json_bank);
	PgwConnector *c;

	(void) state;
	assert_true(caps->keys[PGW_OP_CHARGE].honoured && caps->keys[PGW_OP_CHARGE].repeats_errors &&
				caps->lookup && caps->lookup_refund && caps->cards && caps->tokens);
	assert_true(caps->separate_capture && caps->partial_capture && caps->can_void &&
				caps->can_refund && caps->partial_refund && caps->can_cancel);
	assert_int_equal(caps->keys[PGW_OP_REFUND].lifetime_s, 86400);
	assert_int_equal(caps->lookup_consistent_after_s, 2);
	caps = pgw_connector_capabilities(form_bank);
	assert_false(caps->keys[PGW_OP_CHARGE].honoured || caps->lookup || caps->lookup_refund ||
				 caps->can_cancel);
	assert_true(caps->separate_capture && caps->can_void && caps->can_refund);
	assert_int_equal(caps->lookup_consistent_after_s, -1);
	assert_false(pgw_connector_has(form_bank, PGW_OP_PING));
	assert_true(pgw_connector_has(json_bank, PGW_OP_PING));
	assert_false(pgw_connector_has(json_bank, PGW_NOPS));
	for (int i = 0; i < PGW_NOPS; i++)
		assert_int_equal(pgw_op_parse(pgw_op_name((PgwBankOp) i)), i);
	assert_int_equal(pgw_op_parse("x"), -1);
	assert_string_equal(pgw_outcome_name(PGW_OUT_NOT_FOUND), "not_found");
	assert_string_equal(pgw_outcome_name(PGW_OUT_UNKNOWN), "unknown");
	c = compile(WITH_CAPS(
		"{\"tokens\":true,\"exponents\":{\"ISK\":2},\"lookup_consistent_after_seconds\":null}"));
	assert_int_equal(pgw_connector_exponent(c, "ISK", 0), 2);
	assert_int_equal(pgw_connector_exponent(c, "EUR", 2), 2);
	assert_int_equal(pgw_connector_exponent(c, NULL, 3), 3);
	pgw_connector_free(c);
	pgw_connector_free(NULL);
}

/* ---- rendering ---- */

static const PgwSecretValues s3cret = {1, {{"", "s3cret"}}};

static const PgwCallParams card_params = {.amount = 1234,
										  .has_amount = true,
										  .currency = "EUR",
										  .iso_exponent = 2,
										  .card_number = "4111111111111111",
										  .card_expiry_month = 9,
										  .card_expiry_year = 2031,
										  .card_cvv = "123",
										  .card_holder = "A \"B\" & C",
										  .transaction_ref = "0123456789abcdef0123456789abcdef",
										  .original_ref = "ffffffffffffffffffffffffffffffff",
										  .bank_reference = "ch/1 ?",
										  .idempotency_key = "key-1",
										  .correlation_id = "corr",
										  .merchant = "m1",
										  .secrets = &s3cret,
										  .bank_fields = "{\"descriptor\":\"SHOP\"}"};

static PgwRendered rendered;

static const char *
header(const char *name)
{
	for (int i = 0; i < rendered.nheaders; i++)
	{
		if (strncmp(rendered.headers[i].data, name, strlen(name)) == 0 &&
			rendered.headers[i].data[strlen(name)] == ':')
			return rendered.headers[i].data + strlen(name) + 2;
	}
	return NULL;
}

static void
render(const PgwConnector *c, PgwBankOp op, const PgwCallParams *p)
{
	PgwConnectorError err;

	if (!pgw_connector_render(c, op, p, &rendered, &err))
		fail_msg("%s: %s", err.pointer, err.message);
}

static void
refuse_render(const PgwConnector *c, PgwBankOp op, const PgwCallParams *p, const char *pointer,
			  const char *message)
{
	PgwConnectorError err;

	assert_false(pgw_connector_render(c, op, p, &rendered, &err));
	assert_string_equal(err.pointer, pointer);
	if (strstr(err.message, message) == NULL)
		fail_msg("%s", err.message);
	assert_int_equal(rendered.body.len, 0);
	assert_int_equal(rendered.nheaders, 0);
	assert_false(rendered.has_body);
}

static void
test_render_json(void **state)
{
	PgwCallParams p = card_params;

	(void) state;
	pgw_rendered_init(&rendered);
	render(json_bank, PGW_OP_CHARGE, &p);
	assert_string_equal(rendered.method, "POST");
	assert_string_equal(rendered.path.data, "/v1/charges");
	assert_true(rendered.has_body);
	assert_string_equal(
		rendered.body.data,
		"{\"amount\":1234,\"currency\":\"EUR\",\"reference\":\"0123456789abcdef0123456789abcdef\","
		"\"source\":{\"card\":{\"number\":\"4111111111111111\",\"expiry_month\":9,\"expiry_year\":2031,"
		"\"cvv\":\"123\",\"holder\":\"A \\\"B\\\" & C\"}},\"merchant\":\"m1\",\"descriptor\":\"SHOP\"}");
	assert_string_equal(header("Authorization"), "Bearer s3cret");
	assert_string_equal(header("X-Correlation-Id"), "corr");
	assert_string_equal(header("Idempotency-Key"), "key-1");
	assert_string_equal(header("Content-Type"), "application/json");

	p.card_number = p.card_cvv = p.card_holder = p.bank_fields = p.correlation_id = NULL;
	p.card_expiry_month = p.card_expiry_year = 0;
	p.token = "tok_ok";
	render(json_bank, PGW_OP_AUTHORIZE, &p);
	assert_string_equal(rendered.path.data, "/v1/authorizations");
	assert_string_equal(
		rendered.body.data,
		"{\"amount\":1234,\"currency\":\"EUR\",\"reference\":\"0123456789abcdef0123456789abcdef\","
		"\"source\":{\"token\":\"tok_ok\"},\"merchant\":\"m1\"}");
	assert_null(header("X-Correlation-Id"));

	render(json_bank, PGW_OP_CAPTURE, &p);
	assert_string_equal(rendered.path.data, "/v1/charges/ch%2F1%20%3F/capture");
	assert_string_equal(
		rendered.body.data,
		"{\"amount\":1234,\"currency\":\"EUR\",\"reference\":\"0123456789abcdef0123456789abcdef\",\"final\":false}");
	p.final_capture = true;
	render(json_bank, PGW_OP_CAPTURE, &p);
	assert_non_null(strstr(rendered.body.data, "\"final\":true}"));
	render(json_bank, PGW_OP_LOOKUP_CHARGE, &p);
	assert_string_equal(rendered.method, "GET");
	assert_string_equal(rendered.path.data,
						"/v1/charges?reference=ffffffffffffffffffffffffffffffff");
	assert_false(rendered.has_body);
	assert_int_equal(rendered.body.len, 0);
	assert_null(header("Idempotency-Key"));
	assert_null(header("Content-Type"));
	render(json_bank, PGW_OP_LOOKUP_REFUND, &p);
	assert_string_equal(rendered.path.data,
						"/v1/refunds?reference=0123456789abcdef0123456789abcdef");
	render(json_bank, PGW_OP_CANCEL, &p);
	assert_string_equal(rendered.body.data, "{\"reference\":\"ffffffffffffffffffffffffffffffff\"}");
	assert_non_null(header("Idempotency-Key"));
	render(json_bank, PGW_OP_PING, &p);
	assert_string_equal(rendered.path.data, "/v1/ping");
	render(json_bank, PGW_OP_REFUND, &p);
	assert_null(strstr(rendered.body.data, "reason"));
	pgw_rendered_free(&rendered);
}

static void
test_render_form(void **state)
{
	static const PgwSecretValues odd = {1, {{"", "a&b=c%"}}};
	PgwCallParams p = card_params;

	(void) state;
	pgw_rendered_init(&rendered);
	p.secrets = &odd;
	render(form_bank, PGW_OP_CHARGE, &p);
	assert_string_equal(rendered.body.data,
						"op=sale&amount=12.34&cur=EUR&pan=4111111111111111&exp=0931&cvc=123"
						"&ref=0123456789abcdef0123456789abcdef&merchant=m1&api_key=a%26b%3Dc%25");
	assert_string_equal(header("Content-Type"), "application/x-www-form-urlencoded");
	p.currency = "JPY";
	p.iso_exponent = 0;
	render(form_bank, PGW_OP_REFUND, &p);
	assert_string_equal(rendered.path.data, "/form/credit");
	assert_string_equal(
		rendered.body.data,
		"txn=ch%2F1%20%3F&amount=1234&ref=0123456789abcdef0123456789abcdef&api_key=a%26b%3Dc%25");
	p.currency = "KWD";
	p.iso_exponent = 3;
	p.amount = 5;
	render(form_bank, PGW_OP_CAPTURE, &p);
	assert_non_null(strstr(rendered.body.data, "&amount=0.005&"));
	refuse_render(form_bank, PGW_OP_PING, &p, "/operations", "no operation \"ping\"");
	pgw_rendered_free(&rendered);
}

#define PROBE(body) \
	"{\"v\":1,\"capabilities\":{\"tokens\":true,\"exponents\":{\"ISK\":2,\"KWD\":2}}," \
	"\"headers\":{\"X-A\":\"{{settings.h}}\",\"X-B\":\"b-{{reference}}\"}," \
	"\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/x/{{merchant}}/y\",\"headers\":{\"x-b\":\"own\"}," \
	"\"body\":" body "," ANSWER "}}}"

static void
test_render_values(void **state)
{
	PgwCallParams p = {
		.amount = 100,
		.has_amount = true,
		.currency = "ISK",
		.merchant = "m\xC3\xA9",
		.token = "t",
		.bank_fields =
			"{\"n\":12.50,\"b\":true,\"o\":{\"k\":[1,\"x/y\"]},\"z\":null,\"s\":\"q\\\"\","
			"\"rrn\":123456789012345678901}",
		.settings = "{\"h\":\"v\"}"};
	PgwConnector *c = compile(PROBE(
		"{\"t\":\"{{token}}\",\"n\":\"{{bank_fields.n}}\",\"b\":\"{{bank_fields.b}}\",\"o\":\"{{bank_fields.o}}\","
		"\"z\":\"{{bank_fields.z}}\",\"s\":\"<{{bank_fields.s}}|{{bank_fields.n}}>\",\"a\":\"{{amount}}\",\"d\":\"{{amount_decimal}}\","
		"\"m\":\"{{card_expiry_month}}/{{card_expiry_year}}\",\"gone\":{\"in\":{\"r\":\"{{reason}}\"}},\"arr\":[\"{{reason}}\"],"
		"\"mix\":[\"{{reason}}\",1],\"e\":{},\"ea\":[],\"l\":[null,true,1.5,\"\"],\"f\":\"{{final}}\",\"x\":\"a{{amount}}b\",\"rrn\":\"{{bank_fields.rrn}}\"}"));

	(void) state;
	pgw_rendered_init(&rendered);
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(rendered.path.data, "/x/m%C3%A9/y");
	assert_string_equal(
		rendered.body.data,
		"{\"t\":\"t\",\"n\":12.50,\"b\":true,\"o\":{\"k\":[1,\"x/y\"]},\"s\":\"<q\\\"|12.50>\",\"a\":10000,\"d\":\"100.00\","
		"\"mix\":[1],\"e\":{},\"ea\":[],\"l\":[null,true,1.5,\"\"],\"x\":\"a10000b\",\"rrn\":123456789012345678901}");
	assert_string_equal(header("X-A"), "v");
	assert_string_equal(header("x-b"), "own");
	assert_null(header("X-B"));
	p.card_expiry_month = 3;
	p.card_expiry_year = 2030;
	render(c, PGW_OP_CHARGE, &p);
	assert_non_null(strstr(rendered.body.data, "\"m\":\"03/2030\""));

	p.merchant = NULL;
	refuse_render(c, PGW_OP_CHARGE, &p, "/operations/charge/path", "the path needs a value");
	p.merchant = "";
	refuse_render(c, PGW_OP_CHARGE, &p, "/operations/charge/path", "the path needs a value");
	p.merchant = "..";
	refuse_render(c, PGW_OP_CHARGE, &p, "/operations/charge/path", "change the path");
	p.merchant = "m";
	p.settings = "{\"h\":\"a\\r\\nEvil: 1\"}";
	refuse_render(c, PGW_OP_CHARGE, &p, "/headers/X-A", "control character");
	p.settings = "{\"h\":\"a\\u0000b\"}";
	refuse_render(c, PGW_OP_CHARGE, &p, "/headers/X-A", "U+0000");
	p.settings = "{\"h\":[1]}";
	refuse_render(c, PGW_OP_CHARGE, &p, "/headers/X-A", "alone in a JSON body");
	p.settings = "[1]";
	refuse_render(c, PGW_OP_CHARGE, &p, "/operations/charge/body", "settings is not a JSON object");
	p.settings = "{}";
	render(c, PGW_OP_CHARGE, &p);
	assert_null(header("X-A"));
	p.settings = NULL;
	p.currency = "KWD";
	p.iso_exponent = 3;
	p.amount = 1234; /* 1.234 at a bank that knows two places */
	refuse_render(c, PGW_OP_CHARGE, &p, "/operations/charge/body", "exactly");
	p.amount = 1230;
	render(c, PGW_OP_CHARGE, &p);
	assert_non_null(strstr(rendered.body.data, "\"a\":123,\"d\":\"1.23\""));
	p.amount = -10;
	refuse_render(c, PGW_OP_CHARGE, &p, "/operations/charge/body", "exactly");
	pgw_connector_free(c);

	/* nothing left: no body at all */
	c = compile(PROBE("{\"t\":\"{{token}}\"}"));
	p.token = NULL;
	render(c, PGW_OP_CHARGE, &p);
	assert_false(rendered.has_body);
	assert_int_equal(rendered.body.len, 0);
	pgw_connector_free(c);
	pgw_rendered_free(&rendered);
}

/* What a request cannot do without, and that it is not sent then. */
static void
test_render_needs(void **state)
{
	PgwCallParams p = card_params;
	PgwConnector *c;

	(void) state;
	pgw_rendered_init(&rendered);
	assert_true(pgw_connector_needs_bank_reference(json_bank, PGW_OP_VOID));
	assert_true(pgw_connector_needs_bank_reference(json_bank, PGW_OP_REFUND));
	assert_true(pgw_connector_needs_bank_reference(json_bank, PGW_OP_CAPTURE));
	assert_false(pgw_connector_needs_bank_reference(json_bank, PGW_OP_CANCEL));
	assert_false(pgw_connector_needs_bank_reference(json_bank, PGW_OP_LOOKUP_CHARGE));
	assert_true(pgw_connector_needs(json_bank, PGW_OP_LOOKUP_CHARGE, "original_ref"));
	assert_true(pgw_connector_needs(json_bank, PGW_OP_LOOKUP_REFUND, "transaction_ref"));
	assert_false(pgw_connector_needs(json_bank, PGW_OP_CHARGE, "reference"));
	assert_false(pgw_connector_needs(json_bank, PGW_OP_CHARGE, "no such"));
	assert_false(pgw_connector_needs(form_bank, PGW_OP_CANCEL, "original_ref"));

	/* in a form: its member would be dropped, and a credit without its charge is sent */
	assert_true(pgw_connector_needs_bank_reference(form_bank, PGW_OP_REFUND));
	p.bank_reference = NULL;
	refuse_render(form_bank, PGW_OP_REFUND, &p, "/operations/refund/body",
				  "the request needs a value for {{bank_reference}}");
	p.bank_reference = "";
	refuse_render(form_bank, PGW_OP_VOID, &p, "/operations/void/body", "{{bank_reference}}");
	refuse_render(json_bank, PGW_OP_VOID, &p, "/operations/void/path",
				  "the path needs a value for {{bank_reference}}");

	/* both: the bank's may be left out as long as ours is there */
	c = compile("{\"v\":1," CAPS ",\"operations\":{" CHARGE(
		BODY
		",\"answer\":{\"rules\":[" RULE
		"],\"fields\":{\"bank_reference\":\"/id\"}}") ",\"refund\":{\"method\":\"POST\",\"path\":\"/r/{{reference}}\",\"body\":{\"txn\":\"{{bank_reference}}\",\"ref\":\"{{original_ref}}\"}," ANSWER
													  "}}}");
	assert_false(pgw_connector_needs_bank_reference(c, PGW_OP_REFUND));
	assert_true(pgw_connector_needs(c, PGW_OP_REFUND, "original_ref"));
	assert_true(pgw_connector_needs(c, PGW_OP_REFUND, "reference"));
	p.bank_reference = NULL;
	p.reference = "order 17";
	render(c, PGW_OP_REFUND, &p);
	assert_string_equal(rendered.path.data, "/r/order%2017");
	assert_string_equal(rendered.body.data, "{\"ref\":\"ffffffffffffffffffffffffffffffff\"}");
	p.original_ref = NULL;
	refuse_render(c, PGW_OP_REFUND, &p, "/operations/refund/body", "{{original_ref}}");
	p.reference = NULL;
	refuse_render(c, PGW_OP_REFUND, &p, "/operations/refund/path", "{{reference}}");
	pgw_connector_free(c);
	pgw_rendered_free(&rendered);
}

static bool
holds(const char *data, size_t len, const char *what)
{
	return memmem(data, len, what, strlen(what)) != NULL;
}

static void
test_render_wipes(void **state)
{
	static char big[70000];
	PgwCallParams p = card_params;
	PgwConnectorError err;

	(void) state;
	pgw_rendered_init(&rendered);
	render(json_bank, PGW_OP_CHARGE, &p);
	assert_true(holds(rendered.body.data, rendered.body.cap, "4111111111111111"));
	/* the next request leaves nothing of the former one behind its end */
	render(json_bank, PGW_OP_PING, &p);
	assert_false(holds(rendered.body.data, rendered.body.cap, "411111"));
	/* what is taken back is wiped: an expiry without card number and name */
	p = card_params;
	p.card_number = NULL;
	p.card_cvv = "987";
	p.reason = NULL;
	render(json_bank, PGW_OP_CHARGE, &p);
	assert_int_equal(strlen(rendered.body.data), rendered.body.len);
	is_wiped(&rendered.body, rendered.body.len, rendered.body.cap);
	/* over the limit: refused and wiped */
	memset(big, 'x', sizeof(big) - 1);
	p = card_params;
	p.card_holder = big;
	assert_false(pgw_connector_render(json_bank, PGW_OP_CHARGE, &p, &rendered, &err));
	assert_string_equal(err.pointer, "/operations/charge/body");
	assert_non_null(strstr(err.message, "too large"));
	assert_false(holds(rendered.body.data, rendered.body.cap, "411111"));
	p = card_params;
	p.secrets = &(PgwSecretValues){1, {{"", big}}};
	assert_false(pgw_connector_render(json_bank, PGW_OP_CHARGE, &p, &rendered, &err));
	assert_string_equal(err.pointer, "/headers/Authorization");
	p = card_params;
	p.bank_reference = big;
	assert_false(pgw_connector_render(json_bank, PGW_OP_VOID, &p, &rendered, &err));
	assert_string_equal(err.pointer, "/operations/void/path");
	p.bank_fields = big;
	assert_false(pgw_connector_render(json_bank, PGW_OP_VOID, &p, &rendered, &err));
	pgw_rendered_free(&rendered);
	assert_null(rendered.body.data);
}

/* ---- judging ---- */

#define OURS "0123456789abcdef0123456789abcdef"
#define CHARGE_REF "ffffffffffffffffffffffffffffffff"

static PgwAnswer answer;
static PgwQuestion question = {.transaction_ref = OURS, .original_ref = CHARGE_REF};

static PgwOutcome
judge_as(const PgwConnector *c, PgwBankOp op, long status, const char *body, const char *currency,
		 int exponent)
{
	size_t len = body ? strlen(body) : 0;
	char *exact = malloc(len > 0 ? len : 1);

	if (len > 0)
		memcpy(exact, body, len);
	question.op = op;
	question.currency = currency;
	question.iso_exponent = exponent;
	pgw_connector_judge(
		c, &question, &(PgwGivenAnswer){.status = status, .body = body ? exact : NULL, .len = len},
		&answer);
	free(exact);
	return answer.outcome;
}

static PgwOutcome
judge(PgwBankOp op, long status, const char *body)
{
	return judge_as(json_bank, op, status, body, "EUR", 2);
}

/* One answer, and what a bank means by it; no error code: it is not looked at. */
typedef struct Judged
{
	PgwBankOp op;
	long status;
	const char *body;
	PgwOutcome outcome;
	const char *error_code;
} Judged;

static void
all_judged(const PgwConnector *c, const Judged *judged, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		const Judged *j = &judged[i];

		if (judge_as(c, j->op, j->status, j->body, "EUR", 2) != j->outcome)
			fail_msg("%s, %ld %s: %s", pgw_op_name(j->op), j->status, j->body,
					 pgw_outcome_name(answer.outcome));
		if (j->error_code != NULL)
			assert_string_equal(answer.error_code, j->error_code);
	}
}

#define APPROVED \
	"{\"id\":\"ch_1\",\"status\":\"approved\",\"amount\":1234,\"currency\":\"eur\",\"authorization_code\":\"A1\"," \
	"\"captured\":1234,\"refunded\":34,\"voided\":false,\"card\":{\"brand\":\"visa\",\"last4\":\"4242\"}}"
#define OF(reference) \
	"{\"id\":\"ch_1\",\"status\":\"approved\",\"amount\":1234,\"currency\":\"EUR\",\"captured\":1234,\"refunded\":34,\"reference\":\"" reference \
	"\"}"
#define ERROR_BODY(code) "{\"error\":{\"code\":\"" code "\",\"message\":\"m\"}}"

static void
test_judge_charge(void **state)
{
	(void) state;
	assert_int_equal(judge(PGW_OP_CHARGE, 201, APPROVED), PGW_OUT_APPROVED);
	assert_string_equal(answer.bank_reference, "ch_1");
	assert_string_equal(answer.authorization_code, "A1");
	assert_string_equal(answer.currency, "EUR");
	assert_true(answer.has_amount && !answer.amount_unreadable);
	assert_int_equal(answer.amount, 1234);
	assert_int_equal(answer.captured, 1234);
	assert_int_equal(answer.refunded, 34);
	assert_false(answer.voided);
	assert_string_equal(answer.card_brand, "visa");
	assert_string_equal(answer.card_last4, "4242");
	assert_string_equal(answer.error_code, "");
	assert_int_equal(answer.retry_after_s, -1);
	assert_int_equal(judge(PGW_OP_AUTHORIZE, 200, APPROVED "\n \r\t"), PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{\"status\":\"pending\"}"), PGW_OUT_PENDING);
	assert_int_equal(answer.captured, -1);
	assert_false(answer.has_amount || answer.amount_unreadable);
	assert_int_equal(
		judge(PGW_OP_CHARGE, 200, "{\"status\":\"declined\",\"error\":{\"code\":\"lost_card\"}}"),
		PGW_OUT_DECLINED);
	assert_string_equal(answer.error_code, "lost_or_stolen_card");
	assert_string_equal(answer.bank_code, "lost_card");
	assert_int_equal(
		judge(PGW_OP_CHARGE, 200, "{\"status\":\"declined\",\"error\":{\"code\":\"new\"}}"),
		PGW_OUT_DECLINED);
	assert_string_equal(answer.error_code, "declined");
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{\"status\":\"declined\"}"), PGW_OUT_DECLINED);
	assert_string_equal(answer.error_code, "declined");
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{\"status\":\"requires_action\"}"),
					 PGW_OUT_REQUIRES_ACTION);
	assert_string_equal(answer.error_code, "authentication_required");
	assert_int_equal(judge(PGW_OP_CHARGE, 401, ERROR_BODY("unauthorized")), PGW_OUT_REJECTED);
	assert_string_equal(answer.error_code, "bank_credentials_rejected");
	assert_int_equal(judge(PGW_OP_CHARGE, 422, ERROR_BODY("odd")), PGW_OUT_REJECTED);
	assert_string_equal(answer.error_code, "");
	assert_int_equal(judge(PGW_OP_CHARGE, 422, ERROR_BODY("idempotency_mismatch")),
					 PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, 409, ERROR_BODY("key_in_use")), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, 429, ERROR_BODY("rate_limited")), PGW_OUT_NOT_PROCESSED);
	assert_int_equal(judge(PGW_OP_CHARGE, 429, "<html>"), PGW_OUT_NOT_PROCESSED);
	assert_int_equal(judge(PGW_OP_CHARGE, 503, ERROR_BODY("not_processed")), PGW_OUT_NOT_PROCESSED);
	assert_int_equal(judge(PGW_OP_CHARGE, 503, "<html>"), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, 503, ERROR_BODY("other")), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, 500, APPROVED), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, 302, APPROVED), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, 0, APPROVED), PGW_OUT_UNKNOWN);
}

static void
test_judge_unreadable(void **state)
{
	static char big[1100000];
	static const char *const bodies[] = {
		NULL,
		"",
		" ",
		"<html>",
		"{",
		"{\"status\":\"approved\"",
		"{\"status\":\"approved\"} x",
		"{\"status\":\"approved\"}{}",
		"{'status':'approved'}",
		"\"approved\"",
		"17",
		"null",
		"[]",
		"{\"status\":[\"approved\"]}",
		"{\"status\":\"Approved\"}",
		"{\"status\":\"approved\\u0000\"}",
		"{\"status\":true}",
		"{\"status\":\"approved\",\"x\":\"\xFF\"}",
		"{\"status\":\"approved\",}",
		"{\"status\":\"approved\",\"x\":NaN}",
		"{\"status\":\"approved\",\"x\":-Infinity}",
		"{\"status\":\"approved\",\"x\":1.}",
		"{\"status\":\"approved\",\"x\":-01.5}",
		"{\"status\":\"approved\",\"x\":01}",
		"{\"status\":\"approved\",\"x\":\"a\nb\"}",
		"{\"status\":\"approved\",\"x\":.5}",
		"{\"status\":\"approved\",\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"};
	int n;

	(void) state;
	for (size_t i = 0; i < LENGTH(bodies); i++)
	{
		if (judge(PGW_OP_CHARGE, 200, bodies[i]) != PGW_OUT_UNKNOWN)
			fail_msg("%s", bodies[i]);
	}
	pgw_connector_judge(
		json_bank, &question,
		&(PgwGivenAnswer){.status = 200, .body = "{\"status\":\"approved\"}\0x", .len = 23},
		&answer);
	assert_int_equal(answer.outcome, PGW_OUT_UNKNOWN);
	n = snprintf(big, sizeof(big), "{\"status\":\"approved\",\"x\":\"");
	memset(big + n, 'x', 1048576 - (size_t) n - 2);
	memcpy(big + 1048574, "\"}", 3);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, big), PGW_OUT_APPROVED);
	memcpy(big + 1048574, "x\"}", 4);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, big), PGW_OUT_UNKNOWN);
	/* what looks odd but is JSON */
	assert_int_equal(
		judge(
			PGW_OP_CHARGE, 200,
			"{\"status\":\"approved\",\"x\":[0,-0,0.05,1.0e-05,10,1e+0,\"NaN's \\\" \\\\\",100.01]}"),
		PGW_OUT_APPROVED);
	/*
	 * the same name twice is not one statement, whichever comes last, wherever, and however it is
	 * spelt
	 */
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"status\":\"declined\"}"),
					 PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{\"status\":\"declined\",\"status\":\"approved\"}"),
					 PGW_OUT_UNKNOWN);
	assert_int_equal(
		judge(PGW_OP_CHARGE, 200, "{\"status\":\"declined\",\"st\\u0061tus\":\"approved\"}"),
		PGW_OUT_UNKNOWN);
	assert_int_equal(
		judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"x\":[{\"a\":1,\"b\":2,\"a\":1}]}"),
		PGW_OUT_UNKNOWN);
	assert_int_equal(
		judge(PGW_OP_CHARGE, 200,
			  "{\"status\":\"approved\",\"x\":[{\"a\":1},{\"a\":1}],\"a\":{\"status\":1}}"),
		PGW_OUT_APPROVED);
	/*
	 * half a surrogate pair is no character; a pair is; a byte order mark is none of the document's
	 */
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"x\":\"\\ud83d\"}"),
					 PGW_OUT_UNKNOWN);
	assert_int_equal(
		judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"x\":\"\\ude00\\ud83d\"}"),
		PGW_OUT_UNKNOWN);
	assert_int_equal(
		judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"x\":\"\\ud83d\\ude00\"}"),
		PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "\xEF\xBB\xBF{\"status\":\"approved\"}"),
					 PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "\xEF\xBB\xBF\xEF\xBB\xBF{\"status\":\"approved\"}"),
					 PGW_OUT_UNKNOWN);
	/* an operation that the bank does not have */
	assert_int_equal(judge_as(form_bank, PGW_OP_PING, 200, "{}", "EUR", 2), PGW_OUT_UNKNOWN);
}

static void
amount_is(const char *text, bool good, int64_t expected)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"status\":\"approved\",\"amount\":%s}", text);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, body), PGW_OUT_APPROVED);
	if (answer.has_amount != good || answer.amount_unreadable == good || answer.amount != expected)
		fail_msg("%s: %d %d %lld", text, answer.has_amount, answer.amount_unreadable,
				 (long long) answer.amount);
}

static void
test_judge_amounts(void **state)
{
	PgwConnector *c;

	(void) state;
	amount_is("1234", true, 1234);
	amount_is("0", true, 0);
	amount_is("\"1234\"", true, 1234);
	amount_is("9223372036854775806", true, INT64_C(9223372036854775806));
	amount_is("9223372036854775808", false, 0);
	amount_is("99999999999999999999999999", false, 0);
	amount_is("-99999999999999999999999999", false, 0);
	amount_is("\"99999999999999999999999999\"", false, 0);
	amount_is("-1", false, 0);
	amount_is("12.34", false, 0);
	amount_is("9223372036854775807", true, INT64_MAX);
	/* a number is what it is worth */
	amount_is("12.0", true, 12);
	amount_is("5000.0", true, 5000);
	amount_is("5E+3", true, 5000);
	amount_is("0.5e4", true, 5000);
	amount_is("50000e-1", true, 5000);
	amount_is("0e9999999999", true, 0);
	amount_is("5000.5", false, 0);
	amount_is("5e-1", false, 0);
	amount_is("1e19", false, 0);
	amount_is("1e99999999999999999999", false, 0);
	amount_is("1e-99999999999999999999", false, 0);
	amount_is("\"5000.0\"", false, 0);
	amount_is("\"12.34\"", false, 0);
	amount_is("\"12.00\"", false, 0);
	amount_is("\"\"", false, 0);
	amount_is("\" 1\"", false, 0);
	amount_is("\"1\\u00002\"", false, 0);
	amount_is("true", false, 0);
	amount_is("{}", false, 0);
	judge(PGW_OP_CHARGE, 200,
		  "{\"status\":\"approved\",\"amount\":null,\"currency\":null,\"id\":null}");
	assert_false(answer.has_amount || answer.amount_unreadable);
	judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"amount\":5,\"currency\":\"EURO\"}");
	assert_true(answer.amount_unreadable);
	assert_string_equal(answer.currency, "");
	judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"amount\":5,\"currency\":\"usd\"}");
	assert_string_equal(answer.currency, "USD");
	assert_int_equal(answer.amount, 5);

	/* decimal text, also as a bare JSON number, whose own digits count */
	assert_int_equal(
		judge_as(
			form_bank, PGW_OP_CHARGE, 200,
			"{\"resp\":{\"code\":\"00\",\"auth\":\"A\",\"txn\":\"t1\",\"amt\":\"12.34\",\"cur\":\"EUR\"}}",
			"EUR", 2),
		PGW_OUT_APPROVED);
	assert_int_equal(answer.amount, 1234);
	judge_as(form_bank, PGW_OP_CHARGE, 200, "{\"resp\":{\"code\":\"00\",\"amt\":12.30}}", "EUR", 2);
	assert_int_equal(answer.amount, 1230);
	judge_as(form_bank, PGW_OP_CHARGE, 200, "{\"resp\":{\"code\":\"00\",\"amt\":12}}", "EUR", 2);
	assert_int_equal(answer.amount, 1200);
	judge_as(form_bank, PGW_OP_CHARGE, 200, "{\"resp\":{\"code\":\"00\",\"amt\":\"12.345\"}}",
			 "EUR", 2);
	assert_true(answer.amount_unreadable && !answer.has_amount);
	judge_as(form_bank, PGW_OP_CHARGE, 200, "{\"resp\":{\"code\":\"00\",\"amt\":1.2e1}}", "EUR", 2);
	assert_int_equal(answer.amount, 1200);
	judge_as(form_bank, PGW_OP_CHARGE, 200, "{\"resp\":{\"code\":\"00\",\"amt\":12.345}}", "EUR",
			 2);
	assert_true(answer.amount_unreadable && !answer.has_amount);
	judge_as(form_bank, PGW_OP_CHARGE, 200, "{\"resp\":{\"code\":\"00\",\"amt\":\"0.005\"}}", "KWD",
			 3);
	assert_int_equal(answer.amount, 5);

	/* a bank with its own exponents */
	c = compile(
		"{\"v\":1,\"capabilities\":{\"tokens\":true,\"exponents\":{\"ISK\":2,\"KWD\":2}},\"operations\":{" CHARGE(
			BODY ",\"answer\":{\"rules\":[" RULE
				 "],\"fields\":{\"amount\":\"/a\",\"captured\":\"/k\"}}") "}}");
	judge_as(c, PGW_OP_CHARGE, 200, "{\"s\":\"ok\",\"a\":10000,\"k\":200}", "ISK", 0);
	assert_int_equal(answer.amount, 100);
	assert_int_equal(answer.captured, 2);
	judge_as(c, PGW_OP_CHARGE, 200, "{\"s\":\"ok\",\"a\":10050,\"k\":250}", "ISK", 0);
	assert_true(answer.amount_unreadable);
	assert_int_equal(answer.captured, -1);
	/* absent or null is not there; anything else that is no amount is not readable */
	assert_true(answer.charge_state_unreadable);
	judge_as(c, PGW_OP_CHARGE, 200, "{\"s\":\"ok\",\"a\":10000,\"k\":true}", "ISK", 0);
	assert_true(answer.charge_state_unreadable && answer.captured == -1);
	judge_as(c, PGW_OP_CHARGE, 200, "{\"s\":\"ok\",\"a\":10000,\"k\":null}", "ISK", 0);
	assert_true(!answer.charge_state_unreadable && answer.captured == -1);
	judge_as(c, PGW_OP_CHARGE, 200, "{\"s\":\"ok\",\"a\":123}", "KWD", 3);
	assert_false(answer.charge_state_unreadable);
	assert_int_equal(answer.amount, 1230);
	judge_as(c, PGW_OP_CHARGE, 200, "{\"s\":\"ok\",\"a\":9223372036854775806}", "KWD", 3);
	assert_true(answer.amount_unreadable);
	pgw_connector_free(c);
}

static void
test_judge_texts(void **state)
{
	char body[2048];
	char long_text[301];

	(void) state;
	memset(long_text, 'a', 300);
	long_text[300] = '\0';
	snprintf(
		body, sizeof(body),
		"{\"status\":\"declined\",\"id\":\"%s\",\"error\":{\"code\":\"%s\"},\"card\":{\"last4\":\"12345\"}}",
		long_text, long_text);
	judge(PGW_OP_CHARGE, 200, body);
	assert_string_equal(answer.bank_reference, ""); /* half a reference is none */
	assert_true(answer.bank_reference_invalid);
	assert_int_equal(strlen(answer.bank_code), sizeof(answer.bank_code) - 1);
	assert_string_equal(answer.card_last4, "");
	long_text[255] = '\0';
	snprintf(body, sizeof(body),
			 "{\"status\":\"approved\",\"id\":\"%s\",\"card\":{\"last4\":\"12a4\"}}", long_text);
	judge(PGW_OP_CHARGE, 200, body);
	assert_string_equal(answer.bank_reference, long_text);
	assert_string_equal(answer.card_last4, "");
	/* cut between characters */
	memset(long_text, 'a', 126);
	memcpy(long_text + 126, "\xC3\xA9zzz", 6);
	snprintf(body, sizeof(body), "{\"status\":\"declined\",\"error\":{\"code\":\"%s\"}}",
			 long_text);
	judge(PGW_OP_CHARGE, 200, body);
	assert_int_equal(strlen(answer.bank_code), 126);
	judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"id\":77}");
	assert_string_equal(answer.bank_reference, "77");
	judge(PGW_OP_CHARGE, 200,
		  "{\"status\":\"approved\",\"id\":\"a\\nb\",\"authorization_code\":\"a\\u0000b\"}");
	assert_string_equal(answer.bank_reference, "");
	assert_string_equal(answer.authorization_code, "");
	judge(
		PGW_OP_CHARGE, 200,
		"{\"status\":\"approved\",\"id\":{},\"authorization_code\":[],\"card\":7,\"error\":\"x\"}");
	assert_string_equal(answer.bank_reference, "");
}

static void
test_judge_others(void **state)
{
	(void) state;
	assert_int_equal(
		judge(
			PGW_OP_CAPTURE, 201,
			"{\"id\":\"ch_1\",\"status\":\"approved\",\"amount\":1234,\"currency\":\"EUR\",\"capture\":{\"status\":\"succeeded\",\"amount\":500,\"currency\":\"EUR\"}}"),
		PGW_OUT_APPROVED);
	assert_int_equal(answer.amount, 500);
	assert_int_equal(judge(PGW_OP_CAPTURE, 409, ERROR_BODY("authorization_expired")),
					 PGW_OUT_DECLINED);
	assert_string_equal(answer.error_code, "authorization_expired");
	assert_int_equal(
		judge(PGW_OP_VOID, 200, "{\"id\":\"c\",\"status\":\"approved\",\"voided\":true}"),
		PGW_OUT_APPROVED);
	assert_int_equal(
		judge(PGW_OP_VOID, 200, "{\"id\":\"c\",\"status\":\"approved\",\"voided\":false}"),
		PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_VOID, 409, ERROR_BODY("already_voided")), PGW_OUT_APPROVED);
	assert_int_equal(
		judge(PGW_OP_REFUND, 201,
			  "{\"id\":\"re\",\"status\":\"succeeded\",\"amount\":5,\"currency\":\"EUR\"}"),
		PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_REFUND, 201, "{\"status\":\"pending\"}"), PGW_OUT_PENDING);
	assert_int_equal(judge(PGW_OP_REFUND, 200,
						   "{\"status\":\"failed\",\"error\":{\"code\":\"refund_refused\"}}"),
					 PGW_OUT_DECLINED);
	assert_string_equal(answer.error_code, "refund_refused");
	assert_int_equal(judge(PGW_OP_REFUND, 404, ERROR_BODY("not_found")), PGW_OUT_REJECTED);
	assert_int_equal(judge(PGW_OP_CANCEL, 200,
						   "{\"reference\":\"" CHARGE_REF
						   "\",\"result\":\"voided\",\"charge\":{\"id\":\"c\",\"voided\":true}}"),
					 PGW_OUT_APPROVED);
	assert_true(answer.voided);
	assert_int_equal(
		judge(PGW_OP_CANCEL, 200, "{\"result\":\"refunded\",\"refund\":{\"status\":\"pending\"}}"),
		PGW_OUT_PENDING);
	assert_int_equal(judge(PGW_OP_PING, 200, "{\"status\":\"ok\"}"), PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_PING, 401, ""), PGW_OUT_REJECTED);

	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 200, OF(CHARGE_REF)), PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 404, ERROR_BODY("not_found")), PGW_OUT_NOT_FOUND);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 404, "<html>not found</html>"), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 404, "{}"), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 401, "{}"), PGW_OUT_REJECTED);
	assert_int_equal(
		judge(PGW_OP_LOOKUP_REFUND, 200, "{\"status\":\"failed\",\"reference\":\"" OURS "\"}"),
		PGW_OUT_DECLINED);
}

/* An answer that names another payment is none, and nothing of it is kept. */
static void
is_anothers(PgwBankOp op, long status, const char *body)
{
	if (judge(op, status, body) != PGW_OUT_UNKNOWN || !answer.other_reference)
		fail_msg("%s believed: %s", pgw_op_name(op), body);
	assert_string_equal(answer.bank_reference, "");
	assert_false(answer.has_amount || answer.has_voided);
	assert_true(answer.captured == -1 && answer.refunded == -1);
}

#define STRANGER "00000000000000000000000000000000"

static void
test_judge_references(void **state)
{
	static const PgwBankOp ops[] = {PGW_OP_CHARGE, PGW_OP_AUTHORIZE,     PGW_OP_VOID,
									PGW_OP_REFUND, PGW_OP_LOOKUP_CHARGE, PGW_OP_LOOKUP_REFUND,
									PGW_OP_CANCEL};
	PgwConnector *c;

	(void) state;
	for (size_t i = 0; i < LENGTH(ops); i++)
	{
		is_anothers(ops[i], 200, OF(STRANGER));
		is_anothers(ops[i], 200, OF(""));
		is_anothers(ops[i], 200, OF("0123456789abcdef")); /* half of ours */
		is_anothers(ops[i], 200, OF(OURS "\\u0000"));
		is_anothers(ops[i], 200, "{\"status\":\"declined\",\"reference\":17}");
		is_anothers(ops[i], 200,
					"{\"status\":\"pending\",\"reference\":[\"" OURS "\",\"" CHARGE_REF "\"]}");
		/* whatever it says */
		is_anothers(ops[i], 429, "{\"reference\":\"" STRANGER "\"}");
		is_anothers(ops[i], 400, "{\"reference\":\"" STRANGER "\"}");
	}
	is_anothers(PGW_OP_LOOKUP_CHARGE, 404,
				"{\"error\":{\"code\":\"not_found\"},\"reference\":\"" STRANGER "\"}");

	/* ours: of this attempt, or of the charge that it is about */
	assert_int_equal(judge(PGW_OP_CHARGE, 200, OF(OURS)), PGW_OUT_APPROVED);
	assert_string_equal(answer.bank_reference, "ch_1");
	assert_int_equal(judge(PGW_OP_CHARGE, 200, OF("SHOP-" OURS "/1")), PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, OF("0123456789ABCDEF0123456789ABCDEF")),
					 PGW_OUT_APPROVED);
	is_anothers(PGW_OP_CHARGE, 200, OF(CHARGE_REF));
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 200, OF(CHARGE_REF)), PGW_OUT_APPROVED);
	is_anothers(PGW_OP_LOOKUP_CHARGE, 200, OF(OURS));
	is_anothers(PGW_OP_LOOKUP_REFUND, 200,
				"{\"status\":\"succeeded\",\"reference\":\"" CHARGE_REF "\"}");
	assert_int_equal(
		judge(PGW_OP_REFUND, 200, "{\"status\":\"succeeded\",\"reference\":\"" OURS "\"}"),
		PGW_OUT_APPROVED);
	assert_int_equal(
		judge(PGW_OP_REFUND, 200, "{\"status\":\"succeeded\",\"reference\":\"" CHARGE_REF "\"}"),
		PGW_OUT_APPROVED);
	assert_int_equal(
		judge(PGW_OP_CAPTURE, 201,
			  "{\"status\":\"approved\",\"capture\":{\"status\":\"succeeded\",\"reference\":\"" OURS
			  "\"}}"),
		PGW_OUT_APPROVED);
	is_anothers(
		PGW_OP_CAPTURE, 201,
		"{\"status\":\"approved\",\"capture\":{\"status\":\"succeeded\",\"reference\":\"" STRANGER
		"\"}}");

	/*
	 * none: the answer to a request that does something may leave it out, and so may an error; what
	 * a look-up shows may not
	 */
	assert_int_equal(judge(PGW_OP_CHARGE, 200, APPROVED), PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{\"status\":\"approved\",\"reference\":null}"),
					 PGW_OUT_APPROVED);
	is_anothers(PGW_OP_LOOKUP_CHARGE, 200, APPROVED);
	is_anothers(PGW_OP_LOOKUP_CHARGE, 200, "{\"status\":\"declined\",\"reference\":null}");
	is_anothers(PGW_OP_LOOKUP_REFUND, 200, "{\"status\":\"pending\"}");
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 404, ERROR_BODY("not_found")), PGW_OUT_NOT_FOUND);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 429, "{}"), PGW_OUT_NOT_PROCESSED);

	/* a bank that echoes none: its own id, as far as it is known */
	c = compile(DOC(
		CAPS, GOOD
		",\"lookup_charge\":{\"method\":\"GET\",\"path\":\"/c/{{original_ref}}\",\"answer\":{\"rules\":[" RULE
		"],"
		"\"reference_echoed\":false,\"fields\":{\"bank_reference\":\"/id\"}}}"));
	assert_int_equal(
		judge_as(c, PGW_OP_LOOKUP_CHARGE, 200, "{\"s\":\"ok\",\"id\":\"77\"}", "EUR", 2),
		PGW_OUT_APPROVED);
	question.bank_reference = "77";
	assert_int_equal(judge_as(c, PGW_OP_LOOKUP_CHARGE, 200, "{\"s\":\"ok\",\"id\":77}", "EUR", 2),
					 PGW_OUT_APPROVED);
	assert_int_equal(judge_as(c, PGW_OP_LOOKUP_CHARGE, 200, "{\"s\":\"ok\"}", "EUR", 2),
					 PGW_OUT_APPROVED);
	assert_int_equal(
		judge_as(c, PGW_OP_LOOKUP_CHARGE, 200, "{\"s\":\"ok\",\"id\":\"78\"}", "EUR", 2),
		PGW_OUT_UNKNOWN);
	assert_true(answer.other_reference);
	question.bank_reference = NULL;
	pgw_connector_free(c);
}

/* An id as it stands in the text, of whatever length, or none at all. */
static void
id_is(const PgwConnector *c, const char *text, const char *expected)
{
	char body[512];

	snprintf(body, sizeof(body), "{\"s\":\"ok\",\"id\":%s}", text);
	assert_int_equal(judge_as(c, PGW_OP_CHARGE, 200, body, "EUR", 2), PGW_OUT_APPROVED);
	assert_string_equal(answer.bank_reference, expected);
	assert_int_equal(answer.bank_reference_invalid, *expected == '\0');
}

static void
test_judge_ids(void **state)
{
	PgwConnector *c =
		compile("{\"v\":1," CAPS ",\"not_ids\":[\"0\",\"none\"],\"operations\":{" CHARGE(
			BODY ",\"answer\":{\"rules\":[" RULE
				 "],\"fields\":{\"bank_reference\":\"/id\"}}") "}}");
	char long_id[300];

	(void) state;
	id_is(c, "\"ch_1\"", "ch_1");
	id_is(c, "9007199254740993", "9007199254740993"); /* not a double */
	id_is(c, "9223372036854775807", "9223372036854775807");
	id_is(c, "18446744073709551616", "18446744073709551616");
	id_is(c, "1234567890123456789012345", "1234567890123456789012345");
	id_is(c, "\"00\"", "00");
	id_is(c, "\"\\u0041\\ud83d\\ude00\"", "A\xF0\x9F\x98\x80");
	id_is(c, "1.5", "");
	id_is(c, "1e3", "");
	id_is(c, "0", "");
	id_is(c, "\"0\"", "");
	id_is(c, "\"none\"", "");
	id_is(c, "\"\"", "");
	id_is(c, "\"  \"", "");
	id_is(c, "null", "");
	id_is(c, "true", "");
	id_is(c, "{}", "");
	id_is(c, "[\"ch_1\"]", "");
	id_is(c, "\"ch_1\\u0000\"", "");
	id_is(c, "\"ch\\n1\"", "");
	memset(long_id, '7', 256);
	long_id[256] = '\0';
	id_is(c, long_id, "");
	long_id[255] = '\0';
	id_is(c, long_id, long_id);
	assert_int_equal(judge_as(c, PGW_OP_CHARGE, 200, "{\"s\":\"ok\"}", "EUR", 2), PGW_OUT_APPROVED);
	assert_string_equal(answer.bank_reference, "");
	assert_false(answer.bank_reference_invalid);
	pgw_connector_free(c);
}

#define LOOKUP(answer) \
	"\"lookup_charge\":{\"method\":\"GET\",\"path\":\"/c/{{original_ref}}\",\"answer\":" answer "}"
#define REFUND "\"refund\":{\"method\":\"POST\",\"path\":\"/r/{{original_ref}}\"," ANSWER "}"
#define LOOKUP_REFUND \
	"\"lookup_refund\":{\"method\":\"GET\",\"path\":\"/r/{{transaction_ref}}\",\"answer\":{\"reference_echoed\":false,\"rules\":[" RULE \
	"]}}"

/* What is said of a refund whose answer is lost; test_connector_warnings.c has the others. */
static const char *
warns_of_refund(const PgwConnector *c)
{
	static PgwConnectorError list[PGW_MAX_CONNECTOR_WARNINGS];

	return pgw_connector_warnings(c, list, PGW_MAX_CONNECTOR_WARNINGS) > 0 &&
				   strstr(list[0].message, "a refund whose answer is lost") != NULL
			   ? list[0].message
			   : NULL;
}

static void
warns(const char *caps, const char *operations, const char *part)
{
	char text[2048];
	PgwConnector *c;
	const char *warning;

	snprintf(text, sizeof(text),
			 "{\"v\":1,\"capabilities\":{\"tokens\":true%s},\"operations\":{" GOOD "%s}}", caps,
			 operations);
	c = compile(text);
	warning = warns_of_refund(c);
	if (part == NULL ? warning != NULL : warning == NULL || strstr(warning, part) == NULL)
		fail_msg("%s\n warns: %s", text, warning ? warning : "nothing");
	pgw_connector_free(c);
}

static void
test_warnings(void **state)
{
	(void) state;
	assert_null(warns_of_refund(json_bank));
	assert_non_null(strstr(warns_of_refund(form_bank), "manual review"));
	warns("", "", NULL);
	warns("", "," REFUND, "neither a key");
	warns(",\"lookup_consistent_after_seconds\":2", "," REFUND "," LOOKUP_REFUND, NULL);
	/* its "not found" never counts */
	warns("", "," REFUND "," LOOKUP_REFUND, "neither a key");
	warns(",\"lookup_consistent_after_seconds\":2",
		  "," REFUND "," LOOKUP("{\"reference_echoed\":false,\"rules\":[" RULE
								"],\"fields\":{\"captured\":\"/c\",\"refunded\":\"/r\"}}"),
		  NULL);
	warns(",\"lookup_consistent_after_seconds\":2",
		  "," REFUND "," LOOKUP("{\"reference_echoed\":false,\"rules\":[" RULE
								"],\"fields\":{\"captured\":\"/c\"}}"),
		  "neither a key");
}

#define RESP(code) "{\"resp\":{\"code\":\"" code "\",\"text\":\"x\"}}"

static void
test_judge_form(void **state)
{
	static const Judged judged[] = {
		{PGW_OP_CHARGE, 402, RESP("51"), PGW_OUT_DECLINED, "insufficient_funds"},
		{PGW_OP_CHARGE, 402, RESP("43"), PGW_OUT_DECLINED, "lost_or_stolen_card"},
		{PGW_OP_CHARGE, 402, RESP("1A"), PGW_OUT_REQUIRES_ACTION, NULL},
		{PGW_OP_CHARGE, 200, RESP("51"), PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 402, RESP("00"), PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 200, RESP("96"), PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 200, RESP("91"), PGW_OUT_NOT_PROCESSED, NULL},
		{PGW_OP_CHARGE, 401, RESP("58"), PGW_OUT_REJECTED, NULL},
		{PGW_OP_REFUND, 402, RESP("57"), PGW_OUT_DECLINED, NULL},
		{PGW_OP_REFUND, 200, RESP("09"), PGW_OUT_PENDING, NULL},
		{PGW_OP_VOID, 404, RESP("25"), PGW_OUT_REJECTED, NULL},
	};

	(void) state;
	all_judged(form_bank, judged, LENGTH(judged));
}

/*
 * Rules: order, classes, arrays, every type of value, exists, pointers into arrays and escaped
 * ones.
 */
static void
test_rules(void **state)
{
	static const Judged judged[] = {
		{PGW_OP_CHARGE, 204, "{\"n\":2,\"b\":true}", PGW_OUT_APPROVED, NULL},
		{PGW_OP_CHARGE, 300, "{\"n\":2,\"b\":true}", PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 200, "{\"n\":\"2\",\"b\":true}", PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 200, "{\"n\":2.0,\"b\":true}", PGW_OUT_APPROVED, NULL},
		{PGW_OP_CHARGE, 200, "{\"n\":2.5,\"b\":true}", PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 200, "{\"n\":2,\"b\":1}", PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 599, "{\"z\":null}", PGW_OUT_PENDING, NULL},
		{PGW_OP_CHARGE, 599, "{}", PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 502, "{\"a/b\":[0,{\"~\":\"x\"}]}", PGW_OUT_DECLINED, NULL},
		{PGW_OP_CHARGE, 400, "{\"a/b\":[{\"~\":\"x\"}]}", PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 200, "{\"here\":null}", PGW_OUT_REQUIRES_ACTION, NULL},
		{PGW_OP_CHARGE, 200, "{\"here\":1,\"gone\":1}", PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 203, "[]", PGW_OUT_DECLINED, NULL},
		{PGW_OP_CHARGE, 218, "{}", PGW_OUT_APPROVED, NULL},
		{PGW_OP_CHARGE, 218, "teapot", PGW_OUT_UNKNOWN, NULL},
		{PGW_OP_CHARGE, 419, "teapot", PGW_OUT_REJECTED, NULL},
	};
	PgwConnector *c = compile(WITH_ANSWER(
		"{\"rules\":["
		"{\"status\":\"2xx\",\"when\":{\"/n\":[1,2],\"/b\":true},\"outcome\":\"approved\"},"
		"{\"status\":\"*\",\"when\":{\"/z\":null},\"outcome\":\"pending\"},"
		"{\"status\":[400,\"5xx\"],\"when\":{\"/a~1b/1/~0\":\"x\"},\"outcome\":\"declined\"},"
		"{\"status\":200,\"when\":{\"/gone\":{\"exists\":false},\"/here\":{\"exists\":true}},\"outcome\":\"requires_action\"},"
		"{\"status\":203,\"when\":{\"\":{\"exists\":true}},\"outcome\":\"declined\"},"
		"{\"status\":218,\"outcome\":\"approved\"},"
		"{\"status\":419,\"outcome\":\"rejected\"}]}"));

	(void) state;
	all_judged(c, judged, LENGTH(judged));
	pgw_connector_free(c);
}

static int
retry_after(const char *text)
{
	question.op = PGW_OP_CHARGE;
	pgw_connector_judge(json_bank, &question,
						&(PgwGivenAnswer){.status = 429, .retry_after = text, .body = "", .len = 0},
						&answer);
	return answer.retry_after_s;
}

static void
test_retry_after(void **state)
{
	char date[64];
	time_t then = time(NULL) + 100;
	struct tm tm;

	(void) state;
	assert_int_equal(retry_after(NULL), -1);
	assert_int_equal(retry_after("0"), 0);
	assert_int_equal(retry_after(" 120 "), 120);
	assert_int_equal(retry_after("99999999999999999999"), 3600);
	assert_int_equal(pgw_retry_after_read("7200", 86400), 7200);
	assert_int_equal(pgw_retry_after_read("99999999999999999999", 86400), 86400);
	assert_int_equal(retry_after("1.5"), -1);
	assert_int_equal(retry_after("-1"), -1);
	assert_int_equal(retry_after(""), -1);
	assert_int_equal(retry_after("soon"), -1);
	assert_int_equal(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), 0);
	assert_int_equal(retry_after("Sun, 06 Nov 2994 08:49:37 GMT"), 3600);
	assert_int_equal(retry_after("Sun, 06 Nox 2994 08:49:37 GMT"), -1);
	assert_int_equal(retry_after("Sun, 06 Nov 2994 25:49:37 GMT"), -1);
	assert_int_equal(retry_after("Sun, 06 Nov 2994 08:49:37 CET"), -1);
	gmtime_r(&then, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	assert_int_in_range(retry_after(date), 97, 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf),           cmocka_unit_test(test_faults),
		cmocka_unit_test(test_faults_long),   cmocka_unit_test(test_truncated_documents),
		cmocka_unit_test(test_capabilities),  cmocka_unit_test(test_render_json),
		cmocka_unit_test(test_render_form),   cmocka_unit_test(test_render_values),
		cmocka_unit_test(test_render_needs),  cmocka_unit_test(test_render_wipes),
		cmocka_unit_test(test_judge_charge),  cmocka_unit_test(test_judge_unreadable),
		cmocka_unit_test(test_judge_amounts), cmocka_unit_test(test_judge_texts),
		cmocka_unit_test(test_judge_others),  cmocka_unit_test(test_judge_references),
		cmocka_unit_test(test_judge_ids),     cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_judge_form),    cmocka_unit_test(test_rules),
		cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
