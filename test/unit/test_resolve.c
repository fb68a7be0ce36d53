/*
 * test_resolve.c - how to find out about an attempt in doubt: each limit, and every combination
 * against the invariants
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/unknown_outcome_rules.h"

#define LIFETIME 86400
#define MARGIN 60 /* what is nearly over counts as over */
#define DEADLINE 3600

static PgwCapabilities
bank(bool idempotency, bool lookup, int64_t consistent_after)
{
	PgwCapabilities caps;

	memset(&caps, 0, sizeof(caps));
	set_keys(&caps, idempotency, idempotency ? LIFETIME : 0);
	caps.lookup = lookup;
	caps.lookup_consistent_after_s = consistent_after;
	return caps;
}

static void
can_replay(void **state)
{
	static const struct
	{
		bool idempotency;
		bool token;
		int64_t lifetime;
		int64_t age;
		bool want;
	} cases[] = {
		{true, true, LIFETIME, 0, true},
		{true, true, LIFETIME, LIFETIME - MARGIN - 1, true},
		{true, true, LIFETIME, LIFETIME - MARGIN, false},
		{true, true, LIFETIME, LIFETIME, false},
		{true, true, LIFETIME, INT64_MAX, false},
		{true, true, MARGIN, 0, false}, /* a bank that remembers no longer than that */
		{true, true, MARGIN + 1, 0, true},
		{true, true, 1, 0, false},
		{true, false, LIFETIME, 0, false}, /* a card is gone */
		{false, true, LIFETIME, 0, false},
		{false, false, 0, 0, false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = bank(cases[i].idempotency, false, -1);
		PgwUnknownOutcomeFacts facts = {
			.has_token = cases[i].token, .key_age_s = cases[i].age, .deadline_s = DEADLINE};

		set_keys(&caps, cases[i].idempotency, cases[i].lifetime);
		assert_int_equal(pgw_unknown_outcome_can_replay(&caps, &facts), cases[i].want);
		assert_int_equal(pgw_capabilities_key_remembered(&caps, PGW_OP_CHARGE, cases[i].age),
						 cases[i].want || (cases[i].idempotency && !cases[i].token));
	}
}

/*
 * What is approved without an id, or is being undone, is never replayed: a look-up that finds
 * nothing yet must not say that a replay would tell, or it is looked up without end and pause.
 */
static void
not_asked_again(void **state)
{
	PgwCapabilities caps = {.lookup = true, .can_cancel = true, .lookup_consistent_after_s = 3600};
	PgwUnknownOutcomeFacts facts = {.has_token = true, .lookup_inconclusive = true};

	set_keys(&caps, true, LIFETIME);
	assert_true(pgw_unknown_outcome_can_replay(&caps, &facts));
	facts.approved = true;
	assert_false(pgw_unknown_outcome_can_replay(&caps, &facts));
	facts.approved = false;
	facts.undo = true;
	assert_false(pgw_unknown_outcome_can_replay(&caps, &facts));
}

/*
 * The lost answer may have been an error, which the bank has forgotten: a look-up that will count
 * is waited for, however little it says until then.
 */
static void
waited_for(void **state)
{
	static const struct
	{
		bool forgets;
		bool by_id; /* the look-up needs an id that is not known */
		int64_t consistent_after_s;
		bool resend_allowed;
		PgwUnknownOutcomeStep want;
	} cases[] = {
		{false, false, 3600, false, PGW_UNKNOWN_OUTCOME_REPLAY},
		{true, false, 3600, false, PGW_UNKNOWN_OUTCOME_LOOKUP},
		{true, false, 3600, true, PGW_UNKNOWN_OUTCOME_REPLAY},
		{true, false, -1, false, PGW_UNKNOWN_OUTCOME_REPLAY},
		{true, true, 3600, false, PGW_UNKNOWN_OUTCOME_REPLAY},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = bank(true, true, cases[i].consistent_after_s);
		PgwUnknownOutcomeFacts facts = {.operation = PGW_OP_CHARGE,
										.has_token = true,
										.lookup_inconclusive = true,
										.resend_allowed = cases[i].resend_allowed,
										.deadline_s = DEADLINE};
		const char *reason;

		caps.keys[PGW_OP_CHARGE].forgets_errors = cases[i].forgets;
		caps.lookup_needs_id = cases[i].by_id;
		if (pgw_unknown_outcome_step(&caps, &facts, &reason) != cases[i].want)
			fail_msg("case %zu", i);
	}
}

/*
 * Whose answer is it?  Where the first may have been forgotten, that of a repetition is another
 * try's; and what a look-up shows of a charge that was sent blindly more than once may be, too.
 */
static void
tried_anew(void **state)
{
	for (int bits = 0; bits < 64; bits++)
	{
		bool looked = (bits & 1) != 0;
		bool search = (bits & 8) != 0 && (bits & 16) == 0 && (bits & 32) != 0;
		PgwCapabilities caps = bank(true, (bits & 8) != 0, (bits & 32) != 0 ? 2 : -1);

		caps.keys[PGW_OP_CHARGE].forgets_errors = (bits & 2) != 0;
		caps.lookup_needs_id = (bits & 16) != 0;
		assert_int_equal(pgw_unknown_outcome_tried_anew(
							 &caps, PGW_OP_CHARGE, looked ? PGW_OP_LOOKUP_CHARGE : PGW_OP_CHARGE,
							 (bits & 4) != 0 ? 2 : 1),
						 (bits & 2) != 0 && (!looked || ((bits & 4) != 0 && !search)));
		/* without a key nothing is sent twice in doubt */
		caps.keys[PGW_OP_CHARGE].honoured = false;
		assert_false(pgw_unknown_outcome_tried_anew(&caps, PGW_OP_CHARGE, PGW_OP_LOOKUP_CHARGE, 2));
	}
}

/* The key of one operation says nothing of another's. */
static void
each_its_own(void **state)
{
	for (int honoured = 0; honoured < PGW_NOPS; honoured++)
		for (int op = 0; op < PGW_NOPS; op++)
		{
			PgwCapabilities caps = bank(false, false, -1);
			PgwUnknownOutcomeFacts facts = {
				.operation = (PgwBankOp) op, .has_token = true, .deadline_s = DEADLINE};

			caps.keys[honoured] = (PgwKeyRule){.honoured = true, .lifetime_s = LIFETIME};
			assert_int_equal(pgw_capabilities_key_remembered(&caps, facts.operation, 0),
							 op == honoured);
			assert_int_equal(pgw_unknown_outcome_can_replay(&caps, &facts), op == honoured);
		}
}

/* Which answers of unknown outcome are an error that its key brings again, or that is forgotten? */
static void
errors(void **state)
{
	static const struct
	{
		long status;
		PgwOutcome outcome;
		PgwKeyWord key_word;
		bool stored;
		bool forgotten;
	} cases[] = {
		{500, PGW_OUT_UNKNOWN, PGW_KEY_UNSAID, true, true},
		{504, PGW_OUT_UNKNOWN, PGW_KEY_UNSAID, true, true},
		{409, PGW_OUT_UNKNOWN, PGW_KEY_UNSAID, false, true},
		{302, PGW_OUT_UNKNOWN, PGW_KEY_UNSAID, false, true},
		/* of a bank that says 200 of its errors, too */
		{200, PGW_OUT_UNKNOWN, PGW_KEY_UNSAID, false, true},
		{200, PGW_OUT_UNKNOWN, PGW_KEY_IN_PROGRESS, false, false},
		/* the first one is still being worked on: that is no end of it */
		{409, PGW_OUT_UNKNOWN, PGW_KEY_IN_PROGRESS, false, false},
		{503, PGW_OUT_UNKNOWN, PGW_KEY_IN_PROGRESS, false, false},
		/* no success, and not kept */
		{502, PGW_OUT_DECLINED, PGW_KEY_UNSAID, false, true},
		{200, PGW_OUT_DECLINED, PGW_KEY_UNSAID, false, true},
		{200, PGW_OUT_REQUIRES_ACTION, PGW_KEY_UNSAID, false, true},
		{401, PGW_OUT_REJECTED, PGW_KEY_UNSAID, false, false},
		{200, PGW_OUT_APPROVED, PGW_KEY_UNSAID, false, false},
		{202, PGW_OUT_PENDING, PGW_KEY_UNSAID, false, false},
		{503, PGW_OUT_NOT_PROCESSED, PGW_KEY_UNSAID, false, false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = bank(true, false, -1);
		PgwAnswer a = answer(cases[i].outcome);

		a.key_word = cases[i].key_word;
		assert_int_equal(pgw_unknown_outcome_is_error(&caps, PGW_OP_CHARGE, cases[i].status, &a),
						 cases[i].stored);
		caps.keys[PGW_OP_CHARGE].forgets_errors = true;
		assert_int_equal(pgw_unknown_outcome_is_error(&caps, PGW_OP_CHARGE, cases[i].status, &a),
						 cases[i].forgotten);
		assert_int_equal(pgw_unknown_outcome_is_error(&caps, PGW_OP_REFUND, cases[i].status, &a),
						 cases[i].stored);
		/* a no that shows money: it was done, and is done again */
		a.captured = 1;
		if (cases[i].outcome == PGW_OUT_REJECTED || cases[i].outcome == PGW_OUT_NOT_PROCESSED)
			assert_true(pgw_unknown_outcome_is_error(&caps, PGW_OP_CHARGE, cases[i].status, &a));
	}
}

static void
not_found_counts(void **state)
{
	static const struct
	{
		int64_t consistent_after;
		int64_t age;
		bool want;
	} cases[] = {
		{-1, 0, false},
		{-1, DEADLINE, false},
		{-1, INT64_MAX, false},
		{0, 0, true},
		{0, 1, true},
		{2, 0, false},
		{2, 1, false},
		{2, 2, true},
		{2, 3, true},
		{2, INT64_MAX, true},
		{INT64_MAX, DEADLINE, false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = bank(true, true, cases[i].consistent_after);

		assert_int_equal(pgw_capabilities_not_found_counts(&caps, cases[i].age), cases[i].want);
	}
}

static void
steps(void **state)
{
	enum
	{
		NEVER = -1
	};
	static const struct
	{
		bool idempotency;
		bool lookup;
		int consistent;
		bool token;
		bool resend_allowed;
		int64_t key_age;
		int64_t asked_age;
		PgwUnknownOutcomeStep want;
		const char *reason;
	} cases[] = {
		/* both ways: a look-up cannot charge */
		{true, true, 2, true, false, 0, 0, PGW_UNKNOWN_OUTCOME_LOOKUP, NULL},
		{true, true, 2, true, true, 5, 5, PGW_UNKNOWN_OUTCOME_REPLAY, NULL},
		{true, true, 2, true, true, LIFETIME, 5, PGW_UNKNOWN_OUTCOME_LOOKUP, NULL},
		{true, true, 2, false, true, 5, 5, PGW_UNKNOWN_OUTCOME_LOOKUP, NULL},
		/*
		 * a look-up whose "not found" never counts comes after the replay, and is still better than
		 * nothing
		 */
		{true, true, NEVER, true, false, 0, 0, PGW_UNKNOWN_OUTCOME_REPLAY, NULL},
		{true, true, NEVER, true, false, LIFETIME, 0, PGW_UNKNOWN_OUTCOME_LOOKUP, NULL},
		{true, true, NEVER, false, false, 0, 0, PGW_UNKNOWN_OUTCOME_LOOKUP, NULL},
		/* one way only */
		{false, true, 2, true, false, 0, 0, PGW_UNKNOWN_OUTCOME_LOOKUP, NULL},
		{false, true, NEVER, true, false, 0, 0, PGW_UNKNOWN_OUTCOME_LOOKUP, NULL},
		{true, false, NEVER, true, false, 0, 0, PGW_UNKNOWN_OUTCOME_REPLAY, NULL},
		/* none, or none left */
		{false, false, NEVER, true, false, 0, 0, PGW_UNKNOWN_OUTCOME_REVIEW, "no_way_to_find_out"},
		{true, false, NEVER, false, false, 0, 0, PGW_UNKNOWN_OUTCOME_REVIEW, "no_way_to_find_out"},
		{true, false, NEVER, true, false, LIFETIME - MARGIN, 0, PGW_UNKNOWN_OUTCOME_REVIEW,
		 "no_way_to_find_out"},
		/* the deadline; what a look-up has just found is still acted upon */
		{true, true, 2, true, false, 0, DEADLINE - 1, PGW_UNKNOWN_OUTCOME_LOOKUP, NULL},
		{true, true, 2, true, false, 0, DEADLINE, PGW_UNKNOWN_OUTCOME_REVIEW, "deadline"},
		{true, false, NEVER, true, false, 0, DEADLINE, PGW_UNKNOWN_OUTCOME_REVIEW, "deadline"},
		{true, true, 2, true, true, 0, DEADLINE, PGW_UNKNOWN_OUTCOME_REPLAY, NULL},
		{false, false, NEVER, true, false, 0, DEADLINE, PGW_UNKNOWN_OUTCOME_REVIEW, "deadline"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = bank(cases[i].idempotency, cases[i].lookup, cases[i].consistent);
		PgwUnknownOutcomeFacts facts = {.has_token = cases[i].token,
										.resend_allowed = cases[i].resend_allowed,
										.key_age_s = cases[i].key_age,
										.doubt_age_s = cases[i].asked_age,
										.deadline_s = DEADLINE};
		const char *reason = "left alone";
		PgwUnknownOutcomeStep step = pgw_unknown_outcome_step(&caps, &facts, &reason);

		if (step != cases[i].want || !same_text(reason, cases[i].reason))
			fail_msg("case %zu: step %d, reason %s", i, (int) step,
					 reason != NULL ? reason : "none");
	}
}

/* Under its key the bank would say "pending" again; a look-up tells what has come of it. */
static void
pending_is_looked_up(void **state)
{
	PgwCapabilities caps = bank(true, true, -1);
	PgwUnknownOutcomeFacts facts = {.has_token = true, .pending = true, .deadline_s = DEADLINE};
	const char *reason;

	assert_int_equal(pgw_unknown_outcome_step(&caps, &facts, &reason), PGW_UNKNOWN_OUTCOME_LOOKUP);
	facts.lookup_inconclusive = true;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &facts, &reason), PGW_UNKNOWN_OUTCOME_REPLAY);
	facts.lookup_inconclusive = facts.pending = false;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &facts, &reason), PGW_UNKNOWN_OUTCOME_REPLAY);
	caps = bank(true, false, -1);
	facts.pending = true;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &facts, &reason), PGW_UNKNOWN_OUTCOME_REPLAY);
}

