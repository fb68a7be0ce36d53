/*
 * test_always_there.c - what names the payment, the amount and the key stand in every request, not
 * only somewhere in the document
 *
 * Documents are written with ' for ".
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
#include "core/connector/connector.h"
#include "quotes.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define RULES "'answer':{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}]"
#define FIELDS ",'fields':{'bank_reference':'/id','reference':'/r','amount':'/a','currency':'/c'}}"
#define CHARGE_OF(body) "'charge':{'method':'POST','path':'/c','body':" body "," RULES FIELDS "}"
#define CHARGE \
	CHARGE_OF( \
		"{'r':'{{transaction_ref}}','a':'{{amount}}','t':'{{token}}','n':'{{card_number}}','m':'{{reference}}'}")

static PgwConnectorError err;

static PgwConnector *
compiled(const char *more, const char *operations)
{
	char document[8192];

	snprintf(document, sizeof(document),
			 "{'v':2,'capabilities':{'tokens':true,'cards':true%s},'operations':{%s}}", more,
			 operations);
	with_quotes(document);
	return pgw_connector_compile(document, strlen(document), &err);
}

static void
good(const char *more, const char *operations)
{
	PgwConnector *c = compiled(more, operations);

	if (c == NULL)
		fail_msg("%s: %s (%s)", err.pointer, err.message, operations);
	pgw_connector_free(c);
}

static void
bad(const char *more, const char *operations, const char *pointer, const char *says)
{
	PgwConnector *c = compiled(more, operations);

	if (c != NULL)
		fail_msg("compiles: %s", operations);
	assert_string_equal(err.pointer, pointer);
	if (strstr(err.message, says) == NULL)
		fail_msg("%s", err.message);
}

/* A request about a charge, with this in it. */
static const char *
about(const char *op, const char *headers, const char *body)
{
	static char operations[4096];

	snprintf(operations, sizeof(operations),
			 CHARGE ",'%s':{'method':'POST','path':'/x','headers':{%s},'body':%s," RULES FIELDS "}",
			 op, headers, body);
	return operations;
}

/* Each way in which a placeholder may stand there and not leave. */
static void
identities(void **state)
{
	static const char *const ops[] = {"refund", "void", "cancel", "reverse", "lookup_charge"};
	static const char *const kept[] = {
		"{'x':'{{original_ref}}'}",
		"{'x':{'y':['{{bank_reference}}']}}",
		"{'x':'{{merchant}}-{{original_ref}}'}",
		"{'x':'{{original_ref|base64}}'}",
		"{'x':'{{settings.prefix}}{{original_ref}}'}",
		/* what else stands there may go */
		"{'x':'{{original_ref}}','y':{'{{reason}}':'{{original_ref}}'}}",
		"{'y':{'{{token}}':{'x':'{{original_ref}}'},'{{card_number}}':{'z':'{{original_ref}}'}}}",
	};
	static const char *const lost[] = {
		"{'y':{'{{reason}}':{'x':'{{original_ref}}'}}}",
		"{'y':{'{{reason}}':{'x':'{{original_ref}}'},'{{reference}}':{'x':'{{original_ref}}'}}}",
		"{'y':{'{{token}}':{'x':'{{original_ref}}'},'{{card_number}}':{'z':1}}}",
		"{'y':{'{{token}}':{'x':'{{original_ref}}'}}}",
		"{'y':[1,{'{{bank_fields.a}}':'{{bank_reference}}'}]}",
		"{'x':'{{reason}}{{original_ref}}'}",
		"{'x':'{{original_ref}}/{{bank_fields.shop}}'}",
		"{'x':'{{secret}}{{original_ref}}'}",
		"{'x':1}",
	};

	(void) state;
	for (size_t o = 0; o < LENGTH(ops); o++)
	{
		char pointer[64];

		snprintf(pointer, sizeof(pointer), "/operations/%s", ops[o]);
		for (size_t i = 0; i < LENGTH(kept); i++)
			good("", about(ops[o], "", kept[i]));
		for (size_t i = 0; i < LENGTH(lost); i++)
			bad("", about(ops[o], "", lost[i]), pointer, "which charge it is about");
		/* a header is as good as the body, and goes as well */
		good("", about(ops[o], "'X-Id':'{{original_ref}}'", "{'x':1}"));
		bad("", about(ops[o], "'X-Id':'{{original_ref}}{{reason}}'", "{'x':1}"), pointer,
			"which charge it is about");
	}
	/* by the merchant's reference, which the bank has to know */
	good("", about("refund", "", "{'x':'{{reference}}'}"));
	bad("", about("refund", "", "{'y':{'{{reference}}':{'x':'{{reference}}'}}}"),
		"/operations/refund", "which charge it is about");
	bad("",
		CHARGE_OF(
			"{'r':'{{transaction_ref}}','a':'{{amount}}','t':'{{token}}','n':'{{card_number}}'}") ",'refund':{'method':'POST','path':'/x/{{reference}}'," RULES
			FIELDS "}",
		"/operations/refund", "does not tell the bank");
}

