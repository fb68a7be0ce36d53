/*
 * test_compensation_step.c - giving back: how it begins, with what, and what to ask the bank next,
 * as tables and over every combination
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/compensation_rules.h"

#define LIFETIME 86400
#define MARGIN 60 /* what is nearly over counts as over */
#define DEADLINE 3600
#define MONTH (30 * 86400) /* what the bank says is pending may take as long */

/* ---- the beginning ---- */

static void
begin(void **state)
{
	PgwDecision d;

	pgw_compensation_begin(PGW_BANK_APPROVED, &d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_BANK_APPROVED, &d));
	assert_true(events_are(&d, EVENTS(PGW_EV_PAYMENT_DATA_SAVE_FAILED, PGW_EV_COMPENSATION_STARTED,
									  PGW_EV_REFUND_STARTED)));
	assert_int_equal(d.state, PGW_REFUNDING);
	assert_string_equal(d.error->code, "given_back");

	pgw_compensation_begin(PGW_FAILED, &d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_FAILED, &d));
	assert_true(events_are(&d, EVENTS(PGW_EV_LATE_APPROVAL_RECEIVED, PGW_EV_COMPENSATION_STARTED,
									  PGW_EV_REFUND_STARTED)));
	assert_int_equal(d.state, PGW_REFUNDING);
	assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
}

/* ---- with what ---- */

static PgwBankOp
way(const PgwCapabilities *caps, bool captured, bool amount_in_doubt)
{
	return pgw_compensation_operation(
		caps, &(PgwToGiveBack){.captured = captured, .amount_in_doubt = amount_in_doubt});
}

static void
operation(void **state)
{
	static const struct
	{
		bool can_void;
		bool can_refund;
		bool can_cancel;
		PgwBankOp authorized;
		PgwBankOp captured;
		PgwBankOp in_doubt; /* NOPS: as without doubt */
	} cases[] = {
		{true, true, true, PGW_OP_VOID, PGW_OP_REFUND, PGW_OP_CANCEL},
		{true, true, false, PGW_OP_VOID, PGW_OP_REFUND, PGW_NOPS},
		{true, false, true, PGW_OP_VOID, PGW_OP_CANCEL, PGW_OP_CANCEL},
		{false, true, true, PGW_OP_CANCEL, PGW_OP_REFUND, PGW_OP_CANCEL},
		{true, false, false, PGW_OP_VOID, PGW_OP_VOID, PGW_NOPS},
		{false, true, false, PGW_OP_REFUND, PGW_OP_REFUND, PGW_NOPS},
		{false, false, true, PGW_OP_CANCEL, PGW_OP_CANCEL, PGW_OP_CANCEL},
		{false, false, false, PGW_NOPS, PGW_NOPS, PGW_NOPS},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCapabilities caps = {.can_void = cases[i].can_void,
								.can_refund = cases[i].can_refund,
								.can_cancel = cases[i].can_cancel};
		bool by_reference = cases[i].in_doubt != PGW_NOPS;

		assert_int_equal(way(&caps, false, false), cases[i].authorized);
		assert_int_equal(way(&caps, true, false), cases[i].captured);
		assert_int_equal(way(&caps, false, true),
						 by_reference ? cases[i].in_doubt : cases[i].authorized);
		assert_int_equal(way(&caps, true, true),
						 by_reference ? cases[i].in_doubt : cases[i].captured);
	}
}

/* ---- the next step ---- */

