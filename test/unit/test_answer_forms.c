/*
 * test_answer_forms.c - answers that are forms, and those that have no body
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

#include "core/bank_message/judge_answer.h"
#include "compile_quoted.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define OURS "0123456789abcdef0123456789abcdef"
#define CHARGE_REF "ffffffffffffffffffffffffffffffff"

/* %s: the answers to charge, void, and lookup_charge. */
#define DOCUMENT \
	"{'v':%d,'capabilities':{'tokens':true},'operations':{" \
	"'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},'answer':%s}," \
	"'void':{'method':'POST','path':'/v','body':{'c':'{{original_ref}}'},'answer':%s}," \
	"'lookup_charge':{'method':'GET','path':'/c?r={{original_ref}}','answer':%s}}}"

#define FORM \
	"{'format':'form','rules':[{'status':200,'when':{'/ACK':'ok'},'outcome':'approved'}," \
	"{'status':200,'when':{'/ACK':'no'},'outcome':'declined'}]," \
	"'fields':{'reference':'/ref','bank_reference':'/ID','amount':'/AMT','amount_format':'decimal','currency':'/CUR','bank_code':'/a[0].x'," \
	"'voided':{'/STATE':'void'}}}"
#define EMPTY "{'rules':[{'status':[204,202],'body':'empty','outcome':'approved'}]}"
#define NOTHING \
	"{'rules':[{'status':204,'body':'empty','outcome':'not_found'}],'reference_echoed':false}"

static PgwAnswer answer;

static bool
compile(int version, const char *charge, const char *voids, const char *lookup)
{
	return compile_quoted(DOCUMENT, version, charge, voids, lookup);
}

static PgwOutcome
judged(PgwBankOp op, long status, const char *body, size_t len)
{
	const PgwQuestion q = {.op = op,
						   .transaction_ref = OURS,
						   .original_ref = CHARGE_REF,
						   .currency = "EUR",
						   .iso_exponent = 2};

	pgw_connector_judge(connector, &q,
						&(PgwGivenAnswer){.status = status, .body = body, .len = len}, &answer);
	return answer.outcome;
}

static PgwOutcome
charged(const char *body)
{
	return judged(PGW_OP_CHARGE, 200, body, strlen(body));
}

static void
test_form(void **state)
{
	(void) state;
	if (!compile(2, FORM, EMPTY, NOTHING))
		fail_msg("%s: %s", err.pointer, err.message);
	assert_int_equal(
		charged("ACK=ok&ID=tx+1%2F2&AMT=12%2E34&CUR=EUR&a%5B0%5D.x=&ref=" OURS "&STATE=\r\n"),
		PGW_OUT_APPROVED);
	assert_string_equal(answer.bank_reference, "tx 1/2");
	assert_true(answer.has_amount);
	assert_int_equal(answer.amount, 1234);
	assert_string_equal(answer.currency, "EUR");
	assert_true(answer.has_voided && !answer.voided);
	assert_int_equal(charged("\xEF\xBB\xBF"
							 "ACK=no&a[0].x=%C3%A4%22"),
					 PGW_OUT_DECLINED);
	assert_string_equal(answer.bank_code, "\xC3\xA4\"");
	assert_int_equal(charged("ACK=ok&"), PGW_OUT_APPROVED);
	assert_int_equal(charged("ACK=ok&ref=" CHARGE_REF), PGW_OUT_UNKNOWN); /* another payment's */
	assert_true(answer.other_reference);
}

/* What is none, or says two things, says nothing. */
static void
test_no_form(void **state)
{
	static const char *const bodies[] = {
		"",
		"ACK",
		"ACK=ok&&ID=1",
		"=ok&ACK=ok",
		"ACK=ok&ACK=no",
		"ACK=ok&%41CK=ok",
		"ACK=ok&ID",
		"ACK=ok&ID=%0",
		"ACK=ok&ID=%00",
		"ACK=ok&ID=%zz",
		"ACK=ok&ID=\xC3",
		"ACK=ok&ID=%C3",
		"ACK=ok\nID=1",
		"ACK=ok&ID=a b",
		"<html>ACK=ok&</html>=1",
		"{\"ACK\":\"ok\"}",
	};

	(void) state;
	assert_true(compile(2, FORM, EMPTY, NOTHING));
	for (size_t i = 0; i < LENGTH(bodies); i++)
	{
		if (charged(bodies[i]) != PGW_OUT_UNKNOWN)
			fail_msg("taken for a form: %s", bodies[i]);
		assert_string_equal(answer.bank_reference, "");
	}
}

