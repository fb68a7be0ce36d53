/*
 * test_operation_random.c - captures and refunds at banks of every kind that lose, delay and refuse
 * requests, refuse what they have done, carry a refund out as a void, call "voided" what they have
 * released of the rest, and do not show all; and a client that takes "failed" at
 * its word: it asks again under another id.  Nothing is done twice, and nothing is in doubt for
 * ever.
 *
 * The bank does whatever it is asked for, as often as it is asked, unless it honours keys of this
 * operation; some forget what they have answered with an error; the faults stop after a while.
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/operation_rules.h"
#include "random.h"

#define AMOUNT 400
#define CHARGED 4000 /* room for all that could be done by mistake */
#define SETTLES 15
#define ROUNDS 100000
#define FAULTS 6
#define IDS 4    /* under which the client asks */
#define STEPS 40 /* an end must come by then, with each */
#define CONSISTENT_AFTER 2
#define DEADLINE 30

/* ---- the bank ---- */

typedef struct Bank
{
	PgwCapabilities caps;
	PgwBankOp operation;
	int64_t now;
	int64_t done;                    /* captured, or refunded */
	int64_t charged;                 /* the refund is of all of it, or of a part */
	int64_t authorized;              /* the rest was released, which it shows as voided */
	bool voids_refunds;              /* of the whole, while it is not settled */
	bool voided;                     /* ... or it was undone so */
	int64_t settled_at;              /* before, what is captured is voided and not refunded */
	bool did[IDS * STEPS + 1];       /* with that key */
	bool forgotten[IDS * STEPS + 1]; /* ... and said that it has failed, and forgot it */
	bool late;                       /* a request is on its way, since our side gave up */
	int late_key;
	PgwBankOp late_op;
	int64_t late_at;
} Bank;

static const PgwKeyRule *
key_rule(const Bank *b, PgwBankOp op)
{
	return &b->caps.keys[op];
}

/* For the state of the charge; NULL: it is not. */
static const char *
why_refused(const Bank *b, PgwBankOp op)
{
	bool unsettled = b->now < b->settled_at;

	if (b->operation != PGW_OP_REFUND)
		return NULL;
	if (op == PGW_OP_REFUND && unsettled && !b->voids_refunds)
		return PGW_REFUND_UNSETTLED;
	if (op == PGW_OP_VOID && !unsettled)
		return PGW_VOID_SETTLED;
	return op != PGW_OP_REFUND && b->voided ? "" : NULL;
}

/* ... as it was asked to, with a key; a second capture only where it takes several. */
static PgwOutcome
carry_out(Bank *b, PgwBankOp op, int key)
{
	if (key_rule(b, op)->honoured && b->did[key] && !b->forgotten[key])
		return PGW_OUT_APPROVED;
	if (b->operation == PGW_OP_CAPTURE && !b->caps.multiple_captures && b->done > 0)
		return PGW_OUT_DECLINED;
	if (why_refused(b, op) != NULL)
		return PGW_OUT_DECLINED;
	if (op == PGW_OP_REFUND && b->voids_refunds && b->now < b->settled_at)
		op = PGW_OP_VOID;
	b->voided |= op == PGW_OP_VOID || op == PGW_OP_REVERSE;
	b->done += op == PGW_OP_VOID || op == PGW_OP_REVERSE ? b->charged : AMOUNT;
	b->did[key] = true;
	b->forgotten[key] = false;
	return PGW_OUT_APPROVED;
}

static void
time_passes(Bank *b, int seconds)
{
	b->now += seconds;
	if (b->late && b->now >= b->late_at)
	{
		b->late = false;
		(void) carry_out(b, b->late_op, b->late_key);
	}
}

static bool
can_show(const Bank *b, PgwBankOp op)
{
	return pgw_capabilities_shows(&b->caps, op == PGW_OP_VOID ? PGW_OP_REVERSE : op);
}