/*
 * A bank that repeats its errors is not asked for one again, and one that forgets them not for
 * another charge: a look-up tells, and without one nothing does.
 */
static void
stored_error(void **state)
{
	for (int bits = 0; bits < 16; bits++)
	{
		bool replays = (bits & 12) == 0;
		PgwCapabilities caps = bank(true, (bits & 1) != 0, 2);
		PgwUnknownOutcomeFacts facts = {.has_token = true,
										.resend_allowed = (bits & 2) != 0,
										.error_answered = true,
										.deadline_s = DEADLINE};
		const char *reason;

		caps.keys[PGW_OP_CHARGE].repeats_errors = (bits & 4) != 0;
		caps.keys[PGW_OP_CHARGE].forgets_errors = (bits & 8) != 0;
		assert_int_equal(pgw_unknown_outcome_can_replay(&caps, &facts), replays);
		assert_int_equal(pgw_unknown_outcome_step(&caps, &facts, &reason),
						 replays && (facts.resend_allowed || !caps.lookup)
							 ? PGW_UNKNOWN_OUTCOME_REPLAY
						 : caps.lookup ? PGW_UNKNOWN_OUTCOME_LOOKUP
									   : PGW_UNKNOWN_OUTCOME_REVIEW);
		/* one may have been answered that nobody heard: of that the look-up will tell */
		facts.error_answered = false;
		assert_int_equal(pgw_unknown_outcome_can_replay(&caps, &facts),
						 !caps.keys[PGW_OP_CHARGE].forgets_errors || !caps.lookup ||
							 facts.resend_allowed);
	}
}

