/*
 * test_answer_cut_off.c - a text, a number or a list where the connector looks for an object: what
 * would stand within it is said, and cannot be read
 *
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
#include "core/payment/shown_by_bank.h"
#include "compile_quoted.h"

#define OURS "0123456789abcdef0123456789abcdef"

static PgwAnswer answer;

static void
judge(PgwBankOp op, const char *text)
{
	PgwQuestion question = {.op = op,
							.currency = "EUR",
							.iso_exponent = 2,
							.transaction_ref = OURS,
							.original_ref = OURS};
	char body[1024];

	snprintf(body, sizeof(body), "%s", text);
	with_quotes(body);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
						&answer);
}

/* What a charge of 5.00 EUR comes to that is answered so. */
static void
amounts(void **state)
{
	static const struct
	{
		const char *said;
		PgwShown shown;
	} cases[] = {
		{"'a':{'v':500,'c':'EUR'},'k':{'v':500},'r':{'v':0},'x':{'v':false}", PGW_SHOWN_AS_ASKED},
		/* what is not there, or empty, says nothing */
		{"'b':0", PGW_SHOWN_AS_ASKED},
		{"'a':{},'k':{},'r':{},'x':{}", PGW_SHOWN_AS_ASKED},
		{"'a':null,'k':null,'r':null,'x':null", PGW_SHOWN_AS_ASKED},
		{"'a':[],'k':[],'r':[],'x':[]", PGW_SHOWN_AS_ASKED},
		{"'a':'','k':'','r':'','x':''", PGW_SHOWN_AS_ASKED},
		{"'r':false,'x':false", PGW_SHOWN_AS_ASKED},
		/* another amount, perhaps, or another currency */
		{"'a':100", PGW_SHOWN_OTHERWISE},
		{"'a':'1.00 USD'", PGW_SHOWN_OTHERWISE},
		{"'a':[{'v':100,'c':'EUR'}]", PGW_SHOWN_OTHERWISE},
		{"'a':true", PGW_SHOWN_OTHERWISE},
		{"'a':0", PGW_SHOWN_OTHERWISE},
		/* taken, given back and undone, perhaps */
		{"'k':100", PGW_SHOWN_UNREADABLE},
		{"'k':[100]", PGW_SHOWN_UNREADABLE},
		{"'r':'5.00'", PGW_SHOWN_UNREADABLE},
		{"'r':500", PGW_SHOWN_UNREADABLE},
		{"'x':true", PGW_SHOWN_UNREADABLE},
		{"'x':'yes'", PGW_SHOWN_UNREADABLE},
	};

	(void) state;
	COMPILED(compile_quoted(
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{'rules':[{'status':200,'when':{'/ok':true},'outcome':'approved'}],"
		"'fields':{'amount':'/a/v','currency':'/a/c','captured':'/k/v','refunded':'/r/v','voided':'/x/v'}}}}}"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwAsked asked = {.op = PGW_OP_CHARGE, .amount = 500, .currency = "EUR"};
		char body[512];

		snprintf(body, sizeof(body), "{'ok':true,%s}", cases[i].said);
		judge(PGW_OP_CHARGE, body);
		assert_int_equal(answer.outcome, PGW_OUT_APPROVED);
		if (pgw_shown_charge(&asked, &answer) != cases[i].shown)
			fail_msg("%s: %d", cases[i].said, pgw_shown_charge(&asked, &answer));
	}
}

/* The next place is looked at as ever, and what stands there is read. */
static void
another_place(void **state)
{
	PgwAsked asked = {.op = PGW_OP_CHARGE, .amount = 500, .currency = "EUR"};

	(void) state;
	COMPILED(compile_quoted(
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{'rules':[{'status':200,'when':{'/ok':true},'outcome':'approved'}],"
		"'fields':{'amount':['/a/v','/a'],'captured':{'total':['/k/v'],'less':['/k/w']},"
		"'refunded':{'sum':'/r/l','of':'','more':false,'where':{'':{'exists':true}}}}}}}}"));
	judge(PGW_OP_CHARGE, "{'ok':true,'a':500}");
	assert_int_equal(pgw_shown_charge(&asked, &answer), PGW_SHOWN_AS_ASKED);
	judge(PGW_OP_CHARGE, "{'ok':true,'a':100}");
	assert_int_equal(pgw_shown_charge(&asked, &answer), PGW_SHOWN_OTHERWISE);
	judge(PGW_OP_CHARGE, "{'ok':true,'a':500,'k':500}");
	assert_int_equal(pgw_shown_charge(&asked, &answer), PGW_SHOWN_UNREADABLE);
	judge(PGW_OP_CHARGE, "{'ok':true,'a':500,'r':[500]}");
	assert_int_equal(pgw_shown_charge(&asked, &answer), PGW_SHOWN_UNREADABLE);
	judge(PGW_OP_CHARGE, "{'ok':true,'a':500,'r':[]}");
	assert_int_equal(pgw_shown_charge(&asked, &answer), PGW_SHOWN_AS_ASKED);
}

/* Whose it is, and whether of real money. */
static void
whose(void **state)
{
	(void) state;
	COMPILED(compile_quoted(
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{'rules':[{'status':200,'when':{'/ok':true},'outcome':'approved'}],"
		"'fields':{'reference':'/o/ref','livemode':'/m/live'}}}}}"));
	judge(PGW_OP_CHARGE, "{'ok':true}");
	assert_int_equal(answer.outcome, PGW_OUT_APPROVED);
	assert_false(answer.charge_state_unreadable);
	judge(PGW_OP_CHARGE, "{'ok':true,'o':'another'}");
	assert_int_equal(answer.outcome, PGW_OUT_UNKNOWN);
	assert_true(answer.other_reference);
	judge(PGW_OP_CHARGE, "{'ok':true,'m':'live'}");
	assert_int_equal(answer.outcome, PGW_OUT_APPROVED);
	assert_true(answer.charge_state_unreadable);
}

/* "There is no error", where one stands that is no object. */
static void
conditions(void **state)
{
	static const struct
	{
		const char *said;
		PgwOutcome outcome;
	} cases[] = {
		{"{'ok':true}", PGW_OUT_APPROVED},
		{"{'ok':true,'e':null}", PGW_OUT_APPROVED},
		{"{'ok':true,'e':{}}", PGW_OUT_APPROVED},
		{"{'ok':true,'e':[]}", PGW_OUT_APPROVED},
		{"{'ok':true,'e':''}", PGW_OUT_APPROVED},
		{"{'ok':true,'e':false}", PGW_OUT_APPROVED},
		{"{'ok':true,'e':{'code':'51'}}", PGW_OUT_DECLINED},
		{"{'ok':true,'e':'no funds'}", PGW_OUT_UNKNOWN},
		{"{'ok':true,'e':51}", PGW_OUT_UNKNOWN},
		{"{'ok':true,'e':true}", PGW_OUT_UNKNOWN},
		{"{'ok':true,'e':[{'code':'51'}]}", PGW_OUT_UNKNOWN},
	};

	(void) state;
	COMPILED(compile_quoted(
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{'rules':[{'status':200,'when':{'/e/code':{'exists':true}},'outcome':'declined'},"
		"{'status':200,'when':{'/ok':true,'/e/code':{'exists':false}},'outcome':'approved'}],'fields':{}}}}}"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		judge(PGW_OP_CHARGE, cases[i].said);
		if (answer.outcome != cases[i].outcome)
			fail_msg("%s: %d", cases[i].said, answer.outcome);
	}
}

/* A list that may go on has not shown everything, and one whose elements may count has no sum. */
static void
lists(void **state)
{
	static const struct
	{
		const char *said;
		PgwOutcome outcome;
		int refunded;
	} cases[] = {
		{"{'l':[],'p':{'more':false}}", PGW_OUT_NOT_FOUND, -1},
		{"{'l':[]}", PGW_OUT_NOT_FOUND, -1},
		{"{'l':[],'p':{'more':true}}", PGW_OUT_UNKNOWN, -1},
		{"{'l':[],'p':2}", PGW_OUT_UNKNOWN, -1},
		{"{'l':[],'p':'next'}", PGW_OUT_UNKNOWN, -1},
		{"{'l':[{'ref':'" OURS "','r':[{'v':5,'f':{}},{'v':6,'f':{'t':1}}]}]}", PGW_OUT_APPROVED,
		 5},
		{"{'l':[{'ref':'" OURS "','r':[{'v':5,'f':{}},{'v':6,'f':'failed'}]}]}", PGW_OUT_APPROVED,
		 -1},
	};

	(void) state;
	COMPILED(compile_quoted(
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{'rules':[{'status':200,'when':{'/ok':true},'outcome':'approved'}],'fields':{}}},"
		"'lookup_charge':{'method':'GET','path':'/l/{{original_ref}}','answer':{'select':{'in':'/l','where':{'/ref':'{{original_ref}}'},'more':'/p/more'},"
		"'rules':[{'status':200,'when':{'/ref':{'exists':true}},'outcome':'approved'}],"
		"'fields':{'refunded':{'sum':'/r','of':'/v','more':false,'where':{'/f/t':{'exists':false}}}}}}}}"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		judge(PGW_OP_LOOKUP_CHARGE, cases[i].said);
		if (answer.outcome != cases[i].outcome || answer.refunded != cases[i].refunded)
			fail_msg("%s: %d, refunded %d", cases[i].said, answer.outcome, (int) answer.refunded);
	}
	assert_true(answer.charge_state_unreadable);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amounts),    cmocka_unit_test(another_place), cmocka_unit_test(whose),
		cmocka_unit_test(conditions), cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
