/*
 * test_compensation_random.c - giving back at banks of every kind that lose, delay and refuse
 * requests, and do not show all: never twice, and always to an end
 *
 * The bank here is as bad as one may be: it refunds more than was captured if it is asked to, knows
 * a request by its key only if it honours keys of that operation and while it remembers them, some
 * forget what they have answered with an error, lets requests pend,
 * refuses them later, and refunds only a part.  By its reference a charge is cancelled once,
 * however often that is asked for.  The faults stop after a while; what the bank did is then
 * compared with what the decisions say.
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/compensation_rules.h"
#include "core/payment/unknown_outcome_rules.h"
#include "random.h"

#define CHARGED 1000
#define ROUNDS 100000
#define FAULTS 8                 /* requests that may fail, at most */
#define STEPS 140                /* an end must come by then */
#define SLOW_AFTER 80            /* steps; the later ones are a day apart and more */
#define MAX_ATTEMPTS (STEPS + 1) /* more than can be refused here: no review for that */
#define CONSISTENT_AFTER 2
#define LIFETIME 86400
#define MARGIN 60
#define MONTH (30 * 86400) /* what the bank says is pending may take as long */
#define DEADLINE 30
#define PENDING_FOR 90 /* longer than the deadline */
#define MAX_KEYS (STEPS + 1)
#define MAX_PENDING 16

/* ---- the bank ---- */

typedef struct Request
{
	PgwBankOp operation;
	int key;
	int64_t amount;
	int64_t at;   /* carried out then */
	bool refused; /* refused then, instead */
} Request;

typedef struct Key
{
	PgwOutcome outcome; /* UNKNOWN: nothing was taken with it */
	int64_t at;         /* taken then */
	bool error;         /* an error was said, and is said again for this key */
	bool forgotten;     /* ... or with this key it would be done again */
	int64_t amount;
} Key;

typedef struct Bank
{
	PgwCapabilities caps;
	bool slow;           /* lets requests pend */
	bool replays_errors; /* of what it said under a key */
	bool forgets_errors; /* ... and what it did under that key */
	/* refunds less than it is asked to, now and then; it names amounts */
	bool partly;
	bool no_reverse;    /* it refuses that, for reasons of its own */
	int64_t settled_at; /* before, what is captured is voided and not refunded; 0: never so */
	bool voids_refunds; /* ... and a refund of all of it is carried out as a void */
	const char *why;    /* of its last no */
	int refusals;       /* pending requests that it refuses in the end, at most */
	int64_t now;
	int64_t captured;
	int64_t refunded;
	bool voided;
	Key keys[MAX_KEYS];
	Request pending[MAX_PENDING];
	int npending;
	bool late; /* a request is on its way, since our side gave up */
	Request on_its_way;
} Bank;

static bool
honours(const Bank *b, PgwBankOp operation)
{
	return b->caps.keys[operation].honoured;
}

static bool
is_unsettled(const Bank *b)
{
	return b->now < b->settled_at;
}

/* Why it is refused; NULL: it is not. */
static const char *
refusal(const Bank *b, PgwBankOp operation)
{
	switch (operation)
	{
		case PGW_OP_REFUND:
			return b->captured == 0                       ? ""
				   : is_unsettled(b) && !b->voids_refunds ? PGW_REFUND_UNSETTLED
														  : NULL;
		case PGW_OP_VOID:
			return b->voided ? "" : b->captured > 0 && !is_unsettled(b) ? PGW_VOID_SETTLED : NULL;
		case PGW_OP_REVERSE:
			return b->voided || b->refunded > 0 || b->no_reverse ? "" : NULL;
		default:
			return NULL;
	}
}

static void
settle(Bank *b, const Request *r)
{
	Key *key = &b->keys[r->key];

	if (r->refused)
	{
		key->outcome = PGW_OUT_DECLINED;
		return;
	}
	if (r->operation == PGW_OP_REFUND && b->voids_refunds && is_unsettled(b) &&
		r->amount == b->captured && b->refunded == 0)
		b->voided = true;
	else if (r->operation == PGW_OP_REFUND)
		b->refunded += r->amount;
	else if (b->captured == 0 || r->operation == PGW_OP_VOID ||
			 (is_unsettled(b) && b->refunded == 0))
		b->voided = true;
	else if (!b->voided)
		/* a cancellation or reversal: what is left, whatever state the charge is in */
		b->refunded = b->captured;
	key->outcome = PGW_OUT_APPROVED;
	key->amount = r->amount;
}

