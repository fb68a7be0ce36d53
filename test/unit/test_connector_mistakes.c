/*
 * test_connector_mistakes.c - what a document may not say, because it can only lose money or be a
 * mistake: rules that a proxy's page fits, methods that do something else, paths that lead
 * elsewhere
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

#include "core/connector/connector.h"
#include "quotes.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define YES "{'status':200,'when':{'/s':'ok'},'outcome':'approved'}"
#define ANSWER(rules, fields) \
	"'answer':{'rules':[" rules "],'fields':{'bank_reference':'/id','reference':'/r'" fields "}}"

static PgwConnectorError err;

static PgwConnector *
compiled(const char *headers, const char *operations)
{
	char document[8192];

	snprintf(document, sizeof(document),
			 "{'v':2,'capabilities':{'tokens':true},'headers':{%s},'operations':{%s}}", headers,
			 operations);
	with_quotes(document);
	return pgw_connector_compile(document, strlen(document), &err);
}

/* An operation beside a charge, and an authorization where it needs one. */
static const char *
with_op(const char *op, const char *method, const char *path, const char *rules)
{
	static char operations[4096];

	snprintf(operations, sizeof(operations),
			 "'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'}," ANSWER(
				 YES, "") "}%s,"
						  "'%s':{'method':'%s','path':'%s'," ANSWER("%s", "") "}",
			 strcmp(op, "capture") == 0
				 ? ",'authorize':{'method':'POST','path':'/c','body':{'t':'{{token}}'}," ANSWER(
					   YES, "") "}"
			 : strcmp(op, "lookup_refund") == 0
				 ? ",'refund':{'method':'POST','path':'/c/{{original_ref}}'," ANSWER(YES, "") "}"
				 : "",
			 op, method, path, rules);
	return operations;
}

/* says NULL: it compiles. */
static void
gives(PgwConnector *c, const char *what, const char *pointer, const char *says)
{
	if ((c == NULL) != (says != NULL))
		fail_msg("%s: %s: %s", what, c != NULL ? "compiles" : err.pointer, err.message);
	pgw_connector_free(c);
	if (says == NULL)
		return;
	if (strcmp(err.pointer, pointer) != 0 || strstr(err.message, says) == NULL)
		fail_msg("%s: %s: %s", what, err.pointer, err.message);
}

static void
rule(const char *op, const char *status, const char *when, const char *outcome, const char *says)
{
	char text[512];
	char pointer[96];
	const char *ref =
		strcmp(op, "lookup_refund") == 0 ? "/x/{{transaction_ref}}" : "/x/{{original_ref}}";

	snprintf(text, sizeof(text), YES ",{'status':%s,%s'outcome':'%s'}", status, when, outcome);
	snprintf(pointer, sizeof(pointer), "/operations/%s/answer/rules/1", op);
	gives(compiled("", with_op(op, strstr(op, "look") != NULL ? "GET" : "POST", ref, text)), text,
		  pointer, says);
}

#define NOTHING "'when':{'/e':{'exists':false}},"
#define THERE "'when':{'/e':{'exists':true}},"
#define WORD "'when':{'/e':'gone'},"

/* A proxy or a limit that has never seen the charge. */
static void
not_found(void **state)
{
	static const char *const ops[] = {"lookup_charge", "lookup_refund"};
	static const char *const of_the_way[] = {"401",   "403",   "407",       "408", "425",
											 "429",   "500",   "502",       "503", "504",
											 "'5xx'", "'4xx'", "[404,503]", "'*'"};

	(void) state;
	for (size_t o = 0; o < LENGTH(ops); o++)
	{
		for (size_t i = 0; i < LENGTH(of_the_way); i++)
		{
			rule(ops[o], of_the_way[i], "", "not_found", "a proxy or a limit");
			rule(ops[o], of_the_way[i], NOTHING, "not_found", "a proxy or a limit");
			rule(ops[o], of_the_way[i], WORD, "not_found", NULL);
			rule(ops[o], of_the_way[i], "", "unknown", NULL);
		}
		rule(ops[o], "404", "", "not_found", NULL);
		rule(ops[o], "[404,410]", NOTHING, "not_found", NULL);
		rule(ops[o], "204", "'body':'empty',", "not_found", NULL);
	}
}

