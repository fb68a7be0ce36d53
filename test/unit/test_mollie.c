/*
 * test_mollie.c - the connector for Mollie: what it makes of the vendor's own examples, of each
 * status of a payment and of a refund, and of an unsigned webhook
 *
 * The examples are those of the simulator's file, which names where each was published.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <cmocka.h>

#include "core/bank_message/judge_answer.h"
#include "core/notification/notification_verdict.h"
#include "documents.h"

#define OURS "0123456789abcdef0123456789abcdef"
#define CHARGE_REF "ffffffffffffffffffffffffffffffff"

static PgwConnector *mollie;
static json_object *published;

static int
setup(void **state)
{
	(void) state;
	mollie = compile(read_document("src/connectors/mollie.json"));
	published = json_tokener_parse(read_document("test/bank/dialects/mollie.json"));
	assert_non_null(published);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	pgw_connector_free(mollie);
	json_object_put(published);
	return 0;
}

/* The example, of a test, with this reference of ours and this status. */
static json_object *
example(const char *name, const char *reference, const char *status)
{
	json_object *v;
	json_object *doc = NULL;
	json_object *metadata = json_object_new_object();

	assert_true(json_object_object_get_ex(published, "examples", &v));
	if (!json_object_object_get_ex(v, name, &v) || !json_object_object_get_ex(v, "document", &v))
		fail_msg("no example %s", name);
	json_object_deep_copy(v, &doc, NULL);
	json_object_object_add(metadata, "pgw_ref", json_object_new_string(reference));
	json_object_object_add(doc, "metadata", metadata);
	json_object_object_add(doc, "mode", json_object_new_string("test"));
	if (status != NULL)
		json_object_object_add(doc, "status", json_object_new_string(status));
	return doc;
}

/* Takes the document. */
static PgwAnswer
judged(PgwBankOp op, long status, json_object *doc)
{
	PgwQuestion question = {.op = op,
							.transaction_ref = OURS,
							.original_ref = CHARGE_REF,
							.bank_reference = "tr_5B8cwPMGnU6qLbRvo7qEZo",
							.currency = "EUR",
							.iso_exponent = 2};
	const char *body = json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN);
	PgwAnswer answer;

	pgw_connector_judge(mollie, &question,
						&(PgwGivenAnswer){.status = status, .body = body, .len = strlen(body)},
						&answer);
	json_object_put(doc);
	return answer;
}

static void
payments(void **state)
{
	static const struct
	{
		const char *status;
		PgwOutcome outcome;
		int64_t captured;
	} cases[] = {{"paid", PGW_OUT_APPROVED, 2000},   {"open", PGW_OUT_PENDING, 0},
				 {"pending", PGW_OUT_PENDING, 0},    {"failed", PGW_OUT_DECLINED, 0},
				 {"expired", PGW_OUT_DECLINED, 0},   {"canceled", PGW_OUT_DECLINED, 0},
				 {"authorized", PGW_OUT_UNKNOWN, 0}, {"settled", PGW_OUT_UNKNOWN, -1}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwAnswer a = judged(PGW_OP_CHARGE, 201, example("recurring", OURS, cases[i].status));

		if (a.outcome != cases[i].outcome)
			fail_msg("%s: %d", cases[i].status, a.outcome);
		assert_int_equal(a.captured, cases[i].captured);
		assert_int_equal(a.amount, 2000);
		assert_string_equal(a.bank_reference, "tr_DjH8FpPNj7");
		assert_int_equal(
			judged(PGW_OP_CHARGE, 201, example("recurring", CHARGE_REF, cases[i].status)).outcome,
			PGW_OUT_UNKNOWN);
		assert_int_equal(
			judged(PGW_OP_CHARGE, 200, example("recurring", OURS, cases[i].status)).outcome,
			PGW_OUT_UNKNOWN);
		a = judged(PGW_OP_LOOKUP_CHARGE, 200, example("recurring", CHARGE_REF, cases[i].status));
		if (a.outcome != cases[i].outcome)
			fail_msg("%s %d %s %lld", cases[i].status, a.outcome, a.bank_code,
					 (long long) a.amount);
	}
}

