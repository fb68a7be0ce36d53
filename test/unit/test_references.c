/*
 * test_references.c - our references as a bank takes them: short, of its letters
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
#include "core/bank_message/render_request.h"
#include "quotes.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define OURS "0198c0de000070008000000000000001"
#define CHARGE_REF "0198c0de000070008000000000000002"
#define CAPITALS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

#define RULES "'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}]"
#define ANSWER "{" RULES ",'fields':{'reference':'/r','bank_reference':'/id'}}"
#define WITHOUT_ID "{" RULES ",'fields':{'reference':'/r'}}"
#define REQUEST(path, body, answer) \
	"{'method':'POST','path':'" path "','body':{" body "},'answer':" answer "}"
#define CHARGE "'charge':" REQUEST("/c", "'r':'{{transaction_ref}}','t':'{{token}}'", ANSWER)

static PgwConnectorError err;

static PgwConnector *
try_to_compile(int version, const char *references, const char *operations)
{
	char document[4096];

	snprintf(document, sizeof(document),
			 "{'v':%d,'capabilities':{'tokens':true},'references':%s,'operations':{%s}}", version,
			 references, operations);
	with_quotes(document);
	return pgw_connector_compile(document, strlen(document), &err);
}

static PgwConnector *
compiled(const char *references, const char *operations)
{
	PgwConnector *c = try_to_compile(2, references, operations);

	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	return c;
}

static void
refused(int version, const char *references, const char *operations, const char *pointer,
		const char *says)
{
	PgwConnector *c = try_to_compile(version, references, operations);

	if (c != NULL)
		fail_msg("compiles: %s %s", references, operations);
	if (strcmp(err.pointer, pointer) != 0 || strstr(err.message, says) == NULL)
		fail_msg("%s: %s\ninstead of %s: %s", err.pointer, err.message, pointer, says);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

#define MANY 50000

/*
 * Twelve letters hold 62 bits: of fifty thousand two are the same once in four thousand million
 * runs.  A position that says less than it could would be seen.
 */
static void
test_few_bits(void **state)
{
	PgwConnector *c = compiled("{'length':12,'alphabet':'" CAPITALS "'}", CHARGE);
	static char out[MANY][PGW_REFERENCE_SIZE];
	int counts[12][36] = {{0}};
	char again[PGW_REFERENCE_SIZE];
	char whole[33];

	(void) state;
	for (int i = 0; i < MANY; i++)
	{
		snprintf(whole, sizeof(whole), "0198c0de0000700080000000%08x", i);
		assert_ptr_equal(pgw_connector_reference(c, whole, out[i]), out[i]);
		assert_int_equal(strlen(out[i]), 12);
		for (int k = 0; k < 12; k++)
			counts[k][strchr(CAPITALS, out[i][k]) - CAPITALS]++;
	}
	assert_string_equal(pgw_connector_reference(c, whole, again), out[MANY - 1]);
	for (int k = 0; k < 12; k++)
		for (int n = 0; n < 36; n++)
			assert_true(abs(counts[k][n] - MANY / 36) <= 250); /* 6.8 sigma */
	qsort(out, MANY, sizeof(out[0]), compare);
	for (int i = 1; i < MANY; i++)
		assert_string_not_equal(out[i - 1], out[i]);
	assert_null(pgw_connector_reference(c, NULL, again));
	assert_string_equal(pgw_connector_reference(c, "03EIAVU4LBB4", again), "03EIAVU4LBB4");
	pgw_connector_free(c);
}

/* Where there is room for them all, each digit of the reference can be had back. */
static void
test_all_bits(void **state)
{
	static const char *const shapes[] = {
		"{'length':25,'alphabet':'" CAPITALS "'}", "{'length':39,'alphabet':'0123456789'}",
		"{'length':22,'alphabet':'" CAPITALS "abcdefghijklmnopqrstuvwxyz'}"};
	static const char *const letters[] = {CAPITALS, "0123456789",
										  CAPITALS "abcdefghijklmnopqrstuvwxyz"};
	static const char *const references[] = {OURS, "00000000000000000000000000000000",
											 "ffffffffffffffffffffffffffffffff"};

	(void) state;
	for (size_t s = 0; s < LENGTH(shapes); s++)
	{
		PgwConnector *c = compiled(shapes[s], CHARGE);

		for (size_t i = 0; i < LENGTH(references); i++)
		{
			char out[PGW_REFERENCE_SIZE];
			char back[33];
			unsigned __int128 n = 0;

			for (const char *p = pgw_connector_reference(c, references[i], out); *p != '\0'; p++)
				n = n * strlen(letters[s]) + (size_t) (strchr(letters[s], *p) - letters[s]);
			snprintf(back, sizeof(back), "%016llx%016llx", (unsigned long long) (n >> 64),
					 (unsigned long long) n);
			assert_string_equal(back, references[i]);
		}
		pgw_connector_free(c);
	}
}

