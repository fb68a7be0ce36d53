/*
 * test_operation.c - a capture, void or refund at the bank: each answer by hand, and what must hold
 * over the whole product of operation, question, transport, outcome and what the bank shows
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/accepted_rules.h"
#include "core/payment/operation_events.h"

#define AMOUNT 100
#define BEFORE 40
#define OTHERS 10

static const PgwBankOp operations[] = {PGW_OP_CAPTURE, PGW_OP_VOID, PGW_OP_REFUND};
static const PgwKind kinds[] = {PGW_KIND_CAPTURE, PGW_KIND_VOID, PGW_KIND_REFUND};

static const PgwCapabilities full = {KEYS(86400),
									 .lookup = true,
									 .lookup_refund = true,
									 .lookup_shows_captured = true,
									 .lookup_shows_refunded = true,
									 .lookup_shows_voided = true,
									 .lookup_consistent_after_s = 2};
/* its look-up of a charge names no amounts, and not whether it was voided */
static const PgwCapabilities mute = {KEYS(86400), .lookup = true, .lookup_consistent_after_s = 2};
/* "not there" never counts */
static const PgwCapabilities silent = {KEYS(86400),
									   .lookup = true,
									   .lookup_refund = true,
									   .lookup_shows_captured = true,
									   .lookup_shows_refunded = true,
									   .lookup_shows_voided = true,
									   .multiple_captures = true,
									   .lookup_consistent_after_s = -1};
static const PgwCapabilities keys_only = {KEYS(86400), .lookup_consistent_after_s = -1};
static const PgwCapabilities nothing = {.lookup_consistent_after_s = -1};

static PgwOperationInput
input(PgwBankOp operation, PgwBankOp op, const PgwCapabilities *caps, const PgwAnswer *a)
{
	PgwOperationInput in = {.op = op,
							.operation = operation,
							.asked_for = true,
							.transport = PGW_TRANSPORT_ANSWERED,
							.answer = a,
							.caps = caps,
							.amount = AMOUNT,
							.currency = "EUR",
							.before = BEFORE,
							.others = operation == PGW_OP_REFUND ? OTHERS : 0,
							.not_found_counts = true};

	return in;
}

static PgwOperationDecision
decide(PgwOperationInput in)
{
	PgwOperationDecision d;

	pgw_operation_result(&in, &d);
	return d;
}

static PgwOperationDecision
answered(PgwBankOp operation, PgwBankOp op, PgwOutcome outcome, const PgwCapabilities *caps)
{
	PgwAnswer a = answer(outcome);

	return decide(input(operation, op, caps, &a));
}

static void
straight(void **unused)
{
	PgwAnswer a;
	PgwOperationInput in;

	(void) unused;
	for (size_t i = 0; i < LENGTH(operations); i++)
	{
		PgwBankOp op = operations[i];

		assert_int_equal(answered(op, op, PGW_OUT_APPROVED, &full).next, PGW_OPERATION_DONE);
		assert_int_equal(answered(op, op, PGW_OUT_PENDING, &full).next, PGW_OPERATION_FIND_OUT);
		assert_true(answered(op, op, PGW_OUT_PENDING, &full).pending);
		assert_int_equal(answered(op, op, PGW_OUT_NOT_PROCESSED, &full).next, PGW_OPERATION_AGAIN);
		assert_int_equal(answered(op, op, PGW_OUT_UNKNOWN, &full).next, PGW_OPERATION_FIND_OUT);
		/* a refusal, of whatever kind, is looked up where that can be done */
		assert_int_equal(answered(op, op, PGW_OUT_REJECTED, &full).next, PGW_OPERATION_FIND_OUT);
		assert_true(answered(op, op, PGW_OUT_REJECTED, &full).refused);
		assert_string_equal(answered(op, op, PGW_OUT_REJECTED, &full).error->code,
							"bank_rejected_request");
		assert_int_equal(answered(op, op, PGW_OUT_REJECTED, &mute).next, PGW_OPERATION_REFUSED);
		assert_int_equal(answered(op, op, PGW_OUT_REJECTED, &nothing).next, PGW_OPERATION_REFUSED);
		assert_true(answered(op, op, PGW_OUT_DECLINED, &full).refused);
		assert_int_equal(answered(op, op, PGW_OUT_DECLINED, &full).next, PGW_OPERATION_FIND_OUT);
		assert_int_equal(answered(op, op, PGW_OUT_DECLINED, &keys_only).next,
						 PGW_OPERATION_REFUSED);
		assert_int_equal(answered(op, op, PGW_OUT_DECLINED, &mute).next, PGW_OPERATION_REFUSED);
		assert_int_equal(answered(op, op, PGW_OUT_DECLINED, &nothing).next, PGW_OPERATION_REFUSED);

		a = answer(PGW_OUT_UNKNOWN);
		in = input(op, op, &full, &a);
		in.transport = PGW_TRANSPORT_NEVER_SENT;
		assert_int_equal(decide(in).next, PGW_OPERATION_AGAIN);
		assert_string_equal(decide(in).error->code, "bank_unavailable");
		in.in_doubt = true;
		assert_int_equal(decide(in).next, PGW_OPERATION_FIND_OUT);
		in.in_doubt = false;
		in.transport = PGW_TRANSPORT_MAYBE_SENT;
		assert_int_equal(decide(in).next, PGW_OPERATION_FIND_OUT);
	}
}

/*
 * A repetition is refused: perhaps for what the first request, whose answer was lost, has done. It
 * is looked up where that can tell anything; else a person asks. It is never Failed.
 */
