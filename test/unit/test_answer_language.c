/*
 * test_answer_language.c - what the second version of the connector language says of answers: an
 * element of a list, values by condition, constants, alternatives, sums, tests
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

#include "core/bank_message/judge_answer.h"
#include "compile_quoted.h"

#define OURS "0123456789abcdef0123456789abcdef"
#define CHARGE_REF "ffffffffffffffffffffffffffffffff"
#define OTHER "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

/* Request sides that are always the same; %s: an answer. */
#define DOCUMENT \
	"{'v':%d,'capabilities':{'tokens':true},%s'operations':{" \
	"'charge':{'method':'POST','path':'/c','body':{'r':'{{transaction_ref}}','a':'{{amount}}','t':'{{token}}'},'answer':%s}," \
	"'refund':{'method':'POST','path':'/r','body':{'r':'{{transaction_ref}}','c':'{{original_ref}}'}," \
	"'answer':{'rules':[{'status':200,'outcome':'approved'}]}}," \
	"'lookup_charge':{'method':'GET','path':'/c?r={{original_ref}}','answer':%s}}}"

#define CHARGE "{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}]}"
#define LOOKUP \
	"{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],'fields':{'reference':'/r'}}"

static PgwAnswer answer;
static const char *known_id;

static bool
compile(int version, const char *more, const char *charge, const char *lookup)
{
	return compile_quoted(DOCUMENT, version, more, charge, lookup);
}

static void
compiled(const char *charge, const char *lookup)
{
	COMPILED(compile(2, "", charge, lookup));
}

static void
refused_in(int version, const char *charge, const char *lookup, const char *pointer,
		   const char *message)
{
	assert_false(compile(version, "", charge, lookup));
	assert_string_equal(err.pointer, pointer);
	if (strstr(err.message, message) == NULL)
		fail_msg("%s", err.message);
}

static PgwOutcome
judge(PgwBankOp op, long status, const char *text)
{
	size_t len = strlen(text);
	char *body = malloc(len + 1);
	char *exact = malloc(len > 0 ? len : 1);
	PgwQuestion question = {.op = op,
							.transaction_ref = OURS,
							.original_ref = CHARGE_REF,
							.bank_reference = known_id,
							.currency = "EUR",
							.iso_exponent = 2};

	memcpy(body, text, len + 1);
	with_quotes(body);
	memcpy(exact, body, len);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = status, .body = exact, .len = len}, &answer);
	free(exact);
	free(body);
	return answer.outcome;
}

#define LOOK(body) judge(PGW_OP_LOOKUP_CHARGE, 200, body)

/* ---- an element of a list ---- */

#define FOUND "{'r':'" CHARGE_REF "','s':'ok','id':'ch_1','a':1234}"
#define ANOTHER "{'r':'" OTHER "','s':'ok','id':'ch_2','a':99}"
#define LIST_LOOKUP(where) \
	"{'select':{'in':'/data','where':" where ",'more':'/more'}," \
	"'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'},{'status':200,'when':{'/s':'no'},'outcome':'declined'}," \
	"{'status':404,'outcome':'not_found'},{'status':503,'when':{'/s':{'exists':true}},'outcome':'approved'}]," \
	"'fields':{'bank_reference':'/id','amount':'/a'}}"
#define BY_REF "{'/r':'{{original_ref}}'}"

static void
test_selects_one(void **state)
{
	(void) state;
	compiled(CHARGE, LIST_LOOKUP(BY_REF));
	assert_int_equal(LOOK("{'data':[" ANOTHER "," FOUND "," ANOTHER "],'more':false}"),
					 PGW_OUT_APPROVED);
	assert_string_equal(answer.bank_reference, "ch_1");
	assert_int_equal(answer.amount, 1234);
	assert_int_equal(
		LOOK("{'data':[{'r':'FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF','s':'no'}],'more':null}"),
		PGW_OUT_DECLINED);
	/* what the rules do not know */
	assert_int_equal(LOOK("{'data':[{'r':'" CHARGE_REF "','s':'new'}]}"), PGW_OUT_UNKNOWN);
}