/*
 * told: the answer arrives.  What pends and was not told must be found out by the key, or be
 * cancelled again: a bank whose look-up of the charge does not show it is not consistent in the
 * time that its connector says.
 */
static PgwOutcome
carry_out(Bank *b, Request r, bool told)
{
	Key *key = &b->keys[r.key];
	bool counts = b->caps.lookup_consistent_after_s >= 0;
	bool found_out = r.operation == PGW_OP_CANCEL
						 ? !(b->caps.lookup && counts)
						 : (honours(b, r.operation) && !b->forgets_errors) ||
							   (r.operation == PGW_OP_REFUND && b->caps.lookup_refund);
	bool pends;

	if (honours(b, r.operation) && key->outcome != PGW_OUT_UNKNOWN && !key->forgotten &&
		b->now - key->at < LIFETIME)
		return key->outcome;
	key->at = b->now;
	key->forgotten = false;
	if ((b->why = refusal(b, r.operation)) != NULL)
		return PGW_OUT_DECLINED;
	pends = b->slow && any(3) > 0 && (told || found_out) && b->npending < MAX_PENDING;
	if (b->partly && r.operation == PGW_OP_REFUND && r.amount > 1 && any(2) == 0)
		r.amount /= 2;
	if (pends)
	{
		r.at = b->now + 1 + any(PENDING_FOR);
		r.refused = b->refusals > 0 && any(2) == 0;
		b->refusals -= r.refused;
		b->pending[b->npending++] = r;
		key->outcome = PGW_OUT_PENDING;
		return PGW_OUT_PENDING;
	}
	r.refused = false;
	settle(b, &r);
	return PGW_OUT_APPROVED;
}

static void
time_passes(Bank *b, int64_t now)
{
	b->now = now;
	if (b->late && now >= b->on_its_way.at)
	{
		b->late = false;
		(void) carry_out(b, b->on_its_way, false);
	}
	for (int i = 0; i < b->npending;)
	{
		Request r = b->pending[i];

		if (now < r.at)
		{
			i++;
			continue;
		}
		b->pending[i] = b->pending[--b->npending];
		settle(b, &r);
	}
}

/* ---- our side, as the worker carries the decisions out ---- */

typedef enum Ending
{
	UNDER_WAY = 0,
	GIVEN_BACK,
	NO_WAY,           /* a person: nothing left to ask */
	TOO_LONG,         /* a person: in doubt for too long */
	PENDING_TOO_LONG, /* a person: pending for a month */
	PARTLY,           /* a person: not all of it is back */
	REPEAT_REFUSED,   /* a person: what was in doubt is refused, and nothing can be looked up */
	STOPPED           /* a person: anything else */
} Ending;

typedef struct Try
{
	Bank bank;
	PgwBankOp operation;
	int key;
	bool has_key;
	bool used;
	bool pending;
	bool resend_allowed;
	bool lookup_inconclusive;
	int64_t first_use;
	int64_t asked_at;
	bool error_answered;
	int64_t deadline;
	bool forgotten; /* the key, perhaps, when there was nothing left to ask */
	int64_t amount;
	int ruled_out;
	int64_t wait_s;
	int settled; /* waits until the charge is settled */
	int faults;
	/* look-ups of the charge while pending, where nothing else can tell */
	int waited;
} Try;

static void
answer_request(Bank *b, const Request *r, PgwAnswer *a)
{
	b->why = NULL;
	a->outcome = carry_out(b, *r, true);
	if (a->outcome == PGW_OUT_DECLINED && b->why != NULL)
		strcpy(a->error_code, b->why);
	if (b->partly && a->outcome == PGW_OUT_APPROVED)
	{
		a->has_amount = true;
		a->amount = b->keys[r->key].amount;
	}
}