static void
repeat_refused(void **unused)
{
	PgwOperationFacts facts = {
		.refused = true, .key_age_s = 5, .doubt_age_s = 5, .deadline_s = 3600};
	PgwAnswer no = answer(PGW_OUT_DECLINED);
	PgwAnswer lapsed = answer(PGW_OUT_DECLINED);
	PgwOperationInput in;
	const char *reason;

	(void) unused;
	strcpy(lapsed.error_code, "authorization_expired");
	for (size_t i = 0; i < LENGTH(operations); i++)
	{
		PgwBankOp op = operations[i];
		const PgwCapabilities *const blind[] = {&keys_only, &mute};

		facts.operation = op;
		for (size_t b = 0; b < LENGTH(blind); b++)
		{
			in = input(op, op, blind[b], &no);
			in.in_doubt = true;
			assert_int_equal(decide(in).next, PGW_OPERATION_STOP);
			assert_string_equal(decide(in).reason, "repeat_refused");
			assert_string_equal(decide(in).error->code, "outcome_unknown");
			/* one that was being looked up when the connector lost its look-up */
			assert_int_equal(pgw_operation_step(blind[b], &facts, &reason), PGW_OPERATION_REVIEW);
			assert_string_equal(reason, "repeat_refused");
			in.answer = &lapsed;
			assert_int_equal(decide(in).next,
							 op == PGW_OP_VOID ? PGW_OPERATION_DONE : PGW_OPERATION_STOP);
		}

		in = input(op, op, &full, &no);
		in.in_doubt = true;
		assert_int_equal(decide(in).next, PGW_OPERATION_FIND_OUT);
		assert_true(decide(in).refused);

		/* the look-up can still say yes; sent again it would be refused again */
		in.caps = &silent;
		assert_int_equal(decide(in).next, PGW_OPERATION_FIND_OUT);
		assert_true(decide(in).refused);
		assert_int_equal(pgw_operation_step(&silent, &facts, &reason),
						 op == PGW_OP_REFUND ? PGW_OPERATION_LOOKUP_REFUND
											 : PGW_OPERATION_LOOKUP_CHARGE);
	}
}

/*
 * Nothing came before it, and it is refused: told so, its caller asks again under another id.  What
 * the bank would do then, too, is looked up first, wherever that could ever show that it was done.
 */
static void
first_refused(void **unused)
{
	static const PgwOutcome no[] = {PGW_OUT_DECLINED, PGW_OUT_REJECTED};

	(void) unused;
	for (size_t i = 0; i < LENGTH(no); i++)
		for (size_t o = 0; o < LENGTH(operations); o++)
		{
			PgwBankOp op = operations[o];
			PgwAnswer a = answer(no[i]);
			PgwCapabilities caps = silent;
			PgwOperationInput in = input(op, op, &caps, &a);

			assert_int_equal(decide(in).next,
							 op == PGW_OP_VOID ? PGW_OPERATION_REFUSED : PGW_OPERATION_FIND_OUT);
			assert_true(decide(in).refused == (op != PGW_OP_VOID));
			/* a second capture would be refused */
			caps.multiple_captures = false;
			assert_int_equal(decide(in).next,
							 op == PGW_OP_REFUND ? PGW_OPERATION_FIND_OUT : PGW_OPERATION_REFUSED);
			/* the one after the commit is not asked for again, but its payment would have failed */
			in.asked_for = op != PGW_OP_CAPTURE;
			assert_int_equal(decide(in).next,
							 op == PGW_OP_VOID ? PGW_OPERATION_REFUSED : PGW_OPERATION_FIND_OUT);
			in.asked_for = true;
			/* one look-up that shows refunds is enough, and without any it is the bank's word */
			caps.lookup_shows_refunded = false;
			assert_int_equal(decide(in).next,
							 op == PGW_OP_REFUND ? PGW_OPERATION_FIND_OUT : PGW_OPERATION_REFUSED);
			caps.lookup_refund = false;
			assert_int_equal(decide(in).next, PGW_OPERATION_REFUSED);
		}
}