static void
test_selects_none(void **state)
{
	(void) state;
	compiled(CHARGE, LIST_LOOKUP(BY_REF));
	assert_int_equal(LOOK("{'data':[],'more':false}"), PGW_OUT_NOT_FOUND);
	assert_int_equal(LOOK("{'data':[" ANOTHER "]}"), PGW_OUT_NOT_FOUND);
	assert_string_equal(answer.bank_reference, "");
	assert_false(answer.has_amount);
	/* what could be it all the same: test_selection_doubt.c */
	assert_int_equal(LOOK("{'data':[{'r':'x" CHARGE_REF "','s':'ok'}]}"), PGW_OUT_UNKNOWN);
}

/* Two, another page, no list: nothing of it is believed. */
static void
test_selection_in_doubt(void **state)
{
	static const char *const bodies[] = {
		"{'data':[" FOUND "," FOUND "],'more':false}",
		"{'data':[],'more':true}",
		"{'data':[" FOUND "],'more':true}",
		"{'data':[],'more':'page2'}",
		"{'data':[],'more':1}",
		"{'data':[],'more':{}}",
		"{'data':null}",
		"{'data':{}}",
		"{'data':" FOUND "}",
		"{'s':'ok','r':'" CHARGE_REF "'}",
		"{}",
		"[]",
		"<html>",
		"",
	};

	(void) state;
	compiled(CHARGE, LIST_LOOKUP(BY_REF));
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		if (LOOK(bodies[i]) != PGW_OUT_UNKNOWN)
			fail_msg("%s: %s", bodies[i], pgw_outcome_name(answer.outcome));
		assert_string_equal(answer.bank_reference, "");
	}
	/* it does not go on */
	assert_int_equal(LOOK("{'data':[],'more':''}"), PGW_OUT_NOT_FOUND);
	assert_int_equal(LOOK("{'data':[],'more':0}"), PGW_OUT_NOT_FOUND);
}

/* An error is no list: the rules judge it, but it shows no charge. */
static void
test_selection_and_errors(void **state)
{
	(void) state;
	compiled(CHARGE, LIST_LOOKUP(BY_REF));
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 404, "{'error':'none'}"), PGW_OUT_NOT_FOUND);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 503, "{'s':'ok'}"), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, 500, "{'data':[" FOUND "]}"), PGW_OUT_UNKNOWN);
}

static void
test_selects_by_the_banks_id(void **state)
{
	(void) state;
	compiled(
		"{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],'fields':{'bank_reference':'/id'}}",
		"{'select':{'in':'','where':{'/id':'{{bank_reference}}','/type':['charge','sale']},'more':false},"
		"'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],'fields':{'reference':'/r'}}");
	known_id = "12345678901234567890";
	assert_int_equal(LOOK("[{'id':12345678901234567890,'type':'fee','r':'" CHARGE_REF
						  "','s':'no'},{'id':12345678901234567890,'type':'sale','r':'" CHARGE_REF
						  "','s':'ok'}]"),
					 PGW_OUT_APPROVED);
	/* the element still has to be ours */
	assert_int_equal(LOOK("[{'id':12345678901234567890,'type':'sale','r':'" OTHER "','s':'ok'}]"),
					 PGW_OUT_UNKNOWN);
	assert_true(answer.other_reference);
	known_id = NULL;
}

