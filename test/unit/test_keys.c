/*
 * test_keys.c - what a connector says of each operation's key, and what the bank says of one
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/bank_message/render_request.h"
#include "core/connector/connector.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/operation_rules.h"

/* A document with this of all keys, of the charge's, and among the refund's members and rules. */
static const char *
document(int version, const char *all, const char *charge, const char *refund, const char *rule)
{
	static char text[4096];

	snprintf(
		text, sizeof(text),
		"{\"v\":%d,\"capabilities\":{\"tokens\":true%s},\"operations\":{"
		"\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"body\":{\"t\":\"{{token}}\"}%s,\"answer\":{"
		"\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}},"
		"\"refund\":{\"method\":\"POST\",\"path\":\"/r/{{original_ref}}\"%s,\"answer\":{\"rules\":["
		"{\"status\":422,\"outcome\":\"%s\"},{\"status\":200,\"outcome\":\"approved\"}]}}}}",
		version, all, charge, refund, rule);
	return text;
}

static PgwConnector *
compile(const char *text)
{
	PgwConnectorError err;
	PgwConnector *c = pgw_connector_compile(text, strlen(text), &err);

	if (c == NULL)
		fail_msg("%s: %s in %s", err.pointer, err.message, text);
	return c;
}

static bool
has_header(const PgwConnector *c, PgwBankOp op, const char *line)
{
	PgwCallParams p = {.token = "tok", .original_ref = "o", .idempotency_key = "k1"};
	PgwConnectorError err;
	PgwRendered r;
	bool found = false;

	pgw_rendered_init(&r);
	if (!pgw_connector_render(c, op, &p, &r, &err))
		fail_msg("%s: %s", err.pointer, err.message);
	for (int i = 0; i < r.nheaders; i++)
		found |= strcmp(r.headers[i].data, line) == 0;
	pgw_rendered_free(&r);
	return found;
}

#define ALL ",\"idempotency\":{\"header\":\"K\",\"lifetime_seconds\":3600}"
#define OWN(members) ",\"idempotency\":" members

/* Said of all, it holds for all; an operation of its own word, or without one, has its own. */
static void
each_operation(void **state)
{
	PgwConnector *c = compile(document(1, ALL, "", "", "unknown"));
	const PgwCapabilities *caps = pgw_connector_capabilities(c);

	assert_true(caps->keys[PGW_OP_CHARGE].honoured && caps->keys[PGW_OP_REFUND].honoured);
	assert_false(caps->keys[PGW_OP_REFUND].forgets_errors);
	assert_false(caps->keys[PGW_OP_LOOKUP_CHARGE].honoured);
	assert_true(has_header(c, PGW_OP_REFUND, "K: k1"));
	pgw_connector_free(c);

	c = compile(document(2, ALL, "", OWN("false"), "unknown"));
	caps = pgw_connector_capabilities(c);
	assert_true(caps->keys[PGW_OP_CHARGE].honoured && has_header(c, PGW_OP_CHARGE, "K: k1"));
	assert_true(caps->keys[PGW_OP_CHARGE].forgets_errors);
	assert_false(caps->keys[PGW_OP_REFUND].honoured || has_header(c, PGW_OP_REFUND, "K: k1"));
	pgw_connector_free(c);

	c = compile(document(
		2, "", OWN("{\"header\":\"A\",\"lifetime_seconds\":60,\"remembers\":\"all\"}"),
		",\"body\":{\"k\":\"{{idempotency_key}}\"}" OWN("{\"lifetime_seconds\":\"unpublished\"}"),
		"key_mismatch"));
	caps = pgw_connector_capabilities(c);
	assert_true(caps->keys[PGW_OP_CHARGE].repeats_errors);
	assert_false(caps->keys[PGW_OP_CHARGE].forgets_errors);
	assert_int_equal(caps->keys[PGW_OP_CHARGE].lifetime_s, 60);
	/* what is not said of errors counts as the worse */
	assert_true(caps->keys[PGW_OP_REFUND].forgets_errors);
	assert_int_equal(caps->keys[PGW_OP_REFUND].lifetime_s, 300);
	assert_true(has_header(c, PGW_OP_CHARGE, "A: k1"));
	assert_false(has_header(c, PGW_OP_REFUND, "A: k1"));
	assert_false(caps->keys[PGW_OP_VOID].honoured);
	pgw_connector_free(c);
}

