/*
 * test_cancellation.c - a cancellation by our reference at banks that finish a charge although they
 * have confirmed its cancellation: nothing stands there when it is believed
 *
 * The bank here says yes to every cancellation, and cancels what it sees by then.  The charge comes
 * to it late, at most as long after the request ended as the connector says; or it is finished
 * after a cancellation, at most so long after that.
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/connector/connector.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/unknown_outcome_rules.h"
#include "random.h"

#define ROUNDS 20000
#define STEPS 200
#define NEVER INT64_MAX

typedef struct Bank
{
	PgwCapabilities caps;
	int64_t now;
	int64_t charged_at; /* the money is taken then */
	bool stands;
	bool revives; /* finishes the charge once more after the first cancellation */
	int cancelled;
} Bank;

static void
make_bank(Bank *b)
{
	memset(b, 0, sizeof(*b));
	b->caps.can_cancel = true;
	b->caps.cancels_twice = any(4) > 0;
	b->caps.cancel_after_s = any(50);
	/* one whose cancellation settles stops what is on its way, whenever it comes */
	b->charged_at = b->caps.cancels_twice ? any((int) b->caps.cancel_after_s + 1) : 0;
	b->revives = b->caps.cancels_twice && any(2);
}

static void
time_passes(Bank *b, int64_t seconds)
{
	b->now += seconds;
	if (b->now < b->charged_at)
		return;
	b->stands = true;
	b->charged_at = NEVER;
}

/* Its answer to a cancellation; 1 of 4 is lost. */
static PgwTransport
cancel(Bank *b)
{
	b->stands = false;
	if (b->cancelled++ == 0 && b->revives)
		b->charged_at = b->now + any((int) b->caps.cancel_after_s + 1);
	return any(4) > 0 ? PGW_TRANSPORT_ANSWERED : PGW_TRANSPORT_MAYBE_SENT;
}

/* What must be so when it is believed: nothing stands, and nothing comes. */
static void
nothing_stands(const Bank *b, int round)
{
	if (b->stands || b->charged_at != NEVER)
		fail_msg("round %d: cancelled %d times, and charged", round, b->cancelled);
}

static int64_t
age(const Bank *b, int64_t at)
{
	return at >= 0 ? b->now - at : -1;
}

/* It waits for the card holder. */
static bool
undo(Bank *b, int round)
{
	int64_t cancelled_at = -1;
	const char *reason;

	for (int i = 0; i < STEPS; i++)
	{
		PgwUnknownOutcomeFacts facts = {.undo = true,
										.deadline_s = 86400,
										.doubt_age_s = b->now,
										.asked_age_s = b->now,
										.cancelled_age_s = age(b, cancelled_at)};
		PgwAnswer a = answer(PGW_OUT_APPROVED);
		PgwChargeInput in = {.state = PGW_BANK_UNKNOWN,
							 .op = PGW_OP_CANCEL,
							 .in_doubt = true,
							 .amount = 1000,
							 .currency = "EUR",
							 .answer = &a,
							 .can_undo = true,
							 .being_undone = true,
							 .cancelled_too_early =
								 !pgw_capabilities_cancel_counts(&b->caps, facts.cancelled_age_s)};
		PgwDecision d;

		switch (pgw_unknown_outcome_step(&b->caps, &facts, &reason))
		{
			case PGW_UNKNOWN_OUTCOME_WAIT:
				/* woken for some other reason, now and then */
				time_passes(b, 1 + any((int) pgw_unknown_outcome_wait_s(&b->caps, &facts)));
				continue;
			case PGW_UNKNOWN_OUTCOME_UNDO:
				break;
			default:
				fail_msg("round %d: another step", round);
		}
		in.transport = cancel(b);
		pgw_charge_result(&in, &d);
		if (d.state == PGW_FAILED)
		{
			nothing_stands(b, round);
			return true;
		}
		if (d.cancelled_once && cancelled_at < 0)
			cancelled_at = b->now;
		time_passes(b, any(3));
	}
	return false;
}

/* It is given back. */
static bool
give_back(Bank *b, int round)
{
	int64_t cancelled_at = -1;
	bool used = false;

	for (int i = 0; i < STEPS; i++)
	{
		PgwCompensationFacts facts = {
			.operation = PGW_OP_CANCEL,
			.key = true,
			.used = used,
			.cancelled = cancelled_at >= 0,
			.cancel_wait_s = pgw_capabilities_cancel_wait_s(
				&b->caps, cancelled_at >= 0 ? age(b, cancelled_at) : b->now)};
		PgwAnswer a = answer(PGW_OUT_APPROVED);
		PgwCompensationInput in = {
			.op = PGW_OP_CANCEL,
			.operation = PGW_OP_CANCEL,
			.in_doubt = used,
			.answer = &a,
			.caps = &b->caps,
			.keys_used = 1,
			.max_keys = 10,
			.charged = 1000,
			.currency = "EUR",
			.cancelled_too_early = !pgw_capabilities_cancel_counts(&b->caps, age(b, cancelled_at))};
		PgwCompensationDecision d;

		switch (pgw_compensation_step(&b->caps, &facts))
		{
			case PGW_COMPENSATE_WAIT:
				time_passes(b, 1 + any((int) facts.cancel_wait_s));
				continue;
			case PGW_COMPENSATE_SEND:
				break;
			default:
				fail_msg("round %d: another step", round);
		}
		used = true;
		in.transport = cancel(b);
		pgw_compensation_result(&in, &d);
		assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_REFUNDING, &d.decision));
		if (d.next == PGW_COMPENSATION_DONE)
		{
			nothing_stands(b, round);
			return true;
		}
		assert_int_equal(d.next, PGW_COMPENSATION_FIND_OUT);
		if (d.cancelled_once && cancelled_at < 0)
			cancelled_at = b->now;
		time_passes(b, any(3));
	}
	return false;
}

