/*
 * test_connector_warnings.c - what is said of a connector that compiles
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

#include "core/connector/compiled.h"
#include "core/connector/connector.h"
#include "documents.h"
#include "quotes.h"

#define MAX 20
#define RULES(rules) \
	"{'rules':[" rules "],'fields':{'reference':'/r','amount':'/a','currency':'/c'}}"
#define YES "{'status':200,'when':{'/s':'ok'},'outcome':'approved'}"
#define BODY \
	"'body':{'r':'{{transaction_ref}}','a':'{{amount}}','c':'{{currency}}','t':'{{token}}'}"
#define CHARGE(body, answer) "'charge':{'method':'POST','path':'/c'," body ",'answer':" answer "}"

static PgwConnectorError list[MAX];

static PgwConnector *
compiled(const char *capabilities, const char *operations)
{
	char document[8192];
	PgwConnectorError err;
	PgwConnector *c;

	snprintf(document, sizeof(document),
			 "{'v':2,'capabilities':{'tokens':true%s},'operations':{%s}}", capabilities,
			 operations);
	with_quotes(document);
	c = pgw_connector_compile(document, strlen(document), &err);
	if (c == NULL)
		fail_msg("at %s: %s", err.pointer, err.message);
	return c;
}

/* Exactly one warning, there, that says this; none: NULL. */
static void
warns(const char *capabilities, const char *operations, const char *pointer, const char *part)
{
	PgwConnector *c = compiled(capabilities, operations);
	int n = pgw_connector_warnings(c, list, MAX);

	pgw_connector_free(c);
	if (n != (pointer != NULL))
		fail_msg("%d warnings; %s: %s", n, n > 0 ? list[0].pointer : "",
				 n > 0 ? list[0].message : "");
	if (pointer == NULL)
		return;
	assert_string_equal(list[0].pointer, pointer);
	if (strstr(list[0].message, part) == NULL)
		fail_msg("%s", list[0].message);
}

static void
rules(const char *more, const char *pointer, const char *part)
{
	char operations[4096];

	snprintf(operations, sizeof(operations),
			 "'charge':{'method':'POST','path':'/c'," BODY ",'answer':" RULES("%s") "}", more);
	warns("", operations, pointer, part);
}

static void
test_approvals(void **state)
{
	(void) state;
	rules(YES, NULL, NULL);
	rules("{'status':[200,201,'2xx'],'when':{'/s':'ok'},'outcome':'approved'}", NULL, NULL);
	rules("{'status':'*','when':{'/s':'ok'},'outcome':'approved'}",
		  "/operations/charge/answer/rules/0", "other than 2xx");
	rules("{'status':[200,409],'when':{'/s':'ok'},'outcome':'approved'}",
		  "/operations/charge/answer/rules/0", "other than 2xx");
	rules("{'status':200,'outcome':'approved'}", "/operations/charge/answer/rules/0",
		  "whatever it says");
	/* that something is missing is nothing that it says */
	rules("{'status':200,'when':{'/e':{'exists':false}},'outcome':'approved'}",
		  "/operations/charge/answer/rules/0", "whatever it says");
	rules("{'status':200,'when':{'/e':{'exists':false},'/i':{'exists':true}},'outcome':'approved'}",
		  NULL, NULL);
	/* nothing else says that it is done */
	rules(YES ",{'status':'4xx','outcome':'rejected'},{'status':'*','outcome':'unknown'}", NULL,
		  NULL);
}

