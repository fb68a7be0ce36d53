/*
 * test_livemode.c - a bank that says of itself that it is one for tests, or that it is none: where
 * a connector says it, what counts as an answer then, and what becomes of the payment
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/compensation_rules.h"
#include "core/payment/operation_rules.h"

#define OURS "0123456789abcdef0123456789abcdef"
#define RULES \
	"\"rules\":[{\"status\":200,\"when\":{\"/s\":\"ok\"},\"outcome\":\"approved\"}," \
	"{\"status\":200,\"when\":{\"/s\":\"no\"},\"outcome\":\"declined\"}]"
#define ANSWER(livemode) \
	"\"answer\":{" RULES ",\"fields\":{\"reference\":\"/ref\",\"bank_reference\":\"/id\"," \
	"\"livemode\":" livemode "}}"
#define DOC(v, livemode) \
	"{\"v\":" v ",\"capabilities\":{\"tokens\":true},\"operations\":{" \
	"\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"body\":{\"t\":\"{{token}}\"}," ANSWER( \
		livemode) "}," \
				  "\"refund\":{\"method\":\"POST\",\"path\":\"/r/{{bank_reference}}\"," ANSWER( \
					  livemode) "}," \
								"\"lookup_charge\":{\"method\":\"GET\",\"path\":\"/c/{{original_" \
								"ref}}\"," ANSWER(livemode) "}}}"

static void
compile_faults(void **state)
{
	static const struct
	{
		const char *document;
		const char *pointer;
		const char *message; /* a part of it */
	} cases[] = {
		{DOC("1", "\"/live\""), "/operations/charge/answer/fields/livemode", "version 2"},
		{DOC("2", "true"), "/operations/charge/answer/fields/livemode", "JSON pointer"},
		{DOC("2", "\"live\""), "/operations/charge/answer/fields/livemode", "JSON pointer"},
		{DOC("2", "{\"at\":\"/m\",\"live\":1}"), "/operations/charge/answer/fields/livemode/test",
		 "missing"},
		{DOC("2", "{\"live\":1,\"test\":2}"), "/operations/charge/answer/fields/livemode/at",
		 "missing"},
		{DOC("2", "{\"at\":\"/m\",\"live\":[],\"test\":2}"),
		 "/operations/charge/answer/fields/livemode/live", "empty array"},
		{DOC("2", "{\"at\":\"/m\",\"live\":[1,{}],\"test\":2}"),
		 "/operations/charge/answer/fields/livemode/live/1", "must be"},
		{DOC("2", "{\"at\":\"/m\",\"live\":[\"L\",\"P\"],\"test\":[\"T\",\"P\"]}"),
		 "/operations/charge/answer/fields/livemode", "same value"},
		{DOC("2", "{\"at\":\"/m\",\"live\":1,\"test\":2,\"other\":3}"),
		 "/operations/charge/answer/fields/livemode/other", "unknown"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwConnectorError err;

		assert_null(pgw_connector_compile(cases[i].document, strlen(cases[i].document), &err));
		assert_string_equal(err.pointer, cases[i].pointer);
		if (strstr(err.message, cases[i].message) == NULL)
			fail_msg("%s: %s", err.pointer, err.message);
	}
}

static PgwAnswer
judge(const char *document, PgwBankOp op, bool livemode, const char *body)
{
	PgwConnectorError err;
	PgwConnector *c = pgw_connector_compile(document, strlen(document), &err);
	PgwQuestion q = {.op = op,
					 .transaction_ref = OURS,
					 .original_ref = OURS,
					 .livemode = livemode,
					 .currency = "EUR",
					 .iso_exponent = 2};
	PgwAnswer a;

	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
						&a);
	pgw_connector_free(c);
	return a;
}

#define SAYS(mode) "{\"s\":\"ok\",\"id\":\"ch_1\",\"ref\":\"" OURS "\"," mode "}"
#define PLAIN DOC("2", "\"/live\"")
#define MAPPED DOC("2", "{\"at\":\"/m\",\"live\":[\"live\",1],\"test\":\"test\"}")

static void
judged(void **state)
{
	static const struct
	{
		const char *document;
		const char *body;
		int says; /* 1: live, 0: a test, -1: nothing, -2: nobody can read it */
	} cases[] = {
		{PLAIN, SAYS("\"live\":true"), 1},      {PLAIN, SAYS("\"live\":false"), 0},
		{PLAIN, SAYS("\"live\":null"), -1},     {PLAIN, SAYS("\"x\":1"), -1},
		{PLAIN, SAYS("\"live\":\"true\""), -2}, {PLAIN, SAYS("\"live\":0"), -2},
		{MAPPED, SAYS("\"m\":\"live\""), 1},    {MAPPED, SAYS("\"m\":1"), 1},
		{MAPPED, SAYS("\"m\":\"test\""), 0},    {MAPPED, SAYS("\"m\":\"Test\""), -2},
		{MAPPED, SAYS("\"m\":true"), -2},       {MAPPED, SAYS("\"m\":null"), -1},
	};
	static const PgwBankOp ops[] = {PGW_OP_CHARGE, PGW_OP_REFUND, PGW_OP_LOOKUP_CHARGE};

	for (size_t i = 0; i < LENGTH(cases); i++)
		for (size_t op = 0; op < LENGTH(ops); op++)
			for (int livemode = 0; livemode < 2; livemode++)
			{
				PgwAnswer a = judge(cases[i].document, ops[op], livemode, cases[i].body);
				bool other = cases[i].says == !livemode;
				bool kept = !other || ops[op] == PGW_OP_CHARGE;

				assert_int_equal(a.other_mode, other);
				assert_int_equal(a.charge_state_unreadable, cases[i].says == -2);
				assert_int_equal(a.outcome, kept ? PGW_OUT_APPROVED : PGW_OUT_UNKNOWN);
				assert_int_equal(a.other_reference, !kept);
				assert_string_equal(a.bank_reference, kept ? "ch_1" : "");
			}
}

