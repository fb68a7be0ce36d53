/*
 * test_compensation.c - giving back: each answer's meaning as a table, and every combination
 * against the invariants
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/compensation_rules.h"
#include "core/payment/operation_rules.h"

#define CHARGED 1000
#define MAX_ATTEMPTS 3

static const PgwCapabilities everything = {.lookup = true,
										   .lookup_shows_captured = true,
										   .lookup_shows_refunded = true,
										   .lookup_shows_voided = true,
										   .lookup_refund = true,
										   .can_void = true,
										   .can_refund = true,
										   .can_cancel = true};

static PgwCompensationInput
asked(PgwBankOp op, PgwBankOp operation, const PgwAnswer *a)
{
	PgwCompensationInput in = {.op = op,
							   .operation = operation,
							   .transport = PGW_TRANSPORT_ANSWERED,
							   .answer = a,
							   .caps = &everything,
							   .keys_used = 1,
							   .max_keys = MAX_ATTEMPTS,
							   .currency = "EUR"};

	return in;
}

/* ---- what an answer means ---- */

#define OPERATION PGW_NOPS /* in the table: the void, refund or cancellation itself */

typedef struct Meaning
{
	PgwBankOp op;
	PgwOutcome outcome;
	bool in_doubt;
	bool counts;
	int events[3];
	PgwCompensationNext next;
	bool at_once;
} Meaning;

#define NO_EVENTS \
	{ \
		-1 \
	}
#define DONE_EVENTS \
	{ \
		PGW_EV_REFUND_COMPLETED, -1 \
	}
#define UNKNOWN_EVENTS \
	{ \
		PGW_EV_REFUND_OUTCOME_UNKNOWN, -1 \
	}
#define PENDING_EVENTS \
	{ \
		PGW_EV_REFUND_PENDING, -1 \
	}
#define RETRY_EVENTS \
	{ \
		PGW_EV_REFUND_RETRY_SCHEDULED, -1 \
	}
#define REFUSED_EVENTS \
	{ \
		PGW_EV_REFUND_FAILED, PGW_EV_REFUND_RETRY_SCHEDULED, -1 \
	}
#define REVIEW_EVENTS \
	{ \
		PGW_EV_MANUAL_REVIEW_REQUIRED, -1 \
	}

