/*
 * test_customer.c - what is told of a customer: which members there are and what they may hold,
 * where a template may name them, what is sent of them, and what is shown
 *
 * Documents and objects are written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bank_message/render_request.h"
#include "core/connector/recovery_notes.h"
#include "core/customer/customer.h"
#include "core/request/validate.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static PgwConnectorError err;
static char quoted[16384];

static const char *
json(const char *text)
{
	snprintf(quoted, sizeof(quoted), "%s", text);
	for (char *s = quoted; *s != '\0'; s++)
		*s = *s == '\'' ? '"' : *s;
	return quoted;
}

/* ---- what a caller may say ---- */

/* The faults of a payment by token with this customer, as JSON; "": none. */
static const char *
faults_of(const char *customer, const char *token, bool is_submit, int request,
		  PgwCheckedArgs *checked)
{
	static char text[8192];
	static char options[8192];
	PgwPaymentArgs args = {.is_submit = is_submit,
						   .request = request,
						   .client_request_id = "id",
						   .amount = 1,
						   .currency = "EUR",
						   .token = token,
						   .card_expiry_month_isnull = true,
						   .card_expiry_year_isnull = true,
						   .capture = "immediate",
						   .metadata = "{}",
						   .bank_fields = "{}",
						   .timeout_isnull = true,
						   .merchant = "default",
						   .options = options};
	PgwBuf faults;
	int n;

	snprintf(options, sizeof(options), "{\"customer\": %s, \"actor\": \"a\"}", json(customer));
	pgw_buf_init(&faults, 0);
	n = pgw_validate_payment_args(&args, 1, checked, &faults);
	snprintf(text, sizeof(text), "%s", n > 0 ? faults.data : "");
	pgw_buf_free(&faults);
	return text;
}

static void
taken(void **state)
{
	static const char *const good[] = {
		"{}",
		"null",
		"{'ip':'203.0.113.7','email':'a@b.example','phone':'+49 (30) 1234-5','name':'Ünal Ö.'}",
		"{'ip':'2001:db8::1','email':null}",
		"{'billing_address':{'name':'N','line1':'1','line2':'2','line3':'3','city':'C','state':'S','postal_code':'10115','country':'DE'},'shipping_address':{}}",
		("{'browser':{'browserAcceptHeader':'text/html','browserColorDepth':'24','browserIP':'203.0.113.7','browserJavaEnabled':false,'browserJavascriptEnabled':true,"
		 "'browserLanguage':'de-DE','browserScreenHeight':1080,'browserScreenWidth':'1920','browserTZ':'-60','browserUserAgent':'M/5.0'}}"),
		/* it is kept nowhere: as good as a card in card_holder */
		"{'name':'4242424242424242'}",
	};
	PgwCheckedArgs checked;

	(void) state;
	for (size_t i = 0; i < LENGTH(good); i++)
	{
		const char *faults = faults_of(good[i], "tok_1", false, 0, &checked);

		if (*faults != '\0')
			fail_msg("%s: %s", good[i], faults);
		if (strcmp(good[i], "null") == 0)
			assert_null(checked.customer);
		else
		{
			assert_int_equal(checked.customer_len, strlen(good[i]));
			assert_memory_equal(checked.customer, json(good[i]), checked.customer_len);
		}
		assert_string_equal(checked.says.end_user, "a");
	}
}