static void
test_rules_never_asked(void **state)
{
	static const char *const hidden[] = {
		YES "," YES,
		/* a narrower one behind a wider one */
		YES ",{'status':200,'when':{'/s':'ok','/x':1},'outcome':'declined'}",
		"{'status':'2xx','when':{'/s':['ok','done']},'outcome':'approved'},{'status':200,'when':{'/s':'ok'},'outcome':'pending'}",
		"{'status':200,'when':{'/s':{'exists':true}},'outcome':'approved'},{'status':200,'when':{'/s':'no'},'outcome':'declined'}",
		"{'status':400,'outcome':'rejected'},{'status':400,'when':{'/e':5},'outcome':'declined'}",
		"{'status':['*'],'outcome':'unknown'},{'status':400,'outcome':'rejected'}",
		"{'status':400,'outcome':'pending'},{'status':400,'outcome':'pending'}",
		"{'status':200,'when':{'/r':'{{transaction_ref}}'},'outcome':'approved'},{'status':200,'when':{'/r':'{{transaction_ref}}'},'outcome':'declined'}",
	};
	static const char *const asked[] = {
		YES ",{'status':200,'when':{'/s':'no'},'outcome':'declined'}",
		YES ",{'status':201,'when':{'/s':'ok'},'outcome':'declined'}",
		YES ",{'status':'2xx','when':{'/s':'ok'},'outcome':'declined'}",
		YES ",{'status':200,'when':{'/t':'ok'},'outcome':'declined'}",
		YES ",{'status':200,'when':{'/s':['ok','no']},'outcome':'declined'}",
		"{'status':200,'when':{'/s':1},'outcome':'approved'},{'status':200,'when':{'/s':'1'},'outcome':'declined'}",
		"{'status':200,'when':{'/s':{'exists':false}},'outcome':'unknown'},{'status':200,'when':{'/s':'1'},'outcome':'declined'}",
		"{'status':200,'when':{'/s':'ok'},'outcome':'approved'},{'status':200,'when':{'/s':{'exists':true}},'outcome':'declined'}",
		/* what cannot be read passes the first */
		"{'status':400,'outcome':'pending'},{'status':400,'outcome':'rejected'}",
		"{'status':200,'when':{'/r':'{{transaction_ref}}'},'outcome':'approved'},{'status':200,'when':{'/r':'{{original_ref}}'},'outcome':'declined'}",
		"{'status':200,'when':{'/r':'a{{transaction_ref}}'},'outcome':'approved'},{'status':200,'when':{'/r':'{{transaction_ref}}'},'outcome':'declined'}",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		rules(hidden[i], "/operations/charge/answer/rules/1", "never asked");
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		rules(asked[i], NULL, NULL);
}

static void
test_amounts(void **state)
{
	(void) state;
	warns(
		"",
		CHARGE("'body':{'r':'{{transaction_ref}}','c':'{{currency}}','t':'{{token}}'}", RULES(YES)),
		"/operations/charge", "{{amount}}");
	warns("", CHARGE("'body':{'a':'{{amount}}','c':'{{currency}}','t':'{{token}}'}", RULES(YES)),
		  "/operations/charge", "{{transaction_ref}}");
	warns("", CHARGE(BODY, "{'rules':[" YES "],'fields':{'amount':'/a'}}"),
		  "/operations/charge/answer/fields", "\"currency\"");
}

#define REFUND(body) \
	"'refund':{'method':'POST','path':'/r/{{original_ref}}'," body ",'answer':" RULES(YES) "}"
#define LOOKUP_REFUND \
	"'lookup_refund':{'method':'GET','path':'/r/{{transaction_ref}}','answer':" RULES(YES) "}"

static void
test_parts(void **state)
{
	(void) state;
	warns(
		",'lookup_consistent_after_seconds':2,'partial_refund':true",
		CHARGE(BODY, RULES(YES)) "," REFUND("'body':{'r':'{{transaction_ref}}'}") "," LOOKUP_REFUND,
		"/operations/refund", "all of it");
	warns(",'lookup_consistent_after_seconds':2,'partial_refund':true",
		  CHARGE(BODY, RULES(YES)) "," REFUND("'body':{'a':'{{amount}}'}") "," LOOKUP_REFUND, NULL,
		  NULL);
	warns(
		",'lookup_consistent_after_seconds':2",
		CHARGE(BODY, RULES(YES)) "," REFUND("'body':{'r':'{{transaction_ref}}'}") "," LOOKUP_REFUND,
		NULL, NULL);
}

/* A bank that takes a second refund for the first one is told by a name in its answer, or not at
 * all. */
static void
test_refund_names(void **state)
{
	static const struct
	{
		const char *capabilities;
		const char *fields;
		bool warned;
	} cases[] = {{",'partial_refund':true", "'amount':'/a'", true},
				 {",'partial_refund':true", "'reference':'/r'", false},
				 {",'partial_refund':true", "'bank_reference':'/id'", false},
				 {"", "'amount':'/a'", false}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char operations[2048];
		char capabilities[128];

		snprintf(
			operations, sizeof(operations),
			CHARGE(
				BODY,
				RULES(
					YES)) ",'refund':{'method':'POST','path':'/r/{{original_ref}}','body':{'a':'{{amount}}'},'answer':{'rules':[" YES
						  "],'fields':{%s}}}," LOOKUP_REFUND,
			cases[i].fields);
		snprintf(capabilities, sizeof(capabilities), ",'lookup_consistent_after_seconds':2%s",
				 cases[i].capabilities);
		warns(capabilities, operations, cases[i].warned ? "/operations/refund/answer/fields" : NULL,
			  "a second refund");
	}
}

/* "Already voided" is a yes, where the bank says so with a status of its own. */
static void
test_done_before(void **state)
{
	static const char *const statuses[] = {"409", "'4xx'"};

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		char operations[2048];

		snprintf(
			operations, sizeof(operations),
			CHARGE(
				BODY,
				RULES(
					YES)) ",'void':{'method':'POST','path':'/v/{{original_ref}}',"
						  "'answer':{'rules':[{'status':%s,'when':{'/e':'voided'},'outcome':'approved'}]}}",
			statuses[i]);
		warns("", operations, i == 0 ? NULL : "/operations/void/answer/rules/0", "other than 2xx");
	}
}