/* Done, but not what was asked for: a person has to look. */
static void
other_amount(void **unused)
{
	PgwAnswer a = answer(PGW_OUT_APPROVED);

	(void) unused;
	a.has_amount = true;
	a.amount = AMOUNT;
	assert_int_equal(decide(input(PGW_OP_REFUND, PGW_OP_REFUND, &full, &a)).next,
					 PGW_OPERATION_DONE);
	a.amount = AMOUNT - 1;
	assert_int_equal(decide(input(PGW_OP_REFUND, PGW_OP_REFUND, &full, &a)).next,
					 PGW_OPERATION_STOP);
	assert_int_equal(decide(input(PGW_OP_CAPTURE, PGW_OP_CAPTURE, &full, &a)).next,
					 PGW_OPERATION_STOP);
	assert_int_equal(decide(input(PGW_OP_REFUND, PGW_OP_LOOKUP_REFUND, &full, &a)).next,
					 PGW_OPERATION_STOP);
	/* of a void banks name what was authorized, what was taken of that, what was left, or nothing
	 */
	assert_int_equal(decide(input(PGW_OP_VOID, PGW_OP_VOID, &full, &a)).next, PGW_OPERATION_STOP);
	a.amount = 0;
	assert_int_equal(decide(input(PGW_OP_VOID, PGW_OP_VOID, &full, &a)).next, PGW_OPERATION_DONE);
	a.amount = AMOUNT;
	assert_int_equal(decide(input(PGW_OP_VOID, PGW_OP_VOID, &full, &a)).next, PGW_OPERATION_DONE);
	a = answer(PGW_OUT_APPROVED);
	strcpy(a.currency, "USD");
	assert_int_equal(decide(input(PGW_OP_VOID, PGW_OP_VOID, &full, &a)).next, PGW_OPERATION_STOP);
	a.voided = a.has_voided = true;
	assert_int_equal(decide(input(PGW_OP_VOID, PGW_OP_LOOKUP_CHARGE, &full, &a)).next,
					 PGW_OPERATION_FIND_OUT);
	a = answer(PGW_OUT_APPROVED);
	strcpy(a.currency, "USD");
	assert_int_equal(decide(input(PGW_OP_CAPTURE, PGW_OP_CAPTURE, &full, &a)).next,
					 PGW_OPERATION_STOP);
	a = answer(PGW_OUT_APPROVED);
	/* one that cannot be read may be a part, also of what a void or reversal has undone */
	a.amount_unreadable = true;
	for (size_t i = 0; i < LENGTH(operations); i++)
		assert_int_equal(decide(input(operations[i], operations[i], &full, &a)).next,
						 PGW_OPERATION_STOP);
	assert_int_equal(decide(input(PGW_OP_REVERSE, PGW_OP_REVERSE, &full, &a)).next,
					 PGW_OPERATION_STOP);
}

/* What was done was named, and cannot be read: not known, as for a charge. */
static void
unreadable(void **unused)
{
	PgwAnswer a = answer(PGW_OUT_APPROVED);
	PgwOperationDecision looked_up;

	(void) unused;
	a.charge_state_unreadable = true;
	for (size_t i = 0; i < LENGTH(operations); i++)
	{
		assert_int_equal(decide(input(operations[i], operations[i], &full, &a)).next,
						 PGW_OPERATION_FIND_OUT);
		assert_false(decide(input(operations[i], operations[i], &full, &a)).refused);
	}
	looked_up = decide(input(PGW_OP_REFUND, PGW_OP_LOOKUP_REFUND, &full, &a));
	assert_int_equal(looked_up.next, PGW_OPERATION_FIND_OUT);
	assert_true(looked_up.lookup_inconclusive);
	/* nor is the charge's "declined" a proof that nothing was done of it */
	a.outcome = PGW_OUT_DECLINED;
	for (size_t i = 0; i < LENGTH(operations); i++)
	{
		PgwOperationInput in = input(operations[i], PGW_OP_LOOKUP_CHARGE, &full, &a);

		in.in_doubt = in.not_found_counts = true;
		assert_int_equal(decide(in).next, PGW_OPERATION_FIND_OUT);
		a.charge_state_unreadable = false;
		assert_int_equal(decide(in).next, PGW_OPERATION_REFUSED);
		a.charge_state_unreadable = true;
	}
}

/*
 * Yes, and the document with it shows that nothing was done: looked up, neither believed nor given
 * to a person, whatever its amount is of.
 */
static void
belied(void **unused)
{
	(void) unused;
	for (size_t i = 0; i < LENGTH(operations); i++)
	{
		PgwAnswer a = answer(PGW_OUT_APPROVED);
		PgwOperationInput in = input(operations[i], operations[i], &full, &a);

		a.captured = operations[i] == PGW_OP_CAPTURE ? AMOUNT - 1 : 2 * AMOUNT;
		a.refunded = 0;
		a.has_voided = true;
		a.has_amount = true;
		a.amount = 2 * AMOUNT;
		assert_int_equal(decide(in).next, PGW_OPERATION_FIND_OUT);
		assert_false(decide(in).refused);

		a.captured = a.refunded = a.amount = AMOUNT;
		a.voided = true;
		assert_int_equal(decide(in).next, PGW_OPERATION_DONE);
	}
}

static PgwOperationDecision
looked(PgwBankOp operation, int64_t captured, int64_t refunded, bool voided, const char *refusal,
	   bool counts)
{
	PgwAnswer a = answer(PGW_OUT_APPROVED);
	PgwOperationInput in = input(operation, PGW_OP_LOOKUP_CHARGE, &full, &a);

	a.has_amount = true;
	a.amount = 12345; /* of the charge: says nothing of the operation */
	a.captured = captured;
	a.refunded = refunded;
	a.voided = voided;
	a.has_voided = true;
	in.in_doubt = true;
	in.refusal = refusal;
	in.not_found_counts = counts;
	return decide(in);
}