static PgwTransport
answer_fault(Bank *b, PgwBankOp op, int key, PgwAnswer *a)
{
	switch (any(8))
	{
		case 0:
			return PGW_TRANSPORT_NEVER_SENT;
		case 1: /* lost on its way */
			return PGW_TRANSPORT_MAYBE_SENT;
		case 2: /* the answer is lost */
			(void) carry_out(b, op, key);
			return PGW_TRANSPORT_MAYBE_SENT;
		case 3: /* garbage */
			if (any(2))
				(void) carry_out(b, op, key);
			/* but not while the same request is on its way */
			b->forgotten[key] = key_rule(b, op)->forgets_errors && b->did[key] && !b->late;
			return PGW_TRANSPORT_ANSWERED;
		case 4: /* carried out after our side has given up */
			if (!b->late)
			{
				b->late = true;
				b->late_key = key;
				b->late_op = op;
				b->late_at = b->now + any(CONSISTENT_AFTER + 1);
			}
			return PGW_TRANSPORT_MAYBE_SENT;
		case 5:
			a->outcome = PGW_OUT_NOT_PROCESSED;
			return PGW_TRANSPORT_ANSWERED;
		case 6: /* refused, and done all the same, where something could show that */
			if (can_show(b, op))
				(void) carry_out(b, op, key);
			/* fall through */
		default:
			a->outcome = any(2) ? PGW_OUT_DECLINED : PGW_OUT_REJECTED;
			return PGW_TRANSPORT_ANSWERED;
	}
}

static PgwTransport
answer_lookup(const Bank *b, PgwBankOp op, int key, bool fault, PgwAnswer *a)
{
	if (fault && any(2))
		return any(2) ? PGW_TRANSPORT_MAYBE_SENT : PGW_TRANSPORT_NEVER_SENT;
	if (fault)
	{
		a->other_reference = any(2);
		return PGW_TRANSPORT_ANSWERED;
	}
	if (op == PGW_OP_LOOKUP_REFUND)
	{
		a->outcome = b->did[key] ? PGW_OUT_APPROVED : PGW_OUT_NOT_FOUND;
		return PGW_TRANSPORT_ANSWERED;
	}
	a->outcome = PGW_OUT_APPROVED;
	if (b->caps.lookup_shows_captured)
		a->captured = b->operation == PGW_OP_CAPTURE ? b->done : b->charged;
	if (b->caps.lookup_shows_refunded)
		a->refunded = b->operation != PGW_OP_REFUND ? 0
					  : b->voided                   ? b->done - b->charged
													: b->done;
	a->has_voided = b->caps.lookup_shows_voided;
	a->voided = a->has_voided && (b->voided || b->authorized > b->charged);
	return PGW_TRANSPORT_ANSWERED;
}

/* ---- our side, as the worker carries the decisions out ---- */

typedef struct Attempt
{
	int key;
	PgwBankOp operation;
	int ruled_out;
	bool unsent; /* a key of which nothing was sent yet */
	int64_t wait_s;
	bool in_doubt;
	bool sent_before;
	bool resend_allowed;
	bool lookup_inconclusive;
	int requests;
	int64_t first_use;
	int64_t doubt_since;
	int64_t asked_at;
	const PgwErrorInfo *error;
} Attempt;

static bool
is_answered(const Attempt *t)
{
	return t->error != NULL && strcmp(t->error->code, "bank_error") == 0;
}

static const char *
known_refusal(const Attempt *t)
{
	if (!t->in_doubt || t->error == NULL || is_answered(t) ||
		t->error->class == PGW_CLASS_TIMEOUT || strcmp(t->error->code, "not_processed") == 0)
		return NULL;
	return t->error->code;
}

static bool
is_otherwise(const Bank *b, const Attempt *t)
{
	return t->operation != b->operation;
}

static PgwOperationStep
what_next(const Bank *b, const Attempt *t)
{
	PgwOperationFacts facts = {.operation = t->operation,
							   .of_refund = is_otherwise(b, t),
							   .unsent = t->unsent,
							   .resend_allowed = t->resend_allowed,
							   .refused = known_refusal(t) != NULL,
							   .answered = is_answered(t),
							   .lookup_inconclusive = t->lookup_inconclusive,
							   .key_age_s = b->now - t->first_use,
							   .doubt_age_s = b->now - t->doubt_since,
							   .deadline_s = DEADLINE};
	const char *reason;

	return t->in_doubt ? pgw_operation_step(&b->caps, &facts, &reason) : PGW_OPERATION_SEND;
}