static void
answer_lookup(const Try *t, PgwBankOp op, PgwAnswer *a, bool blurred)
{
	const Bank *b = &t->bank;
	const Key *key = &b->keys[t->key];

	if (op == PGW_OP_LOOKUP_CHARGE)
	{
		a->outcome = PGW_OUT_APPROVED;
		if (b->caps.lookup_shows_captured && !(blurred && any(2)))
			a->captured = b->captured;
		if (b->caps.lookup_shows_refunded && !(blurred && any(2)))
			a->refunded = b->refunded;
		a->voided = b->voided && !blurred;
		a->has_voided = a->voided || (b->caps.lookup_shows_voided && !blurred);
		return;
	}
	a->outcome = key->outcome == PGW_OUT_UNKNOWN ? PGW_OUT_NOT_FOUND : key->outcome;
	if (b->partly && a->outcome == PGW_OUT_APPROVED)
	{
		a->has_amount = true;
		a->amount = key->amount;
	}
}

static PgwTransport
ask(Try *t, PgwBankOp op, PgwAnswer *a)
{
	bool fault = t->faults > 0 && any(2) == 0;
	Bank *b = &t->bank;
	Request r = {.operation = op, .key = t->key, .amount = t->amount};

	t->faults -= fault;
	*a = answer(PGW_OUT_UNKNOWN);
	if (op == PGW_OP_LOOKUP_CHARGE || op == PGW_OP_LOOKUP_REFUND)
	{
		static const PgwOutcome useless[] = {PGW_OUT_UNKNOWN, PGW_OUT_REJECTED,
											 PGW_OUT_NOT_PROCESSED};

		if (fault && any(2))
			return any(2) ? PGW_TRANSPORT_MAYBE_SENT : PGW_TRANSPORT_NEVER_SENT;
		if (fault && any(2))
		{
			a->outcome = useless[any(LENGTH(useless))];
			a->other_reference = a->outcome == PGW_OUT_UNKNOWN && any(2);
			return PGW_TRANSPORT_ANSWERED;
		}
		answer_lookup(t, op, a, fault); /* perhaps without what it should show */
		return PGW_TRANSPORT_ANSWERED;
	}
	if (b->keys[t->key].error)
		return PGW_TRANSPORT_ANSWERED;
	if (!fault)
	{
		answer_request(b, &r, a);
		return PGW_TRANSPORT_ANSWERED;
	}
	switch (any(8))
	{
		case 0:
			return PGW_TRANSPORT_NEVER_SENT;
		case 1: /* lost on its way */
			return PGW_TRANSPORT_MAYBE_SENT;
		case 2: /* the answer is lost */
			(void) carry_out(b, r, false);
			return PGW_TRANSPORT_MAYBE_SENT;
		case 3: /* the answer is garbage, or an error */
			b->keys[t->key].error = b->replays_errors;
			if (!b->replays_errors || any(2))
				(void) carry_out(b, r, false);
			/* but not while the same request is on its way */
			b->keys[t->key].forgotten = b->forgets_errors && !b->late;
			return PGW_TRANSPORT_ANSWERED;
		case 4:
		case 5: /* slow: carried out after our side has given up */
			if (!b->late)
			{
				b->late = true;
				b->on_its_way = r;
				b->on_its_way.at = b->now + any(CONSISTENT_AFTER + 1);
			}
			return PGW_TRANSPORT_MAYBE_SENT;
		case 6:
			a->outcome = PGW_OUT_NOT_PROCESSED;
			return PGW_TRANSPORT_ANSWERED;
		default:
			a->outcome = PGW_OUT_REJECTED;
			if (!pgw_compensation_pays_back(op) || b->slow || any(2))
				return PGW_TRANSPORT_ANSWERED;
			/* refused, and done all the same, where something could show that */
			a->outcome = PGW_OUT_DECLINED;
			if (any(2) && pgw_capabilities_shows(&b->caps, op))
				(void) carry_out(b, r, false);
			return PGW_TRANSPORT_ANSWERED;
	}
}

