/*
 * test_list_pages.c - a look-up's list of several pages: what they say together, how the next one
 * is asked for, and where a document cannot ask for one
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

#include "core/bank_message/list_pages.h"
#include "compile_quoted.h"

#define OURS "ffffffffffffffffffffffffffffffff"
#define MINE(state) "{'id':'m','s':'" state "','r':'" OURS "'}"
#define OTHER "{'id':'x','s':'ok','r':'eeee'}"
#define PAGE(elements, cursor) "{'d':[" elements "],'more':" cursor "}"

#define DOCUMENT \
	"{'v':2,'capabilities':{'tokens':true},%s'operations':{" \
	"'charge':{'method':'POST','path':'/c','body':{'r':'{{transaction_ref}}','t':'{{token}}'}," \
	"'answer':{'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}]}}," \
	"'lookup_charge':{'method':'%s','path':'/c?r={{original_ref}}'%s,'answer':{" \
	"'select':{'in':'/d','where':{'/r':'{{original_ref}}'},'more':%s,'next':%s}," \
	"'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}," \
	"{'status':200,'when':{'/s':'no'},'outcome':'declined'}," \
	"{'status':404,'when':{'/e':'none'},'outcome':'not_found'}]," \
	"'fields':{'bank_reference':'/id'}}}}}"

static PgwPages pages;
static PgwAnswer answer;
static PgwSought sought;

static bool
compile(const char *more, const char *method, const char *headers, const char *goes_on,
		const char *next)
{
	return compile_quoted(DOCUMENT, more, method, headers, goes_on, next);
}

static void
begin(const char *next)
{
	COMPILED(compile("", "GET", "", "'/more'", next));
	memset(&pages, 0, sizeof(pages));
}

/* One page more: is the next one asked for? */
static bool
page_of(long status, const char *text)
{
	char *body = strdup(text);
	PgwQuestion question = {.op = PGW_OP_LOOKUP_CHARGE,
							.original_ref = OURS,
							.currency = "EUR",
							.iso_exponent = 2,
							.sought = &sought};
	bool goes_on;

	with_quotes(body);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = status, .body = body, .len = strlen(body)},
						&answer);
	free(body);
	goes_on = pgw_pages_add(&pages, &answer);
	/* between two pages nothing is said */
	if (goes_on)
		assert_true(answer.outcome == PGW_OUT_UNKNOWN && answer.bank_reference[0] == '\0');
	return goes_on;
}

#define GOES_ON(text) assert_true(page_of(200, text))
#define ENDS(text, what) \
	do \
	{ \
		assert_false(page_of(200, text)); \
		assert_int_equal(answer.outcome, what); \
	} while (0)

#define FROM "{'query':'after','from':'/more'}"
#define LAST "{'query':'after','last':'/id'}"

static void
what_they_say(void **state)
{
	(void) state;
	begin(FROM);
	ENDS(PAGE(MINE("ok"), "null"), PGW_OUT_APPROVED);
	begin(FROM);
	GOES_ON(PAGE(OTHER, "'c1'"));
	assert_string_equal(pages.cursor, "c1");
	GOES_ON(PAGE("", "'c2'"));
	ENDS(PAGE(OTHER, "null"), PGW_OUT_NOT_FOUND);

	/* on the first page, and no second one behind it */
	begin(FROM);
	GOES_ON(PAGE(MINE("no"), "'c1'"));
	ENDS(PAGE(OTHER, "''"), PGW_OUT_DECLINED);
	assert_string_equal(answer.bank_reference, "m");
	begin(FROM);
	GOES_ON(PAGE(OTHER, "7"));
	assert_string_equal(pages.cursor, "7");
	ENDS(PAGE(OTHER "," MINE("ok"), "0"), PGW_OUT_APPROVED);
}