static void
test_refused_selections(void **state)
{
	(void) state;
	refused_in(1, CHARGE, LIST_LOOKUP(BY_REF), "/operations/lookup_charge/answer/select",
			   "version 2");
	refused_in(2,
			   "{'select':{'in':'','where':" BY_REF
			   ",'more':false},'rules':[{'status':200,'outcome':'unknown'}]}",
			   LOOKUP, "/operations/charge/answer/select", "look-ups only");
	refused_in(2, CHARGE, LIST_LOOKUP("{'/s':'ok'}"),
			   "/operations/lookup_charge/answer/select/where", "{{original_ref}}");
	/* an alternative is none of it */
	refused_in(2, CHARGE, LIST_LOOKUP("{'/r':['{{original_ref}}','']}"),
			   "/operations/lookup_charge/answer/select/where", "{{original_ref}}");
	refused_in(2, CHARGE, LIST_LOOKUP("{'/r':'{{secret}}'}"),
			   "/operations/lookup_charge/answer/select/where/~1r", "{{transaction_ref}}");
	refused_in(2, CHARGE, LIST_LOOKUP("{'/r':'{{original_ref}}{{original_ref}}'}"),
			   "/operations/lookup_charge/answer/select/where/~1r", "once");
	refused_in(2, CHARGE, LIST_LOOKUP("{'/r':'{{original_ref'}"),
			   "/operations/lookup_charge/answer/select/where/~1r", "once");
	refused_in(2, CHARGE, "{'select':{'in':'/d','where':" BY_REF "},'rules':[]}",
			   "/operations/lookup_charge/answer/rules", "array");
	refused_in(2, CHARGE,
			   "{'select':{'in':'/d','where':" BY_REF
			   "},'rules':[{'status':200,'outcome':'unknown'}]}",
			   "/operations/lookup_charge/answer/select/more", "false, if");
	refused_in(2, CHARGE,
			   "{'select':{'in':'/d','where':" BY_REF
			   ",'more':true},'rules':[{'status':200,'outcome':'unknown'}]}",
			   "/operations/lookup_charge/answer/select/more", "pointer, or false");
	/* by the bank's id: our reference must be named as ever */
	refused_in(
		2, CHARGE,
		"{'select':{'in':'','where':{'/id':'{{bank_reference}}'},'more':false},'rules':[{'status':200,'outcome':'unknown'}]}",
		"/operations/lookup_charge/answer/fields/reference", "missing");
}

/* ---- what was asked for, in rules ---- */

static void
test_rules_with_references(void **state)
{
	(void) state;
	compiled(
		"{'rules':[{'status':200,'when':{'/ref':'order-{{transaction_ref}}-x'},'outcome':'approved'},{'status':200,'outcome':'rejected'}]}",
		LOOKUP);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{'ref':'order-" OURS "-x'}"), PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{'ref':'order-" OURS "-y'}"), PGW_OUT_REJECTED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{'ref':'Order-" OURS "-x'}"), PGW_OUT_REJECTED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{'ref':'order--x'}"), PGW_OUT_REJECTED);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{'ref':'order-" OTHER "-x'}"), PGW_OUT_REJECTED);
	/* version 1 compares with what stands there */
	assert_true(compile(
		1, "",
		"{'rules':[{'status':200,'when':{'/ref':'{{transaction_ref}}'},'outcome':'approved'}]}",
		LOOKUP));
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{'ref':'" OURS "'}"), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{'ref':'{{transaction_ref}}'}"), PGW_OUT_APPROVED);
}

/* ---- where fields come from ---- */

#define FIELDS(fields) \
	"{'rules':[{'status':200,'when':{'/s':{'exists':true}},'outcome':'approved'}],'fields':{'reference':'/r'," fields \
	"}}"
#define OK(rest) "{'s':'x','r':'" CHARGE_REF "'" rest "}"

static void
test_values_by_condition(void **state)
{
	(void) state;
	compiled(
		CHARGE,
		FIELDS(
			"'captured':[{'when':{'/status':'captured'},'from':'/got'},{'when':{'/status':['authorized','void']},'value':0}]"));
	LOOK(OK(",'status':'captured','got':500"));
	assert_int_equal(answer.captured, 500);
	LOOK(OK(",'status':'authorized','got':500"));
	assert_int_equal(answer.captured, 0);
	/* captured, and how much is not said: not nothing */
	LOOK(OK(",'status':'captured'"));
	assert_int_equal(answer.captured, -1);
	assert_false(answer.charge_state_unreadable);
	LOOK(OK(",'status':'new','got':500"));
	assert_int_equal(answer.captured, -1);
	LOOK(OK(",'status':'captured','got':'much'"));
	assert_int_equal(answer.captured, -1);
	assert_true(answer.charge_state_unreadable);
}