static void
use_key(const Bank *b, Attempt *t, int *keys)
{
	if (t->key == 0 || t->unsent ||
		(t->resend_allowed && pgw_operation_new_key(&b->caps, t->operation, b->now - t->first_use,
													is_answered(t), t->requests)))
	{
		t->key = ++*keys;
		t->first_use = b->now;
	}
	t->requests++;
	t->unsent = false;
	t->asked_at = b->now;
}

/* What the answer leaves of it; as pgw_step_operation_plan() does. */
static void
plan(const Bank *b, Attempt *t, const PgwOperationDecision *d)
{
	bool begins = !t->in_doubt;

	if (d->error != NULL)
		t->error = d->error;
	t->resend_allowed = d->next == PGW_OPERATION_AT_ONCE;
	t->unsent = d->next == PGW_OPERATION_OTHERWISE;
	t->wait_s = t->unsent ? d->wait_s : 0;
	if (t->unsent)
	{
		t->operation = d->operation;
		t->ruled_out = d->ruled_out;
	}
	t->in_doubt |= d->next == PGW_OPERATION_FIND_OUT;
	if (begins && t->in_doubt)
		t->doubt_since = b->now;
	t->lookup_inconclusive =
		d->next == PGW_OPERATION_FIND_OUT && d->lookup_inconclusive && !d->refused &&
		!pgw_capabilities_waits_for_lookup(
			&b->caps, t->operation, pgw_operation_effect(t->operation, is_otherwise(b, t))) &&
		pgw_capabilities_can_repeat(&b->caps, t->operation, b->now - t->first_use, is_answered(t));
}

typedef enum Ending
{
	UNDER_WAY,
	DONE,
	FAILED,
	FOR_A_PERSON
} Ending;

static Ending
next_request(Bank *b, Attempt *t, int *keys, int *faults, char *trace, size_t size)
{
	static const PgwBankOp lookups[] = {[PGW_OPERATION_LOOKUP_REFUND] = PGW_OP_LOOKUP_REFUND,
										[PGW_OPERATION_LOOKUP_CHARGE] = PGW_OP_LOOKUP_CHARGE};
	PgwOperationStep step = what_next(b, t);
	PgwBankOp op = step == PGW_OPERATION_SEND ? t->operation : lookups[step % LENGTH(lookups)];
	bool fault = *faults > 0 && any(2);
	PgwAnswer a = answer(PGW_OUT_UNKNOWN);
	PgwOperationDecision d;
	PgwOperationInput in = {.op = op,
							.operation = t->operation,
							.of_refund = is_otherwise(b, t),
							.whole = b->operation == PGW_OP_REFUND && b->charged == AMOUNT,
							.ruled_out = t->ruled_out,
							.charge_age_s = b->now,
							.asked_for = true,
							.answer = &a,
							.caps = &b->caps,
							.amount = AMOUNT,
							.currency = "EUR",
							.charged = b->authorized,
							.taken = b->operation == PGW_OP_REFUND ? b->charged : 0};
	size_t len = strlen(trace);

	if (step == PGW_OPERATION_REVIEW)
		return FOR_A_PERSON;
	*faults -= fault;
	in.in_doubt =
		step == PGW_OPERATION_SEND ? t->in_doubt && !t->resend_allowed && !t->unsent : true;
	in.refusal = known_refusal(t);
	in.answered = is_answered(t);
	if (step == PGW_OPERATION_SEND)
		use_key(b, t, keys);
	in.not_found_counts = pgw_capabilities_not_found_counts(&b->caps, b->now - t->asked_at);
	if (step != PGW_OPERATION_SEND)
		in.transport = answer_lookup(b, op, t->key, fault, &a);
	else if (fault)
		in.transport = answer_fault(b, op, t->key, &a);
	else if (b->late && b->late_key == t->key && key_rule(b, op)->honoured)
	{
		a.key_word = PGW_KEY_IN_PROGRESS;
		in.transport = PGW_TRANSPORT_ANSWERED;
	}
	else
	{
		a.outcome = carry_out(b, op, t->key);
		if (a.outcome == PGW_OUT_DECLINED && why_refused(b, op) != NULL)
			strcpy(a.error_code, why_refused(b, op));
		in.transport = PGW_TRANSPORT_ANSWERED;
	}
	pgw_operation_result(&in, &d);
	snprintf(trace + len, size - len, " %lld:%s%d/%s=%d", (long long) b->now, pgw_op_name(op),
			 t->key, in.transport == PGW_TRANSPORT_ANSWERED ? pgw_outcome_name(a.outcome) : "-",
			 (int) d.next);
	plan(b, t, &d);
	return d.next == PGW_OPERATION_DONE      ? DONE
		   : d.next == PGW_OPERATION_REFUSED ? FAILED
		   : d.next == PGW_OPERATION_STOP    ? FOR_A_PERSON
											 : UNDER_WAY;
}