static const Meaning meanings[] = {
	{OPERATION, PGW_OUT_APPROVED, false, false, DONE_EVENTS, PGW_COMPENSATION_DONE, false},
	{OPERATION, PGW_OUT_APPROVED, true, false, DONE_EVENTS, PGW_COMPENSATION_DONE, false},
	{OPERATION, PGW_OUT_PENDING, false, false, PENDING_EVENTS, PGW_COMPENSATION_FIND_OUT, false},
	{OPERATION, PGW_OUT_PENDING, true, false, PENDING_EVENTS, PGW_COMPENSATION_FIND_OUT, false},
	{OPERATION, PGW_OUT_DECLINED, false, false, REFUSED_EVENTS, PGW_COMPENSATION_ANEW, false},
	{OPERATION, PGW_OUT_DECLINED, true, false, REFUSED_EVENTS, PGW_COMPENSATION_ANEW, false},
	{OPERATION, PGW_OUT_REJECTED, false, false, REFUSED_EVENTS, PGW_COMPENSATION_ANEW, false},
	{OPERATION, PGW_OUT_REJECTED, true, false, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT, false},
	{OPERATION, PGW_OUT_NOT_PROCESSED, false, false, RETRY_EVENTS, PGW_COMPENSATION_AGAIN, false},
	{OPERATION, PGW_OUT_NOT_PROCESSED, true, false, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{OPERATION, PGW_OUT_UNKNOWN, false, false, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT, false},
	{OPERATION, PGW_OUT_UNKNOWN, true, false, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT, false},
	{OPERATION, PGW_OUT_REQUIRES_ACTION, false, false, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{OPERATION, PGW_OUT_NOT_FOUND, false, true, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT, false},

	{PGW_OP_LOOKUP_REFUND, PGW_OUT_APPROVED, true, false, DONE_EVENTS, PGW_COMPENSATION_DONE,
	 false},
	{PGW_OP_LOOKUP_REFUND, PGW_OUT_PENDING, true, true, PENDING_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{PGW_OP_LOOKUP_REFUND, PGW_OUT_DECLINED, true, false, REFUSED_EVENTS, PGW_COMPENSATION_ANEW,
	 false},
	{PGW_OP_LOOKUP_REFUND, PGW_OUT_NOT_FOUND, true, false, UNKNOWN_EVENTS,
	 PGW_COMPENSATION_FIND_OUT, false},
	{PGW_OP_LOOKUP_REFUND, PGW_OUT_NOT_FOUND, true, true, NO_EVENTS, PGW_COMPENSATION_AGAIN, true},
	{PGW_OP_LOOKUP_REFUND, PGW_OUT_UNKNOWN, true, true, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{PGW_OP_LOOKUP_REFUND, PGW_OUT_REJECTED, true, true, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{PGW_OP_LOOKUP_REFUND, PGW_OUT_NOT_PROCESSED, true, true, UNKNOWN_EVENTS,
	 PGW_COMPENSATION_FIND_OUT, false},
	{PGW_OP_LOOKUP_REFUND, PGW_OUT_REQUIRES_ACTION, true, true, UNKNOWN_EVENTS,
	 PGW_COMPENSATION_FIND_OUT, false},

	/* refused, and too early to show that it was done all the same: looked up once more */
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, false, false, UNKNOWN_EVENTS, PGW_COMPENSATION_ANEW,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, false, true, NO_EVENTS, PGW_COMPENSATION_ANEW, true},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, true, false, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, true, true, NO_EVENTS, PGW_COMPENSATION_AGAIN, true},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_DECLINED, false, false, DONE_EVENTS, PGW_COMPENSATION_DONE,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_DECLINED, true, true, DONE_EVENTS, PGW_COMPENSATION_DONE, false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, false, false, UNKNOWN_EVENTS, PGW_COMPENSATION_ANEW,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, true, false, UNKNOWN_EVENTS,
	 PGW_COMPENSATION_FIND_OUT, false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, false, true, REVIEW_EVENTS, PGW_COMPENSATION_STOP,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, true, true, REVIEW_EVENTS, PGW_COMPENSATION_STOP,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_PENDING, true, true, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_UNKNOWN, false, true, UNKNOWN_EVENTS, PGW_COMPENSATION_ANEW,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_UNKNOWN, true, true, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_REJECTED, true, true, UNKNOWN_EVENTS, PGW_COMPENSATION_FIND_OUT,
	 false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_PROCESSED, true, true, UNKNOWN_EVENTS,
	 PGW_COMPENSATION_FIND_OUT, false},
	{PGW_OP_LOOKUP_CHARGE, PGW_OUT_REQUIRES_ACTION, true, true, UNKNOWN_EVENTS,
	 PGW_COMPENSATION_FIND_OUT, false},
};

static void
each_answer(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_VOID, PGW_OP_REFUND, PGW_OP_CANCEL};

	for (size_t i = 0; i < LENGTH(meanings); i++)
		for (size_t o = 0; o < LENGTH(operations); o++)
		{
			const Meaning *m = &meanings[i];
			PgwAnswer a = answer(m->outcome);
			PgwCompensationInput in =
				asked(m->op == OPERATION ? operations[o] : m->op, operations[o], &a);
			PgwCompensationDecision d;

			in.in_doubt = m->in_doubt;
			in.not_found_counts = m->counts;
			if (m->op == PGW_OP_LOOKUP_CHARGE && m->next == PGW_COMPENSATION_AGAIN &&
				operations[o] == PGW_OP_CANCEL)
				continue; /* looked_up_charge */
			if (operations[o] == PGW_OP_REFUND)
			{
				/* only what is shown proves anything of a refund: looked_up_charge */
				a.captured = CHARGED;
				a.refunded = 0;
			}
			if (m->op == PGW_OP_LOOKUP_CHARGE && m->outcome == PGW_OUT_DECLINED)
				a.captured = 0; /* nobody's money: else it is no refusal (belied_refusals) */
			pgw_compensation_result(&in, &d);
			if (!events_are(&d.decision, m->events) || d.next != m->next ||
				d.at_once != m->at_once || d.operation != operations[o])
				fail_msg("case %zu, %s: next %d, at once %d, then %s, %d events, the first is %s",
						 i, pgw_op_name(operations[o]), (int) d.next, d.at_once,
						 pgw_op_name(d.operation), d.decision.nevents,
						 pgw_event_name(d.decision.events[0].type));
		}
}

static void
no_answer(void **state)
{
	static const struct
	{
		PgwBankOp op;
		PgwTransport transport;
		bool in_doubt;
		bool counts;
		int events[3];
		PgwCompensationNext next;
	} cases[] = {
		{OPERATION, PGW_TRANSPORT_NEVER_SENT, false, false, RETRY_EVENTS, PGW_COMPENSATION_AGAIN},
		{OPERATION, PGW_TRANSPORT_NEVER_SENT, true, false, UNKNOWN_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{OPERATION, PGW_TRANSPORT_MAYBE_SENT, false, false, UNKNOWN_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{OPERATION, PGW_TRANSPORT_MAYBE_SENT, true, false, UNKNOWN_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_LOOKUP_REFUND, PGW_TRANSPORT_NEVER_SENT, true, true, UNKNOWN_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_LOOKUP_REFUND, PGW_TRANSPORT_MAYBE_SENT, true, true, UNKNOWN_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_NEVER_SENT, true, true, UNKNOWN_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_MAYBE_SENT, true, true, UNKNOWN_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_NEVER_SENT, false, true, RETRY_EVENTS,
		 PGW_COMPENSATION_ANEW},
		{PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_MAYBE_SENT, false, true, RETRY_EVENTS,
		 PGW_COMPENSATION_ANEW},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwCompensationInput in =
			asked(cases[i].op == OPERATION ? PGW_OP_REFUND : cases[i].op, PGW_OP_REFUND, NULL);
		PgwCompensationDecision d;

		in.transport = cases[i].transport;
		in.in_doubt = cases[i].in_doubt;
		in.not_found_counts = cases[i].counts;
		in.keys_used = MAX_ATTEMPTS + 1; /* no answer is no refusal, however often */
		pgw_compensation_result(&in, &d);
		if (!events_are(&d.decision, cases[i].events) || d.next != cases[i].next || d.at_once)
			fail_msg("case %zu: next %d, first event %s", i, (int) d.next,
					 pgw_event_name(d.decision.events[0].type));
	}
}

static void
refused_too_often(void **state)
{
	static const PgwOutcome outcomes[] = {PGW_OUT_DECLINED, PGW_OUT_REJECTED, PGW_OUT_DECLINED};
	static const PgwBankOp ops[] = {PGW_OP_VOID, PGW_OP_REFUND, PGW_OP_LOOKUP_REFUND};

	for (size_t i = 0; i < LENGTH(outcomes); i++)
		for (int attempts = 1; attempts <= MAX_ATTEMPTS + 1; attempts++)
		{
			PgwAnswer a = answer(outcomes[i]);
			PgwCompensationInput in = asked(ops[i], i == 0 ? PGW_OP_VOID : PGW_OP_REFUND, &a);
			PgwCompensationDecision d;

			in.keys_used = attempts;
			pgw_compensation_result(&in, &d);
			if (attempts < MAX_ATTEMPTS)
			{
				assert_true(events_are(
					&d.decision, EVENTS(PGW_EV_REFUND_FAILED, PGW_EV_REFUND_RETRY_SCHEDULED)));
				assert_int_equal(d.next, PGW_COMPENSATION_ANEW);
				continue;
			}
			assert_true(events_are(&d.decision,
								   EVENTS(PGW_EV_REFUND_FAILED, PGW_EV_MANUAL_REVIEW_REQUIRED)));
			assert_int_equal(d.decision.state, PGW_REQUIRES_MANUAL_REVIEW);
			assert_int_equal(d.next, PGW_COMPENSATION_STOP);
			assert_string_equal(d.decision.error->code, "refund_refused");
		}
}

/*
 * A refund that is refused may have been done: where only its own look-up shows it, the key is kept
 * for that, and another one is due only when it says no, too.
 */
static void
refused_and_looked_up(void **state)
{
	static const PgwOutcome refusals[] = {PGW_OUT_DECLINED, PGW_OUT_REJECTED};

	/* the charge has no look-up; or one that does not show all that it takes */
	for (int bits = 0; bits < 7; bits++)
		for (size_t i = 0; i < LENGTH(refusals); i++)
		{
			PgwCapabilities caps = everything;
			PgwAnswer a = answer(refusals[i]);
			PgwCompensationInput in = asked(PGW_OP_REFUND, PGW_OP_REFUND, &a);
			PgwCompensationDecision d;

			caps.lookup = bits & 1;
			caps.lookup_shows_captured = (bits & 2) != 0;
			caps.lookup_shows_refunded = (bits & 4) != 0;
			in.caps = &caps;
			in.keys_used = MAX_ATTEMPTS; /* the last one, too, may have been done */
			pgw_compensation_result(&in, &d);
			assert_true(events_are(&d.decision, EVENTS(PGW_EV_REFUND_FAILED)));
			assert_int_equal(d.next, PGW_COMPENSATION_FIND_OUT);

			in.op = PGW_OP_LOOKUP_REFUND;
			in.in_doubt = true;
			in.keys_used = 1;
			a = answer(PGW_OUT_APPROVED);
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, PGW_COMPENSATION_DONE);
			a = answer(PGW_OUT_DECLINED);
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, PGW_COMPENSATION_ANEW);
			a = answer(PGW_OUT_NOT_FOUND);
			in.not_found_counts = true;
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, PGW_COMPENSATION_AGAIN);

			/* nothing that could tell: the bank's word */
			a = answer(refusals[i]);
			caps.lookup_refund = false;
			in.op = PGW_OP_REFUND;
			in.in_doubt = false;
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, PGW_COMPENSATION_ANEW);
		}
}