static void
looked_up(void **unused)
{
	(void) unused;
	/* capture: 40 before, 100 asked for */
	assert_int_equal(looked(PGW_OP_CAPTURE, 140, 0, false, NULL, false).next, PGW_OPERATION_DONE);
	assert_int_equal(looked(PGW_OP_CAPTURE, 40, 0, false, NULL, true).next, PGW_OPERATION_AT_ONCE);
	assert_int_equal(looked(PGW_OP_CAPTURE, 40, 0, false, NULL, false).next,
					 PGW_OPERATION_FIND_OUT);
	assert_int_equal(looked(PGW_OP_CAPTURE, 40, 0, false, "capture_refused", true).next,
					 PGW_OPERATION_REFUSED);
	assert_string_equal(looked(PGW_OP_CAPTURE, 40, 0, false, "capture_refused", true).error->code,
						"capture_refused");
	assert_true(looked(PGW_OP_CAPTURE, 40, 0, false, "capture_refused", false).refused);
	assert_int_equal(looked(PGW_OP_CAPTURE, 140, 0, false, "operation_not_allowed", true).next,
					 PGW_OPERATION_DONE);
	assert_int_equal(looked(PGW_OP_CAPTURE, 40, 0, true, NULL, false).next, PGW_OPERATION_REFUSED);
	assert_int_equal(looked(PGW_OP_CAPTURE, -1, -1, false, NULL, true).next,
					 PGW_OPERATION_FIND_OUT);
	assert_true(looked(PGW_OP_CAPTURE, 40, 0, false, "authorization_expired", true).expired);
	assert_int_equal(looked(PGW_OP_CAPTURE, 40, 0, false, "authorization_expired", true).next,
					 PGW_OPERATION_REFUSED);
	/* of before the earlier one: it does not show this one either */
	assert_int_equal(looked(PGW_OP_CAPTURE, 39, 0, false, NULL, true).next, PGW_OPERATION_FIND_OUT);
	assert_true(looked(PGW_OP_CAPTURE, 39, 0, false, NULL, true).lookup_inconclusive);

	/* a part, or more than that: pgw would record what the bank does not hold */
	assert_int_equal(looked(PGW_OP_CAPTURE, 90, 0, false, NULL, true).next, PGW_OPERATION_STOP);
	assert_string_equal(looked(PGW_OP_CAPTURE, 90, 0, false, NULL, true).reason, "amount_mismatch");
	assert_int_equal(looked(PGW_OP_CAPTURE, 90, 0, false, "capture_refused", true).next,
					 PGW_OPERATION_STOP);
	assert_int_equal(looked(PGW_OP_CAPTURE, 90, 0, false, NULL, false).next,
					 PGW_OPERATION_FIND_OUT);
	assert_int_equal(looked(PGW_OP_CAPTURE, 141, 0, false, NULL, false).next, PGW_OPERATION_STOP);
	assert_non_null(looked(PGW_OP_CAPTURE, 141, 0, false, NULL, false).shown);

	assert_int_equal(looked(PGW_OP_VOID, 0, 0, true, NULL, false).next, PGW_OPERATION_DONE);
	assert_int_equal(looked(PGW_OP_VOID, 0, 0, false, NULL, true).next, PGW_OPERATION_AT_ONCE);
	assert_int_equal(looked(PGW_OP_VOID, 5, 0, false, NULL, false).next, PGW_OPERATION_REFUSED);
	/* it has lapsed: what the void was for is reached */
	assert_int_equal(looked(PGW_OP_VOID, 0, 0, false, "authorization_expired", true).next,
					 PGW_OPERATION_DONE);
	assert_true(looked(PGW_OP_VOID, 0, 0, false, "authorization_expired", true).expired);

	/* refund: 40 before, 10 by others in doubt, 100 asked for */
	assert_int_equal(looked(PGW_OP_REFUND, 500, 150, false, NULL, false).next, PGW_OPERATION_DONE);
	assert_int_equal(looked(PGW_OP_REFUND, 500, 149, false, NULL, true).next,
					 PGW_OPERATION_FIND_OUT);
	assert_int_equal(looked(PGW_OP_REFUND, 500, 140, false, NULL, true).next,
					 PGW_OPERATION_FIND_OUT);
	/*
	 * more than the others can have given back, and less than all: a part of it may be ours, and
	 * sent again it could come on top
	 */
	assert_int_equal(looked(PGW_OP_REFUND, 500, 139, false, NULL, true).next,
					 PGW_OPERATION_FIND_OUT);
	assert_true(looked(PGW_OP_REFUND, 500, 139, false, NULL, true).lookup_inconclusive);
	assert_int_equal(looked(PGW_OP_REFUND, 500, 50, false, NULL, true).next, PGW_OPERATION_AT_ONCE);
	assert_false(looked(PGW_OP_REFUND, 500, 150, false, NULL, true).excess);
	assert_true(looked(PGW_OP_REFUND, 500, 151, false, NULL, true).excess);
	assert_int_equal(looked(PGW_OP_REFUND, 500, 151, false, NULL, true).next, PGW_OPERATION_DONE);
	assert_int_equal(looked(PGW_OP_REFUND, 500, 151, false, NULL, true).asked_amount, AMOUNT);
	assert_int_equal(looked(PGW_OP_REFUND, 500, 139, false, "refund_refused", true).next,
					 PGW_OPERATION_REFUSED);

	assert_int_equal(answered(PGW_OP_REFUND, PGW_OP_LOOKUP_REFUND, PGW_OUT_APPROVED, &full).next,
					 PGW_OPERATION_DONE);
	assert_int_equal(answered(PGW_OP_REFUND, PGW_OP_LOOKUP_REFUND, PGW_OUT_DECLINED, &full).next,
					 PGW_OPERATION_REFUSED);
	assert_int_equal(answered(PGW_OP_REFUND, PGW_OP_LOOKUP_REFUND, PGW_OUT_NOT_FOUND, &full).next,
					 PGW_OPERATION_AT_ONCE);
	assert_true(answered(PGW_OP_REFUND, PGW_OP_LOOKUP_REFUND, PGW_OUT_PENDING, &full).pending);
	assert_int_equal(answered(PGW_OP_CAPTURE, PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, &full).next,
					 PGW_OPERATION_STOP);
}

/* Of one and the same charge, which banks call "canceled" or "refunded", one says approved, one
 * declined. */