/*
 * What "idempotency" of all operations says of errors.  In version 2 silence is the worse of the
 * two: a bank that keeps only successes would charge again.
 */
static void
errors_of_all(void **state)
{
	static const struct
	{
		int version;
		const char *says;
		bool forgets;
		bool repeats;
	} cases[] = {
		{1, "", false, false},
		{1, ",\"replays_errors\":true", false, true},
		{2, "", true, false},
		{2, ",\"replays_errors\":false", true, false},
		{2, ",\"replays_errors\":true", false, true},
		{2, ",\"remembers\":\"2xx\"", true, false},
		{2, ",\"remembers\":\"all\"", false, true},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		char all[160];
		PgwConnector *c;
		const PgwKeyRule *rule;

		snprintf(all, sizeof(all), ",\"idempotency\":{\"header\":\"K\",\"lifetime_seconds\":9%s}",
				 cases[i].says);
		c = compile(document(cases[i].version, all, "", "", "unknown"));
		rule = &pgw_connector_capabilities(c)->keys[PGW_OP_REFUND];
		if (rule->forgets_errors != cases[i].forgets || rule->repeats_errors != cases[i].repeats)
			fail_msg("case %zu: forgets %d, repeats %d", i, rule->forgets_errors,
					 rule->repeats_errors);
		pgw_connector_free(c);
	}
}

static void
faults(void **state)
{
	static const struct
	{
		int version;
		const char *all;
		const char *refund;
		const char *rule;
		const char *pointer;
		const char *says;
	} cases[] = {
		{1, "", OWN("{\"header\":\"K\",\"lifetime_seconds\":9}"), "unknown",
		 "/operations/refund/idempotency", "needs version 2"},
		{1, ",\"idempotency\":{\"header\":\"K\",\"lifetime_seconds\":\"unpublished\"}", "",
		 "unknown", "/capabilities/idempotency/lifetime_seconds", "needs version 2"},
		{1, ",\"idempotency\":{\"header\":\"K\",\"lifetime_seconds\":9,\"remembers\":\"all\"}", "",
		 "unknown", "/capabilities/idempotency/remembers", "needs version 2"},
		{1, ALL, "", "in_progress", "/operations/refund/answer/rules/0", "needs version 2"},
		{2, "", OWN("{\"header\":\"K\"}"), "unknown",
		 "/operations/refund/idempotency/lifetime_seconds", "missing"},
		{2, "", OWN("{\"header\":\"K\",\"lifetime_seconds\":\"long\"}"), "unknown",
		 "/operations/refund/idempotency/lifetime_seconds", "unpublished"},
		{2, "", OWN("{\"header\":\"K\",\"lifetime_seconds\":9,\"remembers\":\"4xx\"}"), "unknown",
		 "/operations/refund/idempotency/remembers", "\"2xx\""},
		{2, "", OWN("{\"header\":\"K:\",\"lifetime_seconds\":9}"), "unknown",
		 "/operations/refund/idempotency/header", "header name"},
		{2, "", OWN("true"), "unknown", "/operations/refund/idempotency", "or false"},
		{2, "", OWN("{\"lifetime_seconds\":9}"), "unknown", "/operations/refund",
		 "{{idempotency_key}}"},
		{2,
		 ",\"idempotency\":{\"header\":\"K\",\"lifetime_seconds\":9,\"remembers\":\"all\",\"replays_errors\":true}",
		 "", "unknown", "/capabilities/idempotency/replays_errors", "already"},
		{2, ALL, OWN("false"), "in_progress", "/operations/refund/answer/rules/0/outcome",
		 "no \"idempotency\""},
		{2, ALL, ",\"headers\":{\"k\":\"always this\"}", "unknown", "/operations/refund",
		 "another value"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		const char *text =
			document(cases[i].version, cases[i].all, "", cases[i].refund, cases[i].rule);
		PgwConnectorError err;

		if (pgw_connector_compile(text, strlen(text), &err) != NULL)
			fail_msg("case %zu compiles", i);
		if (strcmp(err.pointer, cases[i].pointer) != 0 ||
			strstr(err.message, cases[i].says) == NULL)
			fail_msg("case %zu: %s: %s", i, err.pointer, err.message);
	}
}

/* Its header may be written out, with what the bank wants around the key. */
static void
written_out(void **state)
{
	PgwConnector *c = compile(
		document(2, ALL, "", ",\"headers\":{\"k\":\"shop-{{idempotency_key}}\"}", "unknown"));

	(void) state;
	assert_true(has_header(c, PGW_OP_REFUND, "k: shop-k1"));
	pgw_connector_free(c);
}

static PgwAnswer
judged(const char *rule)
{
	PgwConnector *c = compile(document(2, ALL, "", "", rule));
	PgwQuestion q = {.op = PGW_OP_REFUND, .original_ref = "o", .currency = "EUR"};
	PgwAnswer a;

	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 422, .body = "{}", .len = 2}, &a);
	pgw_connector_free(c);
	return a;
}