static void
make_bank(Bank *b)
{
	memset(b, 0, sizeof(*b));
	b->operation = any(2) ? PGW_OP_REFUND : PGW_OP_CAPTURE;
	/* it may know keys of other operations only */
	for (int op = 0; op < PGW_NOPS; op++)
	{
		b->caps.keys[op].honoured = any(2);
		b->caps.keys[op].lifetime_s = 86400;
		b->caps.keys[op].forgets_errors = any(2);
	}
	b->caps.lookup = any(2);
	b->caps.lookup_refund = any(2);
	b->caps.lookup_shows_captured = any(4) > 0;
	b->caps.lookup_shows_refunded = any(4) > 0;
	b->caps.lookup_shows_voided = any(4) > 0;
	b->caps.can_refund = true;
	b->caps.can_void = any(2);
	b->caps.can_reverse = any(4) == 0;
	b->charged = b->operation == PGW_OP_REFUND && any(2) ? AMOUNT : CHARGED;
	b->authorized = b->charged + (b->operation == PGW_OP_REFUND && any(4) == 0 ? 1 : 0);
	b->settled_at = any(2) ? 1 + any(SETTLES) : 0;
	/* where a look-up shows what was refunded, it must show that, too */
	b->voids_refunds = b->charged == AMOUNT && b->caps.lookup_shows_voided && any(2);
	b->caps.settles_after_s = any(2) ? b->settled_at : 0;
	b->caps.multiple_captures = any(2);
	b->caps.lookup_consistent_after_s =
		(b->caps.lookup || b->caps.lookup_refund) && any(2) ? CONSISTENT_AFTER : -1;
}

/* The client wants it once, and asks again, a little later, when it has failed. */
static Ending
one_wish(int round, bool *turned)
{
	static char trace[16384];
	Bank b;
	Ending end = FAILED;
	int keys = 0;
	int faults = any(FAULTS + 1);

	trace[0] = '\0';
	make_bank(&b);
	for (int id = 0; id < IDS && end == FAILED; id++)
	{
		Attempt t;

		memset(&t, 0, sizeof(t));
		t.operation = b.operation;
		end = UNDER_WAY;
		for (int i = 0; i < STEPS && end == UNDER_WAY; i++)
		{
			end = next_request(&b, &t, &keys, &faults, trace, sizeof(trace));
			if (!t.resend_allowed)
				time_passes(&b, (int) t.wait_s + 1 + any(5));
		}
		*turned |= t.ruled_out != 0 && end == DONE;
		strcat(trace, " |");
	}
	time_passes(&b, CONSISTENT_AFTER);
	if (b.done > AMOUNT)
		fail_msg("round %d: done twice, %s:%s", round, pgw_op_name(b.operation), trace);
	if (end == UNDER_WAY)
		fail_msg("round %d: no end, %s:%s", round, pgw_op_name(b.operation), trace);
	if (end == DONE && b.done != AMOUNT)
		fail_msg("round %d: not done, %s:%s", round, pgw_op_name(b.operation), trace);
	return end;
}

static void
never_twice(void **state)
{
	int endings[FOR_A_PERSON + 1] = {0};
	int otherwise = 0;

	for (int round = 1; round <= ROUNDS; round++)
	{
		bool turned = false;

		seed = (uint64_t) round * UINT64_C(0x9E3779B97F4A7C15);
		endings[one_wish(round, &turned)]++;
		otherwise += turned;
	}
	/* the faults were there, and everything that was to be tried */
	assert_true(endings[DONE] > ROUNDS / 2);
	assert_true(endings[FAILED] > 0);
	assert_true(otherwise > ROUNDS / 100);
	assert_true(endings[FOR_A_PERSON] > ROUNDS / 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