static Ending
ending_of(const PgwCompensationDecision *d)
{
	switch (d->next)
	{
		case PGW_COMPENSATION_DONE:
			return GIVEN_BACK;
		case PGW_COMPENSATION_STOP:
			return same_text(d->decision.reason, "amount_mismatch")  ? PARTLY
				   : same_text(d->decision.reason, "repeat_refused") ? REPEAT_REFUSED
																	 : STOPPED;
		default:
			return UNDER_WAY;
	}
}

static Ending
next_try(Try *t, char *trace, size_t size)
{
	const PgwCapabilities *caps = &t->bank.caps;
	int64_t now = t->bank.now;
	PgwCompensationFacts facts = {.operation = t->operation,
								  .key = t->has_key,
								  .used = t->used,
								  .resend_allowed = t->resend_allowed,
								  .lookup_inconclusive = t->lookup_inconclusive,
								  .key_age_s = t->used ? now - t->first_use : 0,
								  .pending = t->pending,
								  .error_answered = t->error_answered,
								  .deadline_s = t->deadline};
	PgwCompensationStep step = pgw_compensation_step(caps, &facts);
	PgwBankOp op = t->operation;
	PgwAnswer a;
	PgwCompensationInput in;
	PgwCompensationDecision d;
	size_t len = strlen(trace);

	if (step == PGW_COMPENSATE_REVIEW)
	{
		if (t->deadline > 0 && facts.key_age_s >= (t->pending ? MONTH : t->deadline))
			return t->pending ? PENDING_TOO_LONG : TOO_LONG;
		t->forgotten = facts.key_age_s >= LIFETIME - MARGIN;
		return NO_WAY;
	}
	if (step == PGW_COMPENSATE_LOOKUP_CHARGE)
		op = PGW_OP_LOOKUP_CHARGE;
	else if (step == PGW_COMPENSATE_LOOKUP_REFUND)
		op = PGW_OP_LOOKUP_REFUND;
	else if (!t->has_key || (t->used && t->operation == PGW_OP_CANCEL) ||
			 (t->used && t->resend_allowed &&
			  !pgw_capabilities_key_remembered(caps, t->operation, facts.key_age_s)))
	{
		t->key++;
		t->has_key = true;
		t->used = t->pending = t->error_answered = false;
	}
	if (step == PGW_COMPENSATE_SEND && t->resend_allowed)
		t->error_answered = false;
	t->waited += op == PGW_OP_LOOKUP_CHARGE && t->pending && !honours(&t->bank, t->operation);
	memset(&in, 0, sizeof(in));
	in.op = op;
	in.operation = t->operation;
	in.in_doubt = t->used;
	in.pending = t->pending;
	in.captured = t->bank.captured > 0;
	in.ruled_out = t->ruled_out;
	in.charge_age_s = now;
	in.amount = t->operation == PGW_OP_REFUND ? t->amount : 0;
	in.transport = ask(t, op, &a);
	in.answer = &a;
	in.caps = caps;
	in.keys_used = t->key;
	in.max_keys = MAX_ATTEMPTS;
	in.not_found_counts = pgw_capabilities_not_found_counts(caps, now - t->asked_at);
	if (step == PGW_COMPENSATE_SEND)
	{
		if (!t->used)
			t->first_use = now;
		t->used = true;
		t->asked_at = now;
	}
	pgw_compensation_result(&in, &d);
	snprintf(trace + len, size - len, " %lld:%s%d/%s=%d", (long long) now, pgw_op_name(op), t->key,
			 in.transport == PGW_TRANSPORT_ANSWERED ? pgw_outcome_name(a.outcome) : "-",
			 (int) d.next);
	if (in.transport == PGW_TRANSPORT_ANSWERED && op != PGW_OP_LOOKUP_CHARGE &&
		a.outcome != PGW_OUT_UNKNOWN)
		t->pending = a.outcome == PGW_OUT_PENDING;
	if (op == t->operation && in.transport == PGW_TRANSPORT_ANSWERED)
		t->error_answered = pgw_unknown_outcome_is_error(caps, op, 500, &a);
	t->resend_allowed = d.at_once;
	t->lookup_inconclusive =
		d.lookup_inconclusive &&
		(d.operation == PGW_OP_CANCEL ||
		 (in.in_doubt && !pgw_capabilities_waits_for_lookup(caps, t->operation, t->operation) &&
		  pgw_capabilities_can_repeat(caps, t->operation, now - t->first_use, t->error_answered)));
	t->operation = d.operation;
	t->ruled_out = d.ruled_out;
	t->wait_s = d.next == PGW_COMPENSATION_ANEW ? d.wait_s : 0;
	t->settled += t->wait_s > 0;
	if (d.amount != 0)
		t->amount = d.amount;
	if (d.next == PGW_COMPENSATION_ANEW)
		t->has_key = t->used = t->pending = false;
	if (d.next == PGW_COMPENSATION_AGAIN && !d.at_once)
		t->used = false;
	return ending_of(&d);
}

