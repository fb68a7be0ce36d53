/*
 * test_answer_headers.c - headers of answers as places: which are read, which say nothing, and
 * where a document must not name one
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
#define URL "https://bank.example/transfers/"

/* %s: the answers to a charge, a void and a look-up */
#define DOCUMENT \
	"{'v':%d,'capabilities':{'tokens':true},'operations':{" \
	"'authorize':{'method':'POST','path':'/c','body':{'r':'{{transaction_ref}}','a':'{{amount}}','t':'{{token}}'},'answer':%s}," \
	"'capture':{'method':'POST','path':'/p','body':{'r':'{{transaction_ref}}','c':'{{original_ref}}'}," \
	"'answer':{'rules':[{'status':200,'outcome':'approved'}]}}," \
	"'void':{'method':'POST','path':'/v','body':{'r':'{{transaction_ref}}','c':'{{original_ref}}'},'answer':%s}," \
	"'lookup_charge':{'method':'GET','path':'/c?r={{original_ref}}','answer':%s}}}"

#define PENDING "{'status':201,'body':'empty','outcome':'pending'}"
#define BY_LOCATION "'bank_reference':{'from':'header:Location','behind':'/transfers/'}"
#define CHARGE "{'rules':[" PENDING "],'fields':{" BY_LOCATION "}}"
#define VOID \
	"{'rules':[{'status':204,'body':'empty','when':{'header:X-Done':'yes'},'outcome':'approved'}]}"
#define LOOKUP \
	"{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],'fields':{'reference':'/r'}}"

static PgwAnswer answer;
static PgwSought sought;

static bool
compile(int version, const char *charge, const char *undo, const char *lookup)
{
	return compile_quoted(DOCUMENT, version, charge, undo, lookup);
}

static void
compiled(const char *charge, const char *undo)
{
	COMPILED(compile(2, charge, undo, LOOKUP));
}

static void
refused(const char *charge, const char *undo, const char *lookup, const char *pointer,
		const char *message)
{
	assert_false(compile(2, charge, undo, lookup));
	assert_string_equal(err.pointer, pointer);
	if (strstr(err.message, message) == NULL)
		fail_msg("%s", err.message);
}

static PgwOutcome
judge(PgwBankOp op, long status, const char *headers, const char *text)
{
	size_t len = strlen(text);
	char *body = malloc(len + 1);
	PgwQuestion question = {.op = op,
							.transaction_ref = OURS,
							.original_ref = CHARGE_REF,
							.currency = "EUR",
							.iso_exponent = 2,
							.sought = &sought};
	PgwGivenAnswer given = {.status = status, .headers = headers, .body = body, .len = len};

	memcpy(body, text, len + 1);
	with_quotes(body);
	pgw_connector_judge(connector, &question, &given, &answer);
	free(body);
	return answer.outcome;
}

static PgwOutcome
charged(const char *headers)
{
	return judge(PGW_OP_AUTHORIZE, 201, headers, "");
}

static void
ids_of_an_empty_answer(void **state)
{
	static const char *const good[] = {"Location: " URL "9c47-1\n", "LOCATION:" URL "9c47-1\n",
									   "location: \t" URL "9c47-1 \t\n",
									   "X: y\nLocation: /transfers/9c47-1\n",
									   "Location: " URL "9c47-1\nlocation: " URL "9c47-1\n"};
	static const char *const none[] = {"Location: https://bank.example/login\n",
									   "Location: /login?next=/transfers/new\n",
									   "Location: /app#/transfers/new\n",
									   "Location: " URL "\n",
									   "Location: " URL "9c47-1/\n",
									   "Location: " URL "9c47-1?x=1\n",
									   "Location: " URL "9c47%2D1\n",
									   "Location: " URL "..\n",
									   "Location: " URL "1/transfers/2\n",
									   "Location: " URL "1, " URL "2\n",
									   "Location:\n"};

	(void) state;
	compiled(CHARGE, VOID);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		assert_int_equal(charged(good[i]), PGW_OUT_PENDING);
		assert_string_equal(answer.bank_reference, "9c47-1");
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
	{
		assert_int_equal(charged(none[i]), PGW_OUT_PENDING);
		assert_string_equal(answer.bank_reference, "");
		if (!answer.bank_reference_invalid)
			fail_msg("taken as absent: %s", none[i]);
	}
	assert_int_equal(charged(NULL), PGW_OUT_PENDING);
	assert_string_equal(answer.bank_reference, "");
	assert_false(answer.bank_reference_invalid);
	/* another header of a longer or shorter name is another one */
	assert_int_equal(charged("Content-Location: " URL "1\nLocation-X: " URL "2\nLocatio: x\n"),
					 PGW_OUT_PENDING);
	assert_string_equal(answer.bank_reference, "");
}

