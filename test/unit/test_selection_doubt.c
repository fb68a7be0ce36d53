/*
 * test_selection_doubt.c - a look-up that answers with a list: what is not found in it, and could
 * be in it all the same
 *
 * "Not found" ends an attempt as failed, and its caller pays again.  Documents and answers are
 * written with ' for ".
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
#include "core/bank_message/render_request.h"
#include "compile_quoted.h"

#define OURS "0123456789abcdef0123456789abcdef"
#define CHARGE_REF "ffffffffffffffffffffffffffffffff"
#define OTHER "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

#define DOCUMENT \
	"{'v':2,'capabilities':{'tokens':true},'operations':{" \
	"'charge':{'method':'POST','path':'/c','body':{'r':'{{transaction_ref}}','a':'{{amount}}','t':'{{token}}'}," \
	"'answer':{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],'fields':{'bank_reference':'/id'}}}," \
	"'refund':{'method':'POST','path':'/r','body':{'r':'{{transaction_ref}}','c':'{{original_ref}}'}," \
	"'answer':{'rules':[{'status':200,'outcome':'approved'}]}}," \
	"'lookup_charge':{'method':'GET','path':'/c?r={{original_ref}}','answer':%s}," \
	"'lookup_refund':{'method':'GET','path':'/r?c={{original_ref}}&r={{transaction_ref}}','answer':%s}}}"

#define LIST(where) \
	"{'select':{'in':'','where':" where ",'more':false}," \
	"'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],'fields':{'reference':'/r','bank_reference':'/id'}}"
#define BY_CHARGE "{'/r':'{{original_ref}}','/type':'sale'}"
#define BY_REFUND "{'/r':'{{transaction_ref}}'}"

static PgwAnswer answer;
static const char *known_id;

static bool
compile(const char *lookup_charge, const char *lookup_refund)
{
	return compile_quoted(DOCUMENT, lookup_charge, lookup_refund);
}

static void
compiled(const char *lookup_charge)
{
	COMPILED(compile(lookup_charge, LIST(BY_REFUND)));
}

static PgwOutcome
look(PgwBankOp op, const char *text)
{
	char body[1024];
	PgwQuestion question = {.op = op,
							.transaction_ref = OURS,
							.original_ref = CHARGE_REF,
							.bank_reference = known_id,
							.currency = "EUR",
							.iso_exponent = 2};

	snprintf(body, sizeof(body), "%s", text);
	with_quotes(body);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
						&answer);
	return answer.outcome;
}

static void
each_is(const char *const *bodies, PgwOutcome outcome)
{
	for (; *bodies != NULL; bodies++)
	{
		if (look(PGW_OP_LOOKUP_CHARGE, *bodies) != outcome)
			fail_msg("%s: %s", *bodies, pgw_outcome_name(answer.outcome));
	}
}

/* An element of which it cannot be told is one that it could be. */
static void
test_untold_elements(void **state)
{
	static const char *const untold[] = {
		"[{}]",
		"[null]",
		"[7,[],'x']",
		"[{'type':'sale','s':'ok','id':'1'}]",
		"[{'r':'" CHARGE_REF "','s':'ok','id':'1'}]",
		"[{'r':'" OTHER "','type':'sale'},{}]",
		NULL,
	};
	static const char *const told[] = {
		"[]",
		"[{'r':'" OTHER "','type':'sale'}]",
		"[{'r':'" OTHER "'},{'r':null},{'type':'fee'}]",
		/* ours, and no sale */
		"[{'r':'" CHARGE_REF "','type':'fee'}]",
		NULL,
	};

	(void) state;
	compiled(LIST(BY_CHARGE));
	each_is(untold, PGW_OUT_UNKNOWN);
	each_is(told, PGW_OUT_NOT_FOUND);
	/* one that is it needs no others to be told */
	assert_int_equal(
		look(PGW_OP_LOOKUP_CHARGE, "[{},{'r':'" CHARGE_REF "','type':'sale','s':'ok'}]"),
		PGW_OUT_APPROVED);
}

/* Our reference stands in it, but not as the connector expects it. */
static void
test_reference_elsewhere(void **state)
{
	static const char *const hidden[] = {
		"[{'r':'order-" CHARGE_REF "','type':'sale'}]",
		"[{'r':['" CHARGE_REF "'],'type':'sale'}]",
		"[{'r':'','type':'sale','metadata':{'r':'FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF'}}]",
		"[{'r':null,'type':'sale','text':'for " CHARGE_REF ".'}]",
		NULL,
	};

	(void) state;
	compiled(LIST(BY_CHARGE));
	each_is(hidden, PGW_OUT_UNKNOWN);
}