static PgwOperationDecision
looked_declined(PgwBankOp operation, int64_t captured, int64_t refunded, bool voided)
{
	PgwAnswer a = answer(PGW_OUT_DECLINED);
	PgwOperationInput in = input(operation, PGW_OP_LOOKUP_CHARGE, &full, &a);

	a.captured = captured;
	a.refunded = refunded;
	a.voided = voided;
	a.has_voided = true;
	in.pending = true;
	return decide(in);
}

static void
declined_after_it_was_done(void **unused)
{
	(void) unused;
	assert_int_equal(looked_declined(PGW_OP_VOID, 0, 0, true).next, PGW_OPERATION_DONE);
	assert_string_equal(looked_declined(PGW_OP_VOID, 0, 0, true).reason, "looked_up");
	assert_int_equal(looked_declined(PGW_OP_REVERSE, 500, 0, true).next, PGW_OPERATION_DONE);
	assert_int_equal(looked_declined(PGW_OP_REFUND, 150, 150, false).next, PGW_OPERATION_DONE);
	/* there is no charge, and nothing of it was undone, or taken */
	assert_int_equal(looked_declined(PGW_OP_VOID, 0, 0, false).next, PGW_OPERATION_REFUSED);
	assert_int_equal(looked_declined(PGW_OP_REFUND, 0, 0, false).next, PGW_OPERATION_REFUSED);
	assert_int_equal(looked_declined(PGW_OP_CAPTURE, 140, 0, true).next, PGW_OPERATION_REFUSED);
	/* declined, and money is taken: who knows */
	assert_int_equal(looked_declined(PGW_OP_REFUND, 500, 150, false).next, PGW_OPERATION_FIND_OUT);
	assert_int_equal(looked_declined(PGW_OP_CAPTURE, 140, 0, false).next, PGW_OPERATION_FIND_OUT);
}

/* What a look-up does not show has not happened, nor has it not: unknown, and the key may tell. */
static void
not_shown(void **unused)
{
	static const PgwAnswer blank = {.outcome = PGW_OUT_APPROVED, .captured = -1, .refunded = -1};
	PgwOperationFacts facts = {.key_age_s = 5, .doubt_age_s = 5, .deadline_s = 3600};
	const char *reason;

	(void) unused;
	for (size_t i = 0; i < LENGTH(operations); i++)
	{
		PgwAnswer a = blank;
		PgwOperationInput in = input(operations[i], PGW_OP_LOOKUP_CHARGE, &full, &a);

		in.in_doubt = true;
		assert_int_equal(decide(in).next, PGW_OPERATION_FIND_OUT);
		assert_string_equal(decide(in).reason, "not_shown");
		assert_true(decide(in).lookup_inconclusive);
		/*
		 * a void that was refused as done already is not refused because the look-up does not say
		 * so
		 */
		in.refusal = "operation_not_allowed";
		assert_int_equal(decide(in).next, PGW_OPERATION_FIND_OUT);
		assert_true(decide(in).refused);
		in.refusal = NULL;
		/* another payment's document */
		a.outcome = PGW_OUT_UNKNOWN;
		assert_false(decide(in).lookup_inconclusive); /* a look-up that fails may yet tell */
		a.other_reference = true;
		assert_true(decide(in).lookup_inconclusive);
		assert_string_equal(decide(in).reason, "another_reference");

		facts.operation = operations[i];
		facts.lookup_inconclusive = true;
		assert_int_equal(pgw_operation_step(&full, &facts, &reason), PGW_OPERATION_SEND);
		facts.pending = true; /* the bank has it: nothing is sent for being asked in vain */
		assert_int_equal(pgw_operation_step(&full, &facts, &reason),
						 i == 2 ? PGW_OPERATION_LOOKUP_REFUND : PGW_OPERATION_LOOKUP_CHARGE);
		facts.pending = false;
		facts.refused = true;
		assert_int_equal(pgw_operation_step(&full, &facts, &reason),
						 i == 2 ? PGW_OPERATION_LOOKUP_REFUND : PGW_OPERATION_LOOKUP_CHARGE);
		facts.refused = facts.lookup_inconclusive = false;

		/* where it is known beforehand that it does not tell, it is not asked */
		assert_false(pgw_capabilities_lookup_tells(&mute, operations[i]));
		assert_int_equal(pgw_operation_step(&mute, &facts, &reason), PGW_OPERATION_SEND);
		facts.key_age_s = 86400;
		assert_int_equal(pgw_operation_step(&mute, &facts, &reason), PGW_OPERATION_REVIEW);
		assert_string_equal(reason, "no_way_to_find_out");
		facts.key_age_s = 5;
	}
}

/*
 * What is shown may be another's, and the lost answer an error that the bank has forgotten: sent
 * again, the refund would be made twice.  It is looked up until it tells, or for a person.
 */
static void
waited_for(void **unused)
{
	(void) unused;
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (int bits = 0; bits < 8; bits++)
		{
			bool counts = (bits & 1) != 0;
			bool forgets = (bits & 2) != 0;
			PgwCapabilities caps = full;
			PgwOperationFacts facts = {.operation = operations[i],
									   .lookup_inconclusive = true,
									   .key_age_s = 5,
									   .doubt_age_s = (bits & 4) != 0 ? 3600 : 5,
									   .deadline_s = 3600};
			bool waits = counts && forgets && operations[i] != PGW_OP_VOID;
			const char *reason;

			caps.lookup_consistent_after_s = counts ? 2 : -1;
			caps.keys[operations[i]].forgets_errors = forgets;
			assert_int_equal(pgw_operation_step(&caps, &facts, &reason),
							 (bits & 4) != 0                   ? PGW_OPERATION_REVIEW
							 : !waits                          ? PGW_OPERATION_SEND
							 : operations[i] == PGW_OP_CAPTURE ? PGW_OPERATION_LOOKUP_CHARGE
															   : PGW_OPERATION_LOOKUP_REFUND);
			/* it tells: not done */
			facts.resend_allowed = true;
			assert_int_equal(pgw_operation_step(&caps, &facts, &reason), PGW_OPERATION_SEND);
		}
}