static void
yes_and_no(void **state)
{
	static const char *const wide[] = {"502", "'5xx'", "'*'", "[200,503]", "429", "401"};

	(void) state;
	for (size_t i = 0; i < LENGTH(wide); i++)
	{
		static const char *const ops[] = {"void", "refund", "cancel", "reverse", "lookup_charge"};

		for (size_t o = 0; o < LENGTH(ops); o++)
		{
			rule(ops[o], wide[i], "", "approved", "would be a yes");
			rule(ops[o], wide[i], NOTHING, "approved", "would be a yes");
			rule(ops[o], wide[i], THERE, "approved", NULL);
			rule(ops[o], wide[i], "", "declined", "a proxy or a limit");
			rule(ops[o], wide[i], NOTHING, "declined", "a proxy or a limit");
			rule(ops[o], wide[i], WORD, "declined", NULL);
		}
		rule("refund", wide[i], NOTHING, "accepted", "would be a yes");
		rule("refund", wide[i], NOTHING, "not_processed", "not there says nothing");
		rule("refund", wide[i], NOTHING, "rejected", "not there says nothing");
		rule("refund", wide[i], NOTHING, "unknown", NULL);
		rule("ping", wide[i], "", "approved", NULL);
	}
	/* "already voided" has a status of its own; nothing that a charge says has */
	rule("void", "409", "", "approved", NULL);
	rule("void", "404", NOTHING, "approved", NULL);
	rule("lookup_charge", "409", "", "approved", "would be a yes");
	rule("refund", "402", "", "declined", NULL);
	rule("refund", "'4xx'", "", "declined", NULL);
	rule("refund", "503", "", "not_processed", NULL); /* a warning */
}