static void
refunds(void **state)
{
	static const char *const kept[] = {"{'x':'{{transaction_ref}}'}"};
	static const char *const lost[] = {"{'y':{'{{reason}}':'{{transaction_ref}}'}}",
									   "{'x':'{{transaction_ref}}{{reason}}'}"};
	char operations[4096];

	(void) state;
	for (size_t i = 0; i < LENGTH(kept) + LENGTH(lost); i++)
	{
		bool is_kept = i < LENGTH(kept);

		snprintf(operations, sizeof(operations),
				 "%s,'lookup_refund':{'method':'POST','path':'/x','body':%s," RULES FIELDS "}",
				 about("refund", "", "{'x':'{{original_ref}}'}"),
				 is_kept ? kept[i] : lost[i - LENGTH(kept)]);
		if (is_kept)
			good("", operations);
		else
			bad("", operations, "/operations/lookup_refund", "which refund it asks for");
	}
}

/* What moves money names how much, and under which reference, in every request or in none. */
static void
charges(void **state)
{
	static const char *const good_bodies[] = {
		"{'t':'{{token}}','n':'{{card_number}}','a':'{{amount}}','r':'{{transaction_ref}}'}",
		"{'y':{'{{token}}':{'t':'{{token}}','a':'{{amount}}'},'{{card_number}}':{'n':'{{card_number}}','b':'{{amount_decimal}}'}}}",
		"{'t':'{{token}}','n':'{{card_number}}'}",
	};
	static const struct
	{
		const char *body;
		const char *says;
	} cases[] = {
		{"{'y':{'{{token}}':{'t':'{{token}}','a':'{{amount}}'},'{{card_number}}':{'n':'{{card_number}}'}}}",
		 "{{amount}} stands in some"},
		{"{'t':'{{token}}','n':'{{card_number}}','a':'{{amount}}{{reason}}'}",
		 "{{amount}} stands in some"},
		{"{'t':'{{token}}','n':'{{card_number}}','y':{'{{reference}}':'{{amount_decimal}}'}}",
		 "{{amount}} stands in some"},
		{"{'t':'{{token}}','n':'{{card_number}}','a':'{{amount}}','r':'{{reference}}/{{transaction_ref}}'}",
		 "{{transaction_ref}} stands in some"},
	};
	char operations[4096];

	(void) state;
	for (size_t i = 0; i < LENGTH(good_bodies); i++)
	{
		snprintf(operations, sizeof(operations),
				 "'charge':{'method':'POST','path':'/c','body':%s," RULES FIELDS "}",
				 good_bodies[i]);
		good("", operations);
	}
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		snprintf(operations, sizeof(operations),
				 "'charge':{'method':'POST','path':'/c','body':%s," RULES FIELDS "}",
				 cases[i].body);
		bad("", operations, "/operations/charge", cases[i].says);
	}
	bad(",'partial_refund':true",
		about("refund", "", "{'x':'{{original_ref}}','y':{'{{reason}}':'{{amount}}'}}"),
		"/operations/refund", "{{amount}} stands in some");
}

/* A key that one repetition leaves out would be a second charge. */
static void
keys(void **state)
{
#define KEYED(header) ",'idempotency':{" header "'lifetime_seconds':9}"

	(void) state;
	good(KEYED(""), CHARGE_OF("{'t':'{{token}}','n':'{{card_number}}','k':'{{idempotency_key}}'}"));
	bad(KEYED(""),
		CHARGE_OF(
			"{'t':'{{token}}','n':'{{card_number}}','k':{'{{reference}}':'{{idempotency_key}}'}}"),
		"/operations/charge", "{{idempotency_key}} must stand in every request");
	bad(KEYED(""),
		CHARGE_OF("{'t':'{{token}}','n':'{{card_number}}','k':'{{reference}}{{idempotency_key}}'}"),
		"/operations/charge", "{{idempotency_key}} must stand in every request");
	good(
		KEYED("'header':'K',"),
		"'charge':{'method':'POST','path':'/c','headers':{'k':'{{merchant}}:{{idempotency_key}}'},'body':{'t':'{{token}}','n':'{{card_number}}'}," RULES
			FIELDS "}");
	bad(KEYED("'header':'K',"),
		"'charge':{'method':'POST','path':'/c','headers':{'k':'{{reference}}:{{idempotency_key}}'},'body':{'t':'{{token}}','n':'{{card_number}}'}," RULES
			FIELDS "}",
		"/operations/charge", "another value");
}

