/*
 * test_faults_at_once.c - a document with many faults: all of them are told, each with its place,
 * in the order in which they stand; what depends on a part that is at fault says nothing; the first
 * is what a compiler that stops there says
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

#include "core/connector/connector.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_FAULTS 16
#define CHARGE(body, answer) \
	"'charge':{'method':'POST','path':'/c','body':{" body "},'answer':{" answer "}}"
#define GOOD_RULES "'rules':[{'status':200,'outcome':'approved'}]"

static PgwConnectorError list[MAX_FAULTS];

static int
faults_of(const char *document, int max)
{
	char text[8192];
	PgwConnectorError first;
	int n;

	snprintf(text, sizeof(text), "%s", document);
	for (char *s = text; *s != '\0'; s++)
		*s = *s == '\'' ? '"' : *s;
	memset(list, 'x', sizeof(list));
	assert_null(pgw_connector_compile_all(text, strlen(text), list, max, &n));
	assert_null(pgw_connector_compile(text, strlen(text), &first));
	assert_string_equal(first.pointer, list[0].pointer);
	assert_string_equal(first.message, list[0].message);
	return n;
}

static void
told(void **state)
{
	static const struct
	{
		const char *document;
		const char *pointers[MAX_FAULTS];
	} cases[] = {
		/* everywhere */
		{"{'v':2,'name':1,'capabilites':{},'capabilities':{'cards':'yes','tokens':true,'exponents':{'EU':1}},'headers':{'Host':'h','A b':'x','X':'{{tokn}}'},"
		 "'operations':{'pay':{}," CHARGE(
			 "'a':'{{amuont}}','b':{'c':['{{x}}',1,'{{y}}']}",
			 "'rules':[{'status':'ok','outcome':'approved'},{'status':200},{'status':200,'outcome':'sure'}],"
			 "'fields':{'amount':'a','currency':1}") "}}",
		 {"/capabilites", "/name", "/capabilities/cards", "/headers/Host", "/headers/A b",
		  "/headers/X", "/operations/pay", "/operations/charge/body/a",
		  "/operations/charge/body/b/c/0", "/operations/charge/body/b/c/2",
		  "/operations/charge/answer/rules/0/status", "/operations/charge/answer/rules/1/outcome",
		  "/operations/charge/answer/rules/2/outcome", "/operations/charge/answer/fields/amount",
		  "/operations/charge/answer/fields/currency"}},
		/* in one operation, besides its answer */
		{"{'v':1,'capabilities':{'tokens':true},'operations':{'charge':{'methd':'POST','path':'c','headers':{'TE':'1'},'body':[],'answer':{" GOOD_RULES
		 "}}}}",
		 {"/operations/charge/methd", "/operations/charge/method", "/operations/charge/path",
		  "/operations/charge/headers/TE", "/operations/charge/body"}},
		/* between operations: once each of them is good */
		{"{'v':1,'capabilities':{'tokens':true,'cards':true},'operations':{" CHARGE(
			 "'t':'{{token}}'",
			 GOOD_RULES) ",'authorize':{'method':'POST','path':'/a','body':{'n':'{{card_number}}'},'answer':{" GOOD_RULES
						 "}},"
						 "'capture':{'method':'POST','path':'/x','answer':{" GOOD_RULES "}},"
						 "'void':{'method':'POST','path':'/v','answer':{" GOOD_RULES "}}}}",
		 {"/operations/capture", "/operations/void", "/operations/charge/body",
		  "/operations/authorize"}},
		/* what follows from capabilities, or from rules and fields, is not said of broken ones */
		{"{'v':2,'capabilities':{'tokens':true,'idempotency':{'header':'Key'}},'operations':{" CHARGE(
			 "'t':'{{token}}'", "'rules':[{'status':409,'outcome':'in_progress'}]") "}}",
		 {"/capabilities/idempotency/lifetime_seconds"}},
		{"{'v':2,'capabilities':{'tokens':true},'operations':{" CHARGE(
			 "'t':'{{token}}'",
			 GOOD_RULES ",'fields':{'bank_code':1},'error_codes':{'1':'declined'}") "}}",
		 {"/operations/charge/answer/fields/bank_code"}},
		/* the version says how all else is read */
		{"{'v':3,'x':1,'operations':{}}", {"/x", "/v"}},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		int n = faults_of(cases[i].document, MAX_FAULTS);

		for (int k = 0; k < n && k < MAX_FAULTS; k++)
		{
			if (cases[i].pointers[k] == NULL || strcmp(list[k].pointer, cases[i].pointers[k]) != 0)
				fail_msg("%zu.%d: %s: %s", i, k, list[k].pointer, list[k].message);
			assert_true(list[k].message[0] != '\0' && list[k].message[0] != 'x');
		}
		if (n < MAX_FAULTS && cases[i].pointers[n] != NULL)
			fail_msg("%zu: only %d", i, n);
	}
}

/* Never more than there is room for. */
static void
bounded(void **state)
{
	char text[8192];
	size_t len = (size_t) snprintf(text, sizeof(text),
								   "{'v':1,'capabilities':{'tokens':true},'operations':{");

	(void) state;
	for (int i = 0; i < 100; i++)
		len += (size_t) snprintf(text + len, sizeof(text) - len, "%s'o%d':{}", i > 0 ? "," : "", i);
	snprintf(text + len, sizeof(text) - len, "}}");
	assert_int_equal(faults_of(text, 3), 100);
	assert_string_equal(list[2].pointer, "/operations/o2");
	assert_int_equal(list[3].pointer[0], 'x');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(told), cmocka_unit_test(bounded)};

	return cmocka_run_group_tests_name("faults_at_once", tests, NULL, NULL);
}
