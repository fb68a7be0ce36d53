/*
 * test_resolve.c - how to find out about an attempt in doubt: each limit, and every combination against the invariants
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/unknown_outcome_rules.h"

#define LIFETIME 86400
#define MARGIN 60				/* what is nearly over counts as over */
#define DEADLINE 3600

static PgwCapabilities
bank(bool idempotency, bool lookup, int64_t consistent_after)
{
	PgwCapabilities caps;

	memset(&caps, 0, sizeof(caps));
	caps.idempotency = idempotency;
	caps.key_lifetime_s = idempotency ? LIFETIME : 0;
	caps.lookup = lookup;
	caps.lookup_consistent_after_s = consistent_after;
	return caps;
}

static void
can_replay(void **state)
{
	static const struct
	{
		bool		idempotency;
		bool		token;
		int64_t		lifetime;
		int64_t		age;
		bool		want;
	}			cases[] = {
		{true, true, LIFETIME, 0, true},
		{true, true, LIFETIME, LIFETIME - MARGIN - 1, true},
		{true, true, LIFETIME, LIFETIME - MARGIN, false},
		{true, true, LIFETIME, LIFETIME, false},
		{true, true, LIFETIME, INT64_MAX, false},
		{true, true, MARGIN, 0, false},	/* a bank that remembers no longer than that */
		{true, true, MARGIN + 1, 0, true},
		{true, true, 1, 0, false},
		{true, false, LIFETIME, 0, false},	/* a card is gone */
		{false, true, LIFETIME, 0, false},
		{false, false, 0, 0, false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = bank(cases[i].idempotency, false, -1);
		PgwDoubt	doubt = {.has_token = cases[i].token, .key_age_s = cases[i].age, .deadline_s = DEADLINE};

		caps.key_lifetime_s = cases[i].lifetime;
		assert_int_equal(pgw_resolve_can_replay(&caps, &doubt), cases[i].want);
		assert_int_equal(pgw_resolve_key_remembered(&caps, cases[i].age), cases[i].want || (cases[i].idempotency && !cases[i].token));
	}
}

static void
not_found_counts(void **state)
{
	static const struct
	{
		int64_t		consistent_after;
		int64_t		age;
		bool		want;
	}			cases[] = {
		{-1, 0, false}, {-1, DEADLINE, false}, {-1, INT64_MAX, false},
		{0, 0, true}, {0, 1, true},
		{2, 0, false}, {2, 1, false}, {2, 2, true}, {2, 3, true}, {2, INT64_MAX, true},
		{INT64_MAX, DEADLINE, false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = bank(true, true, cases[i].consistent_after);

		assert_int_equal(pgw_resolve_not_found_counts(&caps, cases[i].age), cases[i].want);
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
		bool		idempotency;
		bool		lookup;
		int			consistent;
		bool		token;
		bool		looked;
		int64_t		key_age;
		int64_t		asked_age;
		PgwResolveStep want;
		const char *reason;
	}			cases[] = {
		/* both ways: a look-up cannot charge */
		{true, true, 2, true, false, 0, 0, PGW_RESOLVE_LOOKUP, NULL},
		{true, true, 2, true, true, 5, 5, PGW_RESOLVE_REPLAY, NULL},
		{true, true, 2, true, true, LIFETIME, 5, PGW_RESOLVE_LOOKUP, NULL},
		{true, true, 2, false, true, 5, 5, PGW_RESOLVE_LOOKUP, NULL},
		/* a look-up whose "not found" never counts comes after the replay, and is still better than nothing */
		{true, true, NEVER, true, false, 0, 0, PGW_RESOLVE_REPLAY, NULL},
		{true, true, NEVER, true, false, LIFETIME, 0, PGW_RESOLVE_LOOKUP, NULL},
		{true, true, NEVER, false, false, 0, 0, PGW_RESOLVE_LOOKUP, NULL},
		/* one way only */
		{false, true, 2, true, false, 0, 0, PGW_RESOLVE_LOOKUP, NULL},
		{false, true, NEVER, true, false, 0, 0, PGW_RESOLVE_LOOKUP, NULL},
		{true, false, NEVER, true, false, 0, 0, PGW_RESOLVE_REPLAY, NULL},
		/* none, or none left */
		{false, false, NEVER, true, false, 0, 0, PGW_RESOLVE_REVIEW, "no_way_to_find_out"},
		{true, false, NEVER, false, false, 0, 0, PGW_RESOLVE_REVIEW, "no_way_to_find_out"},
		{true, false, NEVER, true, false, LIFETIME - MARGIN, 0, PGW_RESOLVE_REVIEW, "no_way_to_find_out"},
		/* the deadline; what a look-up has just found is still acted upon */
		{true, true, 2, true, false, 0, DEADLINE - 1, PGW_RESOLVE_LOOKUP, NULL},
		{true, true, 2, true, false, 0, DEADLINE, PGW_RESOLVE_REVIEW, "deadline"},
		{true, false, NEVER, true, false, 0, DEADLINE, PGW_RESOLVE_REVIEW, "deadline"},
		{true, true, 2, true, true, 0, DEADLINE, PGW_RESOLVE_REPLAY, NULL},
		{false, false, NEVER, true, false, 0, DEADLINE, PGW_RESOLVE_REVIEW, "deadline"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = bank(cases[i].idempotency, cases[i].lookup, cases[i].consistent);
		PgwDoubt	doubt = {
			.has_token = cases[i].token, .looked = cases[i].looked, .key_age_s = cases[i].key_age, .asked_age_s = cases[i].asked_age,
			.deadline_s = DEADLINE
		};
		const char *reason = "left alone";
		PgwResolveStep step = pgw_resolve_step(&caps, &doubt, &reason);

		if (step != cases[i].want || !same_text(reason, cases[i].reason))
			fail_msg("case %zu: step %d, reason %s", i, (int) step, reason != NULL ? reason : "none");
	}
}

/* A bank that repeats its errors is not asked for one again: a look-up tells, and without one nothing does. */
static void
stored_error(void **state)
{
	for (int bits = 0; bits < 8; bits++)
	{
		PgwCapabilities caps = bank(true, (bits & 1) != 0, 2);
		PgwDoubt	doubt = {.has_token = true, .looked = (bits & 2) != 0, .error_answered = true, .deadline_s = DEADLINE};
		const char *reason;

		caps.replays_errors = (bits & 4) != 0;
		assert_int_equal(pgw_resolve_can_replay(&caps, &doubt), !caps.replays_errors);
		assert_int_equal(pgw_resolve_step(&caps, &doubt, &reason),
						 !caps.replays_errors && (doubt.looked || !caps.lookup) ? PGW_RESOLVE_REPLAY : caps.lookup ? PGW_RESOLVE_LOOKUP : PGW_RESOLVE_REVIEW);
		doubt.error_answered = false;
		assert_true(pgw_resolve_can_replay(&caps, &doubt));
	}
}

/* Approved, and not named: looked up while there is time, then cancelled or reviewed; never sent again. */
static void
approved(void **state)
{
	static const int64_t ages[] = {0, DEADLINE - 1, DEADLINE, INT64_MAX};

	for (int bits = 0; bits < 32; bits++)
		for (size_t a = 0; a < LENGTH(ages); a++)
		{
			PgwCapabilities caps = bank(bits & 1, (bits & 2) != 0, (bits & 4) != 0 ? 2 : -1);
			PgwDoubt	doubt = {.has_token = true, .looked = (bits & 8) != 0, .approved = true, .asked_age_s = ages[a], .deadline_s = DEADLINE};
			const char *reason = NULL;
			PgwResolveStep step;

			caps.can_cancel = (bits & 16) != 0;
			step = pgw_resolve_step(&caps, &doubt, &reason);
			if (caps.lookup && ages[a] < DEADLINE)
				assert_int_equal(step, PGW_RESOLVE_LOOKUP);
			else
			{
				assert_int_equal(step, caps.can_cancel ? PGW_RESOLVE_CANCEL : PGW_RESOLVE_REVIEW);
				assert_string_equal(reason, "approval_without_reference");
			}
		}
}

static void
check_step(const PgwCapabilities *caps, const PgwDoubt *doubt)
{
	const char *reason = "left alone";
	PgwResolveStep step = pgw_resolve_step(caps, doubt, &reason);
	bool		key_young = caps->idempotency && doubt->key_age_s < caps->key_lifetime_s - MARGIN;
	bool		replay_safe = key_young && doubt->has_token;
	bool		over = doubt->asked_age_s >= doubt->deadline_s;
	bool		lookup = caps->lookup && (doubt->has_id || !caps->lookup_needs_id);
	bool		conclusive = lookup && caps->lookup_consistent_after_s >= 0 && !doubt->untold;
	char		what[256];

	snprintf(what, sizeof(what), "step %d: idempotency %d, lifetime %lld, lookup %d, consistent %lld, token %d, looked %d, key %lld, asked %lld",
			 (int) step, caps->idempotency, (long long) caps->key_lifetime_s, caps->lookup, (long long) caps->lookup_consistent_after_s,
			 doubt->has_token, doubt->looked, (long long) doubt->key_age_s, (long long) doubt->asked_age_s);
	switch (step)
	{
		case PGW_RESOLVE_REPLAY:
			CHECK(replay_safe, what);
			CHECK(doubt->looked || !conclusive, what);
			CHECK(doubt->looked || !over, what);
			CHECK(reason == NULL, what);
			return;
		case PGW_RESOLVE_LOOKUP:
			CHECK(lookup && !over, what);
			CHECK(!(doubt->looked && replay_safe), what);
			CHECK(conclusive || !replay_safe, what);
			CHECK(reason == NULL, what);
			return;
		case PGW_RESOLVE_CANCEL:
			CHECK(false, what);	/* nothing was approved */
			return;
		case PGW_RESOLVE_REVIEW:
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
	static const int64_t ages[] = {0, 1, MARGIN, DEADLINE - 1, DEADLINE, DEADLINE + 1, LIFETIME - MARGIN - 1, LIFETIME - MARGIN, LIFETIME, INT64_MAX};

	for (int bits = 0; bits < 128; bits++)
		for (size_t l = 0; l < LENGTH(lifetimes); l++)
			for (size_t c = 0; c < LENGTH(consistent); c++)
				for (size_t k = 0; k < LENGTH(ages); k++)
					for (size_t a = 0; a < LENGTH(ages); a++)
					{
						PgwCapabilities caps = bank(bits & 1, (bits & 2) != 0, consistent[c]);
						PgwDoubt	doubt = {
							.has_token = (bits & 4) != 0, .looked = (bits & 8) != 0, .key_age_s = ages[k], .asked_age_s = ages[a],
							.deadline_s = DEADLINE, .untold = (bits & 16) != 0, .has_id = (bits & 32) != 0
						};

						caps.lookup_needs_id = (bits & 64) != 0;
						caps.key_lifetime_s = lifetimes[l];
						check_step(&caps, &doubt);
					}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(can_replay), cmocka_unit_test(not_found_counts), cmocka_unit_test(steps), cmocka_unit_test(stored_error), cmocka_unit_test(approved),
		cmocka_unit_test(every_combination),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
