/*
 * test_answer_unforeseen.c - what a connector says of each answer whatever it is, and an answer in
 * a state that it does not know
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

static PgwAnswer answer;

/* A charge whose answer has these fields. */
static bool
compile(const char *fields)
{
	return compile_quoted(
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{'rules':[{'status':200,'when':{'/ok':true},'outcome':'approved'}],'fields':{%s}}}}}",
		fields);
}

/* What a charge of 5.00 EUR comes to that is answered so. */
static PgwShown
shown(const char *text)
{
	char body[1024];
	PgwQuestion question = {.op = PGW_OP_CHARGE, .currency = "EUR", .iso_exponent = 2};
	PgwAsked asked = {.op = PGW_OP_CHARGE, .amount = 500, .currency = "EUR"};

	snprintf(body, sizeof(body), "{'ok':true%s}", text);
	with_quotes(body);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
						&answer);
	assert_int_equal(answer.outcome, PGW_OUT_APPROVED);
	return pgw_shown_charge(&asked, &answer);
}

/* "Captured" is what nobody has said of it. */
static void
test_unknown_states(void **state)
{
	(void) state;
	assert_true(compile(
		"'captured':[{'when':{'/s':'paid'},'from':'/a'},{'when':{'/s':'reserved'},'value':0}]"));
	assert_int_equal(shown(",'s':'paid','a':500"), PGW_SHOWN_AS_ASKED);
	assert_int_equal(shown(",'s':'reserved','a':500"), PGW_SHOWN_OTHERWISE);
	assert_int_equal(shown(",'s':'settling','a':500"), PGW_SHOWN_UNREADABLE);
	assert_int_equal(shown(",'s':null,'a':500"), PGW_SHOWN_UNREADABLE);
	assert_int_equal(shown(",'a':500"), PGW_SHOWN_UNREADABLE);
	assert_true(compile("'refunded':{'when':{'/s':'returned'},'from':'/a'}"));
	assert_int_equal(shown(",'s':'partly_returned','a':500"), PGW_SHOWN_UNREADABLE);
	assert_true(compile("'voided':{'when':{'/s':'canceled'},'value':true}"));
	assert_int_equal(shown(",'s':'canceling'"), PGW_SHOWN_UNREADABLE);
	assert_true(compile(
		"'refunded':{'when':{'/s':'returned'},'sum':'/l','of':'','where':{'':{'exists':true}},'more':false}"));
	assert_int_equal(shown(",'s':'partly_returned','l':[1]"), PGW_SHOWN_UNREADABLE);
	/* of an amount nobody knows whether it is the one that was asked for */
	assert_true(compile(
		"'amount':[{'when':{'/t':'a'},'from':'/a'},{'when':{'/t':'b'},'from':'/b'}],'currency':{'when':{'/t':'a'},'value':'EUR'}"));
	assert_int_equal(shown(",'t':'a','a':500"), PGW_SHOWN_AS_ASKED);
	assert_int_equal(shown(",'t':'b','b':500"), PGW_SHOWN_OTHERWISE);
	assert_int_equal(shown(",'t':'c','a':500,'b':500"), PGW_SHOWN_OTHERWISE);
}

/* Who has said what holds otherwise has foreseen it; so has who names a place without a condition.
 */
static void
test_foreseen(void **state)
{
	(void) state;
	assert_true(compile("'refunded':[{'when':{'/s':'returned'},'from':'/a'},{'value':0}]"));
	assert_int_equal(shown(",'s':'settling','a':500"), PGW_SHOWN_AS_ASKED);
	assert_int_equal(answer.refunded, 0);
	assert_true(compile("'captured':[{'when':{'/s':'reserved'},'value':0},'/got']"));
	assert_int_equal(shown(",'s':'settling'"), PGW_SHOWN_AS_ASKED);
	assert_int_equal(answer.captured, -1);
	/* the condition holds, and the bank does not say how much, as it may of any field */
	assert_true(compile("'captured':{'when':{'/s':'paid'},'from':'/got'}"));
	assert_int_equal(shown(",'s':'paid'"), PGW_SHOWN_AS_ASKED);
	assert_true(compile("'voided':{'/s':'canceled'}"));
	assert_int_equal(shown(""), PGW_SHOWN_AS_ASKED);
}

/* What is the same for each answer is not shown by the bank. */
static void
test_constants(void **state)
{
	static const struct
	{
		const char *fields;
		const char *place; /* NULL: allowed */
	} cases[] = {
		{"'captured':{'value':0}", "captured"},
		{"'captured':[{'value':0}]", "captured"},
		{"'refunded':{'value':0}", "refunded"},
		{"'voided':{'value':false}", "voided"},
		{"'voided':{'value':true}", "voided"},
		{"'voided':[{'when':{'/s':'open'},'value':false},{'value':true}]", "voided"},
		{"'voided':['/v',{'value':true}]", "voided"},
		{"'voided':['/v',{'value':false}]", NULL},
		{"'refunded':['/r',{'value':0}]", NULL},
		{"'captured':{'when':{'/s':'open'},'value':0}", NULL},
		{"'voided':{'when':{'/s':'gone'},'value':true}", NULL},
		{"'currency':{'value':'EUR'}", NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char place[100];

		if (compile(cases[i].fields) != (cases[i].place == NULL))
			fail_msg("%s", cases[i].fields);
		if (cases[i].place == NULL)
			continue;
		snprintf(place, sizeof(place), "/operations/charge/answer/fields/%s", cases[i].place);
		assert_string_equal(err.pointer, place);
	}
}

/* All that was refunded is compared with, not what one operation has. */
static void
test_sum_of_one_operation(void **state)
{
	(void) state;
	assert_false(compile(
		"'refunded':{'sum':'/l','of':'/a','where':{'/r':['x','{{transaction_ref}}']},'more':false}"));
	assert_string_equal(err.pointer, "/operations/charge/answer/fields/refunded/where");
	assert_true(compile(
		"'refunded':{'sum':'/l','of':'/a','where':{'/r':'{{original_ref}}'},'more':false}"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_states),
		cmocka_unit_test(test_foreseen),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_sum_of_one_operation),
	};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