static void
new_keys(void **unused)
{
	PgwCapabilities caps = full;
	PgwAnswer a = answer(PGW_OUT_APPROVED);
	PgwOperationInput in = input(PGW_OP_CAPTURE, PGW_OP_LOOKUP_CHARGE, &full, &a);

	(void) unused;
	caps.keys[PGW_OP_REFUND].repeats_errors = true;
	assert_true(pgw_operation_new_key(&caps, PGW_OP_REFUND, 86400, false, 1)); /* forgotten */
	assert_false(
		pgw_operation_new_key(&caps, PGW_OP_REFUND, 5, false, 9)); /* may still be on its way */
	/* once more with the old one first */
	assert_false(pgw_operation_new_key(&caps, PGW_OP_REFUND, 5, true, 1));
	assert_true(pgw_operation_new_key(&caps, PGW_OP_REFUND, 5, true, 2));
	caps.keys[PGW_OP_REFUND].repeats_errors = false;
	assert_false(pgw_operation_new_key(&caps, PGW_OP_REFUND, 5, true, 2));

	/* what a look-up says does not hide how the request itself ended */
	assert_string_equal(
		answered(PGW_OP_CAPTURE, PGW_OP_CAPTURE, PGW_OUT_UNKNOWN, &full).error->code, "bank_error");
	a.captured = BEFORE;
	in.answered = true;
	assert_int_equal(decide(in).next, PGW_OPERATION_AT_ONCE);
	assert_string_equal(decide(in).error->code, "bank_error");
	in.not_found_counts = false;
	assert_string_equal(decide(in).error->code, "bank_error");
	in.answered = false;
	assert_string_equal(decide(in).error->code, "outcome_unknown");
}

static void
steps(void **unused)
{
	PgwOperationFacts facts = {
		.operation = PGW_OP_CAPTURE, .key_age_s = 5, .doubt_age_s = 5, .deadline_s = 3600};
	PgwCapabilities late = full;
	const char *reason;

	(void) unused;
	assert_int_equal(pgw_operation_step(&full, &facts, &reason), PGW_OPERATION_LOOKUP_CHARGE);
	assert_int_equal(pgw_operation_step(&keys_only, &facts, &reason), PGW_OPERATION_SEND);
	assert_int_equal(pgw_operation_step(&nothing, &facts, &reason), PGW_OPERATION_REVIEW);
	assert_string_equal(reason, "no_way_to_find_out");
	facts.operation = PGW_OP_REFUND;
	assert_int_equal(pgw_operation_step(&full, &facts, &reason), PGW_OPERATION_LOOKUP_REFUND);
	late.lookup_refund = false;
	assert_int_equal(pgw_operation_step(&late, &facts, &reason), PGW_OPERATION_LOOKUP_CHARGE);
	facts.resend_allowed = true;
	assert_int_equal(pgw_operation_step(&full, &facts, &reason), PGW_OPERATION_SEND);
	facts.resend_allowed = false;
	/* the key is forgotten: asked about, never sent */
	facts.key_age_s = 86400;
	assert_int_equal(pgw_operation_step(&keys_only, &facts, &reason), PGW_OPERATION_REVIEW);
	facts.doubt_age_s = 3600;
	assert_int_equal(pgw_operation_step(&full, &facts, &reason), PGW_OPERATION_REVIEW);
	assert_string_equal(reason, "deadline");
	facts.pending = true;
	assert_int_equal(pgw_operation_step(&full, &facts, &reason), PGW_OPERATION_LOOKUP_REFUND);
	facts.doubt_age_s = 31 * 86400;
	assert_int_equal(pgw_operation_step(&full, &facts, &reason), PGW_OPERATION_REVIEW);
	facts.deadline_s = 0;
	assert_int_equal(pgw_operation_step(&full, &facts, &reason), PGW_OPERATION_LOOKUP_REFUND);
}

/* ---------------------------------------------------------------- the whole product */

static long combinations = 0;