typedef struct Seen
{
	int endings[STOPPED + 1];
	/* given back in another way than it was begun; and by a reversal */
	int turned;
	int reversed;
	int settled; /* ... after a wait until the charge was settled */
	/* given back after a wait at a bank that only shows the charge */
	int waited;
} Seen;

static void
make_bank(Bank *b)
{
	bool looks;

	b->forgets_errors = any(4) == 0;
	set_keys(&b->caps, any(2), LIFETIME);
	for (int op = 0; op < PGW_NOPS; op++)
	{
		/* it may know keys of some operations only */
		b->caps.keys[op].honoured &= any(8) > 0;
		b->caps.keys[op].forgets_errors = b->forgets_errors;
	}
	b->caps.lookup = any(2);
	b->caps.lookup_refund = any(2);
	b->caps.lookup_shows_captured = any(4) > 0;
	b->caps.lookup_shows_refunded = any(4) > 0;
	looks = b->caps.lookup || b->caps.lookup_refund;
	b->caps.lookup_consistent_after_s = looks && any(3) > 0 ? CONSISTENT_AFTER : -1;
	b->caps.can_void = any(4) > 0;
	b->caps.can_refund = any(4) > 0;
	b->caps.can_cancel = any(3) == 0;
	b->caps.can_reverse = any(6) == 0;
	b->caps.lookup_shows_voided = any(4) > 0;
	b->no_reverse = any(3) == 0;
	b->settled_at = any(3) == 0 ? 1 + any(60) : 0;
	b->caps.settles_after_s = any(2) ? b->settled_at : 0;
	b->captured = any(2) ? CHARGED : 0;
	b->slow = any(3) == 0;
	/* a look-up that shows what was refunded must show that, too, and what of it is pending */
	b->voids_refunds = b->caps.lookup_shows_voided && !b->slow && any(3) == 0;
	b->refusals = any(3);
	b->partly = any(5) == 0;
	b->replays_errors = honours(b, PGW_OP_REFUND) && !b->forgets_errors && any(4) == 0;
}