static void
headers_that_cannot_be_read(void **state)
{
	char long_one[4096];

	(void) state;
	compiled(CHARGE, VOID);
	assert_int_equal(charged("Location: " URL "1\nLocation: " URL "2\n"), PGW_OUT_UNKNOWN);
	assert_string_equal(answer.bank_reference, "");
	assert_int_equal(charged("Location: " URL "1\nLocation: \n"), PGW_OUT_UNKNOWN);
	assert_int_equal(charged("Location: " URL "1\xff\n"), PGW_OUT_UNKNOWN);
	assert_int_equal(charged("Location: " URL "1\x01\n"), PGW_OUT_UNKNOWN);
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	memcpy(long_one, "Location: /transfers/", 21);
	assert_int_equal(charged(long_one), PGW_OUT_UNKNOWN);
	/* what the operation does not read does not matter */
	assert_int_equal(judge(PGW_OP_VOID, 204, "X-Done: yes\nLocation: a\nLocation: b\n", ""),
					 PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_VOID, 204, "X-Done: yes\nX-Done: no\n", ""), PGW_OUT_UNKNOWN);
}

static void
rules_of_headers(void **state)
{
	(void) state;
	compiled(CHARGE, VOID);
	assert_int_equal(judge(PGW_OP_VOID, 204, "x-done: yes\n", ""), PGW_OUT_APPROVED);
	assert_int_equal(judge(PGW_OP_VOID, 204, "X-Done: no\n", ""), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_VOID, 204, NULL, ""), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_VOID, 204, "X-Done: yes\n", "{}"), PGW_OUT_UNKNOWN);

	/* beside a body; an error page is none, whatever its headers say */
	compiled("{'rules':[{'status':200,'when':{'header:X-Result':'ok'},'outcome':'approved'}],"
			 "'fields':{'bank_reference':['/id','header:X-Id'],'authorization_code':"
			 "{'when':{'header:X-Result':'ok'},'from':'header:X-Auth'}}}",
			 VOID);
	assert_int_equal(judge(PGW_OP_AUTHORIZE, 200, "X-Result: ok\nX-Id: 17\nX-Auth: A1\n", "{}"),
					 PGW_OUT_APPROVED);
	assert_string_equal(answer.bank_reference, "17");
	assert_string_equal(answer.authorization_code, "A1");
	judge(PGW_OP_AUTHORIZE, 200, "X-Result: ok\nX-Id: 17\n", "{'id':'18'}");
	assert_string_equal(answer.bank_reference, "18");
	/* two lines that somebody on the way has made one of */
	judge(PGW_OP_AUTHORIZE, 200, "X-Result: ok\nX-Id: 17, 18\n", "{}");
	assert_string_equal(answer.bank_reference, "");
	assert_true(answer.bank_reference_invalid);
	assert_int_equal(judge(PGW_OP_AUTHORIZE, 200, "X-Result: ok\nX-Id: 17\n", "<html>"),
					 PGW_OUT_UNKNOWN);
	assert_string_equal(answer.bank_reference, "");
	assert_false(answer.bank_reference_invalid);
}

/* The same of a URL in the body, with its slashes written as PHP writes them. */
static void
ids_in_urls(void **state)
{
	(void) state;
	compiled("{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}],"
			 "'fields':{'bank_reference':{'from':'/href','behind':'/transfers/'}}}",
			 VOID);
	judge(PGW_OP_AUTHORIZE, 200, NULL, "{'s':'ok','href':'https:\\/\\/b\\/transfers\\/t_1'}");
	assert_string_equal(answer.bank_reference, "t_1");
	judge(PGW_OP_AUTHORIZE, 200, NULL, "{'s':'ok','href':'https://b/errors/t_1'}");
	assert_string_equal(answer.bank_reference, "");
}