/* A no of something between us and the bank. */
static void
test_refusals(void **state)
{
	static const struct
	{
		const char *rule;
		const char *part;
	} cases[] = {
		{"{'status':402,'outcome':'declined'}", "for good"},
		{"{'status':'4xx','outcome':'declined'}", "for good"},
		{"{'status':402,'when':{'/c':'51'},'outcome':'declined'}", NULL},
		{"{'status':400,'outcome':'rejected'}", NULL},
		{"{'status':[401,'5xx'],'outcome':'rejected'}", "5xx"},
		{"{'status':503,'outcome':'not_processed'}", "5xx"},
		{"{'status':'*','outcome':'not_processed'}", "5xx"},
		{"{'status':503,'when':{'/c':'91'},'outcome':'not_processed'}", NULL},
		{"{'status':'5xx','outcome':'unknown'}", NULL},
		{"{'status':402,'when':{'/e':{'exists':false}},'outcome':'declined'}", "for good"},
		{"{'status':402,'when':{'/e':{'exists':true}},'outcome':'declined'}", NULL},
	};
	char all[300];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		snprintf(all, sizeof(all), YES ",%s", cases[i].rule);
		rules(all, cases[i].part != NULL ? "/operations/charge/answer/rules/1" : NULL,
			  cases[i].part);
	}
}

static void
test_not_found(void **state)
{
	static const struct
	{
		const char *rule;
		const char *part;
	} cases[] = {
		{"{'status':404,'outcome':'not_found'}", "gateway"},
		{"{'status':404,'when':{'/e':{'exists':false}},'outcome':'not_found'}", "gateway"},
		{"{'status':404,'when':{'/e':'unknown_order'},'outcome':'not_found'}", NULL},
		{"{'status':'4xx','when':{'/e':'unknown_order'},'outcome':'not_found'}", NULL},
		/* said by a proxy, as a rule */
		{"{'status':[404,429],'when':{'/e':'unknown_order'},'outcome':'not_found'}",
		 "a limit gives"},
		{"{'status':'5xx','when':{'/e':'unknown_order'},'outcome':'not_found'}", "a limit gives"},
		{"{'status':'*','when':{'/e':'unknown_order'},'outcome':'not_found'}", "a limit gives"},
	};
	char operations[2048];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		snprintf(operations, sizeof(operations),
				 CHARGE(BODY, RULES(YES)) ",'lookup_charge':{'method':'GET','path':'/c/"
										  "{{original_ref}}','answer':" RULES(YES ",%s") "}",
				 cases[i].rule);
		warns("", operations,
			  cases[i].part != NULL ? "/operations/lookup_charge/answer/rules/1" : NULL,
			  cases[i].part);
	}
}

