/*
 * test_requires_action.c - a charge that would need the card holder to act: declined when it is
 * undone, and not before
 */
#include "check_flow.h"

#include "core/payment/unknown_outcome_rules.h"

static const PgwBankOp undoings[] = {PGW_OP_CANCEL, PGW_OP_REVERSE, PGW_OP_VOID};

static PgwDecision
decide(PgwState state, PgwBankOp op, PgwTransport transport, PgwAnswer a, bool can_undo)
{
	PgwChargeInput in = {.state = state,
						 .op = op,
						 .in_doubt = state == PGW_BANK_UNKNOWN,
						 .not_found_counts = true,
						 .submitted = true,
						 .payment_locked = true,
						 .amount = 1000,
						 .currency = "EUR",
						 .transport = transport,
						 .answer = &a,
						 .can_undo = can_undo,
						 .being_undone = state == PGW_BANK_UNKNOWN};
	PgwDecision d;

	pgw_charge_result(&in, &d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, state, &d));
	return d;
}

static void
is_declined(const PgwDecision *d)
{
	assert_int_equal(d->state, PGW_FAILED);
	assert_int_equal(d->payment, PGW_PAYMENT_BECOMES_DECLINED);
	assert_string_equal(d->error->code, PGW_ACTION_REQUIRED);
}

static void
is_being_undone(const PgwDecision *d)
{
	assert_int_equal(d->payment, PGW_PAYMENT_UNCHANGED);
	assert_true(pgw_charge_is_being_undone(d->state, d->error->code));
}

static void
answers(void **state)
{
	PgwAnswer action = answer(PGW_OUT_REQUIRES_ACTION);
	PgwDecision d = decide(PGW_CREATED, PGW_OP_CHARGE, PGW_TRANSPORT_ANSWERED, action, true);

	is_being_undone(&d);
	d = decide(PGW_CREATED, PGW_OP_CHARGE, PGW_TRANSPORT_ANSWERED, action, false);
	is_declined(&d);
	d = decide(PGW_BANK_UNKNOWN, PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, action, true);
	is_being_undone(&d);
	/* gone, as a look-up shows */
	d = decide(PGW_BANK_UNKNOWN, PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED,
			   answer(PGW_OUT_DECLINED), true);
	is_declined(&d);
}

/* Only the bank's yes ends it, and one that is not belied by its own document. */
static void
undone(void **state)
{
	for (size_t i = 0; i < LENGTH(undoings); i++)
	{
		for (int outcome = PGW_OUT_UNKNOWN; outcome <= PGW_OUT_NOT_FOUND; outcome++)
			for (int transport = PGW_TRANSPORT_ANSWERED; transport <= PGW_TRANSPORT_MAYBE_SENT;
				 transport++)
			{
				PgwDecision d = decide(PGW_BANK_UNKNOWN, undoings[i], (PgwTransport) transport,
									   answer((PgwOutcome) outcome), true);

				if (transport == PGW_TRANSPORT_ANSWERED && outcome == PGW_OUT_APPROVED)
					is_declined(&d);
				else
					is_being_undone(&d);
			}
		for (int how = 0; how < 3; how++)
		{
			PgwAnswer a = answer(PGW_OUT_APPROVED);
			PgwDecision d;

			a.captured = how == 1 ? 1000 : -1;
			a.has_voided = how == 0;
			a.captured = how == 0 ? 0 : a.captured;
			a.charge_state_unreadable = how == 2;
			d = decide(PGW_BANK_UNKNOWN, undoings[i], PGW_TRANSPORT_ANSWERED, a, true);
			is_being_undone(&d);
		}
	}
}

/* What undoes it may still be on its way: whatever stands at the bank is no payment. */
static void
approved_meanwhile(void **state)
{
	PgwDecision d = decide(PGW_BANK_UNKNOWN, PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED,
						   answer(PGW_OUT_APPROVED), true);

	assert_int_equal(d.state, PGW_REFUNDING);
	assert_int_equal(d.payment, PGW_PAYMENT_BECOMES_FAILED);
	/* pending, or no answer: it is not forgotten that it is being undone */
	d = decide(PGW_BANK_UNKNOWN, PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED,
			   answer(PGW_OUT_PENDING), true);
	is_being_undone(&d);
	d = decide(PGW_BANK_UNKNOWN, PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_MAYBE_SENT,
			   answer(PGW_OUT_UNKNOWN), true);
	is_being_undone(&d);
}

/* A cancellation that may be overtaken by the charge is no yes before it has been confirmed twice.
 */
static void
cancelled_too_early(void **state)
{
	PgwAnswer a = answer(PGW_OUT_APPROVED);

	for (int early = 0; early < 2; early++)
		for (size_t i = 0; i < LENGTH(undoings); i++)
		{
			PgwChargeInput in = {.state = PGW_BANK_UNKNOWN,
								 .op = undoings[i],
								 .in_doubt = true,
								 .submitted = true,
								 .payment_locked = true,
								 .amount = 1000,
								 .currency = "EUR",
								 .transport = PGW_TRANSPORT_ANSWERED,
								 .answer = &a,
								 .can_undo = true,
								 .being_undone = true,
								 .cancelled_too_early = early};
			bool once = early && undoings[i] == PGW_OP_CANCEL;
			PgwDecision d;

			pgw_charge_result(&in, &d);
			assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_BANK_UNKNOWN, &d));
			assert_int_equal(d.cancelled_once, once);
			if (once)
				is_being_undone(&d);
			else
				is_declined(&d);
		}
}