/*
 * Where it is never said by when a look-up shows a refund, what it does not show allows no new key:
 * a refund that was refused keeps its own until a look-up says yes or no.
 */
static void
refused_without_lag(void **state)
{
	static const PgwOutcome refusals[] = {PGW_OUT_DECLINED, PGW_OUT_REJECTED};
	static const PgwOutcome tells_nothing[] = {PGW_OUT_NOT_FOUND, PGW_OUT_UNKNOWN,
											   PGW_OUT_NOT_PROCESSED};

	for (int bits = 0; bits < 4; bits++)
		for (size_t i = 0; i < LENGTH(refusals); i++)
		{
			PgwCapabilities caps = everything;
			PgwAnswer a = answer(refusals[i]);
			PgwCompensationInput in = asked(PGW_OP_REFUND, PGW_OP_REFUND, &a);
			PgwCompensationDecision d;

			caps.lookup_refund = bits & 1;
			caps.lookup_shows_refunded = (bits & 2) != 0;
			caps.lookup_consistent_after_s = -1;
			in.caps = &caps;
			pgw_compensation_result(&in, &d);
			if (bits == 0)
			{
				/* nothing could ever tell: the bank's word */
				assert_int_equal(d.next, PGW_COMPENSATION_ANEW);
				continue;
			}
			assert_true(events_are(&d.decision, EVENTS(PGW_EV_REFUND_FAILED)));
			assert_int_equal(d.next, PGW_COMPENSATION_FIND_OUT);
			assert_false(d.lookup_inconclusive);

			in.in_doubt = true;
			in.op = caps.lookup_refund ? PGW_OP_LOOKUP_REFUND : PGW_OP_LOOKUP_CHARGE;
			for (size_t j = 0; j < LENGTH(tells_nothing); j++)
			{
				a = answer(tells_nothing[j]);
				pgw_compensation_result(&in, &d);
				assert_int_equal(d.next, PGW_COMPENSATION_FIND_OUT);
				assert_true(d.lookup_inconclusive); /* the same key may say more */
			}
			a = answer(PGW_OUT_PENDING);
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, PGW_COMPENSATION_FIND_OUT);
			assert_false(d.lookup_inconclusive && caps.lookup_refund);
			a = answer(PGW_OUT_APPROVED);
			a.captured = CHARGED;
			a.refunded = caps.lookup_refund ? -1 : 0;
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, caps.lookup_refund ? PGW_COMPENSATION_DONE
														: PGW_COMPENSATION_FIND_OUT);
			a.refunded = CHARGED;
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, PGW_COMPENSATION_DONE);
			if (!caps.lookup_refund)
				continue;
			a = answer(PGW_OUT_DECLINED);
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, PGW_COMPENSATION_ANEW);
		}
}

/*
 * A repeated refund is refused, perhaps because the first one was done: no new key, which would be
 * a second refund, unless a look-up that counts comes first.
 */
static void
repeat_refused(void **state)
{
	for (int bits = 0; bits < 32; bits++)
	{
		PgwCapabilities caps = everything;
		PgwAnswer a = answer(PGW_OUT_DECLINED);
		PgwCompensationInput in = asked(PGW_OP_REFUND, PGW_OP_REFUND, &a);
		PgwCompensationDecision d;
		bool charge_tells;

		caps.lookup = bits & 1;
		caps.lookup_shows_captured = (bits & 2) != 0;
		caps.lookup_shows_refunded = (bits & 4) != 0;
		caps.lookup_refund = (bits & 8) != 0;
		caps.lookup_consistent_after_s = bits & 16 ? -1 : 2;
		charge_tells = (bits & 7) == 7;
		in.caps = &caps;
		in.in_doubt = true;
		pgw_compensation_result(&in, &d);
		assert_true(has_event(&d.decision, PGW_EV_REFUND_FAILED));
		if (!charge_tells && !caps.lookup_refund)
		{
			assert_int_equal(d.next, PGW_COMPENSATION_STOP);
			assert_string_equal(d.decision.reason, "repeat_refused");
		}
		else
			assert_int_equal(d.next, charge_tells && !(bits & 16) ? PGW_COMPENSATION_ANEW
																  : PGW_COMPENSATION_FIND_OUT);
	}
}

/*
 * A lapsed authorization holds nobody's money; a refund that is refused with that word is refused.
 */
static void
authorization_expired(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_VOID, PGW_OP_REFUND, PGW_OP_CANCEL};

	for (size_t o = 0; o < LENGTH(operations); o++)
	{
		PgwAnswer a = answer(PGW_OUT_DECLINED);
		PgwCompensationInput in = asked(operations[o], operations[o], &a);
		PgwCompensationDecision d;

		strcpy(a.error_code, "authorization_expired");
		in.keys_used = MAX_ATTEMPTS;
		pgw_compensation_result(&in, &d);
		assert_int_equal(d.next, operations[o] == PGW_OP_VOID ? PGW_COMPENSATION_DONE
															  : PGW_COMPENSATION_STOP);
	}
}