/*
 * Approved, and not named: looked up while there is time, then cancelled or reviewed; never sent
 * again.
 */
static void
approved(void **state)
{
	static const int64_t ages[] = {0, DEADLINE - 1, DEADLINE, INT64_MAX};

	for (int bits = 0; bits < 32; bits++)
		for (size_t a = 0; a < LENGTH(ages); a++)
		{
			PgwCapabilities caps = bank(bits & 1, (bits & 2) != 0, (bits & 4) != 0 ? 2 : -1);
			PgwUnknownOutcomeFacts facts = {.has_token = true,
											.resend_allowed = (bits & 8) != 0,
											.approved = true,
											.doubt_age_s = ages[a],
											.deadline_s = DEADLINE};
			const char *reason = NULL;
			PgwUnknownOutcomeStep step;

			caps.can_cancel = (bits & 16) != 0;
			step = pgw_unknown_outcome_step(&caps, &facts, &reason);
			if (caps.lookup && ages[a] < DEADLINE)
				assert_int_equal(step, PGW_UNKNOWN_OUTCOME_LOOKUP);
			else
			{
				assert_int_equal(step, caps.can_cancel ? PGW_UNKNOWN_OUTCOME_CANCEL
													   : PGW_UNKNOWN_OUTCOME_REVIEW);
				assert_string_equal(reason, "approval_without_reference");
			}
		}
}

