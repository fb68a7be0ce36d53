/*
 * test_masked.c - a request that is shown to people: no key, card number, CVV, holder or computed
 * value in it, in whatever place and encoding, and else the request as it would be sent
 *
 * The document is written with ' for ".
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

#define NUMBER "4242424242424242"

#define ANSWER \
	"'answer':{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],'fields':{'bank_reference':'/i'}}"

static const char document[] =
	"{'v':2,'capabilities':{'tokens':true,'cards':true},"
	"'computed':[{'name':'login','text':'u:{{secret.pw}}','as':'base64'},"
	"{'name':'sig','hmac_sha256':{'key':'{{secret.sign}}','key_as':'hex','text':'{{body}}'},'as':'hex'}],"
	"'headers':{'Authorization':'Basic {{computed.login}}','X-Sig':'{{computed.sig}}','X-Key':'k={{secret.pw|base64}}','X-Ref':'{{transaction_ref}}'},"
	"'operations':{'charge':{'method':'POST','path':'/c/{{merchant}}','body':{'a':'{{amount}}','n':'{{card_number}}','m':'n {{card_number|hex}}','c':'{{card_cvv}}',"
	"'h':['{{card_holder}}'],'e':'{{card_expiry_month}}','t':'{{token}}','k':'{{secret.pw}}','r':'{{transaction_ref}}'}," ANSWER
	"},"
	"'refund':{'method':'POST','path':'/r','encoding':'form','body':{'n':'{{secret.pw}}-{{bank_reference}}'}," ANSWER
	"}}}";

static PgwConnector *connector;
static PgwRendered rendered;

static int
begin(void **state)
{
	char text[sizeof(document)];
	PgwConnectorError err;

	(void) state;
	memcpy(text, document, sizeof(document));
	for (char *s = text; *s != '\0'; s++)
		*s = *s == '\'' ? '"' : *s;
	connector = pgw_connector_compile(text, strlen(text), &err);
	if (connector == NULL)
		print_message("%s: %s\n", err.pointer, err.message);
	pgw_rendered_init(&rendered);
	return connector == NULL;
}

static int
end(void **state)
{
	(void) state;
	pgw_rendered_free(&rendered);
	pgw_connector_free(connector);
	return 0;
}

static void
render(PgwBankOp op, PgwCallParams *p)
{
	PgwConnectorError err;

	p->amount = 1234;
	p->has_amount = true;
	p->currency = "EUR";
	p->iso_exponent = 2;
	p->transaction_ref = "ref";
	p->original_ref = "orig";
	p->bank_reference = "ch 1";
	p->merchant = "shop";
	p->masked = true;
	p->base_url = "https://bank.example";
	if (!pgw_connector_render(connector, op, p, &rendered, &err))
		fail_msg("%s: %s", err.pointer, err.message);
}

static void
header(const char *expected)
{
	for (int i = 0; i < rendered.nheaders; i++)
	{
		if (strcmp(rendered.headers[i].data, expected) == 0)
			return;
	}
	fail_msg("no header %s", expected);
}

static void
test_card(void **state)
{
	PgwCallParams p = {.card_number = NUMBER,
					   .card_cvv = "737",
					   .card_holder = "CARLA",
					   .card_expiry_month = 9,
					   .card_expiry_year = 2031};

	(void) state;
	render(PGW_OP_CHARGE, &p);
	assert_string_equal(rendered.path.data, "/c/shop");
	assert_string_equal(
		rendered.body.data,
		"{\"a\":1234,\"n\":\"************4242\",\"m\":\"n ************4242\",\"c\":\"***\",\"h\":[\"(card_holder)\"],\"e\":9,\"k\":\"(secret.pw)\",\"r\":\"ref\"}");
	header("Authorization: Basic (computed.login)");
	header("X-Sig: (computed.sig)");
	header("X-Key: k=(secret.pw)");
	header("X-Ref: ref");
}

/* What has no value drops its member, as it does in what is sent. */
static void
test_token(void **state)
{
	PgwCallParams p = {.token = "tok_1"};

	(void) state;
	render(PGW_OP_CHARGE, &p);
	assert_string_equal(rendered.body.data,
						"{\"a\":1234,\"t\":\"tok_1\",\"k\":\"(secret.pw)\",\"r\":\"ref\"}");
}

/* A number that is too short to have four digits to show. */
static void
test_short_number(void **state)
{
	PgwCallParams p = {.card_number = "42424242"};

	(void) state;
	render(PGW_OP_CHARGE, &p);
	assert_null(strstr(rendered.body.data, "4242"));
}

static void
test_form(void **state)
{
	PgwCallParams p = {.token = NULL};

	(void) state;
	render(PGW_OP_REFUND, &p);
	assert_string_equal(rendered.body.data, "n=(secret.pw)-ch%201");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_card),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_short_number),
		cmocka_unit_test(test_form),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