/* What is computed of it names it as far as the bank can read it; a key need only be another one.
 */
static void
computed(void **state)
{
	static const struct
	{
		const char *computed;
		bool names;
		bool says_key;
	} cases[] = {
		{"{'name':'p','text':['{{original_ref}}',';{{idempotency_key}}'],'as':'base64'}", true,
		 true},
		{"{'name':'p','text':'{{original_ref}}{{reason}}{{idempotency_key}}','as':'base64'}", false,
		 false},
		{"{'name':'p','sha256':'{{original_ref}};{{idempotency_key}}','as':'hex'}", false, true},
		{"{'name':'p','sha256':'{{original_ref}};{{nonce}}','as':'hex'}", false, true},
		{"{'name':'p','text':'{{merchant}}','as':'base64'}", false, false},
	};
	char document[4096];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		for (int key = 0; key < 2; key++)
		{
			PgwConnector *c;

			snprintf(
				document, sizeof(document),
				"{'v':2,'capabilities':{'tokens':true},'computed':[%s],'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'}," RULES
					FIELDS "},"
				"'refund':{'method':'POST',%s," RULES FIELDS "}}}",
				cases[i].computed,
				key ? "'path':'/x/{{original_ref}}','headers':{'K':'{{computed.p}}'},'idempotency':{'header':'K','lifetime_seconds':9}"
					: "'path':'/x','body':{'p':'{{computed.p}}'}");
			with_quotes(document);
			c = pgw_connector_compile(document, strlen(document), &err);
			if ((c != NULL) != (key ? cases[i].says_key : cases[i].names))
				fail_msg("case %zu: %s", i, c != NULL ? "compiles" : err.message);
			pgw_connector_free(c);
		}
	}
}

/* A setting that the row lacks leaves nothing nameless. */
static void
settings(void **state)
{
	static const char *const bodies[] = {"{'x':'{{settings.prefix}}{{original_ref}}'}",
										 "{'x':'{{computed.p}}'}"};
	char document[4096];
	PgwRendered rendered;

	(void) state;
	for (size_t i = 0; i < LENGTH(bodies); i++)
	{
		PgwCallParams p = {.original_ref = "o", .transaction_ref = "t", .settings = "{}"};
		PgwConnector *c;

		snprintf(
			document, sizeof(document),
			"{'v':2,'capabilities':{'tokens':true},'computed':[{'name':'p','text':'{{settings.prefix}}{{original_ref}}'}],'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'}," RULES
				FIELDS "},"
			"'refund':{'method':'POST','path':'/x','body':%s," RULES FIELDS "}}}",
			bodies[i]);
		with_quotes(document);
		c = pgw_connector_compile(document, strlen(document), &err);
		if (c == NULL)
			fail_msg("%s: %s", err.pointer, err.message);
		pgw_rendered_init(&rendered);
		assert_false(pgw_connector_render(c, PGW_OP_REFUND, &p, &rendered, &err));
		if (strstr(err.message, "{{settings.prefix}} has no value") == NULL)
			fail_msg("%s", err.message);
		p.settings = "{\"prefix\":\"p\"}";
		assert_true(pgw_connector_render(c, PGW_OP_REFUND, &p, &rendered, &err));
		assert_string_equal(rendered.body.data, "{\"x\":\"po\"}");
		pgw_rendered_free(&rendered);
		pgw_connector_free(c);
	}
}

/* The merchant gave none: nothing is refunded of who knows whom. */
static void
no_reference(void **state)
{
	PgwCallParams p = {.original_ref = "o", .bank_reference = "b", .transaction_ref = "t"};
	PgwConnector *c = compiled("", about("refund", "", "{'x':'{{reference}}'}"));
	PgwRendered rendered;

	(void) state;
	assert_non_null(c);
	pgw_rendered_init(&rendered);
	assert_false(pgw_connector_render(c, PGW_OP_REFUND, &p, &rendered, &err));
	assert_non_null(strstr(err.message, "{{reference}}"));
	p.reference = "order 1";
	assert_true(pgw_connector_render(c, PGW_OP_REFUND, &p, &rendered, &err));
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identities),   cmocka_unit_test(refunds),  cmocka_unit_test(charges),
		cmocka_unit_test(keys),         cmocka_unit_test(computed), cmocka_unit_test(settings),
		cmocka_unit_test(no_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