static void
check_step(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts)
{
	const char *reason = "left alone";
	PgwUnknownOutcomeStep step = pgw_unknown_outcome_step(caps, facts, &reason);
	const PgwKeyRule *key = &caps->keys[facts->operation];
	bool key_young = key->honoured && facts->key_age_s < key->lifetime_s - MARGIN;
	bool replay_safe = key_young && facts->has_token;
	bool over = facts->doubt_age_s >= facts->deadline_s;
	bool lookup = caps->lookup && (facts->has_id || !caps->lookup_needs_id);
	bool conclusive = lookup && caps->lookup_consistent_after_s >= 0 && !facts->lookup_inconclusive;
	char what[256];

	snprintf(
		what, sizeof(what),
		"step %d: idempotency %d, lifetime %lld, lookup %d, consistent %lld, token %d, looked %d, key %lld, asked %lld",
		(int) step, key->honoured, (long long) key->lifetime_s, caps->lookup,
		(long long) caps->lookup_consistent_after_s, facts->has_token, facts->resend_allowed,
		(long long) facts->key_age_s, (long long) facts->doubt_age_s);
	switch (step)
	{
		case PGW_UNKNOWN_OUTCOME_REPLAY:
			CHECK(replay_safe, what);
			CHECK(facts->resend_allowed || !conclusive, what);
			CHECK(facts->resend_allowed || !over, what);
			CHECK(reason == NULL, what);
			return;
		case PGW_UNKNOWN_OUTCOME_LOOKUP:
			CHECK(lookup && !over, what);
			CHECK(!(facts->resend_allowed && replay_safe), what);
			CHECK(conclusive || !replay_safe, what);
			CHECK(reason == NULL, what);
			return;
		case PGW_UNKNOWN_OUTCOME_CANCEL:
		case PGW_UNKNOWN_OUTCOME_UNDO:
		case PGW_UNKNOWN_OUTCOME_WAIT:
			CHECK(false, what); /* nothing was approved, and nobody has to act */
			return;
		case PGW_UNKNOWN_OUTCOME_REVIEW:
			CHECK(over || (!lookup && !replay_safe), what);
			CHECK(same_text(reason, over ? "deadline" : "no_way_to_find_out"), what);
			return;
	}
	fail_msg("no such step: %s", what);
}