static void
test_empty(void **state)
{
	(void) state;
	assert_true(compile(2, FORM, EMPTY, NOTHING));
	assert_int_equal(judged(PGW_OP_VOID, 204, NULL, 0), PGW_OUT_APPROVED);
	assert_int_equal(judged(PGW_OP_VOID, 202, "", 0), PGW_OUT_APPROVED);
	assert_int_equal(judged(PGW_OP_VOID, 200, "", 0), PGW_OUT_UNKNOWN);
	assert_int_equal(judged(PGW_OP_VOID, 202, "{}", 2), PGW_OUT_UNKNOWN);
	assert_int_equal(judged(PGW_OP_VOID, 202, " ", 1), PGW_OUT_UNKNOWN);
	assert_int_equal(judged(PGW_OP_LOOKUP_CHARGE, 204, "", 0), PGW_OUT_NOT_FOUND);
	assert_int_equal(judged(PGW_OP_LOOKUP_CHARGE, 404, "", 0), PGW_OUT_UNKNOWN);
	assert_int_equal(judged(PGW_OP_CHARGE, 204, "", 0), PGW_OUT_UNKNOWN);
}

static void
test_refused(void **state)
{
	static const char *const voids[][3] = {
		{"{'rules':[{'status':'2xx','body':'empty','outcome':'approved'}]}",
		 "/operations/void/answer/rules/0/status", "each status exactly"},
		{"{'rules':[{'status':[204,404],'body':'empty','outcome':'approved'}]}",
		 "/operations/void/answer/rules/0/status", "each status exactly"},
		{"{'rules':[{'status':204,'body':'','outcome':'approved'}]}",
		 "/operations/void/answer/rules/0/body", "must be \"empty\""},
		{"{'rules':[{'status':204,'body':'empty','when':{'/a':1},'outcome':'approved'}]}",
		 "/operations/void/answer/rules/0/when", "only headers that could be asked for"},
		{"{'rules':[{'status':204,'body':'empty','outcome':'declined'}]}",
		 "/operations/void/answer/rules/0/body", "of a charge it names no amount"},
		{"{'format':'xml','rules':[{'status':204,'outcome':'unknown'}]}",
		 "/operations/void/answer/format", "\"json\" or \"form\""},
		{"{'format':'form','rules':[{'status':204,'outcome':'unknown'}],'select':{}}",
		 "/operations/void/answer/select", "a form has no list"},
	};
	static const char *const others[][3] = {
		{EMPTY, NOTHING, "/operations/charge/answer/rules/0/body"},
		{FORM, EMPTY, "/operations/lookup_charge/answer/rules/0/body"},
		{FORM,
		 "{'rules':[{'status':200,'body':'empty','outcome':'not_found'}],'reference_echoed':false}",
		 "/operations/lookup_charge/answer/rules/0/status"},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(voids); i++)
	{
		assert_false(compile(2, FORM, voids[i][0], NOTHING));
		if (strcmp(err.pointer, voids[i][1]) != 0 || strstr(err.message, voids[i][2]) == NULL)
			fail_msg("%s: %s", err.pointer, err.message);
	}
	for (size_t i = 0; i < LENGTH(others); i++)
	{
		assert_false(compile(2, others[i][0], EMPTY, others[i][1]));
		assert_string_equal(err.pointer, others[i][2]);
	}
	assert_false(compile(1, FORM, EMPTY, NOTHING));
	assert_non_null(strstr(err.message, "needs version 2"));
}

/* A rule for empty answers hides no other, and is hidden by what has decided of them before. */
static void
test_warnings(void **state)
{
	static const char *const rules[][2] = {
		{"{'status':204,'body':'empty','outcome':'approved'},{'status':204,'when':{'/a':1},'outcome':'approved'}",
		 NULL},
		{"{'status':204,'body':'empty','outcome':'approved'},{'status':204,'outcome':'unknown'}",
		 NULL},
		{"{'status':204,'outcome':'unknown'},{'status':204,'body':'empty','outcome':'approved'}",
		 "never asked"},
		{"{'status':204,'body':'empty','outcome':'pending'},{'status':204,'body':'empty','outcome':'approved'}",
		 "never asked"},
	};
	PgwConnectorError list[20];
	char voids[500];

	(void) state;
	for (size_t i = 0; i < LENGTH(rules); i++)
	{
		const char *found = NULL;

		snprintf(voids, sizeof(voids), "{'rules':[%s]}", rules[i][0]);
		assert_true(compile(2, FORM, voids, NOTHING));
		for (int n = pgw_connector_warnings(connector, list, 20); n > 0; n--)
		{
			if (strncmp(list[n - 1].pointer, "/operations/void/answer", 23) == 0)
				found = list[n - 1].message;
		}
		if (rules[i][1] == NULL ? found != NULL
								: found == NULL || strstr(found, rules[i][1]) == NULL)
			fail_msg("%s: %s", rules[i][0], found);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),     cmocka_unit_test(test_no_form),
		cmocka_unit_test(test_empty),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_warnings),
	};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