static void
check_one(const PgwOperationInput *in, PgwKind kind)
{
	PgwOperationDecision r;
	PgwDecision d;
	PgwDecision c;
	const PgwAnswer *a = in->answer;
	bool lookup = in->op != in->operation;
	bool answered = in->transport == PGW_TRANSPORT_ANSWERED;
	bool undone = a->voided || (a->refunded >= 0 && a->refunded >= a->captured);
	char what[160];

	combinations++;
	pgw_operation_result(in, &r);
	snprintf(
		what, sizeof(what),
		"%s asked by %s, transport %d, outcome %d, captured %d, refunded %d, voided %d, doubt %d, refusal %s, counts %d",
		pgw_op_name(in->operation), pgw_op_name(in->op), in->transport, a->outcome,
		(int) a->captured, (int) a->refunded, a->voided, in->in_doubt, in->refusal,
		in->not_found_counts);

	/* done only upon the bank's word */
	if (r.next == PGW_OPERATION_DONE)
		CHECK(answered && (a->outcome == PGW_OUT_APPROVED || r.expired ||
						   (lookup && a->outcome == PGW_OUT_DECLINED && undone)),
			  what);
	/* refused only when no request can have done it, and with an error */
	if (r.next == PGW_OPERATION_REFUSED)
	{
		CHECK(answered && r.error != NULL, what);
		CHECK(!in->in_doubt || lookup, what);
		CHECK(lookup || in->operation == PGW_OP_VOID || !in->caps->multiple_captures, what);
		CHECK(a->outcome != PGW_OUT_UNKNOWN && a->outcome != PGW_OUT_PENDING, what);
	}
	/* again, with the same key, only when that request provably did nothing and none came before */
	if (r.next == PGW_OPERATION_AGAIN)
		CHECK(
			!in->in_doubt && !lookup &&
				(in->transport == PGW_TRANSPORT_NEVER_SENT || a->outcome == PGW_OUT_NOT_PROCESSED),
			what);
	/* what a look-up of the charge does not show is neither done nor not done */
	if (answered && in->op == PGW_OP_LOOKUP_CHARGE && a->outcome == PGW_OUT_APPROVED &&
		a->captured < 0 && !a->voided && !a->has_voided)
		CHECK(r.next == PGW_OPERATION_FIND_OUT, what);
	/* at once only by a look-up that counts, and never what was refused or is on its way */
	if (r.next == PGW_OPERATION_AT_ONCE)
		CHECK(lookup && answered && in->not_found_counts && in->refusal == NULL && !in->pending,
			  what);
	if (r.next == PGW_OPERATION_FIND_OUT || r.next == PGW_OPERATION_STOP ||
		r.next == PGW_OPERATION_AGAIN)
		CHECK(r.error != NULL, what);
	/* pending, as it was: a look leaves no event */
	CHECK(r.same == (lookup && in->pending && r.pending && r.next == PGW_OPERATION_FIND_OUT), what);
	CHECK(!r.refused || r.next == PGW_OPERATION_FIND_OUT, what);

	for (int s = 0; s < 2; s++)
		for (int locked = 0; locked < 2; locked++)
		{
			PgwState state = s ? PGW_BANK_UNKNOWN : PGW_CREATED;

			pgw_operation_decision(&r, state, locked, &d);
			if (r.same && s)
				CHECK(d.nevents == 0 && d.state == state, what);
			else
				CHECK(events_wrong(kind, state, &d) == NULL, what);
			CHECK((d.state == PGW_COMPLETED) == (r.next == PGW_OPERATION_DONE && locked), what);
			CHECK((d.state == PGW_FAILED) == (r.next == PGW_OPERATION_REFUSED), what);
			CHECK(d.save_later == (r.next == PGW_OPERATION_DONE && !locked), what);
		}
	if (in->operation == PGW_OP_CAPTURE)
	{
		pgw_operation_capture_decision(&r, &c);
		CHECK(r.same ? c.nevents == 0 && c.state == PGW_SAVED
					 : events_wrong(PGW_KIND_PAYMENT, PGW_SAVED, &c) == NULL,
			  what);
		CHECK((c.state == PGW_REFUNDING) == (r.next == PGW_OPERATION_REFUSED), what);
		CHECK((c.state == PGW_COMPLETED) == (r.next == PGW_OPERATION_DONE), what);
	}
}

static void
whole_product(void **unused)
{
	static const PgwCapabilities *const caps[] = {&full, &silent, &keys_only, &nothing, &mute};
	static const int64_t shown[] = {-1, 0, BEFORE, BEFORE + AMOUNT, BEFORE + OTHERS + AMOUNT};
	static const char *const refusals[] = {NULL, "refund_refused", "authorization_expired"};

	(void) unused;
	for (size_t o = 0; o < LENGTH(operations); o++)
		for (int q = 0; q < 3; q++)
			for (int transport = 0; transport <= PGW_TRANSPORT_MAYBE_SENT; transport++)
				for (int outcome = 0; outcome <= PGW_OUT_NOT_FOUND; outcome++)
					for (size_t cap = 0; cap < LENGTH(caps); cap++)
						for (size_t n = 0; n < LENGTH(shown); n++)
							for (size_t ref = 0; ref < LENGTH(refusals); ref++)
								for (int bits = 0; bits < 64; bits++)
								{
									PgwBankOp asked[] = {operations[o], PGW_OP_LOOKUP_CHARGE,
														 PGW_OP_LOOKUP_REFUND};
									PgwAnswer a = answer((PgwOutcome) outcome);
									PgwOperationInput in =
										input(operations[o], asked[q], caps[cap], &a);

									if (asked[q] == PGW_OP_LOOKUP_REFUND &&
										operations[o] != PGW_OP_REFUND)
										continue;
									/* a bank without keys never sees a request twice */
									if ((bits & 1) && q == 0 &&
										!caps[cap]->keys[PGW_OP_REFUND].honoured)
										continue;
									a.captured = a.refunded = shown[n];
									a.voided = bits & 8;
									a.has_voided = a.voided || (bits & 32);
									a.has_amount = bits & 16;
									a.amount = asked[q] == PGW_OP_LOOKUP_CHARGE ? 1 : AMOUNT;
									in.transport = (PgwTransport) transport;
									in.in_doubt = bits & 1;
									in.not_found_counts = bits & 2;
									in.pending = bits & 4;
									in.refusal = refusals[ref];
									check_one(&in, kinds[o]);
								}
	assert_true(combinations > 50000);
}