/* What a look-up of the charge shows decides with what and how much is given back. */
static void
looked_up_charge(void **state)
{
	static const struct
	{
		PgwBankOp before;
		bool in_doubt;
		int64_t captured;
		int64_t refunded;
		bool voided;
		PgwCompensationNext next;
		PgwBankOp after;
		int64_t amount;
		int64_t asked;
	} cases[] = {
		/* given back already */
		{PGW_OP_VOID, true, 0, 0, true, PGW_COMPENSATION_DONE, PGW_OP_VOID, 0, 0},
		{PGW_OP_VOID, true, -1, -1, true, PGW_COMPENSATION_DONE, PGW_OP_VOID, 0, 0},
		{PGW_OP_REFUND, true, CHARGED, CHARGED, false, PGW_COMPENSATION_DONE, PGW_OP_REFUND, 0, 0},
		{PGW_OP_REFUND, false, CHARGED, CHARGED, false, PGW_COMPENSATION_DONE, PGW_OP_REFUND, 0, 0},
		/* nothing captured and nothing refunded is not given back */
		{PGW_OP_VOID, false, 0, 0, false, PGW_COMPENSATION_ANEW, PGW_OP_VOID, 0, 0},
		{PGW_OP_VOID, true, 0, 0, false, PGW_COMPENSATION_AGAIN, PGW_OP_VOID, 0, 0},
		/* captured meanwhile: another operation, another key */
		{PGW_OP_VOID, true, CHARGED, 0, false, PGW_COMPENSATION_ANEW, PGW_OP_REFUND, CHARGED, 0},
		{PGW_OP_REFUND, true, 0, 0, false, PGW_COMPENSATION_ANEW, PGW_OP_VOID, 0, 0},
		{PGW_OP_CANCEL, false, CHARGED, 0, false, PGW_COMPENSATION_ANEW, PGW_OP_REFUND, CHARGED, 0},
		/* somebody gave some of it back */
		{PGW_OP_REFUND, false, CHARGED, 400, false, PGW_COMPENSATION_ANEW, PGW_OP_REFUND,
		 CHARGED - 400, 0},
		{PGW_OP_REFUND, true, CHARGED, 400, false, PGW_COMPENSATION_ANEW, PGW_OP_REFUND,
		 CHARGED - 400, 0},
		{PGW_OP_REFUND, true, CHARGED, 0, false, PGW_COMPENSATION_AGAIN, PGW_OP_REFUND, CHARGED, 0},
		/* which was known when the rest was asked for: the same request, so the same key */
		{PGW_OP_REFUND, true, CHARGED, 400, false, PGW_COMPENSATION_AGAIN, PGW_OP_REFUND,
		 CHARGED - 400, CHARGED - 400},
		{PGW_OP_REFUND, true, CHARGED, 700, false, PGW_COMPENSATION_ANEW, PGW_OP_REFUND,
		 CHARGED - 700, CHARGED - 400},
		{PGW_OP_REFUND, false, CHARGED, 400, false, PGW_COMPENSATION_ANEW, PGW_OP_REFUND,
		 CHARGED - 400, CHARGED - 400},
		/* the bank does not say what is captured */
		{PGW_OP_CANCEL, true, -1, -1, false, PGW_COMPENSATION_FIND_OUT, PGW_OP_CANCEL, 0, 0},
		{PGW_OP_VOID, true, -1, -1, false, PGW_COMPENSATION_AGAIN, PGW_OP_VOID, 0, 0},
		/* nor that what was refused was not done: this look-up says it at other times */
		{PGW_OP_REFUND, false, -1, -1, false, PGW_COMPENSATION_ANEW, PGW_OP_REFUND, 0, 0},
		/*
		 * a refund in doubt: what the bank does not say is not nothing; not even with the other
		 * half of it
		 */
		{PGW_OP_REFUND, true, -1, -1, false, PGW_COMPENSATION_FIND_OUT, PGW_OP_REFUND, 0, 0},
		{PGW_OP_REFUND, true, -1, 0, false, PGW_COMPENSATION_FIND_OUT, PGW_OP_REFUND, 0, 0},
		{PGW_OP_REFUND, true, -1, CHARGED, false, PGW_COMPENSATION_FIND_OUT, PGW_OP_REFUND, 0,
		 CHARGED},
		{PGW_OP_REFUND, true, CHARGED, -1, false, PGW_COMPENSATION_FIND_OUT, PGW_OP_REFUND, 0,
		 CHARGED},
		/*
		 * nor is another operation's doubt a reason for a refund: the void or cancellation is done
		 * again
		 */
		{PGW_OP_CANCEL, true, CHARGED, -1, false, PGW_COMPENSATION_FIND_OUT, PGW_OP_CANCEL, 0, 0},
		{PGW_OP_CANCEL, false, CHARGED, -1, false, PGW_COMPENSATION_ANEW, PGW_OP_CANCEL, 0, 0},
		{PGW_OP_VOID, true, CHARGED, -1, false, PGW_COMPENSATION_AGAIN, PGW_OP_VOID, 0, 0},
		{PGW_OP_CANCEL, false, -1, 0, false, PGW_COMPENSATION_ANEW, PGW_OP_CANCEL, 0, 0},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwAnswer a = answer(PGW_OUT_APPROVED);
		PgwCompensationInput in = asked(PGW_OP_LOOKUP_CHARGE, cases[i].before, &a);
		PgwCompensationDecision d;

		a.captured = cases[i].captured;
		a.refunded = cases[i].refunded;
		a.voided = cases[i].voided;
		in.in_doubt = cases[i].in_doubt;
		in.amount = cases[i].asked;
		in.not_found_counts = true;
		pgw_compensation_result(&in, &d);
		if (d.next != cases[i].next || d.operation != cases[i].after || d.amount != cases[i].amount)
			fail_msg("case %zu: next %d, then %s, amount %lld", i, (int) d.next,
					 pgw_op_name(d.operation), (long long) d.amount);
		assert_int_equal(
			d.lookup_inconclusive,
			d.next == PGW_COMPENSATION_FIND_OUT ||
				(!cases[i].in_doubt && cases[i].before == PGW_OP_REFUND && cases[i].captured < 0));
	}
}

/*
 * "Voided", of a charge of which somebody has captured a part: the rest, perhaps, and that part is
 * not back.
 */
static void
rest_released(void **state)
{
	static const struct
	{
		int64_t captured;
		int64_t refunded;
		PgwCompensationNext next;
	} cases[] = {{400, 0, PGW_COMPENSATION_FIND_OUT}, {400, 300, PGW_COMPENSATION_FIND_OUT},
				 {400, 400, PGW_COMPENSATION_DONE},   {CHARGED, 0, PGW_COMPENSATION_DONE},
				 {0, 0, PGW_COMPENSATION_DONE},       {-1, -1, PGW_COMPENSATION_DONE}};
	static const PgwBankOp before[] = {PGW_OP_REFUND, PGW_OP_CANCEL, PGW_OP_VOID};

	for (size_t i = 0; i < LENGTH(cases); i++)
		for (size_t b = 0; b < LENGTH(before); b++)
		{
			PgwAnswer a = answer(PGW_OUT_APPROVED);
			PgwCompensationInput in = asked(PGW_OP_LOOKUP_CHARGE, before[b], &a);
			PgwCompensationDecision d;

			a.captured = cases[i].captured;
			a.refunded = cases[i].refunded;
			a.voided = a.has_voided = true;
			in.in_doubt = in.not_found_counts = in.captured = true;
			in.charged = CHARGED;
			pgw_compensation_result(&in, &d);
			if (d.next != cases[i].next)
				fail_msg("case %zu, %s: %d", i, pgw_op_name(before[b]), (int) d.next);
		}
}

/* A look-up that shows another payment tells nothing of this one, in doubt or not. */
static void
another_payment(void **state)
{
	for (int in_doubt = 0; in_doubt < 2; in_doubt++)
		for (int op = PGW_OP_LOOKUP_CHARGE; op <= PGW_OP_LOOKUP_REFUND; op++)
		{
			PgwAnswer a = answer(PGW_OUT_UNKNOWN);
			PgwCompensationInput in = asked((PgwBankOp) op, PGW_OP_REFUND, &a);
			PgwCompensationDecision d;

			a.other_reference = true;
			in.in_doubt = in_doubt;
			in.not_found_counts = true;
			pgw_compensation_result(&in, &d);
			assert_true(events_are(&d.decision, (const int[]) UNKNOWN_EVENTS));
			assert_int_equal(d.next, in_doubt ? PGW_COMPENSATION_FIND_OUT : PGW_COMPENSATION_ANEW);
			assert_true(d.lookup_inconclusive);
			assert_string_equal(d.decision.reason, "another_reference");
		}
}

/*
 * What the bank has said to be pending is waited for: a look-up that shows only the charge cannot
 * tell that it is lost.
 */