static void
test_alternatives(void **state)
{
	(void) state;
	compiled(
		CHARGE,
		FIELDS(
			"'bank_code':['/error/code','/code',{'value':'none'}],'bank_reference':['/charge/id','/id'],'currency':{'value':'EUR'}"));
	LOOK(OK(",'code':'51','id':'b','charge':{'id':'a'}"));
	assert_string_equal(answer.bank_code, "51");
	assert_string_equal(answer.bank_reference, "a");
	assert_string_equal(answer.currency, "EUR");
	LOOK(OK(",'error':{'code':null},'charge':{'id':null},'id':'b'"));
	assert_string_equal(answer.bank_code, "none");
	assert_string_equal(answer.bank_reference, "b");
	/* an id that is none hides what stands elsewhere */
	LOOK(OK(",'charge':{'id':''},'id':'b'"));
	assert_string_equal(answer.bank_reference, "");
	assert_true(answer.bank_reference_invalid);
	LOOK(OK(",'charge':{'id':null}"));
	assert_true(answer.bank_reference_invalid);
	/* of what cannot be read nothing is said */
	LOOK("<html>");
	assert_string_equal(answer.currency, "");
	assert_string_equal(answer.bank_code, "");
}

static void
test_tests(void **state)
{
	(void) state;
	compiled(CHARGE, FIELDS("'voided':{'/status':['canceled','void'],'/final':true}"));
	LOOK(OK(",'status':'void','final':true"));
	assert_true(answer.has_voided && answer.voided);
	LOOK(OK(",'status':'open','final':true"));
	assert_true(answer.has_voided && !answer.voided);
	/* not said: not "no" */
	LOOK(OK(",'status':'void'"));
	assert_false(answer.has_voided);
	compiled(CHARGE, FIELDS("'voided':[{'/canceled_at':{'exists':true}}]"));
	LOOK(OK(""));
	assert_true(answer.has_voided && !answer.voided);
	LOOK(OK(",'canceled_at':'2026-11-27'"));
	assert_true(answer.voided);
}

#define SUM(rest) \
	"'refunded':{'sum':'/refunds','of':'/amount/value','where':{'/status':['COMPLETED','PENDING']}," \
	"'except':[{'/status':'FAILED'},{'/status':'VOID','/amount':{'exists':false}}]," rest "}"
#define REFUND(status, value) "{'status':'" status "','amount':{'value':" value "}}"