static void
every_combination(void **state)
{
	static const int64_t lifetimes[] = {1, MARGIN, MARGIN + 1, LIFETIME};
	static const int64_t consistent[] = {-1, 0, 2, DEADLINE};
	static const int64_t ages[] = {0,
								   1,
								   MARGIN,
								   DEADLINE - 1,
								   DEADLINE,
								   DEADLINE + 1,
								   LIFETIME - MARGIN - 1,
								   LIFETIME - MARGIN,
								   LIFETIME,
								   INT64_MAX};

	for (int bits = 0; bits < 128; bits++)
		for (size_t l = 0; l < LENGTH(lifetimes); l++)
			for (size_t c = 0; c < LENGTH(consistent); c++)
				for (size_t k = 0; k < LENGTH(ages); k++)
					for (size_t a = 0; a < LENGTH(ages); a++)
					{
						PgwCapabilities caps = bank(bits & 1, (bits & 2) != 0, consistent[c]);
						PgwUnknownOutcomeFacts facts = {.has_token = (bits & 4) != 0,
														.resend_allowed = (bits & 8) != 0,
														.key_age_s = ages[k],
														.doubt_age_s = ages[a],
														.deadline_s = DEADLINE,
														.lookup_inconclusive = (bits & 16) != 0,
														.has_id = (bits & 32) != 0};

						caps.lookup_needs_id = (bits & 64) != 0;
						set_keys(&caps, bits & 1, lifetimes[l]);
						check_step(&caps, &facts);
					}
}

/* Before its time, because of a notification. */
static void
test_counts_early(void **state)
{
	PgwCapabilities caps = {.lookup_consistent_after_s = 60};

	(void) state;
	assert_true(pgw_unknown_outcome_counts_early(&caps, PGW_OUT_APPROVED, 0));
	assert_true(pgw_unknown_outcome_counts_early(&caps, PGW_OUT_PENDING, 0));
	assert_false(pgw_unknown_outcome_counts_early(&caps, PGW_OUT_DECLINED, 59));
	assert_false(pgw_unknown_outcome_counts_early(&caps, PGW_OUT_REQUIRES_ACTION, 59));
	assert_true(pgw_unknown_outcome_counts_early(&caps, PGW_OUT_DECLINED, 60));
	caps.lookup_consistent_after_s = -1; /* nobody knows when */
	assert_false(pgw_unknown_outcome_counts_early(&caps, PGW_OUT_DECLINED, 1000000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(can_replay),
		cmocka_unit_test(not_asked_again),
		cmocka_unit_test(waited_for),
		cmocka_unit_test(tried_anew),
		cmocka_unit_test(each_its_own),
		cmocka_unit_test(errors),
		cmocka_unit_test(not_found_counts),
		cmocka_unit_test(steps),
		cmocka_unit_test(pending_is_looked_up),
		cmocka_unit_test(stored_error),
		cmocka_unit_test(approved),
		cmocka_unit_test(every_combination),
		cmocka_unit_test(test_counts_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
