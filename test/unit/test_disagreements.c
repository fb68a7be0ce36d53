/*
 * test_disagreements.c - places of a connector that contradict each other: what is said of them,
 * and that it is not said of what is right
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
#define MAX 20
#define YES "{'status':200,'when':{'/s':'ok'},'outcome':'approved'}"
#define ANSWER(rules, fields) \
	"'answer':{'rules':[" rules "],'fields':{'bank_reference':'/id','reference':'/r'" fields "}}"
#define SAYS(more) ",'amount':'/a','currency':'/c'" more
#define CHARGE(amount, currency, rules, fields) \
	"'charge':{'method':'POST','path':'/c','body':{'r':'{{transaction_ref}}','t':'{{token}}'," \
	"'sum':{'v':'" amount "','cur':" currency "}}," ANSWER(rules, fields) "}"
#define AUTHORIZE(amount, fields) \
	"'authorize':{'method':'POST','path':'/a','body':{'r':'{{transaction_ref}}','t':'{{token}}'," \
	"'a':'" amount "','c':'{{currency}}'}," ANSWER(YES, fields) "}"
#define AFTER(op, body) \
	"'" op "':{'method':'POST','path':'/x/{{original_ref}}','body':{" body "}," ANSWER(YES, "") "}"
#define LOOK(fields) \
	"'lookup_charge':{'method':'GET','path':'/c/{{original_ref}}'," ANSWER(YES, fields) "}"
#define MINOR CHARGE("{{amount}}", "'{{currency}}'", YES, SAYS(""))

static PgwConnectorError list[MAX];
static PgwConnectorError err;

static PgwConnector *
compiled(const char *more, const char *operations)
{
	static char document[8192];

	snprintf(document, sizeof(document),
			 "{'v':2,'capabilities':{'tokens':true},'operations':{%s}%s}", operations, more);
	with_quotes(document);
	return pgw_connector_compile(document, strlen(document), &err);
}

/* How many warnings say this; each at this place. */
static int
said(const char *more, const char *operations, const char *pointer, const char *part)
{
	PgwConnector *c = compiled(more, operations);
	int found = 0;
	int n;

	if (c == NULL)
		fail_msg("at %s: %s", err.pointer, err.message);
	n = pgw_connector_warnings(c, list, MAX);
	pgw_connector_free(c);
	assert_in_range(n, 0, MAX);
	for (int i = 0; i < n; i++)
	{
		if (strstr(list[i].message, part) == NULL)
			continue;
		if (strcmp(list[i].pointer, pointer) != 0)
			fail_msg("at %s: %s", list[i].pointer, list[i].message);
		found++;
	}
	return found;
}

typedef struct Case
{
	const char *operations;
	const char *pointer; /* of the one warning; NULL: there is none */
} Case;

static void
check(const Case *cases, size_t n, const char *part)
{
	for (size_t i = 0; i < n; i++)
	{
		const char *pointer = cases[i].pointer != NULL ? cases[i].pointer : "";
		int found = said("", cases[i].operations, pointer, part);

		if (found != (cases[i].pointer != NULL))
			fail_msg("case %zu: %d of \"%s\"", i, found, part);
	}
}

static void
units_sent(void **state)
{
	static const Case cases[] = {
		{MINOR "," AFTER("refund", "'a':'{{amount}}'"), NULL},
		{MINOR "," AFTER("refund", "'a':'{{amount_decimal}}'"), "/operations/refund"},
		{MINOR "," AFTER("refund", "'a':'{{amount_decimal|number}}'"), "/operations/refund"},
		{CHARGE("{{amount_decimal}}", "'{{currency}}'", YES,
				",'amount_format':'decimal'") "," AFTER("refund", "'a':'{{amount}}'"),
		 "/operations/refund"},
		{CHARGE("{{amount_decimal}}", "'{{currency}}'", YES,
				",'amount_format':'decimal'") "," AFTER("refund", "'a':'{{amount_decimal}}'"),
		 NULL},
		{AUTHORIZE("{{amount}}", "") "," AFTER("capture", "'a':'{{amount_decimal}}'"),
		 "/operations/capture"},
		/* both of them, or none */
		{MINOR "," AFTER("refund", "'a':'{{amount}}','shown':'{{amount_decimal}}'"), NULL},
		{MINOR "," AFTER("void", "'a':1"), NULL},
	};

	(void) state;
	check(cases, LENGTH(cases), "sends the amount in another unit");
}