/* A refund is an order first, which can still fail or be cancelled. */
static void
refunds(void **state)
{
	static const struct
	{
		const char *status;
		PgwOutcome outcome;
		PgwOutcome shown;
	} cases[] = {{"queued", PGW_OUT_ACCEPTED, PGW_OUT_PENDING},
				 {"pending", PGW_OUT_ACCEPTED, PGW_OUT_PENDING},
				 {"processing", PGW_OUT_ACCEPTED, PGW_OUT_PENDING},
				 {"refunded", PGW_OUT_APPROVED, PGW_OUT_APPROVED},
				 {"failed", PGW_OUT_DECLINED, PGW_OUT_DECLINED},
				 {"canceled", PGW_OUT_DECLINED, PGW_OUT_DECLINED},
				 {"returned", PGW_OUT_UNKNOWN, PGW_OUT_UNKNOWN}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwAnswer a = judged(PGW_OP_REFUND, 201, example("refund", OURS, cases[i].status));
		json_object *doc = example("refunds", "", NULL);
		json_object *embedded = json_object_object_get(doc, "_embedded");
		json_object *list = json_object_new_array();

		assert_int_equal(a.outcome, cases[i].outcome);
		assert_int_equal(a.amount, 595);
		json_object_array_add(list, example("refund", CHARGE_REF, "refunded"));
		json_object_array_add(list, example("refund", OURS, cases[i].status));
		json_object_object_add(embedded, "refunds", list);
		/* as published it goes on elsewhere, and proves nothing */
		assert_int_equal(judged(PGW_OP_LOOKUP_REFUND, 200, json_object_get(doc)).outcome,
						 PGW_OUT_UNKNOWN);
		json_object_object_del(json_object_object_get(doc, "_links"), "next");
		a = judged(PGW_OP_LOOKUP_REFUND, 200, doc);
		assert_int_equal(a.outcome, cases[i].shown);
		doc = example("refund", OURS, cases[i].status);
		json_object_object_add(doc, "mode", json_object_new_string("live"));
		assert_int_equal(judged(PGW_OP_REFUND, 201, doc).outcome, PGW_OUT_UNKNOWN);
	}
}

static void
errors(void **state)
{
	(void) state;
	for (PgwBankOp op = PGW_OP_CHARGE; op <= PGW_OP_REFUND; op++)
	{
		if (op != PGW_OP_CHARGE && op != PGW_OP_REFUND)
			continue;
		assert_int_equal(
			judged(op, 404, json_tokener_parse("{\"status\":404,\"title\":\"Not Found\"}")).outcome,
			PGW_OUT_REJECTED);
		assert_int_equal(
			judged(op, 429, json_tokener_parse("{\"status\":429,\"title\":\"Too Many Requests\"}"))
				.outcome,
			PGW_OUT_NOT_PROCESSED);
		/* the same refund a moment ago, or the supplier is away: who knows of the first one */
		for (long status = 503; status >= 409; status -= 94)
			assert_int_equal(
				judged(op, status, json_tokener_parse("{\"status\":1,\"title\":\"\"}")).outcome,
				PGW_OUT_UNKNOWN);
	}
}

static void
webhook(void **state)
{
	static PgwJudged out[PGW_NOTIFICATION_MAX_ITEMS];
	PgwArrived a = {.body = "id=tr_5B8cwPMGnU6qLbRvo7qEZo", .len = 28};

	(void) state;
	assert_int_equal(pgw_notification_judge(mollie, &a, NULL, NULL, true, out), 1);
	assert_int_equal(out[0].verdict, PGW_NOTIFICATION_HINT);
	assert_string_equal(out[0].said.bank_reference, "tr_5B8cwPMGnU6qLbRvo7qEZo");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(payments),
		cmocka_unit_test(refunds),
		cmocka_unit_test(errors),
		cmocka_unit_test(webhook),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