static void
refused(void **state)
{
	static const struct
	{
		const char *customer;
		const char *field;
		const char *code;
	} cases[] = {
		{"'a@b.example'", "options.customer", "invalid_format"},
		{"[1]", "options.customer", "invalid_format"},
		{"{'emial':'SECRET'}", "options.customer", "unknown_option"},
		{"{'SECRET@x':1}", "options.customer", "unknown_option"},
		{"{'browser/browserIP':'203.0.113.7'}", "options.customer", "unknown_option"},
		{"{'':1}", "options.customer", "unknown_option"},
		{"{'browser':{'browserip':'SECRET'}}", "options.customer.browser", "unknown_option"},
		{"{'ip':'SECRET'}", "options.customer.ip", "invalid_format"},
		{"{'ip':'203.0.113.7 '}", "options.customer.ip", "invalid_format"},
		{"{'ip':7}", "options.customer.ip", "invalid_format"},
		{"{'email':'SECRET'}", "options.customer.email", "invalid_format"},
		{"{'email':'SECRET @b'}", "options.customer.email", "invalid_format"},
		{"{'email':'a@b\\nSECRET'}", "options.customer.email", "control_characters"},
		{"{'email':'a@b\\u0000SECRET'}", "options.customer.email", "control_characters"},
		{"{'phone':'SECRET'}", "options.customer.phone", "invalid_format"},
		{"{'phone':'++++'}", "options.customer.phone", "invalid_format"},
		{"{'name':''}", "options.customer.name", "invalid_format"},
		{"{'name':['SECRET']}", "options.customer.name", "invalid_format"},
		{"{'billing_address':'SECRET'}", "options.customer.billing_address", "invalid_format"},
		{"{'billing_address':{'country':'de'}}", "options.customer.billing_address.country",
		 "invalid_format"},
		{"{'billing_address':{'country':'DEU'}}", "options.customer.billing_address.country",
		 "too_long"},
		{"{'shipping_address':{'line1':'a\\u0085SECRET'}}",
		 "options.customer.shipping_address.line1", "control_characters"},
		{"{'shipping_address':{'postal_code':'12345678901234567'}}",
		 "options.customer.shipping_address.postal_code", "too_long"},
		{"{'browser':{'browserJavaEnabled':'true'}}", "options.customer.browser.browserJavaEnabled",
		 "invalid_format"},
		{"{'browser':{'browserScreenHeight':10.5}}", "options.customer.browser.browserScreenHeight",
		 "invalid_format"},
		{"{'browser':{'browserScreenHeight':'007'}}",
		 "options.customer.browser.browserScreenHeight", "invalid_format"},
		{"{'browser':{'browserScreenWidth':1000000}}",
		 "options.customer.browser.browserScreenWidth", "invalid_format"},
		{"{'browser':{'browserScreenWidth':12345678}}",
		 "options.customer.browser.browserScreenWidth", "too_long"},
		{"{'browser':{'browserTZ':1441}}", "options.customer.browser.browserTZ", "invalid_format"},
		{"{'browser':{'browserTZ':true}}", "options.customer.browser.browserTZ", "invalid_format"},
	};
	PgwCheckedArgs checked;

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		const char *faults = faults_of(cases[i].customer, "tok_1", false, 0, &checked);
		char want[256];

		snprintf(want, sizeof(want), "[{\"field\":\"%s\",\"code\":\"%s\",", cases[i].field,
				 cases[i].code);
		if (strncmp(faults, want, strlen(want)) != 0 || strstr(faults, "},{") != NULL)
			fail_msg("%s: %s", cases[i].customer, faults);
		assert_null(strstr(faults, "SECRET"));
	}
	/* one that is a word is named: most of them are misspelt */
	assert_non_null(strstr(faults_of("{'emial':1}", "tok_1", false, 0, &checked), "\\\"emial\\\""));
	/* all at once */
	assert_non_null(
		strstr(faults_of("{'ip':1,'email':1}", "tok_1", false, 0, &checked), "customer.email"));
}

/* Where it would have to be stored, or is not wiped; and where a slot has no room for it. */
static void
no_place(void **state)
{
	char token[PGW_MAX_TOKEN_OBJECT_BYTES + 1];
	char customer[2100];
	PgwCheckedArgs checked;
	size_t used;

	(void) state;
	assert_non_null(
		strstr(faults_of("{'ip':'203.0.113.7'}", "tok_1", true, 0, &checked), "never stored"));
	assert_non_null(strstr(faults_of("{'ip':'203.0.113.7'}", "tok_1", false, 1, &checked),
						   "process_payments takes no customer"));

	/* exactly as much as there is room for, and one byte more */
	for (int more = 0; more <= 1; more++)
	{
		snprintf(customer, sizeof(customer), "{'browser':{'browserUserAgent':'%0*d'}}", 900, 0);
		used = strlen(customer);
		snprintf(token, sizeof(token), "{\"a\":\"%0*d\"}",
				 (int) (PGW_MAX_TOKEN_AND_CUSTOMER_BYTES - used - 8) + more, 0);
		assert_int_equal(strlen(token) + used, PGW_MAX_TOKEN_AND_CUSTOMER_BYTES + more);
		if (more == 0)
			assert_string_equal(faults_of(customer, token, false, 0, &checked), "");
		else
			assert_non_null(
				strstr(faults_of(customer, token, false, 0, &checked), "together with the token"));
	}
}

