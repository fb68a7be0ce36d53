/*
 * test_token_object.c - tokens that are JSON objects: told from other tokens, never kept, and sent
 * by their parts
 *
 * Documents and objects are written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bank_message/render_request.h"
#include "core/card/token_object.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define OBJECT \
	"{'kind':'w','data':{'dpan':'4242424242424242','n':[7,'x'],'big':12345678901234567890.10,'none':null},'sig':'MEUCIQDabcdefghijklmnop'}"

static PgwConnectorError err;
static char quoted[8192];

static const char *
json(const char *text)
{
	snprintf(quoted, sizeof(quoted), "%s", text);
	for (char *s = quoted; *s != '\0'; s++)
		*s = *s == '\'' ? '"' : *s;
	return quoted;
}

static PgwConnector *
compiled(int version, const char *capabilities, const char *body, const char *more)
{
	char text[4096];

	snprintf(
		text, sizeof(text),
		"{'v':%d,'capabilities':{%s},'operations':{'charge':{'method':'POST','path':'/c','body':%s,'answer':{'rules':[{'status':200,'outcome':'approved'}]}}}%s}",
		version, capabilities, body, more);
	return pgw_connector_compile(json(text), strlen(text), &err);
}

/* ---- which tokens are objects ---- */

static void
told_apart(void **state)
{
	static const char *const objects[] = {"{\"a\":1}", " \n{ \"a\": 1 }", "{}", "{\"cut off",
										  "{ \"a\""};
	static const char *const tokens[] = {
		"",          "tok_1", "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", "{", "{a:1}", "[{\"a\":1}]",
		"x{\"a\":1}"};

	(void) state;
	assert_false(pgw_token_is_object(NULL));
	for (size_t i = 0; i < LENGTH(objects); i++)
		assert_true(pgw_token_is_object(objects[i]));
	for (size_t i = 0; i < LENGTH(tokens); i++)
		assert_false(pgw_token_is_object(tokens[i]));
}

/* Nothing of it stands in what is kept, and no token that is taken can be a mark. */
static void
mark(void **state)
{
	char room[PGW_TOKEN_MARK_SIZE];
	char other[PGW_TOKEN_MARK_SIZE];
	unsigned digits;
	char end;

	(void) state;
	assert_null(pgw_token_to_keep(NULL, room));
	assert_string_equal(pgw_token_to_keep("tok_1", room), "tok_1");
	assert_true(pgw_token_is_kept("tok_1"));
	assert_false(pgw_token_is_kept(NULL));
	assert_int_equal(sscanf(pgw_token_to_keep("{\"a\":1}", room), "(object %4u%c", &digits, &end),
					 2);
	assert_int_equal(end, ')');
	assert_false(pgw_token_is_kept(room));
	assert_string_equal(pgw_token_to_keep("{\"a\":1}", other), room);
	assert_string_not_equal(pgw_token_to_keep("{\"a\":2}", other), room);
}

/* What an object says counts, and not how a program has written it this time. */
static void
mark_of_what_it_says(void **state)
{
	static const char same[] = "{\"a\":{\"b\":\"\\u0078y\",\"c\":[1,\"1\",{}]},\"d\":null}";
	static const char *const others[] = {"{\"a\":{\"b\":\"xy\",\"c\":[1,\"1\",[]]},\"d\":null}",
										 "{\"a\":{\"b\":\"xy\",\"c\":[\"1\",1,{}]},\"d\":null}",
										 "{\"a\":{\"b\":\"xy\",\"c\":[1,\"1\"]},\"d\":null}",
										 "{\"a\":{\"b\":\"xy\",\"c\":[1,\"1\",{}]},\"d\":\"null\"}",
										 "{\"a\":{\"b\":\"xy\",\"c\":[1,\"1\",{}],\"d\":null}}",
										 "{\"a\":{\"c\":\"xy\",\"b\":[1,\"1\",{}]},\"d\":null}"};
	char room[PGW_TOKEN_MARK_SIZE];
	char other[PGW_TOKEN_MARK_SIZE];

	(void) state;
	(void) pgw_token_to_keep(
		"{ \"d\" : null, \"a\": {\"c\":[ 1,\"1\", {} ], \"b\" : \"x\\u0079\"}}", room);
	assert_string_equal(pgw_token_to_keep(same, other), room);
	for (size_t i = 0; i < LENGTH(others); i++)
		assert_string_not_equal(pgw_token_to_keep(others[i], other), room);
}