static void
pending_at_the_bank(void **state)
{
	static const struct
	{
		PgwBankOp operation;
		PgwOutcome outcome;
		bool in_doubt;
		bool counts;
		int64_t captured;
		int64_t refunded;
		bool voided;
		int events[3];
		PgwCompensationNext next;
	} cases[] = {
		{PGW_OP_REFUND, PGW_OUT_APPROVED, true, true, CHARGED, 0, false, NO_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_REFUND, PGW_OUT_APPROVED, true, false, CHARGED, 0, false, NO_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_REFUND, PGW_OUT_APPROVED, true, true, CHARGED, 400, false, NO_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_REFUND, PGW_OUT_APPROVED, true, true, -1, -1, false, NO_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_VOID, PGW_OUT_APPROVED, true, true, 0, 0, false, NO_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		/* captured meanwhile; but not refunded as well while the void is pending */
		{PGW_OP_VOID, PGW_OUT_APPROVED, true, true, CHARGED, 0, false, NO_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		/* settled */
		{PGW_OP_REFUND, PGW_OUT_APPROVED, true, true, CHARGED, CHARGED, false, DONE_EVENTS,
		 PGW_COMPENSATION_DONE},
		{PGW_OP_VOID, PGW_OUT_APPROVED, true, true, 0, 0, true, DONE_EVENTS, PGW_COMPENSATION_DONE},
		/* the look-up itself says nothing, or that nothing is there */
		{PGW_OP_REFUND, PGW_OUT_UNKNOWN, true, true, -1, -1, false, NO_EVENTS,
		 PGW_COMPENSATION_FIND_OUT},
		{PGW_OP_REFUND, PGW_OUT_NOT_FOUND, true, true, -1, -1, false, REVIEW_EVENTS,
		 PGW_COMPENSATION_STOP},
		/* that key is used up: nothing of it is pending */
		{PGW_OP_REFUND, PGW_OUT_APPROVED, false, true, CHARGED, 0, false, NO_EVENTS,
		 PGW_COMPENSATION_ANEW},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwAnswer a = answer(cases[i].outcome);
		PgwCompensationInput in = asked(PGW_OP_LOOKUP_CHARGE, cases[i].operation, &a);
		PgwCompensationDecision d;

		a.captured = cases[i].captured;
		a.refunded = cases[i].refunded;
		a.voided = cases[i].voided;
		in.in_doubt = cases[i].in_doubt;
		in.not_found_counts = cases[i].counts;
		in.pending = true;
		pgw_compensation_result(&in, &d);
		if (!events_are(&d.decision, cases[i].events) || d.next != cases[i].next)
			fail_msg("case %zu: next %d, %d events, first %s", i, (int) d.next, d.decision.nevents,
					 pgw_event_name(d.decision.events[0].type));
		if (d.next == PGW_COMPENSATION_FIND_OUT &&
			(d.operation != cases[i].operation || d.amount != 0 || d.at_once))
			fail_msg("case %zu: then %s, amount %lld, at once %d", i, pgw_op_name(d.operation),
					 (long long) d.amount, d.at_once);
	}
}

/*
 * A refund of less than was asked for, or of another currency, is for a person; what the bank does
 * not name is taken as asked for.
 */
static void
partial_answer(void **state)
{
	static const struct
	{
		PgwBankOp operation;
		int64_t asked;
		bool has_amount;
		int64_t amount;
		bool bad;
		bool whole;
		const char *currency;
	} cases[] = {
		{PGW_OP_REFUND, CHARGED, true, CHARGED, false, true, NULL},
		{PGW_OP_REFUND, CHARGED, true, CHARGED, false, true, "EUR"},
		{PGW_OP_REFUND, CHARGED, true, CHARGED, false, false, "JPY"},
		{PGW_OP_REFUND, CHARGED, false, 0, false, false, "JPY"},
		{PGW_OP_CANCEL, CHARGED, false, 0, false, true, "JPY"},
		{PGW_OP_REFUND, CHARGED, true, CHARGED - 1, false, false, NULL},
		{PGW_OP_REFUND, CHARGED, true, 0, false, false, NULL},
		{PGW_OP_REFUND, CHARGED, true, CHARGED + 1, false, true, NULL},
		{PGW_OP_REFUND, CHARGED, false, 0, false, true, NULL},
		/* an amount that could not be read, or of another currency perhaps */
		{PGW_OP_REFUND, CHARGED, false, 0, true, false, NULL},
		{PGW_OP_REFUND, CHARGED, true, CHARGED, true, false, NULL},
		/* not to be compared */
		{PGW_OP_REFUND, 0, true, 1, false, true, NULL},
		{PGW_OP_REFUND, 0, false, 0, true, true, NULL},
		{PGW_OP_VOID, 0, true, 1, false, true, NULL},
		{PGW_OP_CANCEL, CHARGED, true, 1, false, true, NULL},
		/* all of it was to be undone, whatever of it the bank names */
		{PGW_OP_REVERSE, 0, false, 0, false, true, NULL},
		{PGW_OP_REVERSE, 0, true, 0, false, true, NULL},
		{PGW_OP_REVERSE, 0, true, CHARGED, false, true, "EUR"},
		{PGW_OP_REVERSE, 0, true, CHARGED + 1, false, true, NULL},
		{PGW_OP_REVERSE, 0, true, CHARGED - 1, false, false, NULL},
		{PGW_OP_REVERSE, 0, false, 0, true, false, NULL},
		{PGW_OP_REVERSE, 0, true, CHARGED, false, false, "JPY"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
		for (int lookup = 0; lookup < 2; lookup++)
			for (int in_doubt = lookup; in_doubt < 2; in_doubt++)
			{
				PgwAnswer a = answer(PGW_OUT_APPROVED);
				PgwCompensationInput in = asked(lookup ? PGW_OP_LOOKUP_REFUND : cases[i].operation,
												cases[i].operation, &a);
				PgwCompensationDecision d;

				a.has_amount = cases[i].has_amount;
				a.amount = cases[i].amount;
				a.amount_unreadable = cases[i].bad;
				if (cases[i].currency != NULL)
					strcpy(a.currency, cases[i].currency);
				in.amount = cases[i].asked;
				in.held = CHARGED;
				in.in_doubt = in_doubt;
				pgw_compensation_result(&in, &d);
				assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_REFUNDING, &d.decision));
				if (d.next != (cases[i].whole ? PGW_COMPENSATION_DONE : PGW_COMPENSATION_STOP))
					fail_msg("case %zu, look-up %d: next %d", i, lookup, (int) d.next);
				if (cases[i].whole)
					continue;
				assert_true(events_are(&d.decision, (const int[]) REVIEW_EVENTS));
				assert_string_equal(d.decision.error->code, "refund_refused");
				assert_string_equal(d.decision.reason, "amount_mismatch");
			}
}

/* What was given back was named, and cannot be read: in doubt, and the key stays. */
static void
unreadable(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_REFUND, PGW_OP_VOID, PGW_OP_CANCEL};

	for (size_t i = 0; i < LENGTH(operations); i++)
		for (int lookup = 0; lookup < 2; lookup++)
		{
			PgwAnswer a = answer(PGW_OUT_APPROVED);
			PgwCompensationInput in =
				asked(lookup ? PGW_OP_LOOKUP_REFUND : operations[i], operations[i], &a);
			PgwCompensationDecision d;

			a.charge_state_unreadable = true;
			in.in_doubt = lookup;
			pgw_compensation_result(&in, &d);
			assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_REFUNDING, &d.decision));
			assert_int_equal(d.next, PGW_COMPENSATION_FIND_OUT);
			assert_int_equal(d.lookup_inconclusive, lookup);
		}
}