static void
units_read(void **state)
{
	static const Case cases[] = {
		{MINOR, NULL},
		{CHARGE("{{amount_decimal}}", "'{{currency}}'", YES, SAYS("")),
		 "/operations/charge/answer/fields"},
		{CHARGE("{{amount_decimal}}", "'{{currency}}'", YES, SAYS(",'amount_format':'decimal'")),
		 NULL},
		{CHARGE("{{amount}}", "'{{currency}}'", YES, SAYS(",'amount_format':'decimal'")),
		 "/operations/charge/answer/fields"},
		{MINOR "," LOOK(",'captured':'/t','amount_format':'decimal'"),
		 "/operations/lookup_charge/answer/fields"},
		{MINOR "," LOOK(",'captured':'/t'"), NULL},
		/* no amount is read */
		{CHARGE("{{amount_decimal}}", "'{{currency}}'", YES, ""), NULL},
	};

	(void) state;
	check(cases, LENGTH(cases), "amounts are read in another unit");
}

static void
currencies(void **state)
{
	static const Case constant[] = {
		{MINOR "," AFTER("refund", "'a':'{{amount}}','cur':'USD'"), "/operations/refund/body"},
		{MINOR "," AFTER("refund", "'sum':{'cur':840}"), "/operations/refund/body"},
		{MINOR "," AFTER("refund", "'a':'{{amount}}','cur':'{{currency}}'"), NULL},
		{MINOR "," AFTER("refund", "'a':'{{amount}}','kind':'USD'"), NULL},
		{CHARGE("{{amount}}", "'USD'", YES, ",'currency':{'value':'USD'}") "," AFTER("refund",
																					 "'cur':'USD'"),
		 NULL},
	};
	static const Case none[] = {
		{MINOR, NULL},
		{CHARGE("{{amount}}", "'USD'", YES, SAYS("")), "/operations/charge"},
		{CHARGE("{{amount}}", "1", YES, ",'amount':'/a','currency':{'value':'USD'}"), NULL},
	};

	(void) state;
	check(constant, LENGTH(constant), "is always the same");
	check(none, LENGTH(none), "names no {{currency}}");
}

static void
totals(void **state)
{
#define CAPTURE AFTER("capture", "'a':'{{amount}}'")
	static const Case cases[] = {
		{AUTHORIZE("{{amount}}", SAYS(",'captured':'/a'")) "," CAPTURE,
		 "/operations/authorize/answer/fields/captured"},
		{AUTHORIZE("{{amount}}", "") "," CAPTURE "," LOOK(SAYS(",'captured':'/a'")),
		 "/operations/lookup_charge/answer/fields/captured"},
		{AUTHORIZE("{{amount}}", "") "," CAPTURE "," LOOK(SAYS(",'captured':'/t'")), NULL},
		{AUTHORIZE("{{amount}}", "") "," CAPTURE "," LOOK(
			 SAYS(",'captured':[{'when':{'/s':'paid'},'from':'/a'},{'value':0}]")),
		 NULL},
		/* nothing is only authorized there */
		{MINOR "," LOOK(SAYS(",'captured':'/a'")), NULL},
	};
	PgwConnector *c;

	(void) state;
	check(cases, LENGTH(cases), "stands where \"amount\" does");
	c = compiled("", MINOR "," LOOK(",'captured':'/t','refunded':'/t'"));
	assert_null(c);
	assert_string_equal(err.pointer, "/operations/lookup_charge/answer/fields/refunded");
	c = compiled("", MINOR "," LOOK(",'captured':'/t','refunded':'/b'"));
	assert_non_null(c);
	pgw_connector_free(c);
	/* one amount, and its status says of what */
	c = compiled("", MINOR "," LOOK(",'captured':{'when':{'/s':'p'},'from':'/t'},"
									"'refunded':{'when':{'/s':'r'},'from':'/t'}"));
	assert_non_null(c);
	pgw_connector_free(c);
}