static void
cards_in_headers(void **state)
{
	(void) state;
	compiled(CHARGE, VOID);
	sought = (PgwSought){.card_number = "4111111111111111", .parts = true, .card_cvv = "737"};
	assert_int_equal(charged("Location: " URL "4111111111111111\n"), PGW_OUT_PENDING);
	assert_string_equal(answer.bank_reference, "");
	assert_true(answer.echoed && answer.bank_reference_invalid);
	charged("Location: " URL "1?n=4111111111111111\n");
	assert_string_equal(answer.bank_reference, "");
	memset(&sought, 0, sizeof(sought));
}

static void
places_without_headers(void **state)
{
	(void) state;
	assert_false(compile(1,
						 "{'rules':[{'status':200,'when':{'header:X':'1'},'outcome':'approved'}]}",
						 VOID, LOOKUP));
	assert_non_null(strstr(err.message, "version 2"));
	refused("{'rules':[" PENDING "]}", VOID, LOOKUP, "/operations/authorize/answer/rules/0/body",
			"names no id");
	refused("{'rules':[{'status':201,'body':'empty','outcome':'approved'}],'fields':{" BY_LOCATION
			"}}",
			VOID, LOOKUP, "/operations/authorize/answer/rules/0/body", "names no amount");
	refused("{'rules':[{'status':200,'when':{'header:a b':'1'},'outcome':'approved'}]}", VOID,
			LOOKUP, "/operations/authorize/answer/rules/0/when/header:a b", "name of a header");
	refused(
		"{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],'fields':{'amount':'header:A'}}",
		VOID, LOOKUP, "/operations/authorize/answer/fields/amount", "cannot stand in a header");
	refused("{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],"
			"'fields':{'bank_reference':{'from':'header:A','behind':'transfers'}}}",
			VOID, LOOKUP, "/operations/authorize/answer/fields/bank_reference/behind", "slashes");
	refused("{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],"
			"'fields':{'bank_code':{'from':'/c','behind':'/x/'}}}",
			VOID, LOOKUP, "/operations/authorize/answer/fields/bank_code/behind", "ids only");
	refused(CHARGE,
			"{'rules':[{'status':204,'body':'empty','when':{'/s':1},'outcome':'approved'}]}",
			LOOKUP, "/operations/void/answer/rules/0/when", "headers");
	/* what shows whose charge a look-up found is never a header: it may repeat the question */
	refused(
		CHARGE, VOID,
		"{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],'fields':{'reference':'header:R'}}",
		"/operations/lookup_charge/answer/fields/reference", "cannot stand in a header");
	refused(
		CHARGE, VOID,
		"{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],'reference_echoed':false,"
		"'fields':{" BY_LOCATION "}}",
		"/operations/lookup_charge/answer/fields/bank_reference", "repeat");
	refused(CHARGE, VOID,
			"{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],"
			"'select':{'in':'/d','where':{'header:R':'{{original_ref}}'},'more':false}}",
			"/operations/lookup_charge/answer/select/where/header:R", "JSON pointer");
	refused("{'rules':[{'status':200,'when':{'header:A':1,'header:B':1,'header:C':1,'header:D':1,"
			"'header:a':1,'header:E':1,'header:F':1,'header:G':1,'header:H':1,'header:I':1},"
			"'outcome':'approved'}]}",
			VOID, LOOKUP, "/operations/authorize/answer/rules/0/when/header:I", "more than 8");
}

static void
names_that_are_kept(void **state)
{
	const char *const *names;

	(void) state;
	compiled(CHARGE, VOID);
	assert_int_equal(pgw_connector_answer_headers(connector, &names), 2);
	assert_string_equal(names[0], "Location");
	assert_string_equal(names[1], "X-Done");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_of_an_empty_answer), cmocka_unit_test(headers_that_cannot_be_read),
		cmocka_unit_test(rules_of_headers),       cmocka_unit_test(ids_in_urls),
		cmocka_unit_test(cards_in_headers),       cmocka_unit_test(places_without_headers),
		cmocka_unit_test(names_that_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