/* The other request of a look-up is looked at as the first is. */
static void
test_lookup_by_id(void **state)
{
	static const char answer[] =
		"{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'},{'status':404,%s'outcome':'not_found'}],"
		"'fields':{'reference':'/r','bank_reference':'/i','amount':'/a','currency':'/c'}}";
	char good[400];
	char bad[400];
	char operations[3000];

	(void) state;
	snprintf(good, sizeof(good), answer, "'when':{'/e':'unknown_order'},");
	snprintf(bad, sizeof(bad), answer, "");
	for (int i = 0; i < 2; i++)
	{
		snprintf(operations, sizeof(operations),
				 "'charge':{'method':'POST','path':'/c'," BODY ",'answer':{'rules':[" YES
				 "],'fields':{'bank_reference':'/i','amount':'/a','currency':'/c'}}},"
				 "'lookup_charge':{'method':'GET','path':'/c?r={{original_ref}}','answer':%s},"
				 "'lookup_by_id':{'method':'GET','path':'/c/{{bank_reference}}','answer':%s}",
				 good, i == 0 ? bad : good);
		warns("", operations, i == 0 ? "/operations/lookup_by_id/answer/rules/1" : NULL, "gateway");
	}
}

static void
test_sums(void **state)
{
	static const char *const wheres[] = {"", "'where':{'/s':'done'},'except':{'/s':'failed'},",
										 "'where':{'/s':{'exists':true},'/d':true},",
										 "'where':{'/s':'done'},"};
	char operations[2048];

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		snprintf(
			operations, sizeof(operations),
			CHARGE(
				BODY,
				"{'rules':[" YES
				"],'fields':{'amount':'/a','currency':'/c','refunded':['/n',{'sum':'/l','of':'/a',%s'more':false}]}}"),
			wheres[i]);
		warns("", operations, i % 3 == 0 ? "/operations/charge/answer/fields/refunded" : NULL,
			  i == 0 ? "has failed, too" : "\"except\"");
	}
}

/* A list that can go on elsewhere is no sum then. */
static void
test_long_sums(void **state)
{
	(void) state;
	warns(
		"",
		CHARGE(
			BODY,
			"{'rules':[" YES
			"],'fields':{'amount':'/a','currency':'/c','refunded':{'sum':'/l','of':'/a','where':{'/s':'done'},'except':{'/s':'failed'},'more':'/m'}}}"),
		"/operations/charge/answer/fields/refunded", "goes on elsewhere");
}

/* The vendors' lists of statuses stand in the documents, and each status has its rule. */
static void
test_shipped_statuses(void **state)
{
	static const struct
	{
		const char *path;
		PgwBankOp ops[8];
		int nops;
	} shipped[] = {{"src/connectors/stripe.json",
					{PGW_OP_CHARGE, PGW_OP_AUTHORIZE, PGW_OP_CAPTURE, PGW_OP_VOID, PGW_OP_REFUND,
					 PGW_OP_LOOKUP_CHARGE, PGW_OP_LOOKUP_REFUND},
					7},
				   {"src/connectors/checkout.json",
					{PGW_OP_CHARGE, PGW_OP_AUTHORIZE, PGW_OP_LOOKUP_CHARGE},
					3},
				   {"src/connectors/adyen.json", {PGW_OP_CHARGE, PGW_OP_AUTHORIZE}, 2},
				   {"src/connectors/mollie.json",
					{PGW_OP_CHARGE, PGW_OP_REFUND, PGW_OP_LOOKUP_CHARGE, PGW_OP_LOOKUP_REFUND},
					4}};

	(void) state;
	for (int d = 0; d < 4; d++)
	{
		PgwConnector *c = compile(read_document(shipped[d].path));
		int n = pgw_connector_warnings(c, list, MAX);

		assert_int_equal(c->lookup_by_id.answer.ndeclared, c->lookup_by_id.present);
		for (int i = 0; i < shipped[d].nops; i++)
			assert_int_equal(c->ops[shipped[d].ops[i]].answer.ndeclared, 1);
		for (int i = 0; i < n; i++)
		{
			if (strstr(list[i].message, "no rule says") != NULL ||
				strstr(list[i].message, "none of the values") != NULL)
				fail_msg("%s: %s: %s", shipped[d].path, list[i].pointer, list[i].message);
		}
		pgw_connector_free(c);
	}
}

/* More than there is room for are counted. */
static void
test_room(void **state)
{
	PgwConnector *c = compiled(
		"", CHARGE("'body':{'t':'{{token}}'}", "{'rules':[{'status':200,'outcome':'approved'}]}"));

	(void) state;
	list[1].pointer[0] = '#';
	assert_int_equal(pgw_connector_warnings(c, list, 1), 5);
	assert_int_equal(list[1].pointer[0], '#');
	pgw_connector_free(c);
}