/* What is told, and what an answer may name; the key stays whole. */
static void
test_told_and_named(void **state)
{
	PgwConnector *c = compiled(
		"{'length':20,'alphabet':'0123456789'}",
		CHARGE ",'refund':" REQUEST(
			"/r/{{bank_reference}}",
			"'r':'{{transaction_ref}}','c':'{{original_ref}}','k':'{{idempotency_key}}'",
			ANSWER) ",'lookup_charge':{'method':'GET','path':'/l?r={{original_ref}}','answer':{" RULES
					",'select':{'in':'/d','where':{'/r':'{{original_ref}}'},'more':false},'fields':{'bank_reference':'/id'}}}");
	const PgwCallParams p = {.transaction_ref = OURS,
							 .original_ref = CHARGE_REF,
							 .idempotency_key = OURS,
							 .bank_reference = "ch_1"};
	PgwQuestion q = {.transaction_ref = OURS, .original_ref = CHARGE_REF, .currency = "EUR"};
	char ours[PGW_REFERENCE_SIZE];
	char charge[PGW_REFERENCE_SIZE];
	char text[300];
	PgwRendered r;
	PgwAnswer a;

	(void) state;
	pgw_connector_reference(c, OURS, ours);
	pgw_connector_reference(c, CHARGE_REF, charge);
	pgw_rendered_init(&r);
	assert_true(pgw_connector_render(c, PGW_OP_REFUND, &p, &r, &err));
	snprintf(text, sizeof(text), "{\"r\":\"%s\",\"c\":\"%s\",\"k\":\"" OURS "\"}", ours, charge);
	assert_string_equal(r.body.data, text);
	assert_true(pgw_connector_render(c, PGW_OP_LOOKUP_CHARGE, &p, &r, &err));
	snprintf(text, sizeof(text), "/l?r=%s", charge);
	assert_string_equal(r.path.data, text);
	pgw_rendered_free(&r);

	q.op = PGW_OP_REFUND;
	snprintf(text, sizeof(text), "{\"s\":\"ok\",\"r\":\"%s\"}", ours);
	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 200, .body = text, .len = strlen(text)},
						&a);
	assert_int_equal(a.outcome, PGW_OUT_APPROVED);
	snprintf(text, sizeof(text), "{\"s\":\"ok\",\"r\":\"" OURS "\"}");
	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 200, .body = text, .len = strlen(text)},
						&a);
	assert_int_equal(a.outcome, PGW_OUT_UNKNOWN);

	q.op = PGW_OP_LOOKUP_CHARGE;
	snprintf(text, sizeof(text), "{\"d\":[{\"s\":\"ok\",\"r\":\"%s\",\"id\":\"ch_2\"}]}", charge);
	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 200, .body = text, .len = strlen(text)},
						&a);
	assert_int_equal(a.outcome, PGW_OUT_APPROVED);
	assert_string_equal(a.bank_reference, "ch_2");
	snprintf(text, sizeof(text), "{\"d\":[{\"s\":\"ok\",\"r\":\"%s\"}]}", charge);
	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 200, .body = text, .len = strlen(text)},
						&a);
	assert_int_equal(a.outcome, PGW_OUT_UNKNOWN); /* without its id it may be another's */
	snprintf(text, sizeof(text), "{\"d\":[{\"s\":\"ok\",\"r\":\"%s\",\"id\":\"ch_2\"}]}", ours);
	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 200, .body = text, .len = strlen(text)},
						&a);
	assert_int_equal(a.outcome, PGW_OUT_NOT_FOUND);
	pgw_connector_free(c);
}