static void
refusals(void **state)
{
#define NO(status, when) "{'status':" status ",'when':{" when "},'outcome':'declined'}"
#define WITH(rules) CHARGE("{{amount}}", "'{{currency}}'", rules, SAYS(""))
	static const Case cases[] = {
		{WITH(NO("200", "'/e':{'exists':true}") "," YES), "/operations/charge/answer/rules/0"},
		{WITH(YES "," NO("200", "'/e':{'exists':true}")), NULL},
		{WITH(NO("402", "'/e':{'exists':true}") "," YES), NULL},
		{WITH(NO("200", "'/e':'no'") "," YES), NULL},
		{WITH(NO("200", "'/e':{'exists':true},'/paid':{'exists':false}") "," YES), NULL},
	};

	(void) state;
	check(cases, LENGTH(cases), "asked before the approval");
}

#define EVIDENCE(identity, rules) \
	",'notifications':{'signature':{'scheme':'hmac_body','header':'X','as':'hex'}," identity \
	"'fields':{'bank_reference':'/i','reference':'/r','amount':'/a','currency':'/c'},'evidence':[" rules \
	"]}"
#define SAID(when, outcome) "{'when':{" when "},'about':'charge','outcome':'" outcome "'}"
#define ID "'identity':'/n',"

static void
evidence(void **state)
{
	static const struct
	{
		const char *rules;
		int hidden;
	} cases[] = {
		{EVIDENCE(ID, SAID("'/e':'x'", "approved") "," SAID("'/e':'x'", "declined")), 1},
		{EVIDENCE(ID, SAID("'/e':['x','y']", "approved") "," SAID("'/e':'x','/o':1", "declined")),
		 1},
		{EVIDENCE(ID, SAID("'/e':'x','/o':1", "approved") "," SAID("'/e':'x'", "declined")), 0},
		{EVIDENCE(ID, SAID("'/e':'x'", "approved") "," SAID("'/e':'y'", "declined")), 0},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		if (said(cases[i].rules, MINOR, "/notifications/evidence/1", "never asked") !=
			cases[i].hidden)
			fail_msg("case %zu", i);
	}
	assert_int_equal(said(EVIDENCE("", SAID("'/e':'x'", "approved")), MINOR, "/notifications",
						  "without \"identity\""),
					 1);
	assert_int_equal(said(EVIDENCE(ID, SAID("'/e':'x'", "approved")), MINOR, "/notifications",
						  "without \"identity\""),
					 0);
}

/* What changes is looked up, so the look-up shows it. */
static void
changes(void **state)
{
	static const struct
	{
		const char *what;
		const char *fields;
		const char *fault;
	} cases[] = {
		{"'captured':'t'", ",'captured':'/t'", NULL},
		{"'captured':'t'", ",'refunded':'/b','voided':'/v'", "/notifications/changes/captured"},
		{"'refunded':'t'", ",'captured':'/t','voided':'/v'", "/notifications/changes/refunded"},
		{"'voided':'t'", ",'captured':'/t','refunded':'/b'", "/notifications/changes/voided"},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		char more[512];
		char operations[2048];
		PgwConnector *c;

		snprintf(more, sizeof(more),
				 ",'notifications':{'signature':{'scheme':'basic_auth'},'type':'/t',"
				 "'fields':{'reference':'/r'},'changes':{%s}}",
				 cases[i].what);
		snprintf(operations, sizeof(operations), MINOR "," LOOK("%s"), cases[i].fields);
		c = compiled(more, operations);
		if ((c == NULL) != (cases[i].fault != NULL) ||
			(c == NULL && strcmp(err.pointer, cases[i].fault) != 0))
			fail_msg("case %zu: %s: %s", i, c != NULL ? "compiles" : err.pointer, err.message);
		pgw_connector_free(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_sent), cmocka_unit_test(units_read), cmocka_unit_test(currencies),
		cmocka_unit_test(totals),     cmocka_unit_test(refusals),   cmocka_unit_test(evidence),
		cmocka_unit_test(changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