static void
nothing_is_left(void **state)
{
	int once = 0;
	int revived = 0;

	for (int round = 1; round <= ROUNDS; round++)
	{
		Bank b;

		seed = (uint64_t) round * UINT64_C(0x9E3779B97F4A7C15);
		make_bank(&b);
		time_passes(&b, 0);
		if (!(round % 2 ? undo(&b, round) : give_back(&b, round)))
			fail_msg("round %d: no end", round);
		if (b.caps.cancels_twice)
			assert_true(b.cancelled >= 2);
		once += b.cancelled == 1;
		revived += b.revives;
	}
	assert_true(once > ROUNDS / 20 && revived > ROUNDS / 4);
}

/* Where a look-up tells more than a second cancellation, the second one is made all the same. */
static void
no_look_between(void **state)
{
	PgwCapabilities caps = {
		.lookup = true, .can_cancel = true, .cancels_twice = true, .cancel_after_s = 60};
	PgwCompensationFacts facts = {.operation = PGW_OP_CANCEL, .key = true, .used = true};

	assert_int_equal(pgw_compensation_step(&caps, &facts), PGW_COMPENSATE_LOOKUP_CHARGE);
	facts.cancelled = true;
	assert_int_equal(pgw_compensation_step(&caps, &facts), PGW_COMPENSATE_SEND);
	facts.cancel_wait_s = 1;
	assert_int_equal(pgw_compensation_step(&caps, &facts), PGW_COMPENSATE_WAIT);
	/* no other way to give back has to wait for it */
	facts.operation = PGW_OP_REFUND;
	assert_int_not_equal(pgw_compensation_step(&caps, &facts), PGW_COMPENSATE_WAIT);
}

/* ---- the language ---- */

static const PgwCapabilities *
compiled(const char *more, const char *settles, PgwConnector **c, PgwConnectorError *err)
{
	char text[2048];

	snprintf(
		text, sizeof(text),
		"{\"v\":1,\"capabilities\":{\"tokens\":true%s},\"operations\":{"
		"\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"body\":{\"t\":\"{{token}}\"},\"answer\":{"
		"\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}},"
		"\"lookup_charge\":{\"method\":\"GET\",\"path\":\"/l/{{original_ref}}\",\"answer\":{"
		"\"reference_echoed\":false,\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}},"
		"\"cancel\":{\"method\":\"POST\",\"path\":\"/r/{{original_ref}}\"%s,\"answer\":{"
		"\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}",
		more, settles);
	*c = pgw_connector_compile(text, strlen(text), err);
	return *c != NULL ? pgw_connector_capabilities(*c) : NULL;
}

static void
language(void **state)
{
	static const struct
	{
		const char *more;
		const char *settles;
		bool twice;
		int64_t after_s;
	} cases[] = {
		{"", "", true, 300},
		{"", ",\"settles\":false", true, 300},
		{",\"lookup_consistent_after_seconds\":7", "", true, 7},
		{",\"lookup_consistent_after_seconds\":0", "", true, 0},
		{"", ",\"settles\":true", false, 300},
	};
	PgwConnectorError err;
	PgwConnector *c;

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		const PgwCapabilities *caps = compiled(cases[i].more, cases[i].settles, &c, &err);

		assert_non_null(caps);
		assert_int_equal(caps->cancels_twice, cases[i].twice);
		assert_int_equal(caps->cancel_after_s, cases[i].after_s);
		pgw_connector_free(c);
	}
	assert_null(compiled("", ",\"settles\":\"yes\"", &c, &err));
	assert_string_equal(err.pointer, "/operations/cancel/settles");
	/* of nothing else */
	{
		static const char other[] =
			"{\"v\":2,\"capabilities\":{\"tokens\":true},\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/c\","
			"\"settles\":true,\"body\":{\"t\":\"{{token}}\"},\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}";

		assert_null(pgw_connector_compile(other, strlen(other), &err));
		assert_string_equal(err.pointer, "/operations/charge/settles");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left),
		cmocka_unit_test(no_look_between),
		cmocka_unit_test(language),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
