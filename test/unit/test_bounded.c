/*
 * test_bounded.c - whatever a bank answers to a capture, void or refund, in whatever turns and for
 * ever, it is asked a limited number of times: then it is done, has failed, or is a person's
 *
 * Time goes on as the worker's schedule has it: what leads straight on takes none.
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/operation_rules.h"
#include "random.h"

#define AMOUNT 400
#define ROUNDS 40000
#define TURNS 4
#define DEADLINE 86400
#define LONGEST_DELAY 300
/* a look and what it allows, at each of them; and the short ones of the beginning */
#define MOST (2 * DEADLINE / LONGEST_DELAY + 40)

typedef struct Attempt
{
	PgwBankOp operation;
	PgwOperationFacts facts;
	const PgwErrorInfo *error;
	int64_t now;
	int64_t key_since; /* -1: there is none */
	int64_t asked_at;
	int64_t doubt_since;
	int tries;
	int sent;
	int ruled_out;
	bool in_doubt;
} Attempt;

static const char *
known_refusal(const Attempt *t)
{
	return t->in_doubt && t->error != NULL && strcmp(t->error->code, "bank_error") != 0 &&
				   t->error->class != PGW_CLASS_TIMEOUT &&
				   strcmp(t->error->code, "not_processed") != 0
			   ? t->error->code
			   : NULL;
}

/* Whatever can stand in an answer, the impossible included. */
static PgwTransport
say(PgwAnswer *a)
{
	static const PgwOutcome outcomes[] = {PGW_OUT_UNKNOWN,  PGW_OUT_APPROVED,      PGW_OUT_APPROVED,
										  PGW_OUT_DECLINED, PGW_OUT_NOT_PROCESSED, PGW_OUT_PENDING,
										  PGW_OUT_REJECTED, PGW_OUT_NOT_FOUND};
	static const int64_t amounts[] = {-1, 0, 1, AMOUNT - 1, AMOUNT, AMOUNT + 1, 9 * AMOUNT};

	*a = answer(outcomes[any((int) LENGTH(outcomes))]);
	if (a->outcome == PGW_OUT_PENDING && any(4) > 0)
		a->outcome = PGW_OUT_UNKNOWN; /* that the bank has not decided yet may be so for a month */
	a->captured = amounts[any((int) LENGTH(amounts))];
	a->refunded = amounts[any((int) LENGTH(amounts))];
	a->has_voided = any(2);
	a->voided = a->has_voided && any(2);
	a->charge_state_unreadable = any(6) == 0;
	a->other_reference = a->outcome == PGW_OUT_UNKNOWN && any(3) == 0;
	return any(6) == 0 ? any(2) ? PGW_TRANSPORT_MAYBE_SENT : PGW_TRANSPORT_NEVER_SENT
					   : PGW_TRANSPORT_ANSWERED;
}

static void
make_capabilities(PgwCapabilities *caps)
{
	memset(caps, 0, sizeof(*caps));
	for (int op = 0; op < PGW_NOPS; op++)
	{
		caps->keys[op].honoured = any(2);
		caps->keys[op].lifetime_s = any(2) ? 60 : 10 * DEADLINE;
		caps->keys[op].forgets_errors = any(2);
		caps->keys[op].repeats_errors = !caps->keys[op].forgets_errors && any(2);
	}
	caps->lookup = any(4) > 0;
	caps->lookup_refund = any(2);
	caps->lookup_shows_captured = any(2);
	caps->lookup_shows_refunded = any(2);
	caps->lookup_shows_voided = any(2);
	caps->can_refund = true;
	caps->can_void = any(2);
	caps->can_reverse = any(4) == 0;
	caps->multiple_captures = any(2);
	caps->lookup_consistent_after_s = any(2) ? 2 : -1;
}

/* ... with a key; what counts is when the first request with it was sent. */
static void
send(Attempt *t, const PgwCapabilities *caps)
{
	bool answered = t->error != NULL && strcmp(t->error->code, "bank_error") == 0;

	if (t->key_since < 0 ||
		(t->facts.resend_allowed &&
		 pgw_operation_new_key(caps, t->operation, t->now - t->key_since, answered, t->sent)))
		t->key_since = t->doubt_since = t->now;
	t->sent++;
}

static PgwOperationStep
what_next(Attempt *t, const PgwCapabilities *caps)
{
	const char *reason;

	if (!t->in_doubt)
		/* of what has not begun the worker's own deadline is the end */
		return t->now >= DEADLINE ? PGW_OPERATION_REVIEW : PGW_OPERATION_SEND;
	t->facts.operation = t->operation;
	t->facts.answered = t->error != NULL && strcmp(t->error->code, "bank_error") == 0;
	t->facts.refused = known_refusal(t) != NULL;
	t->facts.key_age_s = t->now - t->key_since;
	t->facts.doubt_age_s = t->now - t->doubt_since;
	t->facts.tried_age_s = t->now;
	t->facts.deadline_s = DEADLINE;
	return pgw_operation_step(caps, &t->facts, &reason);
}