static void
test_sums(void **state)
{
	static const char *const unknown[] = {
		/* one that cannot be read, or cannot be told */
		",'refunds':[" REFUND("PENDING", "'x'") "]",
		",'refunds':[" REFUND("PENDING", "1") ",{'status':'COMPLETED'}]",
		",'refunds':[" REFUND("PENDING", "1") ",{'amount':{'value':3}}]",
		",'refunds':[" REFUND("PENDING", "-1") "]",
		",'refunds':[" REFUND("PENDING", "null") "]",
		",'refunds':[" REFUND("PENDING", "9223372036854775807") "," REFUND("PENDING", "1") "]",
		/* named neither way */
		",'refunds':[" REFUND("PENDING", "1") "," REFUND("REVERSED", "1") "]",
		",'refunds':[" REFUND("PENDING", "1") "," REFUND("VOID", "1") "]",
		",'refunds':[" REFUND("PENDING", "1") "," REFUND("pending", "1") "]",
		",'refunds':[" REFUND("PENDING", "1") ",{'status':null,'amount':{'value':3}}]",
		/* no list */
		",'refunds':{}",
		",'refunds':5",
		/* there is more of it */
		",'refunds':[" REFUND("PENDING", "1") "],'next':'/page2'",
	};

	(void) state;
	compiled(CHARGE, FIELDS(SUM("'more':'/next'")));
	LOOK(OK(",'refunds':[" REFUND("COMPLETED", "100") "," REFUND("FAILED", "'x'") "," REFUND(
		"PENDING", "'23'") ",{'status':'VOID'}],'next':null"));
	assert_int_equal(answer.refunded, 123);
	assert_false(answer.charge_state_unreadable);
	LOOK(OK(",'refunds':[]"));
	assert_int_equal(answer.refunded, 0);
	/* not named at all: not nothing */
	LOOK(OK(""));
	assert_int_equal(answer.refunded, -1);
	assert_false(answer.charge_state_unreadable);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
	{
		char body[512];

		snprintf(body, sizeof(body), "{'s':'x','r':'" CHARGE_REF "'%s}", unknown[i]);
		assert_int_equal(LOOK(body), PGW_OUT_APPROVED);
		if (answer.refunded != -1 || !answer.charge_state_unreadable)
			fail_msg("%s: %d", body, (int) answer.refunded);
	}
}

#define ONE(id, status, value, currency) \
	"{'id':" id ",'s':'" status "','a':" value ",'c':'" currency "'}"