/* It is declined, and what it shows of the money nobody can read: no proof that none was taken. */
static void
declined_unreadable(void **state)
{
	(void) state;
	for (int bits = 0; bits < 8; bits++)
	{
		PgwAnswer a = answer(PGW_OUT_DECLINED);
		PgwCompensationInput in = asked(PGW_OP_LOOKUP_CHARGE, PGW_OP_REFUND, &a);
		PgwCompensationDecision d;
		bool unreadable = (bits & 1) != 0;

		a.charge_state_unreadable = unreadable;
		a.voided = a.has_voided = (bits & 2) != 0;
		in.in_doubt = (bits & 4) != 0;
		in.not_found_counts = true;
		pgw_compensation_result(&in, &d);
		if ((d.next == PGW_COMPENSATION_DONE) != (!unreadable || a.voided))
			fail_msg("case %d: next %d", bits, (int) d.next);
	}
}

/* What is left of who knows what is asked for by nobody. */
static void
of_no_currency(void **state)
{
	(void) state;
	for (int in_doubt = 0; in_doubt < 2; in_doubt++)
	{
		PgwAnswer a = answer(PGW_OUT_APPROVED);
		PgwCompensationInput in = asked(PGW_OP_LOOKUP_CHARGE, PGW_OP_REFUND, &a);
		PgwCompensationDecision d;

		a.captured = CHARGED;
		a.refunded = 0;
		in.in_doubt = in_doubt;
		in.not_found_counts = true;
		pgw_compensation_result(&in, &d);
		assert_true(d.at_once && d.amount == CHARGED);
		a.currency_unreadable = a.amount_unreadable = true;
		pgw_compensation_result(&in, &d);
		assert_false(d.at_once);
		assert_int_equal(d.amount, 0);
		assert_int_equal(d.decision.state, PGW_REFUNDING);
	}
}

/* ---- every combination ---- */

static const char *
describe(const PgwCompensationInput *in, const PgwCompensationDecision *d)
{
	static char text[512];
	const PgwAnswer *a = in->answer;

	snprintf(
		text, sizeof(text),
		"%s for %s, transport %d, outcome %s '%s', in doubt %d, counts %d, attempts %d, void %d refund %d cancel %d, "
		"voided %d captured %lld refunded %lld, pending %d, asked for %lld, amount %d %lld bad %d: next %d, %d events, first %s",
		pgw_op_name(in->op), pgw_op_name(in->operation), (int) in->transport,
		pgw_outcome_name(a->outcome), a->error_code, in->in_doubt, in->not_found_counts,
		in->keys_used, in->caps->can_void, in->caps->can_refund, in->caps->can_cancel, a->voided,
		(long long) a->captured, (long long) a->refunded, in->pending, (long long) in->amount,
		a->has_amount, (long long) a->amount, a->amount_unreadable, (int) d->next,
		d->decision.nevents,
		d->decision.nevents > 0 ? pgw_event_name(d->decision.events[0].type) : "none");
	return text;
}

#define HOLDS(condition) CHECK(condition, describe(in, &d))

/* The bank says yes, and shows that it did nothing. */
static bool
bank_belies_itself(const PgwCompensationInput *in)
{
	const PgwAnswer *a = in->answer;

	if (in->transport != PGW_TRANSPORT_ANSWERED || a->outcome != PGW_OUT_APPROVED ||
		in->op != in->operation)
		return false;
	if (in->op == PGW_OP_CANCEL && !a->voided)
		return (a->captured > 0 && a->refunded >= 0 && a->refunded < a->captured) ||
			   (a->captured == 0 && a->has_voided);
	if (in->op == PGW_OP_REFUND)
		return in->amount > 0 && a->refunded >= 0 && a->refunded < in->amount && !a->voided;
	if (in->op != PGW_OP_VOID || a->voided)
		return false;
	/* of what was taken since the authorization it is not a release */
	return a->has_voided ||
		   (a->captured > (in->captured ? in->charged : 0) && a->captured > a->refunded);
}

static bool
shows_money(const PgwAnswer *a)
{
	return a->captured > 0 && a->captured > a->refunded && !a->voided;
}

/* The bank says no to the give-back, and shows that it was done. */
static bool
bank_belies_its_no(const PgwCompensationInput *in)
{
	const PgwAnswer *a = in->answer;

	if (in->op != in->operation)
		return false;
	return a->voided || (in->op == PGW_OP_REFUND && in->amount > 0 && a->refunded >= in->amount);
}

/* The bank's word that some of the money is back, or who knows how much. */
static bool
bank_says_partly(const PgwCompensationInput *in)
{
	const PgwAnswer *a = in->answer;

	if (in->transport != PGW_TRANSPORT_ANSWERED || a->outcome != PGW_OUT_APPROVED ||
		in->op == PGW_OP_LOOKUP_CHARGE || bank_belies_itself(in))
		return false;
	return in->operation == PGW_OP_REFUND && in->amount > 0 &&
		   (a->amount_unreadable || (a->has_amount && a->amount < in->amount) ||
			(a->currency[0] != '\0' && strcmp(a->currency, in->currency) != 0));
}

/* The bank's word that the money is back. */
static bool
bank_says_given_back(const PgwCompensationInput *in)
{
	const PgwAnswer *a = in->answer;

	if (in->transport != PGW_TRANSPORT_ANSWERED)
		return false;
	if (in->op == PGW_OP_LOOKUP_CHARGE)
		return (a->outcome == PGW_OUT_DECLINED && !shows_money(a)) ||
			   (a->outcome == PGW_OUT_APPROVED &&
				(a->voided || (a->captured > 0 && a->refunded >= a->captured)));
	if (a->outcome == PGW_OUT_APPROVED)
		return !bank_says_partly(in) && !bank_belies_itself(in);
	return in->op == PGW_OP_VOID && a->outcome == PGW_OUT_DECLINED &&
		   strcmp(a->error_code, "authorization_expired") == 0;
}

/* The bank's refusal, which the key's earlier use cannot be behind. */
static bool
bank_refuses(const PgwCompensationInput *in)
{
	if (in->transport != PGW_TRANSPORT_ANSWERED || in->op == PGW_OP_LOOKUP_CHARGE ||
		bank_says_given_back(in) || bank_belies_its_no(in))
		return false;
	if (in->answer->outcome == PGW_OUT_REJECTED)
		return in->op != PGW_OP_LOOKUP_REFUND && !in->in_doubt;
	return in->answer->outcome == PGW_OUT_DECLINED;
}