/* What the answer leaves of it, and when it goes on; false: it is over. */
static bool
plan(Attempt *t, const PgwCapabilities *caps, const PgwOperationDecision *d)
{
	bool at_once = d->next == PGW_OPERATION_AT_ONCE;

	if (d->error != NULL)
		t->error = d->error;
	t->facts.resend_allowed = at_once;
	t->facts.pending = d->pending;
	t->in_doubt |= d->next == PGW_OPERATION_FIND_OUT;
	t->facts.lookup_inconclusive =
		d->next == PGW_OPERATION_FIND_OUT && d->lookup_inconclusive && !d->pending && !d->refused &&
		!pgw_capabilities_waits_for_lookup(caps, t->operation, t->operation) &&
		pgw_capabilities_can_repeat(caps, t->operation, t->now - t->key_since,
									strcmp(t->error->code, "bank_error") == 0);
	if (at_once || t->facts.lookup_inconclusive)
		return true;
	t->now += t->tries < 9 ? 1 << t->tries : LONGEST_DELAY;
	t->tries++;
	return d->next == PGW_OPERATION_FIND_OUT || d->next == PGW_OPERATION_AGAIN;
}

/* How many requests it takes.  turns: the bank answers so, again and again. */
static int
requests(PgwBankOp operation, const PgwCapabilities *caps, const PgwAnswer *turns,
		 const PgwTransport *transports, int nturns)
{
	static const PgwBankOp lookups[] = {[PGW_OPERATION_LOOKUP_REFUND] = PGW_OP_LOOKUP_REFUND,
										[PGW_OPERATION_LOOKUP_CHARGE] = PGW_OP_LOOKUP_CHARGE};
	Attempt t = {.operation = operation, .key_since = -1};
	int n = 0;

	for (;; n++)
	{
		PgwOperationStep step = what_next(&t, caps);
		PgwOperationDecision d;
		PgwOperationInput in = {.operation = operation,
								.asked_for = true,
								.in_doubt = step != PGW_OPERATION_SEND ||
											(t.in_doubt && !t.facts.resend_allowed),
								.refusal = known_refusal(&t),
								.answered = t.facts.answered,
								.pending = t.facts.pending,
								.transport = transports[n % nturns],
								.answer = &turns[n % nturns],
								.caps = caps,
								.amount = AMOUNT,
								.currency = "EUR",
								.charged = 10 * AMOUNT,
								.taken = operation == PGW_OP_REFUND ? 10 * AMOUNT : 0};

		if (step == PGW_OPERATION_REVIEW || n > MOST)
			return n;
		in.op = step == PGW_OPERATION_SEND ? operation : lookups[step];
		if (step == PGW_OPERATION_SEND)
		{
			send(&t, caps);
			t.asked_at = t.now;
		}
		in.not_found_counts = pgw_capabilities_not_found_counts(caps, t.now - t.asked_at);
		pgw_operation_result(&in, &d);
		if (!plan(&t, caps, &d))
			return n + 1;
	}
}

static void
whatever_it_says(void **state)
{
	static const PgwBankOp operations[] = {PGW_OP_CAPTURE, PGW_OP_VOID, PGW_OP_REFUND};
	int most = 0;

	(void) state;
	for (int round = 1; round <= ROUNDS; round++)
	{
		PgwAnswer turns[TURNS];
		PgwTransport transports[TURNS];
		PgwCapabilities caps;
		PgwBankOp operation;
		int nturns;
		int n;

		seed = (uint64_t) round * UINT64_C(0x9E3779B97F4A7C15);
		operation = operations[any(3)];
		nturns = 1 + any(TURNS);
		make_capabilities(&caps);
		for (int i = 0; i < nturns; i++)
		{
			transports[i] = say(&turns[i]);
			/* what pends may do so for a month, at longer distances: test_pending.c */
			if (turns[i].outcome == PGW_OUT_PENDING)
				turns[i].outcome = PGW_OUT_UNKNOWN;
		}
		n = requests(operation, &caps, turns, transports, nturns);
		if (n > MOST)
			fail_msg("round %d: %s has no end", round, pgw_op_name(operation));
		most = n > most ? n : most;
	}
	/* some go on until the deadline */
	assert_true(most > DEADLINE / LONGEST_DELAY / 2);
}

/* More captured than was ordered is said twice, and then it is a person's. */
static void
too_much(void **state)
{
	PgwTransport answered = PGW_TRANSPORT_ANSWERED;
	PgwAnswer a = answer(PGW_OUT_APPROVED);

	(void) state;
	for (int64_t more = 1; more <= 10 * AMOUNT; more *= 2)
	{
		for (int shows = 0; shows < 2; shows++)
		{
			for (int64_t counts = -1; counts <= 2; counts += 3)
			{
				PgwCapabilities caps = {KEYS(DEADLINE), .lookup = shows,
										.lookup_shows_captured = shows,
										.lookup_consistent_after_s = counts};

				a.captured = AMOUNT + more;
				if (requests(PGW_OP_CAPTURE, &caps, &a, &answered, 1) != 2)
					fail_msg("%lld more: %d requests", (long long) more,
							 requests(PGW_OP_CAPTURE, &caps, &a, &answered, 1));
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_it_says),
		cmocka_unit_test(too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
