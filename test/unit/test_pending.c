/*
 * test_pending.c - a charge that its bank takes hours or days to decide: how long it is waited for,
 * and what makes it any other doubt
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "check_flow.h"
#include "core/connector/connector.h"
#include "core/payment/unknown_outcome_rules.h"

#define HOUR 3600
#define DAY 86400

/* What pends has the connector's deadline, where that is the longer one; nothing else has it. */
static void
deadlines(void **unused)
{
	static const struct
	{
		int64_t pending_deadline_s;
		bool pending;
		int64_t age_s;
		bool over;
	} cases[] = {
		{5 * DAY, true, HOUR, false},   {5 * DAY, true, 5 * DAY - 1, false},
		{5 * DAY, true, 5 * DAY, true}, {5 * DAY, false, HOUR - 1, false},
		{5 * DAY, false, HOUR, true},   {0, true, HOUR - 1, false},
		{0, true, HOUR, true},          {HOUR / 2, true, HOUR - 1, false},
		{HOUR / 2, true, HOUR, true},
	};

	(void) unused;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = {.lookup = true,
								.lookup_consistent_after_s = 2,
								.pending_deadline_s = cases[i].pending_deadline_s};
		PgwUnknownOutcomeFacts facts = {.has_token = true,
										.pending = cases[i].pending,
										.doubt_age_s = cases[i].age_s,
										.deadline_s = HOUR};
		const char *reason;
		PgwUnknownOutcomeStep step = pgw_unknown_outcome_step(&caps, &facts, &reason);

		if (step != (cases[i].over ? PGW_UNKNOWN_OUTCOME_REVIEW : PGW_UNKNOWN_OUTCOME_LOOKUP))
			fail_msg("case %zu: step %d", i, (int) step);
		if (cases[i].over)
			assert_string_equal(reason, "deadline");
	}
}

/* One look-up that tells nothing is no reason to take what pends for any other doubt. */
static void
stays_pending(void **unused)
{
	static const struct
	{
		PgwBankOp op;
		PgwTransport transport;
		PgwOutcome outcome;
		const char *code;
	} cases[] = {
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, PGW_OUT_PENDING, PGW_CHARGE_PENDING},
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, PGW_OUT_UNKNOWN, PGW_CHARGE_PENDING},
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, PGW_OUT_REJECTED, PGW_CHARGE_PENDING},
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_MAYBE_SENT, PGW_OUT_UNKNOWN, PGW_CHARGE_PENDING},
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_NEVER_SENT, PGW_OUT_UNKNOWN, PGW_CHARGE_PENDING},
		/* the bank does not show it for once, whether or not that counts of others */
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, PGW_OUT_NOT_FOUND, PGW_CHARGE_PENDING},
		/* it was asked for the money again */
		{PGW_OP_CHARGE, PGW_TRANSPORT_MAYBE_SENT, PGW_OUT_UNKNOWN, "outcome_unknown"},
	};

	(void) unused;
	for (size_t i = 0; i < 2 * LENGTH(cases); i++)
	{
		size_t c = i / 2;
		PgwAnswer a = answer(cases[c].outcome);
		PgwChargeInput in = {.kind = PGW_KIND_PAYMENT,
							 .state = PGW_BANK_UNKNOWN,
							 .op = cases[c].op,
							 .in_doubt = true,
							 .pending_before = i % 2 == 0,
							 .not_found_counts = i % 2 == 0,
							 .capture = PGW_CAPTURE_IMMEDIATE,
							 .amount = 1250,
							 .currency = "EUR",
							 .transport = cases[c].transport,
							 .answer = &a};
		const char *want = in.pending_before || cases[c].outcome == PGW_OUT_PENDING
							   ? cases[c].code
							   : "outcome_unknown";
		PgwDecision d;

		pgw_charge_result(&in, &d);
		assert_null(events_wrong(in.kind, in.state, &d));
		assert_int_equal(d.state, PGW_BANK_UNKNOWN);
		assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
		if (strcmp(d.error->code, want) != 0)
			fail_msg("case %zu: %s, not %s", i, d.error->code, want);
	}
}