static void
test_refused(void **state)
{
	static const char *const shapes[][3] = {
		{"{'length':11,'alphabet':'" CAPITALS "'}", "/references/length", "hold 56 bits"},
		{"{'length':18,'alphabet':'0123456789'}", "/references/length", "hold 59 bits"},
		{"{'length':11,'alphabet':'" CAPITALS "abcdefghijklmnopqrstuvwxyz'}", "/references/length",
		 "both cases count once"},
		{"{'length':41,'alphabet':'0123456789'}", "/references/length", "40 at most"},
		{"{'alphabet':'0123456789'}", "/references/length", "whole number"},
		{"{'length':20}", "/references/alphabet", "all letters"},
		{"{'length':20,'alphabet':'012345678'}", "/references/alphabet", "10 at least"},
		{"{'length':20,'alphabet':'01234567890'}", "/references/alphabet", "twice"},
		{"{'length':20,'alphabet':'0123456789 '}", "/references/alphabet", "only letters"},
		{"{'length':20,'alphabet':1}", "/references/alphabet", "string"},
		{"{'length':20,'alphabet':'0123456789','x':1}", "/references/x", "unknown key"},
		{"null", "/references", "must be an object"},
	};
	static const char few[] = "{'length':12,'alphabet':'" CAPITALS "'}";
	static const char many[] = "{'length':18,'alphabet':'" CAPITALS "'}";
	static const char *const operations[][3] = {
		{"'charge':" REQUEST("/c", "'t':'{{token}}'", WITHOUT_ID),
		 "/operations/charge/answer/fields/bank_reference", "missing: references of 62 bits"},
		{CHARGE ",'lookup_charge':" REQUEST("/l", "'r':'{{original_ref}}'", WITHOUT_ID),
		 "/operations/lookup_charge/answer/fields/bank_reference", "missing"},
		{CHARGE ",'refund':" REQUEST("/r", "'r':'{{original_ref}}'", ANSWER), "/operations/refund",
		 "{{bank_reference}} or {{operation_reference}} must stand"},
		{CHARGE ",'void':" REQUEST("/r", "'r':'{{original_ref}}'", ANSWER), "/operations/void",
		 "{{bank_reference}} must stand"},
		{CHARGE ",'cancel':" REQUEST("/r", "'r':'{{original_ref}}'", ANSWER), "/operations/cancel",
		 "{{bank_reference}} must stand"},
		{CHARGE ",'reverse':" REQUEST("/r", "'r':'{{original_ref}}'", ANSWER),
		 "/operations/reverse", "{{bank_reference}} must stand"},
		{CHARGE
		 ",'refund':" REQUEST("/r", "'r':'{{bank_reference}}'", ANSWER) ",'lookup_refund':" REQUEST(
			 "/l", "'r':'{{transaction_ref}}'", ANSWER),
		 "/operations/lookup_refund",
		 "{{bank_reference}}, {{operation_reference}} or {{original_ref}} must stand"},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(shapes); i++)
		refused(2, shapes[i][0], CHARGE, shapes[i][1], shapes[i][2]);
	refused(1, few, CHARGE, "/references", "needs version 2");
	for (size_t i = 0; i < LENGTH(operations); i++)
	{
		refused(2, few, operations[i][0], operations[i][1], operations[i][2]);
		pgw_connector_free(compiled(many, operations[i][0]));
	}
}

/* Beside a reference that may be another's, the id is no member that may go for want of a value. */
static void
test_id_needed(void **state)
{
	static const char refund[] = CHARGE
		",'refund':" REQUEST("/r", "'r':'{{original_ref}}','i':'{{bank_reference}}'", ANSWER);
	PgwConnector *few = compiled("{'length':12,'alphabet':'" CAPITALS "'}", refund);
	PgwConnector *many = compiled("{'length':18,'alphabet':'" CAPITALS "'}", refund);
	const PgwCallParams p = {.original_ref = CHARGE_REF};
	PgwRendered r;

	(void) state;
	pgw_rendered_init(&r);
	assert_false(pgw_connector_render(few, PGW_OP_REFUND, &p, &r, &err));
	assert_non_null(strstr(err.message, "{{bank_reference}}"));
	assert_true(pgw_connector_render(many, PGW_OP_REFUND, &p, &r, &err));
	pgw_rendered_free(&r);
	pgw_connector_free(few);
	pgw_connector_free(many);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_bits),       cmocka_unit_test(test_all_bits),
		cmocka_unit_test(test_told_and_named), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_id_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