static void
one_charge(int round, Seen *seen)
{
	static char trace[16384];
	Try t;
	Bank *b = &t.bank;
	Ending end = UNDER_WAY;
	bool way_out;
	bool tells;
	bool counts;
	bool shows;
	int64_t captured;

	memset(&t, 0, sizeof(t));
	trace[0] = '\0';
	make_bank(b);
	captured = b->captured;
	if (!(b->caps.can_cancel || (captured > 0 ? b->caps.can_refund : b->caps.can_void)))
		return; /* no way to give it back at all */
	t.has_key = true;
	t.key = 1;
	t.amount = CHARGED;
	t.faults = any(FAULTS + 1);
	t.operation = pgw_compensation_operation(
		&b->caps, &(PgwToGiveBack){.captured = captured > 0, .amount_in_doubt = any(4) == 0});
	/*
	 * without a deadline an end is due only where keys, or look-ups that count, can tell; of what
	 * pends, the charge alone cannot
	 */
	counts = b->caps.lookup_consistent_after_s >= 0;
	tells = honours(b, t.operation) || counts;
	if (b->slow && tells)
		tells = !counts || (t.operation == PGW_OP_REFUND && b->caps.lookup_refund);
	/* nor can a look-up that does not say what was refunded */
	shows = b->caps.lookup_shows_captured && b->caps.lookup_shows_refunded;
	if (!shows)
		tells = false;
	/* what was refused when it was repeated is not sent again for a look-up that never counts */
	if (!counts && (b->caps.lookup || b->caps.lookup_refund))
		tells = false;
	/* an error that is said again, or forgotten, leaves nothing but look-ups */
	if (b->replays_errors || b->forgets_errors)
		tells = shows && t.operation == PGW_OP_CANCEL && !counts; /* by another key */
	/* nor is there one while it turns from one way to another */
	if (b->caps.can_reverse || b->settled_at > 0)
		tells = false;
	t.deadline = !tells || any(3) == 0 ? DEADLINE : 0;

	for (int i = 0; i < STEPS && end == UNDER_WAY; i++)
	{
		end = next_try(&t, trace, sizeof(trace));
		if (!t.resend_allowed) /* what a look-up allows is done at once */
			time_passes(b, b->now + t.wait_s +
							   (i < SLOW_AFTER ? 1 + any(5) : LIFETIME + any(LIFETIME)));
	}
	time_passes(b, b->now + LIFETIME);
	time_passes(b, b->now + LIFETIME); /* what was on its way may have pended */

	way_out = (honours(b, t.operation) && !t.forgotten && !t.error_answered) ||
			  (b->caps.lookup && (!pgw_compensation_pays_back(t.operation) ||
								  pgw_capabilities_lookup_tells(&b->caps, t.operation))) ||
			  (t.operation == PGW_OP_REFUND && b->caps.lookup_refund) ||
			  t.operation == PGW_OP_CANCEL;
	seen->endings[end]++;
	seen->waited += end == GIVEN_BACK && t.waited > 0;
	seen->turned += end == GIVEN_BACK && t.ruled_out != 0;
	seen->reversed += end == GIVEN_BACK && t.operation == PGW_OP_REVERSE;
	seen->settled += end == GIVEN_BACK && t.settled > 0;
	if (b->refunded > captured || (b->voided && b->refunded > 0))
		fail_msg("round %d: given back %lld of %lld:%s", round, (long long) b->refunded,
				 (long long) captured, trace);
	if (end == UNDER_WAY)
		fail_msg("round %d: no end:%s", round, trace);
	if (end == GIVEN_BACK && !(b->voided || (captured > 0 && b->refunded == captured)))
		fail_msg("round %d: not given back:%s", round, trace);
	if (end == STOPPED || (end == NO_WAY && way_out))
		fail_msg("round %d: a person, but there was a way to find out:%s", round, trace);
	if (end == REPEAT_REFUSED &&
		(!pgw_compensation_pays_back(t.operation) || pgw_capabilities_shows(&b->caps, t.operation)))
		fail_msg("round %d: a person, but a look-up could tell:%s", round, trace);
	if (end == PARTLY && !(b->partly && b->refunded < captured))
		fail_msg("round %d: a person, but all of it is back:%s", round, trace);
}

static void
never_twice(void **state)
{
	Seen seen;

	memset(&seen, 0, sizeof(seen));
	for (int round = 1; round <= ROUNDS; round++)
	{
		seed = (uint64_t) round * UINT64_C(0x9E3779B97F4A7C15);
		one_charge(round, &seen);
	}
	/* the faults were there, and everything that was to be tried */
	assert_true(seen.endings[GIVEN_BACK] > ROUNDS / 2);
	assert_true(seen.endings[NO_WAY] > ROUNDS / 100);
	assert_true(seen.endings[TOO_LONG] > ROUNDS / 200);
	assert_true(seen.endings[PENDING_TOO_LONG] > ROUNDS / 200);
	assert_true(seen.endings[PARTLY] > ROUNDS / 100);
	assert_true(seen.endings[REPEAT_REFUSED] > 0);
	assert_true(seen.waited > ROUNDS / 200);
	assert_true(seen.turned > ROUNDS / 100);
	assert_true(seen.reversed > ROUNDS / 100);
	assert_true(seen.settled > ROUNDS / 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