/* ---- templates ---- */

static PgwConnector *
compiled(int version, const char *body, const char *in_charge, const char *more)
{
	char text[8192];

	snprintf(
		text, sizeof(text),
		"{'v':%d,'capabilities':{'tokens':true%s},'operations':{'charge':{'method':'POST','path':'/c','body':%s%s,'answer':{'rules':[{'status':200,'outcome':'approved'}],'fields':{'bank_reference':'/id'}}}%s}}",
		version, strstr(more, "KEYED") != NULL ? ",'idempotency':{'lifetime_seconds':86400}" : "",
		body, in_charge, strstr(more, "KEYED") != NULL ? "" : more);
	return pgw_connector_compile(json(text), strlen(text), &err);
}

static void
sent(void **state)
{
	static const struct
	{
		const char *body;
		const char *customer; /* NULL: none */
		const char *want;
		bool held;
	} cases[] = {
		{"{'t':'{{token}}','e':'{{customer./email}}','i':'{{customer./ip}}'}",
		 "{'email':'a@b.example'}", "{'t':'t','e':'a@b.example'}", true},
		{"{'t':'{{token}}','e':'{{customer./email}}'}", NULL, "{'t':'t'}", false},
		{"{'t':'{{token}}','e':'{{customer./email}}'}", "{'email':null}", "{'t':'t'}", false},
		/* numbers as they came, as texts, and as numbers */
		{"{'t':'{{token}}','h':'{{customer./browser/browserScreenHeight}}','s':'{{customer./browser/browserScreenHeight|string}}','n':'{{customer./browser/browserTZ|number}}','j':'{{customer./browser/browserJavaEnabled|string}}'}",
		 "{'browser':{'browserScreenHeight':1080,'browserTZ':'-60','browserJavaEnabled':false}}",
		 "{'t':'t','h':1080,'s':'1080','n':-60,'j':'false'}", true},
		/* objects, and all of it */
		{"{'t':'{{token}}','a':'{{customer./billing_address}}','c':'{{customer.}}'}",
		 "{'billing_address':{'city':'C'}}",
		 "{'t':'t','a':{'city':'C'},'c':{'billing_address':{'city':'C'}}}", true},
		/* chosen by it, another request than it would be without: not by what was not there */
		{"{'t':'{{token}}','x':{'{{customer./email}}':1,'{{token}}':2}}", "{'email':'a@b.example'}",
		 "{'t':'t','x':1}", true},
		{"{'t':'{{token}}','x':{'{{customer./email}}':1,'{{token}}':2}}", "{'ip':'192.0.2.1'}",
		 "{'t':'t','x':2}", false},
		{"{'t':'{{token}}','x':{'{{token}}':2,'{{customer./email}}':1}}", "{'email':'a@b.example'}",
		 "{'t':'t','x':2}", false},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwConnector *c = compiled(2, cases[i].body, "", "");
		char customer[512];
		PgwCallParams p = {.token = "t", .customer = cases[i].customer != NULL ? customer : NULL};
		PgwRendered r;

		if (c == NULL)
			fail_msg("%zu: %s: %s", i, err.pointer, err.message);
		snprintf(customer, sizeof(customer), "%s",
				 json(cases[i].customer != NULL ? cases[i].customer : ""));
		pgw_rendered_init(&r);
		assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
		if (strcmp(r.body.data, json(cases[i].want)) != 0 || r.has_customer != cases[i].held)
			fail_msg("%zu: %s", i, r.body.data);
		pgw_rendered_free(&r);
		pgw_connector_free(c);
	}
}