/* The longest values come first, and no more than there is room for. */
static void
words(void **state)
{
	static const char object[] =
		"{\"short\":\"fifteen bytes..\",\"a\":\"sixteen bytes...\",\"l\":[\"the longest of them all\",{\"e\":\"escaped \\u00e9 \\\"text\\\"\"}],"
		"\"n\":4242424242424242,\"z\":\"with \\u0000 in it, so no string\"}";
	char room[sizeof(object)];
	const char *found[8];

	(void) state;
	assert_int_equal(pgw_token_object_words(object, room, sizeof(room), found, 8), 4);
	assert_string_equal(found[0], "the longest of them all");
	assert_string_equal(found[1], "escaped \xc3\xa9 \"text\"");
	assert_int_equal(pgw_token_object_words(object, room, sizeof(room), found, 1), 1);
	assert_string_equal(found[0], "the longest of them all");
	assert_int_equal(pgw_token_object_words(object, room, sizeof(object) - 1, found, 8), 0);
	assert_int_equal(pgw_token_object_words("{\"cut off", room, sizeof(room), found, 8), 0);
}

/* ---- what is sent ---- */

static void
sent(void **state)
{
	static const struct
	{
		const char *body;
		const char *token;
		const char *want; /* NULL: nothing is sent */
	} cases[] = {
		{"{'d':'{{token./data/dpan}}','s':'{{token./sig}}'}", OBJECT,
		 "{'d':'4242424242424242','s':'MEUCIQDabcdefghijklmnop'}"},
		/* types are kept, digits too */
		{"{'n':'{{token./data/n}}','b':'{{token./data/big}}','t':'{{token./data/big|string}}','e':'{{token./data/n/0}}'}",
		 OBJECT, "{'n':[7,'x'],'b':12345678901234567890.10,'t':'12345678901234567890.10','e':7}"},
		{"{'all':'{{token.}}'}", "{ 'a' : [1] }", "{'all':{ 'a' : [1] }}"},
		/* within a text, and encoded */
		{"{'h':'w={{token./kind}}','b':'{{token./kind|base64}}'}", OBJECT,
		 "{'h':'w=w','b':'dw=='}"},
		/* what is not there is left out, and null is not there */
		{"{'k':'{{token./kind}}','x':'{{token./data/none}}','y':'{{token./data/n/2}}','z':'{{token./kind/a}}'}",
		 OBJECT, "{'k':'w'}"},
		{"{'x':'{{token./none}}','amount':'{{amount}}'}", OBJECT, NULL},
		/* a choice: to look whether it is there is not to send it */
		{"{'s':{'{{token./data}}':{'w':'{{token./data/dpan}}'},'{{token}}':{'t':'{{token}}'}}}",
		 OBJECT, "{'s':{'w':'4242424242424242'}}"},
		{"{'s':{'{{token./data}}':{'w':'{{token./data/dpan}}'},'{{token}}':{'t':'{{token}}'}}}",
		 "tok_1", "{'s':{'t':'tok_1'}}"},
		{"{'s':{'{{token./data}}':{'w':'{{token./nothing}}','c':1},'{{token}}':{'t':'{{token}}'}}}",
		 OBJECT, NULL},
		/* an object inside of a text is nobody's wish; a U+0000 no text */
		{"{'s':'<{{token./data}}>'}", OBJECT, NULL},
		{"{'s':'{{token./a}}'}", "{'a':'x\\u0000'}", NULL},
		/* one that cannot be read has nothing */
		{"{'s':'{{token./a}}'}", "{'a':1,'a':2}", NULL},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwConnector *c = compiled(2,
								   strstr(cases[i].body, "{{token}}") != NULL
									   ? "'tokens':true,'token_objects':true"
									   : "'token_objects':true",
								   cases[i].body, "");
		char token[512];
		PgwCallParams p = {
			.token = token, .amount = 1, .has_amount = true, .currency = "EUR", .iso_exponent = 2};
		PgwRendered r;
		bool good;

		if (c == NULL)
			fail_msg("%zu: %s: %s", i, err.pointer, err.message);
		snprintf(token, sizeof(token), "%s", json(cases[i].token));
		pgw_rendered_init(&r);
		good = pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err);
		if (good != (cases[i].want != NULL) ||
			(good && strcmp(r.body.data, json(cases[i].want)) != 0))
			fail_msg("%zu: %s", i, good ? r.body.data : err.message);
		if (!good)
			assert_null(strstr(err.message, "4242"));
		pgw_rendered_free(&r);
		pgw_connector_free(c);
	}
}