/* "200, an error occurred, and here is an empty list." */
static void
test_errors_with_200(void **state)
{
	(void) state;
	compiled(
		"{'select':{'when':{'/result':'ok'},'in':'/data','where':{'/r':'{{original_ref}}'},'more':false},"
		"'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'},{'status':200,'when':{'/code':'404'},'outcome':'not_found'}],"
		"'fields':{'bank_reference':'/id'}}");
	assert_int_equal(look(PGW_OP_LOOKUP_CHARGE, "{'result':'ok','data':[]}"), PGW_OUT_NOT_FOUND);
	assert_int_equal(
		look(PGW_OP_LOOKUP_CHARGE, "{'result':'ok','data':[{'r':'" CHARGE_REF "','s':'ok'}]}"),
		PGW_OUT_APPROVED);
	assert_int_equal(look(PGW_OP_LOOKUP_CHARGE, "{'result':'busy','data':[]}"), PGW_OUT_UNKNOWN);
	assert_int_equal(look(PGW_OP_LOOKUP_CHARGE, "{'data':[]}"), PGW_OUT_UNKNOWN);
	/* what it says itself counts, but it shows no charge */
	assert_int_equal(look(PGW_OP_LOOKUP_CHARGE, "{'code':'404'}"), PGW_OUT_NOT_FOUND);
	assert_int_equal(look(PGW_OP_LOOKUP_CHARGE, "{'s':'ok','id':'1','r':'" CHARGE_REF "'}"),
					 PGW_OUT_UNKNOWN);
}

/* By the bank's id, which nobody knows while the answer to the charge is lost. */
static void
test_unknown_id(void **state)
{
	PgwCallParams params = {
		.currency = "EUR", .iso_exponent = 2, .transaction_ref = OURS, .original_ref = CHARGE_REF};
	PgwRendered request;

	(void) state;
	compiled(LIST("{'/id':'{{bank_reference}}'}"));
	known_id = NULL;
	assert_int_equal(look(PGW_OP_LOOKUP_CHARGE, "[{'id':'1','r':'" CHARGE_REF "','s':'ok'}]"),
					 PGW_OUT_UNKNOWN);
	/* so it is not even asked */
	assert_true(pgw_connector_capabilities(connector)->lookup_needs_id);
	pgw_rendered_init(&request);
	assert_false(pgw_connector_render(connector, PGW_OP_LOOKUP_CHARGE, &params, &request, &err));
	params.bank_reference = "1";
	assert_true(pgw_connector_render(connector, PGW_OP_LOOKUP_CHARGE, &params, &request, &err));
	pgw_rendered_free(&request);

	known_id = "1";
	assert_int_equal(look(PGW_OP_LOOKUP_CHARGE, "[{'id':'1','r':'" CHARGE_REF "','s':'ok'}]"),
					 PGW_OUT_APPROVED);
	assert_int_equal(look(PGW_OP_LOOKUP_CHARGE, "[{'id':'2','r':'" CHARGE_REF "','s':'ok'}]"),
					 PGW_OUT_NOT_FOUND);
	known_id = NULL;
}

/* The amounts of some elements, told by what the question does not have: no sum. */
static void
test_sum_by_unknown_id(void **state)
{
	(void) state;
	compiled(
		"{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],"
		"'fields':{'reference':'/r','refunded':{'sum':'/l','of':'/a','where':{'/c':'{{bank_reference}}'},'more':false}}}");
	known_id = "1";
	look(PGW_OP_LOOKUP_CHARGE,
		 "{'s':'ok','r':'" CHARGE_REF "','l':[{'c':'1','a':5},{'c':'2','a':7}]}");
	assert_int_equal(answer.refunded, 5);
	known_id = NULL;
	look(PGW_OP_LOOKUP_CHARGE,
		 "{'s':'ok','r':'" CHARGE_REF "','l':[{'c':'1','a':5},{'c':'2','a':7}]}");
	assert_int_equal(answer.refunded, -1);
	assert_true(answer.charge_state_unreadable);
}

/* The refunds of one charge are told from each other by their own reference alone. */
static void
test_refund_by_its_charge(void **state)
{
	static const char *const wheres[] = {"{'/c':'{{original_ref}}'}", "{'/c':'{{bank_reference}}'}",
										 NULL};

	(void) state;
	for (const char *const *where = wheres; *where != NULL; where++)
	{
		char lookup[512];

		snprintf(
			lookup, sizeof(lookup),
			"{'select':{'in':'','where':%s,'more':false},'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],'reference_echoed':false}",
			*where);
		assert_false(compile(LIST(BY_CHARGE), lookup));
		assert_string_equal(err.pointer, "/operations/lookup_refund/answer/select/where");
		assert_non_null(strstr(err.message, "{{transaction_ref}}"));
	}
	compiled(LIST(BY_CHARGE));
	assert_int_equal(look(PGW_OP_LOOKUP_REFUND, "[{'r':'" OURS "','s':'ok'}]"), PGW_OUT_APPROVED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_untold_elements),   cmocka_unit_test(test_reference_elsewhere),
		cmocka_unit_test(test_errors_with_200),   cmocka_unit_test(test_unknown_id),
		cmocka_unit_test(test_sum_by_unknown_id), cmocka_unit_test(test_refund_by_its_charge),
	};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