#define STATUSES(values, rules, fields) \
	"'charge':{'method':'POST','path':'/c'," BODY ",'answer':{'statuses':{'/s':" values \
	"},'rules':[" rules "],'fields':{" fields "'reference':'/r','amount':'/a','currency':'/c'}}}"

static void
test_statuses(void **state)
{
	static const char at[] = "/operations/charge/answer/statuses";

	(void) state;
	warns("", STATUSES("['ok']", YES, ""), NULL, NULL);
	warns("", STATUSES("['ok','held']", YES, ""), at, "no rule says what \"held\" at /s means");
	warns("",
		  STATUSES("['ok','held']", YES ",{'status':'*','when':{'/s':'held'},'outcome':'unknown'}",
				   ""),
		  NULL, NULL);
	warns("", STATUSES("['ok',7]", YES, ""), at, "what 7 at /s means");
	/* a rule without a value names none, and one of another place neither */
	warns("", STATUSES("['ok','held']", YES ",{'status':202,'outcome':'unknown'}", ""), at, "held");
	warns("",
		  STATUSES("['ok','held']", YES ",{'status':202,'when':{'/t':'held'},'outcome':'unknown'}",
				   ""),
		  at, "held");
	warns("",
		  STATUSES("['ok']", YES ",{'status':202,'when':{'/s':'okay'},'outcome':'unknown'}", ""),
		  "/operations/charge/answer/rules/1", "\"okay\" is none of the values");
	warns("", STATUSES("['1']", "{'status':200,'when':{'/s':['1',1]},'outcome':'approved'}", ""),
		  "/operations/charge/answer/rules/0", "1 is none");
	warns("",
		  STATUSES("['ok']", YES, "'captured':[{'when':{'/s':'done'},'from':'/a'},{'value':0}],"),
		  "/operations/charge/answer/fields/captured", "\"done\" is none");
	warns("", STATUSES("['ok']", YES, "'voided':{'/s':'gone'},"),
		  "/operations/charge/answer/fields/voided", "\"gone\" is none");
}

static void
statuses_refused(const char *statuses, const char *pointer)
{
	char document[2048];
	PgwConnectorError err;

	snprintf(
		document, sizeof(document),
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c'," BODY
		",'answer':{'statuses':%s,'rules':[" YES "]}}}}",
		statuses);
	with_quotes(document);
	assert_null(pgw_connector_compile(document, strlen(document), &err));
	assert_string_equal(err.pointer, pointer);
}

static void
test_statuses_refused(void **state)
{
	(void) state;
	statuses_refused("{}", "/operations/charge/answer/statuses");
	statuses_refused("['ok']", "/operations/charge/answer/statuses");
	statuses_refused("{'s':['ok']}", "/operations/charge/answer/statuses/s");
	statuses_refused("{'/s':[]}", "/operations/charge/answer/statuses/~1s");
	statuses_refused("{'/s':{'exists':true}}", "/operations/charge/answer/statuses/~1s");
	statuses_refused("{'/s':'{{original_ref}}'}", "/operations/charge/answer/statuses/~1s");
}

#define ACTION YES ",{'status':202,'when':{'/s':'redirect'},'outcome':'requires_action'}"

static void
test_action(void **state)
{
	(void) state;
	rules(ACTION, "/operations/charge/answer/rules/1", "nothing can undo");
	warns(
		"",
		CHARGE(
			BODY,
			RULES(ACTION)) ",'cancel':{'method':'POST','path':'/v','body':{'c':'{{original_ref}}'},"
						   "'answer':" RULES(YES) "}",
		NULL, NULL);
}

/*
 * Version 1 leaves open what becomes of errors: it is told what to change.  Version 2 forgets them,
 * and what nobody heard of one is charged once more, unless a look-up counts before that.
 */
