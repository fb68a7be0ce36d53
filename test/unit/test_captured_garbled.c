/*
 * test_captured_garbled.c - a bank says no, and of what it has taken something that nobody can read
 *
 * Documents and answers are written with ' for ".
 */
#include "check_flow.h"

#include "core/payment/shown_by_bank.h"
#include "compile_quoted.h"

static PgwAnswer answered;

static void
compile(void)
{
	COMPILED(compile_quoted(
		"{'v':2,'capabilities':{'tokens':true},'operations':{'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{'rules':[{'status':200,'when':{'/s':'no'},'outcome':'declined'},{'status':200,'when':{'/s':'3ds'},'outcome':'requires_action'}],"
		"'fields':{'captured':[{'when':{'/s':['no','3ds']},'from':'/k'}],'refunded':'/r','voided':'/v'}}}}}"));
}

static PgwState
state_after(const char *outcome, const char *text)
{
	PgwQuestion question = {.op = PGW_OP_CHARGE, .currency = "EUR", .iso_exponent = 2};
	PgwChargeInput in = {.kind = PGW_KIND_PAYMENT,
						 .state = PGW_CREATED,
						 .op = PGW_OP_CHARGE,
						 .capture = PGW_CAPTURE_IMMEDIATE,
						 .amount = 500,
						 .currency = "EUR",
						 .transport = PGW_TRANSPORT_ANSWERED,
						 .answer = &answered};
	char body[256];
	PgwDecision d;

	snprintf(body, sizeof(body), "{'s':'%s'%s}", outcome, text);
	with_quotes(body);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
						&answered);
	pgw_charge_result(&in, &d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_CREATED, &d));
	return d.state;
}

/* It may have been taken; but what banks write where nothing was is no reason to doubt each no. */
static void
a_no(void **state)
{
	static const struct
	{
		const char *said;
		bool believed;
	} cases[] = {
		{"", true},
		{",'k':null", true},
		{",'k':0", true},
		{",'k':'0'", true},
		{",'k':''", true},
		{",'k':'-'", true},
		{",'k':'n/a'", true},
		{",'k':'0,00'", true},
		{",'k':-0.0", true},
		{",'k':false", true},
		{",'k':{}", true},
		{",'k':[]", true},
		{",'k':{'value':0}", true},
		{",'k':500", false},
		{",'k':'500'", false},
		{",'k':'5,00'", false},
		{",'k':'+500'", false},
		{",'k':' 500'", false},
		{",'k':'5e2'", false},
		{",'k':5.5", false},
		{",'k':-500", false},
		{",'k':1e400", false},
		{",'k':{'value':500}", false},
		{",'k':[500]", false},
		/* nothing of it is held any more */
		{",'k':'5,00','v':true", true},
		/* it is not said of what was taken */
		{",'r':'5,00'", true},
	};

	(void) state;
	compile();
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwState wanted = cases[i].believed ? PGW_FAILED : PGW_BANK_UNKNOWN;

		if (state_after("no", cases[i].said) != wanted ||
			state_after("3ds", cases[i].said) != wanted)
			fail_msg("%s: %d", cases[i].said, state_after("no", cases[i].said));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_no)};

	return cmocka_run_group_tests_name("captured_garbled", tests, NULL, forget_connector);
}