/* What is neither in doubt nor sent has its end, too. */
static void
overdue(void **state)
{
	static const struct
	{
		PgwCompensationFacts facts;
		int64_t age;
		bool want;
	} cases[] = {
		{{.key = false, .deadline_s = DEADLINE}, DEADLINE - 1, false},
		{{.key = false, .deadline_s = DEADLINE}, DEADLINE, true},
		/* an operator has it asked again */
		{{.key = false, .deadline_s = 0}, INT64_MAX, false},
		/* what a look-up has just said is acted upon */
		{{.key = false, .resend_allowed = true, .deadline_s = DEADLINE}, DEADLINE, false},
		{{.key = true, .deadline_s = DEADLINE}, MONTH - 1, false},
		{{.key = true, .deadline_s = DEADLINE}, MONTH, true},
		/* that is pgw_compensation_step()'s */
		{{.key = true, .used = true, .deadline_s = DEADLINE}, INT64_MAX, false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
		assert_int_equal(pgw_compensation_overdue(&cases[i].facts, cases[i].age), cases[i].want);
}

static void
steps(void **state)
{
	static const PgwCapabilities none = {.lookup_consistent_after_s = -1};
	static const PgwCapabilities idempotent = {KEYS(LIFETIME), .lookup_consistent_after_s = -1};
	static const PgwCapabilities all = {KEYS(LIFETIME),
										.lookup = true,
										.lookup_refund = true,
										.lookup_shows_captured = true,
										.lookup_shows_refunded = true,
										.lookup_consistent_after_s = 2};
	static const PgwCapabilities charges = {.lookup = true,
											.lookup_shows_captured = true,
											.lookup_shows_refunded = true,
											.lookup_consistent_after_s = 2};
	/* look-ups that do not name what was captured and refunded, with keys and without */
	static const PgwCapabilities half = {
		.lookup = true, .lookup_shows_captured = true, .lookup_consistent_after_s = 2};
	static const PgwCapabilities mute = {KEYS(LIFETIME), .lookup = true,
										 .lookup_shows_refunded = true,
										 .lookup_consistent_after_s = 2};
	static const PgwCapabilities refunds = {.lookup_refund = true, .lookup_consistent_after_s = 2};
	static const PgwCapabilities forgets = {KEYS(LIFETIME),
											.lookup = true,
											.lookup_refund = true,
											.lookup_shows_captured = true,
											.lookup_shows_refunded = true,
											.lookup_consistent_after_s = -1};
	/* a void that is only accepted, again and again, and shown when it is done, nobody knows when
	 */
	static const PgwCapabilities accepts = {KEYS(LIFETIME), .lookup = true,
											.lookup_shows_voided = true,
											.lookup_consistent_after_s = -1};
	static const struct
	{
		const PgwCapabilities *caps;
		PgwCompensationFacts facts;
		PgwCompensationStep want;
	} cases[] = {
		{&accepts,
		 {PGW_OP_VOID, true, true, false, false, false, 0, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&accepts,
		 {PGW_OP_VOID, true, true, false, true, false, 0, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		/* announced, not sent yet */
		{&none,
		 {PGW_OP_REFUND, true, false, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&all,
		 {PGW_OP_VOID, true, false, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		/* refused: why? */
		{&none,
		 {PGW_OP_REFUND, false, false, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&all,
		 {PGW_OP_REFUND, false, false, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&all,
		 {PGW_OP_REFUND, false, false, true, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		/*
		 * an earlier cancellation may be in doubt still: only what the look-up surely knows leads
		 * to another operation
		 */
		{&all,
		 {PGW_OP_CANCEL, false, false, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&forgets,
		 {PGW_OP_CANCEL, false, false, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&none,
		 {PGW_OP_CANCEL, false, false, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		/* in doubt */
		{&all,
		 {PGW_OP_REFUND, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&all,
		 {PGW_OP_VOID, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&charges,
		 {PGW_OP_REFUND, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&all,
		 {PGW_OP_REFUND, true, true, true, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&none,
		 {PGW_OP_CANCEL, true, true, false, false, false, LIFETIME, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&idempotent,
		 {PGW_OP_REFUND, true, true, false, false, false, LIFETIME - MARGIN - 1, false, 0, 0, 0,
		  false},
		 PGW_COMPENSATE_SEND},
		{&idempotent,
		 {PGW_OP_REFUND, true, true, false, false, false, LIFETIME - MARGIN, false, 0, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&none,
		 {PGW_OP_REFUND, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		/*
		 * a look-up that can never say "lost" is asked for its yes, and followed by the same key:
		 * alone it would be asked for ever
		 */
		{&forgets,
		 {PGW_OP_REFUND, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&forgets,
		 {PGW_OP_REFUND, true, true, false, true, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&forgets,
		 {PGW_OP_VOID, true, true, false, false, false, LIFETIME - MARGIN - 1, false, 0, 0, 0,
		  false},
		 PGW_COMPENSATE_SEND},
		{&forgets,
		 {PGW_OP_REFUND, true, true, false, false, false, LIFETIME - MARGIN, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&forgets,
		 {PGW_OP_VOID, true, true, false, false, false, LIFETIME, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		/*
		 * a look-up that does not say what was refunded proves nothing of a refund: the same key,
		 * while it is remembered, else a person
		 */
		{&mute,
		 {PGW_OP_REFUND, true, true, false, false, false, LIFETIME - MARGIN - 1, false, 0, 0, 0,
		  false},
		 PGW_COMPENSATE_SEND},
		{&mute,
		 {PGW_OP_REFUND, true, true, false, false, false, LIFETIME - MARGIN, false, 0, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&half,
		 {PGW_OP_REFUND, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&half,
		 {PGW_OP_VOID, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&half,
		 {PGW_OP_REFUND, false, false, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		/* one that should have said it, and did not */
		{&all,
		 {PGW_OP_REFUND, true, true, false, true, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&all,
		 {PGW_OP_REFUND, true, true, false, true, false, LIFETIME - MARGIN, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&charges,
		 {PGW_OP_REFUND, true, true, false, true, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&all,
		 {PGW_OP_REFUND, true, true, false, true, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		/* refused: a look-up that did not tell is no reason for a second refund */
		{&all,
		 {PGW_OP_REFUND, false, false, false, true, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&all,
		 {PGW_OP_CANCEL, true, true, false, true, false, LIFETIME, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		/* in doubt for too long, however it could be asked */
		{&all,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE - 1, false, DEADLINE, 0, 0,
		  false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&all,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&all,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&charges,
		 {PGW_OP_VOID, true, true, false, false, false, DEADLINE - 1, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&charges,
		 {PGW_OP_VOID, true, true, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&idempotent,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE - 1, false, DEADLINE, 0, 0,
		  false},
		 PGW_COMPENSATE_SEND},
		{&idempotent,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&forgets,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE - 1, false, DEADLINE, 0, 0,
		  false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&forgets,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		/*
		 * a cancellation is looked up where that counts, else repeated: whatever the key's age, and
		 * within the deadline
		 */
		{&all,
		 {PGW_OP_CANCEL, true, true, false, false, false, LIFETIME, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&all,
		 {PGW_OP_CANCEL, true, true, true, false, false, LIFETIME, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&charges,
		 {PGW_OP_CANCEL, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&forgets,
		 {PGW_OP_CANCEL, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&forgets,
		 {PGW_OP_CANCEL, true, true, false, false, false, LIFETIME, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&refunds,
		 {PGW_OP_CANCEL, true, true, false, false, false, 0, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&idempotent,
		 {PGW_OP_CANCEL, true, true, false, false, false, LIFETIME, false, 0, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&none,
		 {PGW_OP_CANCEL, true, true, false, false, false, DEADLINE - 1, false, DEADLINE, 0, 0,
		  false},
		 PGW_COMPENSATE_SEND},
		{&none,
		 {PGW_OP_CANCEL, true, true, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&all,
		 {PGW_OP_CANCEL, true, true, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&none,
		 {PGW_OP_CANCEL, true, true, false, false, false, MONTH - 1, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&none,
		 {PGW_OP_CANCEL, true, true, false, false, false, MONTH, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		/* pending may take a month, where there is somebody to ask */
		{&all,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&charges,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&idempotent,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&forgets,
		 {PGW_OP_REFUND, true, true, false, false, false, DEADLINE, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&forgets,
		 {PGW_OP_REFUND, true, true, false, true, false, DEADLINE, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&none,
		 {PGW_OP_REFUND, true, true, false, false, false, 0, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&all,
		 {PGW_OP_REFUND, true, true, false, false, false, MONTH - 1, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		{&all,
		 {PGW_OP_REFUND, true, true, false, false, false, MONTH, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&charges,
		 {PGW_OP_VOID, true, true, false, false, false, MONTH - 1, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&charges,
		 {PGW_OP_VOID, true, true, false, false, false, MONTH, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_REVIEW},
		{&all,
		 {PGW_OP_REFUND, true, true, false, false, false, MONTH, true, 0, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_REFUND},
		/* no doubt: never sent, used up, looked up */
		{&all,
		 {PGW_OP_REFUND, true, false, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&all,
		 {PGW_OP_REFUND, false, false, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_LOOKUP_CHARGE},
		{&none,
		 {PGW_OP_REFUND, false, false, false, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&all,
		 {PGW_OP_REFUND, true, true, true, false, false, DEADLINE, false, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_SEND},
		{&all,
		 {PGW_OP_REFUND, true, true, true, false, false, MONTH, true, DEADLINE, 0, 0, false},
		 PGW_COMPENSATE_SEND},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCompensationStep step = pgw_compensation_step(cases[i].caps, &cases[i].facts);

		if (step != cases[i].want)
			fail_msg("case %zu: step %d instead of %d", i, (int) step, (int) cases[i].want);
	}
}

static void
check_step(const PgwCapabilities *caps, const PgwCompensationFacts *facts)
{
	PgwCompensationStep step = pgw_compensation_step(caps, facts);
	bool in_doubt = facts->used && !facts->resend_allowed;
	bool cancel = facts->operation == PGW_OP_CANCEL;
	const PgwKeyRule *key = &caps->keys[facts->operation];
	bool remembered = key->honoured && facts->key_age_s < key->lifetime_s - MARGIN;
	bool refund = facts->operation == PGW_OP_REFUND;
	bool tells =
		caps->lookup && (!refund || (caps->lookup_shows_captured && caps->lookup_shows_refunded));
	bool can_look = tells || (refund && caps->lookup_refund);
	bool counts = caps->lookup_consistent_after_s >= 0 && (can_look || !refund);
	/* one whose silence never counts */
	bool asks_for_yes = refund && can_look;
	bool overdue =
		facts->deadline_s > 0 && facts->key_age_s >= (facts->pending ? MONTH : facts->deadline_s);
	char what[320];

	snprintf(
		what, sizeof(what),
		"step %d: %s key %d used %d looked %d lookup_inconclusive %d age %lld, idempotency %d lifetime %lld lookup %d refund %d consistent %lld, pending %d "
		"deadline %lld",
		(int) step, pgw_op_name(facts->operation), facts->key, facts->used, facts->resend_allowed,
		facts->lookup_inconclusive, (long long) facts->key_age_s, key->honoured,
		(long long) key->lifetime_s, caps->lookup, caps->lookup_refund,
		(long long) caps->lookup_consistent_after_s, facts->pending, (long long) facts->deadline_s);
	CHECK(step == PGW_COMPENSATE_SEND || !facts->resend_allowed, what);
	CHECK(step == PGW_COMPENSATE_SEND || !facts->key || facts->used, what);
	CHECK(facts->resend_allowed || !cancel ||
			  (step == PGW_COMPENSATE_LOOKUP_CHARGE) ==
				  (caps->lookup && counts && !facts->lookup_inconclusive &&
				   (facts->used ? !overdue : !facts->key)),
		  what);
	CHECK((step == PGW_COMPENSATE_REVIEW) ==
			  (in_doubt && (overdue || (!cancel && !can_look && !remembered))),
		  what);
	switch (step)
	{
		case PGW_COMPENSATE_SEND:
			CHECK(!in_doubt || cancel || remembered, what);
			CHECK(!in_doubt || facts->lookup_inconclusive ||
					  !((can_look && counts) || asks_for_yes),
				  what);
			return;
		case PGW_COMPENSATE_LOOKUP_REFUND:
			CHECK(caps->lookup_refund && facts->operation == PGW_OP_REFUND, what);
			CHECK(in_doubt &&
					  (((counts || asks_for_yes) && !facts->lookup_inconclusive) || !remembered),
				  what);
			return;
		case PGW_COMPENSATE_LOOKUP_CHARGE:
			CHECK(caps->lookup, what);
			CHECK(facts->key
					  ? in_doubt && (((counts || asks_for_yes) && !facts->lookup_inconclusive) ||
									 (!cancel && !remembered))
					  : !(cancel && facts->lookup_inconclusive),
				  what);
			CHECK(!in_doubt || tells, what);
			CHECK(!(in_doubt && facts->operation == PGW_OP_REFUND && caps->lookup_refund), what);
			return;
		case PGW_COMPENSATE_WAIT:
			CHECK(false, what); /* nothing has to wait here */
			return;
		case PGW_COMPENSATE_REVIEW:
			return;
	}
	fail_msg("no such step: %s", what);
}

static void
every_step(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_VOID, PGW_OP_REFUND, PGW_OP_CANCEL};
	static const int64_t lifetimes[] = {1, MARGIN, LIFETIME};
	static const int64_t consistent[] = {-1, 0, 2};
	static const int64_t ages[] = {0,
								   1,
								   MARGIN,
								   DEADLINE - 1,
								   DEADLINE,
								   LIFETIME - MARGIN - 1,
								   LIFETIME - MARGIN,
								   LIFETIME - 1,
								   LIFETIME,
								   MONTH - 1,
								   MONTH,
								   INT64_MAX};
	static const int64_t deadlines[] = {0, 1, DEADLINE, LIFETIME, INT64_MAX};
	const size_t sizes[] = {LENGTH(operations), LENGTH(lifetimes), LENGTH(consistent),
							LENGTH(ages),       LENGTH(deadlines), 1024};
	size_t all = 1;

	for (size_t i = 0; i < LENGTH(sizes); i++)
		all *= sizes[i];
	for (size_t n = 0; n < all; n++)
	{
		size_t at[LENGTH(sizes)];
		size_t rest = n;
		PgwCapabilities caps;
		PgwCompensationFacts facts;

		for (size_t i = 0; i < LENGTH(sizes); i++)
		{
			at[i] = rest % sizes[i];
			rest /= sizes[i];
		}
		memset(&caps, 0, sizeof(caps));
		caps.lookup_consistent_after_s = consistent[at[2]];
		set_keys(&caps, at[5] & 1, lifetimes[at[1]]);
		caps.lookup = (at[5] & 2) != 0;
		caps.lookup_refund = (at[5] & 4) != 0;
		memset(&facts, 0, sizeof(facts));
		facts.operation = operations[at[0]];
		facts.key_age_s = ages[at[3]];
		facts.deadline_s = deadlines[at[4]];
		facts.key = (at[5] & 8) != 0;
		facts.used = (at[5] & 16) != 0;
		facts.resend_allowed = (at[5] & 32) != 0;
		facts.pending = (at[5] & 64) != 0;
		facts.lookup_inconclusive = (at[5] & 128) != 0;
		caps.lookup_shows_captured = (at[5] & 256) != 0;
		caps.lookup_shows_refunded = (at[5] & 512) != 0;
		if (facts.key || !facts.used)
			check_step(&caps, &facts);
	}
}

/*
 * Where the bank forgets its errors, a look-up that counts and does not tell is no leave to give
 * back once more.
 */
static void
waited_for(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_REFUND, PGW_OP_REVERSE, PGW_OP_VOID};

	for (size_t i = 0; i < LENGTH(operations); i++)
		for (int bits = 0; bits < 8; bits++)
		{
			bool counts = (bits & 1) != 0;
			bool forgets = (bits & 2) != 0;
			PgwCapabilities caps = {.lookup = true,
									.lookup_shows_captured = true,
									.lookup_shows_refunded = true,
									.lookup_shows_voided = true,
									.lookup_consistent_after_s = counts ? 2 : -1};
			PgwCompensationFacts facts = {.operation = operations[i],
										  .key = true,
										  .used = true,
										  .lookup_inconclusive = true,
										  .key_age_s = (bits & 4) != 0 ? DEADLINE : 5,
										  .deadline_s = DEADLINE};
			bool waits = counts && forgets && operations[i] != PGW_OP_VOID;

			set_keys(&caps, true, LIFETIME);
			caps.keys[operations[i]].forgets_errors = forgets;
			assert_int_equal(pgw_compensation_step(&caps, &facts),
							 (bits & 4) != 0 ? PGW_COMPENSATE_REVIEW
							 : waits         ? PGW_COMPENSATE_LOOKUP_CHARGE
											 : PGW_COMPENSATE_SEND);
			facts.resend_allowed = true;
			assert_int_equal(pgw_compensation_step(&caps, &facts), PGW_COMPENSATE_SEND);
		}
}

/*
 * The key of what is sent now: another one only where a look-up has shown that nothing was done,
 * and the old one would only bring the same error again, or is forgotten.
 */
static void
new_keys(void **state)
{
	PgwCapabilities caps = {KEYS(LIFETIME)};
	PgwCompensationFacts facts = {.operation = PGW_OP_REFUND, .key_age_s = 5};

	assert_true(pgw_compensation_new_key(&caps, &facts, 2));
	facts.key = facts.resend_allowed = facts.error_answered = true;
	assert_false(pgw_compensation_new_key(&caps, &facts, 2)); /* announced, and not sent */
	facts.used = true;
	assert_false(pgw_compensation_new_key(&caps, &facts, 2));
	caps.keys[PGW_OP_REFUND].repeats_errors = true;
	assert_true(pgw_compensation_new_key(&caps, &facts, 2));
	/* once more with the old one */
	assert_false(pgw_compensation_new_key(&caps, &facts, 1));
	facts.error_answered = false; /* the last request may still be on its way */
	assert_false(pgw_compensation_new_key(&caps, &facts, 2));
	facts.error_answered = true;
	facts.resend_allowed = false;
	assert_false(pgw_compensation_new_key(&caps, &facts, 2));
	facts.resend_allowed = true;
	facts.error_answered = false;
	facts.key_age_s = LIFETIME;
	assert_true(pgw_compensation_new_key(&caps, &facts, 2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begin),      cmocka_unit_test(operation),  cmocka_unit_test(overdue),
		cmocka_unit_test(steps),      cmocka_unit_test(every_step), cmocka_unit_test(new_keys),
		cmocka_unit_test(waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