/*
 * The charge shows as much refunded as before, and the bank can take refunds back: the earlier one,
 * perhaps, and this one is done.  Only under a key that surely holds it is sent again.
 */
static void
behind_one_taken_back(void **unused)
{
	(void) unused;
	for (int i = 0; i < 64; i++)
	{
		PgwCapabilities caps = full;
		PgwAnswer a = answer(PGW_OUT_APPROVED);
		PgwOperationInput in = input(PGW_OP_REFUND, PGW_OP_LOOKUP_CHARGE, &caps, &a);
		bool says_so = (i & 7) != 0;
		bool holds = (i & 24) == 0;
		bool before = (i & 32) != 0;

		caps.changes_refunds = (i & 1) != 0;
		caps.tells[PGW_OP_REFUND] = (i & 2) != 0;
		caps.accepts[PGW_OP_REFUND] = (i & 4) != 0;
		in.key_is_spent = (i & 8) != 0;
		caps.keys[PGW_OP_REFUND].forgets_errors = (i & 16) != 0;
		in.before = before ? BEFORE : 0;
		in.in_doubt = true;
		a.captured = 500;
		a.refunded = in.before;
		if (caps.accepts[PGW_OP_REFUND] && in.key_is_spent)
			continue; /* never: test_accepted.c */
		assert_int_equal(decide(in).next, says_so && !holds && before ? PGW_OPERATION_FIND_OUT
																	  : PGW_OPERATION_AT_ONCE);
		assert_false(decide(in).lookup_inconclusive);
		/* pgw has heard of it, and shown is this one */
		in.before = in.others = 0;
		a.refunded = AMOUNT;
		assert_int_equal(decide(in).next, PGW_OPERATION_DONE);
		/* its own look-up speaks of no sum */
		in.op = PGW_OP_LOOKUP_REFUND;
		in.before = BEFORE;
		a.outcome = PGW_OUT_NOT_FOUND;
		assert_int_equal(decide(in).next, PGW_OPERATION_AT_ONCE);
	}
}

/*
 * The bank has taken it for another one, which has that id: whatever it says, and however it came
 * about, this one may never have been made.
 */
static void
of_another_operation(void **unused)
{
	static const PgwOutcome outcomes[] = {PGW_OUT_APPROVED, PGW_OUT_ACCEPTED, PGW_OUT_PENDING};
	PgwDecision e;

	(void) unused;
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t o = 0; o < LENGTH(outcomes); o++)
			for (int bits = 0; bits < 8; bits++)
			{
				PgwAnswer a = answer(outcomes[o]);
				PgwOperationInput in = input(operations[i], operations[i], &full, &a);
				PgwOperationDecision d;

				in.names_other = true;
				in.in_doubt = (bits & 1) != 0;
				in.pending = (bits & 2) != 0;
				in.refusal = (bits & 4) != 0 ? "refund_refused" : NULL;
				d = decide(in);
				assert_int_equal(d.next, PGW_OPERATION_STOP);
				assert_string_equal(d.reason, PGW_ID_OF_ANOTHER_OPERATION);
				assert_string_equal(d.error->code, "bank_reference_taken");
				assert_true(d.names_other);
				/* an order that was accepted before */
				pgw_accepted_result(&in, &d);
				assert_int_equal(d.next, PGW_OPERATION_STOP);
				pgw_accepted_decision(&d, kinds[i], &e);
				assert_null(events_wrong(kinds[i], PGW_SAVED, &e));
				assert_int_equal(e.state, PGW_REQUIRES_MANUAL_REVIEW);
				assert_true(e.names_other_charge);
				pgw_operation_decision(&d, PGW_CREATED, true, &e);
				assert_null(events_wrong(kinds[i], PGW_CREATED, &e));
				assert_true(e.names_other_charge);
			}
}

static void
ends(void **unused)
{
	PgwDecision d;

	(void) unused;
	pgw_operation_save(false, &d);
	assert_null(events_wrong(PGW_KIND_REFUND, PGW_BANK_APPROVED, &d));
	assert_int_equal(d.state, PGW_COMPLETED);
	pgw_operation_reversed(PGW_COMPLETED, &d);
	assert_null(events_wrong(PGW_KIND_REFUND, PGW_COMPLETED, &d));
	pgw_operation_reversed(PGW_REFUNDED, &d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_REFUNDED, &d));
	assert_int_equal(d.state, PGW_REQUIRES_MANUAL_REVIEW);
	for (size_t i = 0; i < LENGTH(kinds); i++)
		assert_int_equal(pgw_operation_op(kinds[i]), operations[i]);
	assert_int_equal(pgw_operation_op(PGW_KIND_PAYMENT), PGW_NOPS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(straight),
		cmocka_unit_test(other_amount),
		cmocka_unit_test(belied),
		cmocka_unit_test(looked_up),
		cmocka_unit_test(not_shown),
		cmocka_unit_test(waited_for),
		cmocka_unit_test(new_keys),
		cmocka_unit_test(steps),
		cmocka_unit_test(whole_product),
		cmocka_unit_test(ends),
		cmocka_unit_test(repeat_refused),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(first_refused),
		cmocka_unit_test(declined_after_it_was_done),
		cmocka_unit_test(behind_one_taken_back),
		cmocka_unit_test(of_another_operation),
	};

	return cmocka_run_group_tests_name("operation", tests, NULL, NULL);
}