/* At a bank that knows of no objects it is a token as any other, but in the body alone. */
static void
as_text(void **state)
{
	PgwCallParams p = {.token = "{\"a\":\"b\"}"};
	PgwConnector *c = compiled(1, "'tokens':true", "{'t':'{{token}}'}", "");
	PgwRendered r;

	(void) state;
	pgw_rendered_init(&r);
	assert_non_null(c);
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_string_equal(r.body.data, "{\"t\":\"{\\\"a\\\":\\\"b\\\"}\"}");
	pgw_connector_free(c);

	c = compiled(1, "'tokens':true", "{'t':'{{token}}'}", ",'headers':{'X-T':'{{token}}'}");
	assert_non_null(c);
	assert_false(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_string_equal(err.pointer, "/headers/X-T");
	p.token = "tok_1";
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	pgw_connector_free(c);

	c = compiled(2, "'tokens':true", "{'t':'{{token}}','c':'{{computed.c}}'}",
				 ",'computed':[{'name':'c','text':'{{token}}'}]");
	assert_non_null(c);
	p.token = "{\"a\":\"b\"}";
	assert_false(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	pgw_connector_free(c);
	pgw_rendered_free(&r);
}

/* Shown to people: no value, and where the sample stands for every object. */
static void
shown(void **state)
{
	PgwCallParams p = {.masked = true, .token = "{}"};
	PgwConnector *c =
		compiled(2, "'token_objects':true,'tokens':true",
				 "{'d':'{{token./data/dpan}}','o':'{{token./o d}}','t':'<{{token}}>'}", "");
	char object[256];
	PgwRendered r;

	(void) state;
	pgw_rendered_init(&r);
	assert_non_null(c);
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_string_equal(r.body.data,
						"{\"d\":\"(token./data/dpan)\",\"o\":\"(token)\",\"t\":\"<(token)>\"}");
	snprintf(object, sizeof(object), "%s", json(OBJECT));
	p.token = object;
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_string_equal(r.body.data, "{\"d\":\"(token./data/dpan)\",\"t\":\"<(token)>\"}");
	pgw_rendered_free(&r);
	pgw_connector_free(c);
}

/* ---- what does not compile ---- */

static void
faults(void **state)
{
	static const struct
	{
		int version;
		const char *capabilities;
		const char *body;
		const char *more;
		const char *pointer;
		const char *says;
	} cases[] = {
		{1, "'tokens':true", "{'t':'{{token}}','d':'{{token./a}}'}", "",
		 "/operations/charge/body/d", "needs version 2"},
		{1, "'tokens':true,'token_objects':true", "{'t':'{{token}}'}", "", "/capabilities",
		 "needs version 2"},
		{2, "'token_objects':true", "{'t':'{{token}}'}", "", "/operations/charge",
		 "{{token./POINTER}} must stand here"},
		{2, "'tokens':true", "{'t':'{{token}}','d':'{{token./a}}'}", "", "/operations/charge",
		 "\"token_objects\" must be true"},
		{2, "'token_objects':false", "{'d':'{{token./a}}'}", "", "/capabilities",
		 "takes something"},
		{2, "'token_objects':true", "{'d':'{{token.a}}'}", "", "/operations/charge/body/d",
		 "JSON pointer"},
		{2, "'token_objects':true", "{'d':'{{token./a~b}}'}", "", "/operations/charge/body/d",
		 "JSON pointer"},
		{2, "'token_objects':true", "{'d':'{{token./a|lower}}'}", "", "/operations/charge/body/d",
		 "cannot stand here"},
		{2, "'token_objects':true", "{'d':'{{token./a}}'}", ",'headers':{'X':'{{token./a}}'}",
		 "/headers/X", "card data"},
		{2, "'token_objects':true", "{'d':'{{token./a}}'}",
		 ",'computed':[{'name':'c','text':'{{token./a}}'}]", "/computed/0/text", "card data"},
		{2, "'token_objects':true,'tokens':true",
		 "{'s':{'{{token}}':1,'{{token./a}}':'{{token./a}}','{{reason}}':'{{token}}'}}", "",
		 "/operations/charge/body/s/{{token.~1a}}", "put this one before it"},
	};
	static const char refund[] =
		"{'v':2,'capabilities':{'token_objects':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'a':'{{token./a}}'},"
		"'answer':{'rules':[{'status':200,'outcome':'approved'}],'fields':{'bank_reference':'/i'}}},"
		"'refund':{'method':'POST','path':'/r/{{bank_reference}}','body':{'a':'{{token./a}}'},'answer':{'rules':[{'status':200,'outcome':'approved'}]}}}}";

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwConnector *c =
			compiled(cases[i].version, cases[i].capabilities, cases[i].body, cases[i].more);

		if (c != NULL || strcmp(err.pointer, cases[i].pointer) != 0 ||
			strstr(err.message, cases[i].says) == NULL)
			fail_msg("%zu: %s: %s", i, c != NULL ? "compiled" : err.pointer, err.message);
	}
	assert_null(pgw_connector_compile(json(refund), sizeof(refund) - 1, &err));
	assert_string_equal(err.pointer, "/operations/refund");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_apart),
		cmocka_unit_test(mark),
		cmocka_unit_test(mark_of_what_it_says),
		cmocka_unit_test(words),
		cmocka_unit_test(sent),
		cmocka_unit_test(as_text),
		cmocka_unit_test(shown),
		cmocka_unit_test(faults),
	};

	return cmocka_run_group_tests_name("token_object", tests, NULL, NULL);
}