/*
 * The bank has named the charge with a yes that could not be read, and does not find it later: it
 * knew one.  What is being undone may be gone.
 */
static void
named_and_not_found(void **unused)
{
	(void) unused;
	for (int bits = 0; bits < 8; bits++)
	{
		bool named = (bits & 1) != 0;
		bool undone = (bits & 2) != 0;
		bool counts = (bits & 4) != 0;
		PgwAnswer a = answer(PGW_OUT_NOT_FOUND);
		PgwChargeInput in = {.kind = PGW_KIND_PAYMENT,
							 .state = PGW_BANK_UNKNOWN,
							 .op = PGW_OP_LOOKUP_CHARGE,
							 .in_doubt = true,
							 .not_found_counts = counts,
							 .named = named,
							 .being_undone = undone,
							 .amount = 100,
							 .currency = "EUR",
							 .transport = PGW_TRANSPORT_ANSWERED,
							 .answer = &a};
		PgwDecision d;

		pgw_charge_result(&in, &d);
		assert_null(events_wrong(in.kind, in.state, &d));
		if ((d.state == PGW_FAILED) != (counts && (!named || undone)))
			fail_msg("named %d, undone %d, counts %d: %d", named, undone, counts, d.state);
	}
}

/* Not even that is forgotten which weighs more. */
static void
weighs_less(void **unused)
{
	PgwAnswer a = answer(PGW_OUT_UNKNOWN);
	PgwChargeInput in = {.kind = PGW_KIND_PAYMENT,
						 .state = PGW_BANK_UNKNOWN,
						 .op = PGW_OP_LOOKUP_CHARGE,
						 .in_doubt = true,
						 .pending_before = true,
						 .being_undone = true,
						 .amount = 1250,
						 .currency = "EUR",
						 .transport = PGW_TRANSPORT_ANSWERED,
						 .answer = &a};
	PgwDecision d;

	(void) unused;
	pgw_charge_result(&in, &d);
	assert_string_equal(d.error->code, PGW_ACTION_REQUIRED);
	in.approved_before = true;
	pgw_charge_result(&in, &d);
	assert_string_equal(d.error->code, PGW_APPROVAL_INCOMPLETE);
}

static PgwConnector *
compile(int version, const char *deadline, PgwConnectorError *err)
{
	char text[1024];

	snprintf(
		text, sizeof(text),
		"{\"v\":%d,\"capabilities\":{\"tokens\":true,\"pending_deadline_seconds\":%s},\"operations\":{"
		"\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"body\":{\"t\":\"{{token}}\"},\"answer\":{"
		"\"rules\":[{\"status\":200,\"outcome\":\"approved\"},{\"status\":202,\"outcome\":\"pending\"}]}}}}",
		version, deadline);
	return pgw_connector_compile(text, strlen(text), err);
}

static void
language(void **unused)
{
	static const char *const refused[] = {"0", "-1", "\"a week\"", "315576000000", "1.5"};
	PgwConnectorError err;
	PgwConnector *c = compile(2, "432000", &err);

	(void) unused;
	assert_non_null(c);
	assert_int_equal(pgw_connector_capabilities(c)->pending_deadline_s, 5 * DAY);
	pgw_connector_free(c);
	assert_null(compile(1, "432000", &err));
	assert_non_null(strstr(err.message, "needs version 2"));
	for (size_t i = 0; i < LENGTH(refused); i++)
	{
		assert_null(compile(2, refused[i], &err));
		assert_string_equal(err.pointer, "/capabilities/pending_deadline_seconds");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines),
		cmocka_unit_test(stays_pending),
		cmocka_unit_test(named_and_not_found),
		cmocka_unit_test(weighs_less),
		cmocka_unit_test(language),
	};

	return cmocka_run_group_tests_name("pending", tests, NULL, NULL);
}
