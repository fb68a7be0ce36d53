/*
 * test_lookup_by_id.c - a look-up by the bank's id is answered with that charge, or it is no answer
 *
 * There are banks that ignore a parameter which they do not know, and show whatever they have.
 * Documents and answers are written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/bank_message/judge_answer.h"
#include "compile_quoted.h"

#define RULES "'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}]"
#define OURS "ffffffffffffffffffffffffffffffff"

static PgwAnswer answer;

/* The look-up by reference is a list, of which the element names ours. */
static bool
compile(const char *fields, const char *by_id)
{
	return compile_quoted(
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{" RULES ",'fields':{'bank_reference':'/id'}}},"
		"'lookup_charge':{'method':'GET','path':'/c?r={{original_ref}}','answer':{" RULES
		",'select':{'in':'','where':{'/r':'{{original_ref}}'},'more':false},'fields':{%s}}},"
		"'lookup_by_id':{'method':'GET','path':'/c?id={{bank_reference}}','answer':{" RULES
		",'fields':{%s}}}}}",
		fields, by_id);
}

static PgwOutcome
look(const char *text)
{
	char body[300];
	PgwQuestion question = {.op = PGW_OP_LOOKUP_CHARGE,
							.transaction_ref = OURS,
							.original_ref = OURS,
							.bank_reference = "ch_1",
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
test_says_which(void **state)
{
	(void) state;
	assert_false(compile("'amount':'/a'", "'amount':'/a'"));
	assert_string_equal(err.pointer, "/operations/lookup_by_id/answer/fields");
	assert_non_null(strstr(err.message, "which charge"));
	assert_true(compile("'amount':'/a'", "'amount':'/a','reference':'/r'"));
	assert_int_equal(look("{'s':'ok','r':'" OURS "'}"), PGW_OUT_APPROVED);
	assert_int_equal(look("{'s':'ok'}"), PGW_OUT_UNKNOWN);
}

static void
test_by_its_id(void **state)
{
	(void) state;
	assert_true(compile("'bank_reference':'/id'", "'bank_reference':'/id'"));
	assert_int_equal(look("{'s':'ok','id':'ch_1'}"), PGW_OUT_APPROVED);
	assert_int_equal(look("{'s':'ok','id':'ch_2'}"), PGW_OUT_UNKNOWN);
	assert_true(answer.other_reference);
	/* nor one that does not say it */
	assert_int_equal(look("{'s':'ok'}"), PGW_OUT_UNKNOWN);
	assert_int_equal(look("{'s':'ok','id':null}"), PGW_OUT_UNKNOWN);
	assert_true(answer.other_reference);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_says_which),
		cmocka_unit_test(test_by_its_id),
	};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