static bool
can(const PgwCapabilities *caps, PgwBankOp op)
{
	return op == PGW_OP_VOID     ? caps->can_void
		   : op == PGW_OP_REFUND ? caps->can_refund
								 : op == PGW_OP_CANCEL && caps->can_cancel;
}

static void
check_result(const PgwCompensationInput *in)
{
	PgwCompensationDecision d;
	const PgwAnswer *a = in->answer;
	bool lookup = in->op == PGW_OP_LOOKUP_CHARGE || in->op == PGW_OP_LOOKUP_REFUND;
	bool answered = in->transport == PGW_TRANSPORT_ANSWERED;
	bool stands = answered && in->op == PGW_OP_LOOKUP_CHARGE && a->outcome == PGW_OUT_APPROVED &&
				  !bank_says_given_back(in);
	bool not_there = answered && in->not_found_counts && a->outcome == PGW_OUT_NOT_FOUND;
	bool blind = (in->in_doubt || in->operation == PGW_OP_CANCEL) && a->captured != 0 &&
				 (a->captured < 0 || a->refunded < 0);
	PgwBankOp fits =
		a->captured < 0 || blind
			? in->operation
			: pgw_compensation_operation(in->caps, &(PgwToGiveBack){.captured = a->captured > 0,
																	.part = a->refunded > 0,
																	.ruled_out = in->ruled_out});
	bool partly = bank_says_partly(in);
	bool waits = stands && in->in_doubt && in->pending;
	/* of a refund that was refused, by a look-up that shows it at other times */
	bool left_out = in->operation == PGW_OP_REFUND && in->caps->lookup &&
					(a->captured < 0 || (a->captured > 0 && a->refunded < 0));
	bool lookup_inconclusive =
		stands && fits != PGW_NOPS && ((blind && in->in_doubt && fits != PGW_OP_VOID) || left_out);
	bool lost = in->in_doubt && in->not_found_counts && !in->pending && !lookup_inconclusive;
	bool same = fits == in->operation && (fits == PGW_OP_CANCEL || a->refunded <= 0 ||
										  in->amount == a->captured - a->refunded);
	bool done;
	bool stop;
	bool same_wait;

	pgw_compensation_result(in, &d);
	HOLDS(!d.excess || d.next == PGW_COMPENSATION_DONE);
	HOLDS((d.decision.shown != NULL) == (d.excess || partly));
	/* pending, and nothing that was asked says otherwise: no event more */
	same_wait = lookup && in->pending && in->in_doubt && d.next == PGW_COMPENSATION_FIND_OUT &&
				(!answered || in->op == PGW_OP_LOOKUP_CHARGE || a->outcome == PGW_OUT_PENDING ||
				 a->outcome == PGW_OUT_UNKNOWN);
	HOLDS(d.at_once || same_wait
			  ? d.decision.nevents == 0 && d.decision.state == PGW_REFUNDING
			  : events_wrong(PGW_KIND_PAYMENT, PGW_REFUNDING, &d.decision) == NULL);
	HOLDS(d.decision.payment == PGW_PAYMENT_UNCHANGED && !d.decision.save_later &&
		  !d.decision.not_found);

	/* given back: upon the bank's word, and always then */
	done = d.next == PGW_COMPENSATION_DONE;
	HOLDS(done == bank_says_given_back(in));
	HOLDS(done == (d.decision.state == PGW_REFUNDED) &&
		  done == has_event(&d.decision, PGW_EV_REFUND_COMPLETED));

	/*
	 * to a person: refused too often, or as a repetition where nothing is looked up, the charge is
	 * gone, no operation fits, or not all of it is back
	 */
	stop = d.next == PGW_COMPENSATION_STOP;
	HOLDS(stop == (d.decision.state == PGW_REQUIRES_MANUAL_REVIEW) &&
		  stop == has_event(&d.decision, PGW_EV_MANUAL_REVIEW_REQUIRED));
	HOLDS(stop ==
		  (partly || (bank_refuses(in) && in->keys_used >= in->max_keys) ||
		   (bank_refuses(in) && in->in_doubt && in->op == PGW_OP_REFUND && !in->caps->lookup) ||
		   (not_there && in->op == PGW_OP_LOOKUP_CHARGE) || (stands && fits == PGW_NOPS)));
	HOLDS(partly == same_text(d.decision.reason, "amount_mismatch"));
	HOLDS(
		stop ? same_text(d.decision.error != NULL ? d.decision.error->code : NULL, "refund_refused")
			 : d.decision.error == NULL && d.decision.keep_error);
	HOLDS(bank_refuses(in) == has_event(&d.decision, PGW_EV_REFUND_FAILED));

	/*
	 * a new key: the old one was refused, or a look-up shows that it did nothing and another
	 * request is due (or there was none)
	 */
	if (d.next == PGW_COMPENSATION_ANEW && in->in_doubt)
		HOLDS((bank_refuses(in) && (in->op != PGW_OP_REFUND || in->caps->lookup)) ||
			  (stands && lost && !same));
	if (d.next == PGW_COMPENSATION_ANEW && !in->in_doubt)
		HOLDS(lookup || bank_refuses(in));

	/*
	 * the same key at once or later: it provably did nothing, or a look-up that counts does not
	 * show it
	 */
	if (d.next == PGW_COMPENSATION_AGAIN && lookup)
		HOLDS(stands ? lost && same : not_there && in->op == PGW_OP_LOOKUP_REFUND);
	if (d.next == PGW_COMPENSATION_AGAIN && !lookup)
		HOLDS(!in->in_doubt && (in->transport == PGW_TRANSPORT_NEVER_SENT ||
								(answered && a->outcome == PGW_OUT_NOT_PROCESSED)));

	/* a doubt stays one */
	if (in->in_doubt &&
		(!answered || a->outcome == PGW_OUT_UNKNOWN || a->outcome == PGW_OUT_REJECTED ||
		 a->outcome == PGW_OUT_NOT_PROCESSED || a->outcome == PGW_OUT_REQUIRES_ACTION ||
		 (a->outcome == PGW_OUT_NOT_FOUND && !in->not_found_counts)))
		HOLDS(d.next == PGW_COMPENSATION_FIND_OUT &&
			  (same_wait || events_are(&d.decision, EVENTS(PGW_EV_REFUND_OUTCOME_UNKNOWN))));
	if (bank_belies_itself(in))
		HOLDS(d.next == PGW_COMPENSATION_FIND_OUT);
	if (!lookup && (in->transport == PGW_TRANSPORT_MAYBE_SENT ||
					(answered && (a->outcome == PGW_OUT_UNKNOWN || a->outcome == PGW_OUT_PENDING))))
		HOLDS(d.next == PGW_COMPENSATION_FIND_OUT);
	if (d.next == PGW_COMPENSATION_FIND_OUT)
		HOLDS(same_wait ||
			  (d.decision.nevents == 1 && (has_event(&d.decision, PGW_EV_REFUND_OUTCOME_UNKNOWN) ||
										   waits || (answered && a->outcome == PGW_OUT_PENDING))));

	/*
	 * pending at the bank, and only the charge to look at: nothing is sent, whatever the look-up
	 * would allow otherwise
	 */
	if (waits && fits != PGW_NOPS)
		HOLDS(d.next == PGW_COMPENSATION_FIND_OUT && d.decision.nevents == 0);

	/* what is not shown is not known; a look-up that fails may yet tell */
	HOLDS(d.lookup_inconclusive == ((lookup_inconclusive && in->not_found_counts && !waits) ||
									(answered && in->op == PGW_OP_LOOKUP_CHARGE &&
									 a->outcome == PGW_OUT_DECLINED && shows_money(a))));

	/* no waiting, and no event, only after a look-up that says: send */
	HOLDS(d.at_once == ((stands && fits != PGW_NOPS &&
						 (in->in_doubt ? lost : in->not_found_counts) && !lookup_inconclusive) ||
						(not_there && in->op == PGW_OP_LOOKUP_REFUND)));
	HOLDS(!d.at_once || d.next == PGW_COMPENSATION_AGAIN || d.next == PGW_COMPENSATION_ANEW);

	/* another operation only where the charge stands, and one that the bank has */
	if (d.operation != in->operation)
		HOLDS(stands && a->captured >= 0 && can(in->caps, d.operation) && d.at_once);
	HOLDS(d.amount == (d.at_once && stands && a->captured > 0 && a->refunded >= 0
						   ? a->captured - a->refunded
						   : 0) &&
		  d.amount >= 0);
}