static void
what_says_nothing(void **state)
{
	static const char *const bad[] = {"<html>",
									  "",
									  "{}",
									  "{'d':{}}",
									  PAGE("{'id':'y'}", "null"),
									  PAGE(OTHER, "{'at':1}"),
									  PAGE(OTHER, "true"),
									  PAGE(MINE("ok") "," MINE("no"), "null")};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		begin(FROM);
		GOES_ON(PAGE(OTHER, "'c1'"));
		ENDS(bad[i], PGW_OUT_UNKNOWN);
		begin(FROM);
		GOES_ON(PAGE(MINE("ok"), "'c1'"));
		ENDS(bad[i], PGW_OUT_UNKNOWN);
		assert_string_equal(answer.bank_reference, "");
	}
	/* a no such page is no "not found"; on the first one it is what the rules say */
	begin(FROM);
	GOES_ON(PAGE(OTHER, "'c1'"));
	assert_false(page_of(404, "{'e':'none'}"));
	assert_int_equal(answer.outcome, PGW_OUT_UNKNOWN);
	begin(FROM);
	assert_false(page_of(404, "{'e':'none'}"));
	assert_int_equal(answer.outcome, PGW_OUT_NOT_FOUND);

	/* two, on two pages; the same cursor again; more than are read */
	begin(FROM);
	GOES_ON(PAGE(MINE("ok"), "'c1'"));
	ENDS(PAGE(MINE("no"), "null"), PGW_OUT_UNKNOWN);
	begin(FROM);
	GOES_ON(PAGE(OTHER, "'c1'"));
	ENDS(PAGE(OTHER, "'c1'"), PGW_OUT_UNKNOWN);
	begin(FROM);
	for (int i = 1; i < PGW_MAX_PAGES; i++)
	{
		char text[256];

		snprintf(text, sizeof(text), PAGE(OTHER, "'c%d'"), i);
		GOES_ON(text);
	}
	ENDS(PAGE(OTHER, "'on'"), PGW_OUT_UNKNOWN);
}

static void
cursors(void **state)
{
	char long_one[400];
	PgwBuf path;

	(void) state;
	begin(LAST);
	GOES_ON(PAGE(OTHER, "true"));
	assert_string_equal(pages.cursor, "x");
	begin(LAST);
	ENDS(PAGE("", "true"), PGW_OUT_UNKNOWN);
	begin(FROM);
	snprintf(long_one, sizeof(long_one), PAGE(OTHER, "'%0*d'"), PGW_CURSOR_SIZE, 1);
	ENDS(long_one, PGW_OUT_UNKNOWN);
	/* a card that the bank repeats is not sent on */
	sought = (PgwSought){.card_number = "4111111111111111", .parts = true};
	begin(FROM);
	ENDS(PAGE(OTHER, "'4111111111111111'"), PGW_OUT_UNKNOWN);
	assert_true(answer.echoed);
	memset(&sought, 0, sizeof(sought));

	/* whatever it is, it stays the value of one parameter */
	begin("{'query':'page[after]','from':'/more'}");
	pgw_buf_init(&path, 0);
	pgw_buf_puts(&path, "/c?r=1");
	assert_true(pgw_connector_next_page(connector, PGW_OP_LOOKUP_CHARGE, NULL,
										"https://evil.example/?a=b&c#d/../", 6, &path));
	assert_string_equal(
		path.data, "/c?r=1&page%5Bafter%5D=https%3A%2F%2Fevil.example%2F%3Fa%3Db%26c%23d%2F..%2F");
	assert_true(pgw_connector_next_page(connector, PGW_OP_LOOKUP_CHARGE, NULL, "2", 6, &path));
	assert_string_equal(path.data, "/c?r=1&page%5Bafter%5D=2");
	pgw_buf_free(&path);
}

static void
refused(const char *more, const char *method, const char *headers, const char *goes_on,
		const char *next, const char *pointer)
{
	assert_false(compile(more, method, headers, goes_on, next));
	assert_string_equal(err.pointer, pointer);
}

#define NEXT "/operations/lookup_charge/answer/select/next"
#define SIGNED \
	"'computed':[{'name':'s','hmac_sha256':{'key':'{{secret.k}}','text':'{{path}}'},'as':'hex'}],"
#define LOGIN "'computed':[{'name':'s','text':'{{secret.u}}:{{secret.p}}','as':'base64'}],"
#define WITH ",'headers':{'S':'{{computed.s}}'}"

static void
documents(void **state)
{
	(void) state;
	refused("", "GET", "", "false", FROM, NEXT);
	refused("", "POST", ",'body':{'x':'y'}", "'/more'", FROM, NEXT);
	refused(SIGNED, "GET", WITH, "'/more'", FROM, NEXT);
	assert_true(compile(LOGIN, "GET", WITH, "'/more'", FROM));
	refused("", "GET", "", "'/more'", "{'query':'a'}", NEXT);
	refused("", "GET", "", "'/more'", "{'query':'a','from':'/x','last':'/y'}", NEXT);
	refused("", "GET", "", "'/more'", "{'from':'/x'}", NEXT "/query");
	refused("", "GET", "", "'/more'", "{'query':'','from':'/x'}", NEXT "/query");
	refused("", "GET", "", "'/more'", "{'query':'a','from':'header:Link'}", NEXT "/from");
	refused("", "GET", "", "'/more'", "'/links/next'", NEXT);
	assert_false(pgw_connector_has_pages(NULL, PGW_OP_CHARGE, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_they_say),
		cmocka_unit_test(what_says_nothing),
		cmocka_unit_test(cursors),
		cmocka_unit_test(documents),
	};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