/* It waits until what it has to come after would be seen, never beyond the deadline. */
static void
waits(void **state)
{
	static const struct
	{
		bool twice;
		int64_t asked_age_s;
		int64_t cancelled_age_s;
		int64_t doubt_age_s;
		int64_t want;
	} cases[] = {
		{false, 0, -1, 0, 0},    {true, 0, -1, 0, 60},    {true, 59, -1, 59, 1},
		{true, 60, -1, 60, 0},   {true, 100, 0, 100, 60}, {true, 100, 30, 100, 30},
		{true, 160, 60, 160, 0}, {true, 0, -1, 3590, 10}, {true, 0, -1, 3600, 0},
		{true, -5, -1, 0, 60},
	};
	const char *reason;

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = {.lookup = true,
								.can_cancel = true,
								.cancels_twice = cases[i].twice,
								.cancel_after_s = 60};
		PgwUnknownOutcomeFacts facts = {.undo = true,
										.deadline_s = 3600,
										.doubt_age_s = cases[i].doubt_age_s,
										.asked_age_s = cases[i].asked_age_s,
										.cancelled_age_s = cases[i].cancelled_age_s};

		assert_int_equal(pgw_unknown_outcome_wait_s(&caps, &facts), cases[i].want);
		assert_int_equal(pgw_unknown_outcome_step(&caps, &facts, &reason),
						 cases[i].doubt_age_s >= 3600 ? PGW_UNKNOWN_OUTCOME_REVIEW
						 : cases[i].want > 0          ? PGW_UNKNOWN_OUTCOME_WAIT
													  : PGW_UNKNOWN_OUTCOME_UNDO);
		/* what else undoes it names the charge, which is there */
		caps.can_cancel = false;
		caps.can_void = true;
		assert_int_equal(pgw_unknown_outcome_wait_s(&caps, &facts), 0);
	}
}

static void
counts(void **state)
{
	PgwCapabilities caps = {.can_cancel = true, .cancel_after_s = 60};

	assert_true(pgw_capabilities_cancel_counts(&caps, -1));
	caps.cancels_twice = true;
	assert_false(pgw_capabilities_cancel_counts(&caps, -1));
	assert_false(pgw_capabilities_cancel_counts(&caps, 59));
	assert_true(pgw_capabilities_cancel_counts(&caps, 60));
	caps.cancel_after_s = 0;
	assert_false(pgw_capabilities_cancel_counts(&caps, -1));
	assert_true(pgw_capabilities_cancel_counts(&caps, 0));
}

/*
 * A bank that undoes it later, or whose answer was lost: the look-up shows it as approved, and as
 * undone.
 */
static void
shown_undone(void **state)
{
	static const struct
	{
		bool voided;
		int64_t captured;
		int64_t refunded;
		bool unreadable;
		bool undone;
	} cases[] = {
		{true, -1, -1, false, true},      {true, 0, 0, false, true},
		{false, 1000, 1000, false, true}, {false, 1000, 999, false, false},
		{false, 1000, -1, false, false},  {false, 0, 0, false, false},
		{true, -1, -1, true, false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwAnswer a = answer(PGW_OUT_APPROVED);
		PgwDecision d;

		a.has_voided = true;
		a.voided = cases[i].voided;
		a.captured = cases[i].captured;
		a.refunded = cases[i].refunded;
		a.charge_state_unreadable = cases[i].unreadable;
		d = decide(PGW_BANK_UNKNOWN, PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, a, true);
		if (cases[i].undone)
			is_declined(&d);
		else if (d.state != PGW_REFUNDING)
			fail_msg("case %zu: %s", i, pgw_state_name(d.state));
	}
}

static void
steps(void **state)
{
	static const struct
	{
		bool cancel;
		bool reverse;
		bool release;
		PgwBankOp want;
	} ways[] = {{true, true, true, PGW_OP_CANCEL},
				{false, true, true, PGW_OP_REVERSE},
				{false, false, true, PGW_OP_VOID},
				{false, false, false, PGW_NOPS}};
	const char *reason;

	for (size_t i = 0; i < LENGTH(ways); i++)
		for (int tries = 0; tries < 4; tries++)
			for (int lookup = 0; lookup < 2; lookup++)
			{
				/* it could be repeated with its key, and never is */
				PgwCapabilities caps = {KEYS(86400), .lookup = lookup, .can_cancel = ways[i].cancel,
										.can_reverse = ways[i].reverse,
										.can_void = ways[i].release};
				PgwUnknownOutcomeFacts facts = {
					.has_token = true, .undo = true, .tries = tries, .deadline_s = 3600};
				bool can = ways[i].want != PGW_NOPS;

				assert_int_equal(pgw_unknown_outcome_undo(&caps), ways[i].want);
				assert_int_equal(pgw_unknown_outcome_step(&caps, &facts, &reason),
								 lookup && (tries % 2 == 1 || !can) ? PGW_UNKNOWN_OUTCOME_LOOKUP
								 : can                              ? PGW_UNKNOWN_OUTCOME_UNDO
																	: PGW_UNKNOWN_OUTCOME_REVIEW);
				facts.doubt_age_s = 3600;
				assert_int_equal(pgw_unknown_outcome_step(&caps, &facts, &reason),
								 PGW_UNKNOWN_OUTCOME_REVIEW);
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(undone),
		cmocka_unit_test(approved_meanwhile),
		cmocka_unit_test(shown_undone),
		cmocka_unit_test(steps),
		cmocka_unit_test(cancelled_too_early),
		cmocka_unit_test(waits),
		cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