static void
every_answer(PgwCompensationInput in)
{
	static const int64_t captured[] = {-1, 0, 1, CHARGED};
	static const int64_t refunded[] = {-1, 0, 400, CHARGED, CHARGED + 1};

	for (int transport = PGW_TRANSPORT_ANSWERED; transport <= PGW_TRANSPORT_MAYBE_SENT; transport++)
		for (int outcome = PGW_OUT_UNKNOWN; outcome <= PGW_OUT_NOT_FOUND; outcome++)
			for (size_t c = 0; c < LENGTH(captured); c++)
				for (size_t r = 0; r < LENGTH(refunded); r++)
					for (int bits = 0; bits < 8; bits++)
					{
						PgwAnswer a = answer((PgwOutcome) outcome);

						a.captured = captured[c];
						a.refunded = refunded[r];
						a.voided = bits & 1;
						a.has_voided = a.voided || (bits & 4) != 0;
						strcpy(a.error_code, (bits & 2) != 0 ? "authorization_expired" : "");
						in.transport = (PgwTransport) transport;
						in.answer = &a;
						check_result(&in);
					}
}

static void
every_combination(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_VOID, PGW_OP_REFUND, PGW_OP_CANCEL};

	for (size_t o = 0; o < LENGTH(operations); o++)
	{
		const PgwBankOp ops[] = {operations[o], PGW_OP_LOOKUP_CHARGE, PGW_OP_LOOKUP_REFUND};

		for (size_t op = 0; op < LENGTH(ops); op++)
			for (int bits = 0; bits < 64; bits++)
				for (int attempts = MAX_ATTEMPTS - 1; attempts <= MAX_ATTEMPTS + 1; attempts++)
				{
					PgwCapabilities caps = {.can_void = bits & 1,
											.can_refund = (bits & 2) != 0,
											.can_cancel = (bits & 4) != 0};
					PgwCompensationInput in = {.op = ops[op],
											   .operation = operations[o],
											   .in_doubt = (bits & 8) != 0,
											   .not_found_counts = (bits & 16) != 0,
											   .pending = (bits & 32) != 0,
											   .caps = &caps,
											   .keys_used = attempts,
											   .max_keys = MAX_ATTEMPTS,
											   .currency = "EUR"};

					every_answer(in);
					in.amount = in.operation == PGW_OP_REFUND ? CHARGED - 400 : 0;
					if (in.amount != 0)
						every_answer(in);
				}
	}
}

static void
every_amount(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_VOID, PGW_OP_REFUND, PGW_OP_CANCEL};
	static const int64_t asked_for[] = {0, 1, CHARGED, INT64_MAX};
	static const int64_t amounts[] = {0, 1, CHARGED - 1, CHARGED, CHARGED + 1, INT64_MAX};

	for (size_t o = 0; o < LENGTH(operations); o++)
	{
		const PgwBankOp ops[] = {operations[o], PGW_OP_LOOKUP_CHARGE, PGW_OP_LOOKUP_REFUND};

		for (size_t op = 0; op < LENGTH(ops); op++)
			for (int outcome = PGW_OUT_UNKNOWN; outcome <= PGW_OUT_NOT_FOUND; outcome++)
				for (size_t f = 0; f < LENGTH(asked_for); f++)
					for (size_t m = 0; m < LENGTH(amounts); m++)
						for (int bits = 0; bits < 32; bits++)
						{
							PgwAnswer a = answer((PgwOutcome) outcome);
							PgwCompensationInput in = asked(ops[op], operations[o], &a);

							a.has_amount = bits & 1;
							a.amount = a.has_amount ? amounts[m] : 0;
							a.amount_unreadable = (bits & 2) != 0;
							in.amount = asked_for[f];
							in.in_doubt = (bits & 4) != 0;
							in.not_found_counts = (bits & 8) != 0;
							in.pending = (bits & 16) != 0;
							check_result(&in);
							in.keys_used = MAX_ATTEMPTS;
							check_result(&in);
						}
	}
}

static void
of_another_operation(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_VOID, PGW_OP_REFUND, PGW_OP_REVERSE};

	for (size_t o = 0; o < LENGTH(operations); o++)
		for (int bits = 0; bits < 8; bits++)
		{
			PgwAnswer a = answer((bits & 1) != 0 ? PGW_OUT_APPROVED : PGW_OUT_PENDING);
			PgwCompensationInput in = asked(operations[o], operations[o], &a);
			PgwCompensationDecision d;

			in.names_other = true;
			in.in_doubt = (bits & 2) != 0;
			in.accepted = (bits & 4) != 0;
			pgw_compensation_result(&in, &d);
			assert_int_equal(d.next, PGW_COMPENSATION_STOP);
			assert_int_equal(d.decision.state, PGW_REQUIRES_MANUAL_REVIEW);
			assert_string_equal(d.decision.reason, PGW_ID_OF_ANOTHER_OPERATION);
			assert_string_equal(d.decision.error->code, "bank_reference_taken");
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer),         cmocka_unit_test(no_answer),
		cmocka_unit_test(refused_too_often),   cmocka_unit_test(refused_and_looked_up),
		cmocka_unit_test(refused_without_lag), cmocka_unit_test(authorization_expired),
		cmocka_unit_test(looked_up_charge),    cmocka_unit_test(rest_released),
		cmocka_unit_test(another_payment),     cmocka_unit_test(pending_at_the_bank),
		cmocka_unit_test(partial_answer),      cmocka_unit_test(every_combination),
		cmocka_unit_test(every_amount),        cmocka_unit_test(repeat_refused),
		cmocka_unit_test(unreadable),          cmocka_unit_test(of_another_operation),
		cmocka_unit_test(of_no_currency),      cmocka_unit_test(declined_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