/* In another currency, or there twice, as far as the document can say so. */
static void
test_elements_of_sums(void **state)
{
	static const struct
	{
		const char *list;
		int64_t want;
	} cases[] = {
		{ONE("'r1'", "ok", "5", "EUR") "," ONE("'r2'", "ok", "7", "eur"), 12},
		{ONE("1", "ok", "5", "EUR") "," ONE("2", "ok", "7", "EUR"), 12},
		{ONE("'r1'", "ok", "5", "EUR") "," ONE("'r1'", "ok", "5", "EUR"), -1},
		{ONE("'r1'", "ok", "5", "EUR") "," ONE("'r\\u0031'", "ok", "5", "EUR"), -1},
		{ONE("1", "ok", "5", "EUR") "," ONE("'1'", "ok", "5", "EUR"), -1},
		/* what it was, and what became of it */
		{ONE("'r1'", "no", "5", "EUR") "," ONE("'r1'", "ok", "5", "EUR"), -1},
		{ONE("'r1'", "no", "5", "EUR") "," ONE("'r2'", "ok", "5", "EUR"), 5},
		{ONE("null", "ok", "5", "EUR"), -1},
		{"{'s':'ok','a':5,'c':'EUR'}", -1},
		{ONE("'r1'", "ok", "5", "USD"), -1},
		{ONE("'r1'", "ok", "5", "EURO"), -1},
		{"{'id':'r1','s':'ok','a':5}", -1},
		/* of what does not count the currency is the same */
		{ONE("'r1'", "no", "5", "USD"), 0},
		{"", 0},
	};

	(void) state;
	compiled(
		CHARGE,
		FIELDS(
			"'refunded':{'sum':'/l','of':'/a','where':{'/s':'ok'},'except':{'/s':'no'},'currency':'/c','id':'/id','more':false}"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char body[512];

		snprintf(body, sizeof(body), "{'s':'x','r':'" CHARGE_REF "','l':[%s]}", cases[i].list);
		LOOK(body);
		if (answer.refunded != cases[i].want ||
			answer.charge_state_unreadable != (cases[i].want < 0))
			fail_msg("%s: %d", body, (int) answer.refunded);
	}
}

/* More elements with ids than are compared: no sum. */
static void
test_many_ids(void **state)
{
	char *body = malloc(400 * 40 + 200);

	(void) state;
	compiled(CHARGE, FIELDS("'refunded':{'sum':'/l','of':'/a','id':'/id','more':false}"));
	for (int n = 256; n <= 257; n++)
	{
		size_t len = (size_t) sprintf(body, "{'s':'x','r':'" CHARGE_REF "','l':[");

		for (int i = 0; i < n; i++)
			len += (size_t) sprintf(body + len, "%s{'id':%d,'a':2}", i > 0 ? "," : "", i);
		sprintf(body + len, "]}");
		LOOK(body);
		assert_int_equal(answer.refunded, n == 256 ? 512 : -1);
		assert_int_equal(answer.charge_state_unreadable, n > 256);
	}
	free(body);
}

/* Where there are but two sides, the other one needs no name. */
static void
test_two_sides(void **state)
{
	static const struct
	{
		const char *where;
		const char *list;
		int64_t want;
	} cases[] = {
		{"{'/a':{'exists':true}}", "{'a':5},{'b':7}", 5},
		{"{'/failed_at':{'exists':false}}", "{'a':5},{'a':7,'failed_at':'now'}", 5},
		{"{'/done':true}", "{'a':5,'done':true},{'a':7,'done':false}", 5},
		{"{'/done':true}", "{'a':5,'done':true},{'a':7,'done':null}", -1},
		{"{'/done':true}", "{'a':5,'done':true},{'a':7,'done':'no'}", -1},
		{"{'/r':'{{original_ref}}'}", "{'a':5,'r':'" CHARGE_REF "'},{'a':7,'r':'x'}", 5},
		{"{'/r':['{{original_ref}}','y']}", "{'a':5,'r':'" CHARGE_REF "'},{'a':7,'r':'x'}", -1},
		/* another charge's, in whatever state */
		{"{'/r':'{{original_ref}}','/s':'ok'}", "{'a':7,'r':'x','s':'who knows'}", 0},
		{"{'/r':'{{original_ref}}','/s':'ok'}", "{'a':7,'r':'" CHARGE_REF "','s':'who knows'}", -1},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char text[1024];

		snprintf(text, sizeof(text),
				 FIELDS("'refunded':{'sum':'/l','of':'/a','where':%s,'more':false}"),
				 cases[i].where);
		compiled(CHARGE, text);
		snprintf(text, sizeof(text), "{'s':'x','r':'" CHARGE_REF "','l':[%s]}", cases[i].list);
		LOOK(text);
		if (answer.refunded != cases[i].want)
			fail_msg("%s, %s: %d", cases[i].where, text, (int) answer.refunded);
	}
}

/* A list as long as an answer can be takes no time. */
static void
test_long_lists(void **state)
{
	size_t n = 250000;
	char *body = malloc(n * 4 + 200);
	size_t len;

	(void) state;
	compiled(CHARGE, FIELDS("'refunded':{'sum':'/refunds','of':'','more':false}"));
	len = (size_t) sprintf(body, "{'s':'x','r':'" CHARGE_REF "','refunds':[1");
	for (size_t i = 1; i < n; i++)
		len += (size_t) sprintf(body + len, ",10");
	sprintf(body + len, "]}");
	LOOK(body);
	assert_int_equal(answer.refunded, 1 + ((int64_t) n - 1) * 10);
	free(body);
}

static void
test_refused_fields(void **state)
{
	static const struct
	{
		const char *fields;
		const char *place;
		const char *message;
	} cases[] = {
		{"'amount':{'value':5}", "amount/value", "not the bank's word"},
		{"'bank_reference':{'value':'x'}", "bank_reference/value", "not the bank's word"},
		{"'captured':{'value':5}", "captured/value", "must be 0"},
		{"'captured':{'value':'0'}", "captured/value", "must be 0"},
		{"'voided':{'value':'yes'}", "voided/value", "true or false"},
		{"'currency':{'value':978}", "currency/value", "string"},
		{"'currency':{'sum':'/a','of':'/b','more':false}", "currency/sum", "only \"captured\""},
		{"'captured':{'sum':'/a','more':false}", "captured/of", "missing"},
		{"'captured':{'sum':'/a','of':'/b'}", "captured/more", "missing"},
		{"'captured':{'sum':'/a','of':'/b','except':{'/s':'no'},'more':false}", "captured/except",
		 "no \"where\""},
		{"'captured':{'sum':'/a','of':'/b','where':{'/s':'ok'},'except':[],'more':false}",
		 "captured/except", "empty"},
		{"'captured':{'sum':'/a','of':'/b','where':{'/s':'ok'},'except':[{}],'more':false}",
		 "captured/except/0", "empty"},
		{"'captured':{'sum':'/a','of':'/b','id':5,'more':false}", "captured/id", "string"},
		{"'captured':{'sum':'/a','of':'/b','currency':'c','more':false}", "captured/currency",
		 "pointer"},
		{"'captured':{'sum':'/a','of':'/b','more':true}", "captured/more", "pointer, or false"},
		{"'captured':{'sum':'/a','of':'/b','more':false,'value':0}", "captured/value", "unknown"},
		{"'captured':{'when':{'/a':1}}", "captured/from", "missing"},
		{"'captured':{'when':{},'value':0}", "captured/when", "empty"},
		{"'captured':{}", "captured/from", "missing"},
		{"'captured':[]", "captured", "empty list"},
		{"'captured':[{'value':0},'/a']", "captured/0", "put it last"},
		{"'captured':{'/a':1}", "captured", "only \"voided\""},
		{"'captured':5", "captured", "string"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char lookup[512];
		char place[128];

		snprintf(lookup, sizeof(lookup),
				 "{'rules':[{'status':200,'outcome':'unknown'}],'fields':{'reference':'/r',%s}}",
				 cases[i].fields);
		snprintf(place, sizeof(place), "/operations/lookup_charge/answer/fields/%s",
				 cases[i].place);
		refused_in(2, CHARGE, lookup, place, cases[i].message);
	}
	refused_in(1, CHARGE, FIELDS("'captured':['/a']"),
			   "/operations/lookup_charge/answer/fields/captured", "version 2");
	refused_in(1, CHARGE, FIELDS("'captured':{'value':0}"),
			   "/operations/lookup_charge/answer/fields/captured", "version 2");
}

/* ---- answers by name ---- */

static void
test_named_answers(void **state)
{
	(void) state;
	assert_true(compile(2, "'answers':{'document':" LOOKUP "},", "'document'", "'document'"));
	assert_int_equal(judge(PGW_OP_CHARGE, 200, "{'s':'ok','r':'" OURS "'}"), PGW_OUT_APPROVED);
	assert_int_equal(LOOK("{'s':'ok','r':'" CHARGE_REF "'}"), PGW_OUT_APPROVED);
	assert_false(compile(2, "", "'document'", LOOKUP));
	assert_string_equal(err.pointer, "/operations/charge/answer");
	assert_non_null(strstr(err.message, "no answer \"document\""));
	assert_false(compile(2, "'answers':{'document':5},", "'document'", LOOKUP));
	assert_false(compile(2, "'answers':[],", CHARGE, LOOKUP));
	assert_string_equal(err.pointer, "/answers");
	assert_false(compile(1, "'answers':{},", CHARGE, LOOKUP));
	assert_non_null(strstr(err.message, "version 2"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selects_one),
		cmocka_unit_test(test_selects_none),
		cmocka_unit_test(test_selection_in_doubt),
		cmocka_unit_test(test_selection_and_errors),
		cmocka_unit_test(test_selects_by_the_banks_id),
		cmocka_unit_test(test_refused_selections),
		cmocka_unit_test(test_rules_with_references),
		cmocka_unit_test(test_values_by_condition),
		cmocka_unit_test(test_alternatives),
		cmocka_unit_test(test_tests),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_elements_of_sums),
		cmocka_unit_test(test_many_ids),
		cmocka_unit_test(test_two_sides),
		cmocka_unit_test(test_long_lists),
		cmocka_unit_test(test_refused_fields),
		cmocka_unit_test(test_named_answers),
	};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