/* Each is an unknown outcome: of the charge, of an operation, of a give-back. */
static void
said_of_the_key(void **state)
{
	static const struct
	{
		const char *rule;
		const char *reason;
		bool stops;
	} cases[] = {{"in_progress", "in_progress", false},
				 {"key_mismatch", "key_mismatch", true},
				 {"unknown", "answer_not_understood", false}};
	static const PgwCapabilities caps = {KEYS(86400), .lookup_consistent_after_s = -1};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwAnswer a = judged(cases[i].rule);
		PgwChargeInput charge = {.state = PGW_BANK_UNKNOWN,
								 .op = PGW_OP_CHARGE,
								 .in_doubt = true,
								 .amount = 1,
								 .currency = "EUR",
								 .answer = &a};
		PgwOperationInput operation = {.op = PGW_OP_REFUND,
									   .operation = PGW_OP_REFUND,
									   .in_doubt = true,
									   .answer = &a,
									   .caps = &caps,
									   .amount = 1,
									   .currency = "EUR"};
		PgwCompensationInput give_back = {.op = PGW_OP_REFUND,
										  .operation = PGW_OP_REFUND,
										  .in_doubt = true,
										  .answer = &a,
										  .caps = &caps,
										  .max_keys = 9};
		PgwDecision d;
		PgwOperationDecision o;
		PgwCompensationDecision g;

		assert_int_equal(a.outcome, PGW_OUT_UNKNOWN);
		pgw_charge_result(&charge, &d);
		assert_int_equal(d.state, cases[i].stops ? PGW_REQUIRES_MANUAL_REVIEW : PGW_BANK_UNKNOWN);
		assert_string_equal(d.reason, cases[i].reason);
		pgw_operation_result(&operation, &o);
		assert_int_equal(o.next, cases[i].stops ? PGW_OPERATION_STOP : PGW_OPERATION_FIND_OUT);
		assert_string_equal(o.reason, cases[i].reason);
		/* not as if the bank had ended it with an error */
		assert_string_equal(o.error->code, i == 2 ? "bank_error" : "outcome_unknown");
		pgw_compensation_result(&give_back, &g);
		assert_int_equal(g.next,
						 cases[i].stops ? PGW_COMPENSATION_STOP : PGW_COMPENSATION_FIND_OUT);
		assert_string_equal(g.decision.reason, cases[i].reason);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_out),     cmocka_unit_test(each_operation),
		cmocka_unit_test(errors_of_all),   cmocka_unit_test(faults),
		cmocka_unit_test(said_of_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