static void
methods(void **state)
{
	static const char *const asks[] = {"lookup_charge", "lookup_refund", "ping"};
	static const char *const moves[] = {"capture", "void", "refund", "cancel", "reverse"};
	static const char *const all[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

	(void) state;
	for (size_t m = 0; m < LENGTH(all); m++)
	{
		char pointer[64];

		for (size_t i = 0; i < LENGTH(asks); i++)
		{
			snprintf(pointer, sizeof(pointer), "/operations/%s/method", asks[i]);
			gives(compiled("",
						   with_op(asks[i], all[m],
								   i == 1 ? "/x/{{transaction_ref}}" : "/x/{{original_ref}}", YES)),
				  all[m], pointer, m < 2 ? NULL : "must be GET or POST");
		}
		for (size_t i = 0; i < LENGTH(moves); i++)
		{
			snprintf(pointer, sizeof(pointer), "/operations/%s/method", moves[i]);
			gives(compiled("", with_op(moves[i], all[m], "/x/{{original_ref}}", YES)), all[m],
				  pointer,
				  m == 0             ? "must change nothing"
				  : m == 4 && i == 0 ? "takes something away"
									 : NULL);
		}
	}
	gives(compiled("", "'charge':{'method':'GET','path':'/c?t={{token}}'," ANSWER(YES, "") "}"),
		  "charge", "/operations/charge/method", "must change nothing");
}

static void
paths(void **state)
{
	static const struct
	{
		const char *path;
		const char *says;
	} cases[] = {
		{"/x/{{original_ref}}", NULL},
		{"/x.y/..z/...{{original_ref}}", NULL},
		{"/x/%2F%41/{{original_ref}}?a=../b//c&d=%25", NULL},
		{"/x/{{original_ref}}/", NULL},
		{"/x/../{{original_ref}}", "\"..\""},
		{"/./{{original_ref}}", "\"..\""},
		{"/{{original_ref}}/..", "\"..\""},
		{"/{{original_ref}}/.", "\"..\""},
		{"/{{original_ref}}/..?a=b", "\"..\""},
		{"/x/%2e%2E/{{original_ref}}", "\"..\""},
		{"/x/.%2e/{{original_ref}}", "\"..\""},
		{"/x//{{original_ref}}", "empty step"},
		{"//host/{{original_ref}}", "one \\\"/\\\""},
		{"/x\\\\\\\\y/{{original_ref}}", "percent-encoded"},
		{"/x/{{original_ref}}#f", "percent-encoded"},
		{"/x/%zz/{{original_ref}}", "two hex digits"},
		{"/x/{{original_ref}}?q=%4", "two hex digits"},
		{"/x/%00/{{original_ref}}", "control"},
		{"/x/{{original_ref}}?q=%0d%0A", "control"},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		gives(compiled("", with_op("void", "POST", cases[i].path, YES)), cases[i].path,
			  "/operations/void/path",
			  strstr(cases[i].path, "//host") == cases[i].path ? "must begin with one"
															   : cases[i].says);
}

/* What the HTTP layer says, and what would make the answer another one. */
static void
headers(void **state)
{
	static const char *const ours[] = {"Host",          "content-length",  "Transfer-Encoding",
									   "Trailer",       "Accept-Encoding", "Range",
									   "If-None-Match", "keep-alive"};
	char text[200];
	char pointer[64];

	(void) state;
	for (size_t i = 0; i < LENGTH(ours); i++)
	{
		snprintf(text, sizeof(text), "'%s':'x'", ours[i]);
		snprintf(pointer, sizeof(pointer), "/headers/%s", ours[i]);
		gives(compiled(text, with_op("void", "POST", "/x/{{original_ref}}", YES)), ours[i], pointer,
			  "set by the HTTP layer");
	}
	gives(compiled("'X-A':'1','x-a':'2'", with_op("void", "POST", "/x/{{original_ref}}", YES)),
		  "twice", "/headers/x-a", "twice");
	gives(compiled("'X A':'1'", with_op("void", "POST", "/x/{{original_ref}}", YES)), "blank",
		  "/headers/X A", "not a header name");
	gives(
		compiled(
			"",
			"'charge':{'method':'POST','path':'/c','idempotency':{'header':'Key ','lifetime_seconds':9},'body':{'t':'{{token}}'}," ANSWER(
				YES, "") "}"),
		"key", "/operations/charge/idempotency/header", "not a header name");
}

static void
constants(void **state)
{
	static const struct
	{
		const char *field;
		const char *says;
	} cases[] = {
		{"'currency':{'value':'EUR'}", NULL},
		{"'currency':{'value':'eur'}", "ISO 4217"},
		{"'currency':{'value':'abcd'}", "ISO 4217"},
		{"'currency':{'value':'QQQ'}", "ISO 4217"},
		{"'currency':{'value':''}", "ISO 4217"},
		{"'currency':['/c',{'value':'EURO'}]", "ISO 4217"},
		{"'card_last4':{'value':'4242'}", "not the same"},
		{"'card_brand':{'value':'amex'}", NULL},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		char text[1024];
		PgwConnector *c;

		snprintf(text, sizeof(text),
				 "'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'}," ANSWER(
					 YES, ",%s") "}",
				 cases[i].field);
		c = compiled("", text);
		if ((c == NULL) != (cases[i].says != NULL) ||
			(c == NULL && strstr(err.message, cases[i].says) == NULL))
			fail_msg("%s: %s", cases[i].field, c != NULL ? "compiles" : err.message);
		pgw_connector_free(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_found), cmocka_unit_test(yes_and_no), cmocka_unit_test(methods),
		cmocka_unit_test(paths),     cmocka_unit_test(headers),    cmocka_unit_test(constants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