/* An answer about another payment is none, whatever mode that is of; but the mode is told. */
static void
of_another(void **state)
{
	PgwAnswer a =
		judge(PLAIN, PGW_OP_CHARGE, true, "{\"s\":\"ok\",\"ref\":\"somebody's\",\"live\":false}");

	assert_int_equal(a.outcome, PGW_OUT_UNKNOWN);
	assert_true(a.other_reference && a.other_mode);
}

static PgwChargeInput
asked(const PgwAnswer *a)
{
	return (PgwChargeInput){.kind = PGW_KIND_PAYMENT,
							.state = PGW_CREATED,
							.op = PGW_OP_CHARGE,
							.capture = PGW_CAPTURE_IMMEDIATE,
							.submitted = true,
							.payment_locked = true,
							.amount = 1250,
							.currency = "EUR",
							.transport = PGW_TRANSPORT_ANSWERED,
							.answer = a};
}

/* Never approved, and no no of an attempt in doubt, whatever else the answer says. */
static void
charged(void **state)
{
	for (int outcome = PGW_OUT_UNKNOWN; outcome <= PGW_OUT_NOT_FOUND; outcome++)
		for (int bits = 0; bits < 64; bits++)
		{
			PgwAnswer a = answer((PgwOutcome) outcome);
			PgwChargeInput in = asked(&a);
			PgwDecision d;
			bool no = outcome == PGW_OUT_DECLINED || outcome == PGW_OUT_REQUIRES_ACTION ||
					  outcome == PGW_OUT_REJECTED || outcome == PGW_OUT_NOT_PROCESSED;
			PgwState want = PGW_BANK_UNKNOWN;

			a.other_mode = true;
			a.captured = bits & 1 ? 1250 : -1;
			in.submitted = (bits & 2) != 0;
			in.payment_locked = (bits & 4) != 0;
			in.in_doubt = (bits & 8) != 0;
			in.state = in.in_doubt ? PGW_BANK_UNKNOWN : PGW_CREATED;
			in.lacks_reference = (bits & 16) != 0;
			in.can_cancel = (bits & 32) != 0;
			if (outcome == PGW_OUT_APPROVED)
				want = in.in_doubt || (in.lacks_reference && !in.can_cancel)
						   ? PGW_REQUIRES_MANUAL_REVIEW
						   : PGW_REFUNDING;
			else if (no && !in.in_doubt && a.captured < 0)
				want = PGW_FAILED;

			pgw_charge_result(&in, &d);
			assert_null(events_wrong(in.kind, in.state, &d));
			assert_int_equal(d.state, want);
			if (want == PGW_BANK_UNKNOWN)
				assert_string_equal(d.error->code, "outcome_unknown");
			else
			{
				assert_string_equal(d.error->code, PGW_LIVEMODE_MISMATCH);
				assert_string_equal(d.reason, "other_mode");
			}
			assert_int_equal(d.payment,
							 !in.submitted || !in.payment_locked || want == PGW_BANK_UNKNOWN
								 ? PGW_PAYMENT_UNCHANGED
								 : pgw_charge_payment_of_state(want, d.error->code));
		}
	assert_false(pgw_error_is_decline(PGW_LIVEMODE_MISMATCH));
	assert_false(pgw_error_find(PGW_LIVEMODE_MISMATCH)->retryable);
}

/* What follows a charge: as an answer about another payment, and the event says why. */
static void
followed(void **state)
{
	static const PgwCapabilities caps = {KEYS(86400), .lookup = true, .can_refund = true};
	static const PgwBankOp asked_by[] = {PGW_OP_REFUND, PGW_OP_LOOKUP_CHARGE, PGW_OP_LOOKUP_REFUND};

	for (size_t i = 0; i < LENGTH(asked_by); i++)
	{
		PgwAnswer a = answer(PGW_OUT_UNKNOWN);
		PgwOperationInput in = {.op = asked_by[i],
								.operation = PGW_OP_REFUND,
								.transport = PGW_TRANSPORT_ANSWERED,
								.answer = &a,
								.caps = &caps,
								.amount = 100,
								.currency = "EUR"};
		PgwCompensationInput c = {.op = asked_by[i],
								  .operation = PGW_OP_REFUND,
								  .transport = PGW_TRANSPORT_ANSWERED,
								  .answer = &a,
								  .caps = &caps,
								  .amount = 100,
								  .currency = "EUR",
								  .in_doubt = true};
		PgwOperationDecision o;
		PgwCompensationDecision d;

		a.other_reference = a.other_mode = true;
		pgw_operation_result(&in, &o);
		assert_int_equal(o.next, PGW_OPERATION_FIND_OUT);
		assert_string_equal(o.reason, "other_mode");
		pgw_compensation_result(&c, &d);
		assert_int_equal(d.next, PGW_COMPENSATION_FIND_OUT);
		assert_string_equal(d.decision.reason, "other_mode");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compile_faults), cmocka_unit_test(judged),   cmocka_unit_test(of_another),
		cmocka_unit_test(charged),        cmocka_unit_test(followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