/* Shown to people: no value; an object without members is a sample of everybody. */
static void
shown(void **state)
{
	PgwCallParams p = {.masked = true, .token = "t", .customer = "{\"email\":\"a@b.example\"}"};
	PgwConnector *c = compiled(
		2,
		"{'t':'{{token}}','e':'{{customer./email}}','i':'<{{customer./ip}}>','a':'{{customer.}}'}",
		"", "");
	PgwRendered r;

	(void) state;
	pgw_rendered_init(&r);
	assert_non_null(c);
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_string_equal(r.body.data,
						"{\"t\":\"t\",\"e\":\"(customer./email)\",\"a\":\"(customer)\"}");
	p.customer = "{}";
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_string_equal(
		r.body.data,
		"{\"t\":\"t\",\"e\":\"(customer./email)\",\"i\":\"<(customer./ip)>\",\"a\":\"(customer)\"}");
	pgw_rendered_free(&r);
	pgw_connector_free(c);
}

static void
not_compiled(void **state)
{
	static const struct
	{
		int version;
		const char *body;
		const char *in_charge;
		const char *more;
		const char *pointer;
		const char *message;
	} cases[] = {
		{1, "{'t':'{{token}}','e':'{{customer./email}}'}", "", "", "/operations/charge/body/e",
		 "version 2"},
		{2, "{'t':'{{token}}','e':'{{customer./emial}}'}", "", "", "/operations/charge/body/e",
		 "nothing at this place"},
		{2, "{'t':'{{token}}','e':'{{customer.email}}'}", "", "", "/operations/charge/body/e",
		 "nothing at this place"},
		{2, "{'t':'{{token}}','e':'{{customer./email|number}}'}", "", "",
		 "/operations/charge/body/e", "cannot stand here"},
		{2, "{'t':'{{token}}'}", ",'headers':{'X-IP':'{{customer./ip}}'}", "",
		 "/operations/charge/headers/X-IP", "must not stand in a header"},
		{2, "{'t':'{{token}}'}", "",
		 ",'refund':{'method':'POST','path':'/r','body':{'id':'{{bank_reference}}','e':'{{customer./email}}'},'answer':{'rules':[{'status':200,'outcome':'approved'}]}}",
		 "/operations/refund", "not kept beyond the charge"},
		{2, "{'t':'{{token}}'}", "",
		 ",'refund':{'method':'POST','path':'/r/{{bank_reference}}/{{customer./ip}}','answer':{'rules':[{'status':200,'outcome':'approved'}]}}",
		 "/operations/refund/path", "must not stand in a path"},
		{2, "{'t':'{{token}}'}", "",
		 "},'computed':[{'name':'c','text':'{{customer./ip}}'}],'headers':{'a':'b'",
		 "/computed/0/text", "must not stand in a computed value"},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwConnector *c =
			compiled(cases[i].version, cases[i].body, cases[i].in_charge, cases[i].more);

		if (c != NULL || strcmp(err.pointer, cases[i].pointer) != 0 ||
			strstr(err.message, cases[i].message) == NULL)
			fail_msg("%zu: %s: %s", i, c != NULL ? "compiles" : err.pointer, err.message);
	}
}

/* It is not repeated with its key, which a bank without look-ups would need: this is said. */
static void
warned_of(void **state)
{
	PgwConnectorError warnings[PGW_MAX_CONNECTOR_WARNINGS];
	PgwRecoveryNote notes[PGW_MAX_RECOVERY_NOTES];
	bool warned = false;
	bool noted = false;
	PgwConnector *c = compiled(
		2, "{'t':'{{token}}','k':'{{idempotency_key}}','e':'{{customer./email}}'}", "", "KEYED");
	int n;

	(void) state;
	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	n = pgw_connector_warnings(c, warnings, PGW_MAX_CONNECTOR_WARNINGS);
	for (int i = 0; i < n; i++)
		warned |= strcmp(warnings[i].pointer, "/operations/charge/body") == 0 &&
				  strstr(warnings[i].message, "is not repeated with its key") != NULL;
	n = pgw_recovery_notes(c, notes);
	for (int i = 0; i < n; i++)
		noted |= strcmp(notes[i].about, "lost charge with customer") == 0;
	assert_true(warned && noted);
	pgw_connector_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken),     cmocka_unit_test(refused), cmocka_unit_test(no_place),
		cmocka_unit_test(sent),      cmocka_unit_test(shown),   cmocka_unit_test(not_compiled),
		cmocka_unit_test(warned_of),
	};

	return cmocka_run_group_tests_name("customer", tests, NULL, NULL);
}