static void
test_errors_of_keys(void **state)
{
	static const struct
	{
		int version;
		const char *says;
		const char *lookup;
		const char *warned;
	} cases[] = {
		{1, "", "", "/capabilities/idempotency"},
		{1, ",'replays_errors':true", "", NULL},
		{2, "", "", "/operations/charge"},
		{2, ",'remembers':'2xx'", "", "/operations/charge"},
		{2, ",'remembers':'2xx'",
		 ",'lookup_charge':{'method':'GET','path':'/c?q={{original_ref}}','answer':" RULES(YES) "}",
		 NULL},
		{2, ",'remembers':'all'", "", NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char document[4096];
		PgwConnectorError err;
		PgwConnector *c;
		int n;

		snprintf(
			document, sizeof(document),
			"{'v':%d,'capabilities':{'tokens':true%s,'idempotency':{'header':'K','lifetime_seconds':9%s}},"
			"'operations':{" CHARGE(BODY, RULES(YES)) "%s}}",
			cases[i].version,
			cases[i].lookup[0] != '\0' ? ",'lookup_consistent_after_seconds':2" : "", cases[i].says,
			cases[i].lookup);
		with_quotes(document);
		if ((c = pgw_connector_compile(document, strlen(document), &err)) == NULL)
			fail_msg("at %s: %s", err.pointer, err.message);
		n = pgw_connector_warnings(c, list, MAX);
		pgw_connector_free(c);
		if (n != (cases[i].warned != NULL) ||
			(n > 0 && strcmp(list[0].pointer, cases[i].warned) != 0))
			fail_msg("case %zu: %d warnings", i, n);
	}
}

#define ACCEPTS \
	"{'rules':[{'status':202,'when':{'/s':'taken'},'outcome':'accepted'}],'fields':{'bank_reference':'/id'}}"
#define SHOWS_MONEY \
	"{'rules':[" YES \
	"],'fields':{'reference':'/r','amount':'/a','currency':'/c','captured':'/t','refunded':'/b'}}"

/*
 * By the charge alone an order counts as done when it is shown, though it may fail after that; and
 * where it has a look-up by an id that was not heard, for a month as accepted.
 */
static void
test_accepted(void **state)
{
	static const char *const lookups[] = {
		",'lookup_charge':{'method':'GET','path':'/c?q={{original_ref}}','answer':" SHOWS_MONEY "}",
		",'lookup_charge':{'method':'GET','path':'/c?q={{original_ref}}','answer':" SHOWS_MONEY "}"
		",'lookup_refund':{'method':'GET','path':'/r?q={{transaction_ref}}','answer':" RULES(
			YES) "}",
		",'lookup_charge':{'method':'GET','path':'/c?q={{original_ref}}','answer':" SHOWS_MONEY "}"
		",'lookup_refund':{'method':'GET','path':'/r/{{operation_reference}}','answer':{'rules':[" YES
		"],'fields':{'bank_reference':'/id'}}}",
	};
	static const char *const words[] = {"counts as done as soon", NULL, "by that id alone"};
	char operations[4096];

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		snprintf(
			operations, sizeof(operations),
			CHARGE(
				BODY,
				RULES(
					YES)) ",'refund':{'method':'POST','path':'/r','body':{'c':'{{original_ref}}','a':'{{amount}}'},'answer':" ACCEPTS
						  "}%s",
			lookups[i]);
		warns(",'partial_refund':true,'lookup_consistent_after_seconds':2", operations,
			  words[i] != NULL ? "/operations/refund" : NULL, words[i]);
	}
}

/* A bank that approves all or nothing need not name the amount. */
static void
test_partial_approval(void **state)
{
	static const char charge[] = CHARGE(BODY, "{'rules':[" YES "],'fields':{'reference':'/r'}}");
	static const char *const wrong[] = {"'always'", "true", "null"};
	char document[1024];
	PgwConnectorError err;

	(void) state;
	warns("", charge, "/operations/charge/answer/fields", "an approval of a part");
	warns(",'partial_approval':'never'", charge, NULL, NULL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		snprintf(document, sizeof(document),
				 "{'v':2,'capabilities':{'tokens':true,'partial_approval':%s},'operations':{%s}}",
				 wrong[i], charge);
		with_quotes(document);
		assert_null(pgw_connector_compile(document, strlen(document), &err));
		assert_string_equal(err.pointer, "/capabilities/partial_approval");
		assert_string_equal(err.message, "must be \"never\"");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_partial_approval),
		cmocka_unit_test(test_long_sums),
		cmocka_unit_test(test_shipped_statuses),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_statuses_refused),
		cmocka_unit_test(test_action),
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_errors_of_keys),
		cmocka_unit_test(test_approvals),
		cmocka_unit_test(test_rules_never_asked),
		cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_refund_names),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_done_before),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_lookup_by_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
