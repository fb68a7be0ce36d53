/*
 * test_answer_currency.c - an answer in another currency than was asked for, or in one that nobody
 * can read
 *
 * Documents and answers are written with ' for ".
 */
#include "check_flow.h"

#include <stdio.h>
#include <string.h>

#include "core/bank_message/render_request.h"
#include "core/base/money.h"
#include "core/payment/reported_by_bank.h"
#include "core/payment/shown_by_bank.h"
#include "compile_quoted.h"

static PgwAnswer answered;

/* A bank that counts krónur of Iceland and dinars of Kuwait in hundredths. */
static void
compile(const char *format)
{
	COMPILED(compile_quoted(
		"{'v':2,'capabilities':{'tokens':true,'exponents':{'ISK':2,'KWD':2}},'operations':{"
		"'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},"
		"'answer':{'rules':[{'status':200,'outcome':'approved','when':{'/ok':true}}],'fields':{%s'bank_reference':'/id','amount':'/a','currency':'/c',"
		"'captured':'/k','refunded':'/r'}}},"
		"'lookup_charge':{'method':'GET','path':'/l/{{original_ref}}',"
		"'answer':{'rules':[{'status':200,'outcome':'approved','when':{'/ok':true}}],'reference_echoed':false,'fields':{%s'bank_reference':'/id','amount':'/a',"
		"'currency':'/c','captured':'/k','refunded':'/r'}}},"
		"'refund':{'method':'POST','path':'/r/{{bank_reference}}','body':{'a':'{{%s}}','c':'{{currency}}','t':'{{transaction_ref}}'},"
		"'answer':{'rules':[{'status':200,'outcome':'approved','when':{'/ok':true}}],'fields':{%s'bank_reference':'/id','amount':'/a','currency':'/c'}}}}}",
		format, format, *format != '\0' ? "amount_decimal" : "amount", format));
}

static void
judge(PgwBankOp op, const char *currency, const char *text)
{
	PgwQuestion question = {.op = op,
							.currency = currency,
							.iso_exponent = pgw_currency_find(currency)->exponent,
							.transaction_ref = "0123456789abcdef0123456789abcdef",
							.original_ref = "0123456789abcdef0123456789abcdef"};
	char body[1024];

	snprintf(body, sizeof(body), "{'ok':true,'id':'1'%s}", text);
	with_quotes(body);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
						&answered);
	assert_int_equal(answered.outcome, PGW_OUT_APPROVED);
}

/*
 * Approved in another currency, so it is given back: as much of that as the bank has written.  The
 * two have other exponents, in ISO 4217 or at this bank.
 */
static void
of_another_currency(void **state)
{
	static const struct
	{
		const char *asked;
		bool decimal;
		const char *named;
		const char *amount; /* as the bank writes it, and is to be asked for */
		int64_t minor;
	} cases[] = {
		{"EUR", true, "JPY", "'1000'", 1000},
		{"JPY", true, "USD", "'10.00'", 1000},
		{"JPY", true, "USD", "'10.05'", 1005},
		{"EUR", true, "KWD", "'10.05'", 10050},
		{"EUR", false, "JPY", "1000", 1000},
		{"JPY", false, "USD", "1005", 1005},
		{"EUR", false, "ISK", "10000", 100},
		{"EUR", false, "KWD", "1005", 10050},
		{"ISK", false, "EUR", "10050", 10050},
		/* the one that was asked for */
		{"EUR", false, "EUR", "1005", 1005},
		{"ISK", false, "ISK", "10000", 100},
		{"JPY", true, "jpy", "'1000'", 1000},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		bool captured = true;
		char text[256];
		char body[256];
		PgwRendered request;
		PgwConnectorError err;
		PgwCallParams params = {.currency = answered.currency,
								.has_amount = true,
								.bank_reference = "1",
								.transaction_ref = "0123456789abcdef0123456789abcdef"};

		compile(cases[i].decimal ? "'amount_format':'decimal'," : "");
		snprintf(text, sizeof(text), ",'a':%s,'c':'%s','k':%s,'r':0", cases[i].amount,
				 cases[i].named, cases[i].amount);
		judge(PGW_OP_CHARGE, cases[i].asked, text);
		if (answered.amount != cases[i].minor || answered.captured != cases[i].minor ||
			!answered.has_amount || answered.amount_unreadable || answered.charge_state_unreadable)
			fail_msg("case %zu: %lld, captured %lld", i, (long long) answered.amount,
					 (long long) answered.captured);
		params.amount = pgw_shown_left(&answered, 0, &captured);
		params.iso_exponent = pgw_currency_find(answered.currency)->exponent;
		pgw_rendered_init(&request);
		assert_true(pgw_connector_render(connector, PGW_OP_REFUND, &params, &request, &err));
		snprintf(body, sizeof(body), "{'a':%s,", cases[i].amount);
		with_quotes(body);
		if (strncmp(request.body.data, body, strlen(body)) != 0)
			fail_msg("case %zu: %s", i, request.body.data);
		pgw_rendered_free(&request);
	}
}

/* What is captured and refunded of who knows what is not ours: neither done, nor not done. */
static void
of_no_currency(void **state)
{
	static const struct
	{
		const char *currency;
		bool told;
	} cases[] = {
		{"'EUR'", true},    {"'eur'", true},  {"null", true},         {"'USD'", false},
		{"'EURO'", false},  {"978", false},   {"'EU\\u0000'", false}, {"''", false},
		{"['EUR']", false}, {"'E R'", false},
	};
	static const PgwBankOp operations[] = {PGW_OP_CAPTURE, PGW_OP_VOID, PGW_OP_REFUND,
										   PGW_OP_REVERSE};

	(void) state;
	compile("");
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		char text[256];
		PgwPaymentAmounts amounts = {
			.status = PGW_PAY_CAPTURED, .authorized = 1000, .captured = 1000};
		PgwReport report;
		PgwReportInput in = {
			.s = &amounts, .currency = "EUR", .answer = &answered, .shows_all = true};

		snprintf(text, sizeof(text), ",'a':1000,'c':%s,'k':1000,'r':1000", cases[i].currency);
		judge(PGW_OP_LOOKUP_CHARGE, "EUR", text);
		for (size_t k = 0; k < LENGTH(operations); k++)
		{
			PgwAsked asked = {.op = operations[k],
							  .amount = 1000,
							  .currency = "EUR",
							  .charged = 1000,
							  .taken = 1000};

			if ((pgw_shown_operation(&asked, &answered) != PGW_SHOWN_NOTHING) != cases[i].told)
				fail_msg("%s: %s", cases[i].currency, pgw_op_name(operations[k]));
		}
		pgw_report_read(&in, &report);
		if (report.refunded != (cases[i].told ? 1000 : 0) || report.unexplained == cases[i].told)
			fail_msg("%s: reported %lld", cases[i].currency, (long long) report.refunded);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(of_another_currency),
									   cmocka_unit_test(of_no_currency)};

	return cmocka_run_group_tests_name("answer_currency", tests, NULL, forget_connector);
}
