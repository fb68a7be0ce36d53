/*
 * test_evidence.c - the bank's own word on an operation: what it does in each state, and that what
 * comes twice, late or in the wrong order does nothing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/payment/accepted_rules.h"
#include "core/payment/evidence_rules.h"
#include "core/payment/payment_amounts.h"
#include "core/payment/unknown_outcome_rules.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define DONE .says_done = true
#define FAILED .says_failed = true
#define BOTH .says_done = true, .says_failed = true

static void
test_steps(void **state)
{
	static const struct
	{
		const char *what;
		PgwEvidenceFacts facts;
		PgwEvidenceStep wanted;
	} cases[] = {
#define CASE(what, kind, state, accepted, about, says, wanted) \
	{what, {kind, state, accepted, about, says}, wanted}
		CASE("a charge in doubt, done", PGW_KIND_PAYMENT, PGW_BANK_UNKNOWN, false, PGW_OP_CHARGE,
			 DONE, PGW_EVIDENCE_DONE),
		CASE("... failed", PGW_KIND_PAYMENT, PGW_BANK_UNKNOWN, false, PGW_OP_CHARGE, FAILED,
			 PGW_EVIDENCE_FAILED),
		CASE("... both", PGW_KIND_PAYMENT, PGW_BANK_UNKNOWN, false, PGW_OP_CHARGE, BOTH,
			 PGW_EVIDENCE_REVIEW),
		CASE("... whose request is under way", PGW_KIND_PAYMENT, PGW_CREATED, false, PGW_OP_CHARGE,
			 DONE, PGW_EVIDENCE_WAITS),
		CASE("... which a person decides", PGW_KIND_PAYMENT, PGW_REQUIRES_MANUAL_REVIEW, false,
			 PGW_OP_CHARGE, DONE, PGW_EVIDENCE_WAITS),
		CASE("an approved one, done", PGW_KIND_PAYMENT, PGW_BANK_APPROVED, false, PGW_OP_CHARGE,
			 DONE, PGW_EVIDENCE_AGREES),
		CASE("a charge that is given back, done", PGW_KIND_PAYMENT, PGW_REFUNDING, false,
			 PGW_OP_CHARGE, DONE, PGW_EVIDENCE_AGREES),
		CASE("an approved one, failed", PGW_KIND_PAYMENT, PGW_COMPLETED, false, PGW_OP_CHARGE,
			 FAILED, PGW_EVIDENCE_CONTRADICTS),
		CASE("a failed one, done", PGW_KIND_PAYMENT, PGW_FAILED, false, PGW_OP_CHARGE, DONE,
			 PGW_EVIDENCE_LATE),
		CASE("... both at once", PGW_KIND_PAYMENT, PGW_FAILED, false, PGW_OP_CHARGE, BOTH,
			 PGW_EVIDENCE_LATE),
		CASE("a failed one, failed", PGW_KIND_PAYMENT, PGW_FAILED, false, PGW_OP_CHARGE, FAILED,
			 PGW_EVIDENCE_AGREES),
		CASE("an accepted capture, done", PGW_KIND_CAPTURE, PGW_SAVED, true, PGW_OP_CAPTURE, DONE,
			 PGW_EVIDENCE_DONE),
		CASE("... failed", PGW_KIND_CAPTURE, PGW_SAVED, true, PGW_OP_CAPTURE, FAILED,
			 PGW_EVIDENCE_FAILED),
		CASE("... both", PGW_KIND_CAPTURE, PGW_SAVED, true, PGW_OP_CAPTURE, BOTH,
			 PGW_EVIDENCE_REVIEW),
		CASE("... whose payments row is busy", PGW_KIND_CAPTURE, PGW_BANK_APPROVED, true,
			 PGW_OP_CAPTURE, DONE, PGW_EVIDENCE_WAITS),
		CASE("a capture that is done, failed", PGW_KIND_CAPTURE, PGW_COMPLETED, false,
			 PGW_OP_CAPTURE, FAILED, PGW_EVIDENCE_REVERSED),
		CASE("... both at once", PGW_KIND_CAPTURE, PGW_COMPLETED, false, PGW_OP_CAPTURE, BOTH,
			 PGW_EVIDENCE_CONTRADICTS),
		CASE("a void that is done, failed", PGW_KIND_VOID, PGW_COMPLETED, false, PGW_OP_VOID,
			 FAILED, PGW_EVIDENCE_CONTRADICTS),
		CASE("a refund in doubt, done", PGW_KIND_REFUND, PGW_BANK_UNKNOWN, false, PGW_OP_REFUND,
			 DONE, PGW_EVIDENCE_DONE),
		CASE("a refund that is done, failed", PGW_KIND_REFUND, PGW_COMPLETED, false, PGW_OP_REFUND,
			 FAILED, PGW_EVIDENCE_REVERSED),
		CASE("... both at once", PGW_KIND_REFUND, PGW_COMPLETED, false, PGW_OP_REFUND, BOTH,
			 PGW_EVIDENCE_CONTRADICTS),
		CASE("a refund that has failed, done", PGW_KIND_REFUND, PGW_FAILED, false, PGW_OP_REFUND,
			 DONE, PGW_EVIDENCE_LATE),
		CASE("a capture that has failed, done", PGW_KIND_CAPTURE, PGW_FAILED, false, PGW_OP_CAPTURE,
			 DONE, PGW_EVIDENCE_LATE),
		CASE("a void that is done, done", PGW_KIND_VOID, PGW_COMPLETED, false, PGW_OP_VOID, DONE,
			 PGW_EVIDENCE_AGREES),
		CASE("the capture after the commit, done", PGW_KIND_PAYMENT, PGW_SAVED, true,
			 PGW_OP_CAPTURE, DONE, PGW_EVIDENCE_DONE),
		CASE("... of one that is captured", PGW_KIND_PAYMENT, PGW_COMPLETED, false, PGW_OP_CAPTURE,
			 DONE, PGW_EVIDENCE_AGREES),
		CASE("... failed", PGW_KIND_PAYMENT, PGW_COMPLETED, false, PGW_OP_CAPTURE, FAILED,
			 PGW_EVIDENCE_CONTRADICTS),
		CASE("a give-back by a reversal that is done, failed", PGW_KIND_PAYMENT, PGW_REFUNDED,
			 false, PGW_OP_REVERSE, FAILED, PGW_EVIDENCE_REVERSED),
		CASE("a refund by a reversal that is done, failed", PGW_KIND_REFUND, PGW_COMPLETED, false,
			 PGW_OP_REVERSE, FAILED, PGW_EVIDENCE_REVERSED),
		CASE("a give-back by a void that is done, failed", PGW_KIND_PAYMENT, PGW_REFUNDED, false,
			 PGW_OP_VOID, FAILED, PGW_EVIDENCE_CONTRADICTS),
		CASE("a give-back, done", PGW_KIND_PAYMENT, PGW_REFUNDING, true, PGW_OP_REVERSE, DONE,
			 PGW_EVIDENCE_DONE),
		CASE("... failed", PGW_KIND_PAYMENT, PGW_REFUNDING, true, PGW_OP_REFUND, FAILED,
			 PGW_EVIDENCE_FAILED),
		CASE("... that is done, failed", PGW_KIND_PAYMENT, PGW_REFUNDED, false, PGW_OP_REFUND,
			 FAILED, PGW_EVIDENCE_REVERSED),
		CASE("nothing new", PGW_KIND_PAYMENT, PGW_BANK_UNKNOWN, false, PGW_OP_CHARGE,
			 .said_failed = true, PGW_EVIDENCE_WAITS),
#undef CASE
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		if (pgw_evidence_step(&cases[i].facts) != cases[i].wanted)
			fail_msg("%s", cases[i].what);
	}
}

/* Of the capture that was made with the charge there is a word of its own only when it fails. */
static void
test_part_of_charge(void **state)
{
	static const struct
	{
		PgwState state;
		bool failed;
		PgwEvidenceStep wanted;
	} cases[] = {
		{PGW_BANK_UNKNOWN, false, PGW_EVIDENCE_WAITS},
		{PGW_BANK_UNKNOWN, true, PGW_EVIDENCE_WAITS},
		{PGW_BANK_APPROVED, true, PGW_EVIDENCE_WAITS},
		{PGW_COMPLETED, false, PGW_EVIDENCE_AGREES},
		{PGW_COMPLETED, true, PGW_EVIDENCE_CONTRADICTS},
		{PGW_REFUNDED, false, PGW_EVIDENCE_AGREES},
		{PGW_REFUNDED, true, PGW_EVIDENCE_CONTRADICTS},
		{PGW_FAILED, true, PGW_EVIDENCE_AGREES},
		{PGW_FAILED, false, PGW_EVIDENCE_LATE},
		{PGW_REQUIRES_MANUAL_REVIEW, true, PGW_EVIDENCE_WAITS},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwEvidenceFacts f = {.kind = PGW_KIND_PAYMENT,
							  .state = cases[i].state,
							  .about = PGW_OP_CAPTURE,
							  .part_of_charge = true,
							  .says_done = !cases[i].failed,
							  .says_failed = cases[i].failed};

		if (pgw_evidence_step(&f) != cases[i].wanted)
			fail_msg("case %d", (int) i);
	}
}

/* A success after a failure of the same request, and two successes of different amounts. */
static void
test_second_word(void **state)
{
	PgwEvidenceFacts f = {.kind = PGW_KIND_REFUND,
						  .state = PGW_SAVED,
						  .accepted = true,
						  .about = PGW_OP_REFUND,
						  .says_done = true};

	(void) state;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_DONE);
	f.said_failed = true;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_REVIEW);
	f.said_failed = false;
	f.differ = true;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_REVIEW);
}

/* It has our reference, and is about another charge than ours: nobody can tell which is wrong. */
static void
test_other_charge(void **state)
{
	static const struct
	{
		PgwState state;
		bool done;
		PgwEvidenceStep wanted;
	} cases[] = {
		{PGW_SAVED, true, PGW_EVIDENCE_REVIEW},
		{PGW_SAVED, false, PGW_EVIDENCE_REVIEW},
		{PGW_BANK_UNKNOWN, true, PGW_EVIDENCE_REVIEW},
		{PGW_COMPLETED, true, PGW_EVIDENCE_CONTRADICTS},
		{PGW_COMPLETED, false, PGW_EVIDENCE_CONTRADICTS},
		{PGW_FAILED, true, PGW_EVIDENCE_LATE},
		{PGW_FAILED, false, PGW_EVIDENCE_AGREES},
		{PGW_REQUIRES_MANUAL_REVIEW, true, PGW_EVIDENCE_WAITS},
		{PGW_CREATED, true, PGW_EVIDENCE_WAITS},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwEvidenceFacts f = {.kind = PGW_KIND_REFUND,
							  .state = cases[i].state,
							  .accepted = cases[i].state == PGW_SAVED,
							  .about = PGW_OP_REFUND,
							  .says_done = cases[i].done,
							  .says_failed = !cases[i].done,
							  .proved_later = true,
							  .of_other_charge = true};

		if (pgw_evidence_step(&f) != cases[i].wanted)
			fail_msg("case %zu", i);
		assert_string_equal(pgw_evidence_reason(&f), cases[i].state == PGW_FAILED
														 ? PGW_EVIDENCE_AFTER_FAILURE
														 : PGW_EVIDENCE_OTHER_CHARGE);
	}
}

/* ... which was proved twice, and is later by the bank's own time: of what is open alone. */
static void
test_proved_later(void **state)
{
	PgwEvidenceFacts f = {.kind = PGW_KIND_REFUND,
						  .state = PGW_SAVED,
						  .accepted = true,
						  .about = PGW_OP_REFUND,
						  .says_done = true,
						  .says_failed = true,
						  .proved_later = true};

	(void) state;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_DONE);
	f.differ = true;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_REVIEW);
	f.differ = false;
	f.lacks_amount = true;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_REVIEW);
	f.lacks_amount = false;
	f.of_former_bank = true;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_REVIEW);
	f.of_former_bank = false;
	f.accepted = false;
	f.state = PGW_FAILED;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_LATE);
	f.state = PGW_COMPLETED;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_CONTRADICTS);
}

static void
test_later(void **state)
{
	static const struct
	{
		const char *time;
		const char *than;
		bool later;
	} cases[] = {
		{"2026-11-28T12:00:01+01:00", "2026-11-28T12:00:00+01:00", true},
		{"2026-11-28T12:00:00+01:00", "2026-11-28T12:00:00+01:00", false},
		{"2026-11-28T12:00:00+01:00", "2026-11-28T12:00:01+01:00", false},
		/* the night in which the clock goes back */
		{"2026-10-25T02:10:00+02:00", "2026-10-25T02:00:00+01:00", false},
		{"2026-11-28T12:00:01-01:00", "2026-11-28T12:00:00+01:00", false},
		{"2026-11-28T12:00:01Z", "2026-11-28T12:00:00Z", true},
		{"2026-11-28T12:00:01Z", "2026-11-28T12:00:00", false},
		{"1785974401", "1785974400", true},
		{"1785974400", "1785974401", false},
		{"10000000000", "9999999999", false},
		{"01/12/2026", "30/11/2026", false},
		{"30/11/2026", "01/12/2026", false},
		{"Sat, 28 Nov 2026 12:00:01 GMT", "Sat, 28 Nov 2026 12:00:00 GMT", false},
		{"", "", false},
		{"x", "w", false},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		if (pgw_evidence_later(cases[i].time, cases[i].than) != cases[i].later)
			fail_msg("%s, %s", cases[i].time, cases[i].than);
	}
}

/*
 * Two equal successes that are two: the first ends it, and of the second people are told, whether
 * it was there already or comes when it has ended.
 */
static void
test_twice(void **state)
{
	static const struct
	{
		PgwKind kind;
		PgwBankOp about;
		PgwState open;
		PgwState done;
	} cases[] = {
		{PGW_KIND_REFUND, PGW_OP_REFUND, PGW_SAVED, PGW_COMPLETED},
		{PGW_KIND_CAPTURE, PGW_OP_CAPTURE, PGW_BANK_UNKNOWN, PGW_COMPLETED},
		{PGW_KIND_PAYMENT, PGW_OP_CAPTURE, PGW_SAVED, PGW_COMPLETED},
		{PGW_KIND_PAYMENT, PGW_OP_REVERSE, PGW_REFUNDING, PGW_REFUNDED},
		{PGW_KIND_PAYMENT, PGW_OP_CHARGE, PGW_BANK_UNKNOWN, PGW_SAVED},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwEvidenceFacts f = {.kind = cases[i].kind,
							  .state = cases[i].open,
							  .accepted = true,
							  .about = cases[i].about,
							  .says_done = true,
							  .twice = true};

		assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_DONE);
		f.state = cases[i].done;
		assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_CONTRADICTS);
		/* of different amounts neither is believed while it is open */
		f.differ = true;
		assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_CONTRADICTS);
		f.state = cases[i].open;
		assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_REVIEW);
	}
}

/* What names no amount, or is from a bank that has the attempt no more, decides nothing. */
static void
test_no_proof(void **state)
{
	PgwEvidenceFacts f = {.kind = PGW_KIND_REFUND,
						  .state = PGW_SAVED,
						  .accepted = true,
						  .about = PGW_OP_REFUND,
						  .says_done = true,
						  .lacks_amount = true};

	(void) state;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_REVIEW);
	assert_string_equal(pgw_evidence_reason(&f), PGW_EVIDENCE_NO_AMOUNT);
	f.state = PGW_FAILED;
	f.accepted = false;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_LATE);
	assert_string_equal(pgw_evidence_reason(&f), PGW_EVIDENCE_AFTER_FAILURE);
	f.lacks_amount = false;
	f.of_former_bank = true;
	f.kind = PGW_KIND_PAYMENT;
	f.about = PGW_OP_CHARGE;
	f.state = PGW_BANK_UNKNOWN;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_REVIEW);
	assert_string_equal(pgw_evidence_reason(&f), PGW_EVIDENCE_FORMER_BANK);
	f.state = PGW_COMPLETED;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_CONTRADICTS);
	f.of_former_bank = false;
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_AGREES);
	f.differ = true; /* it was done twice */
	assert_int_equal(pgw_evidence_step(&f), PGW_EVIDENCE_CONTRADICTS);
	for (int about = 0; about < PGW_NOPS; about++)
		assert_int_equal(pgw_evidence_needs_amount((PgwBankOp) about),
						 about != PGW_OP_VOID && about != PGW_OP_CANCEL);
}

/* Whatever comes, what has ended as it says is left alone, and nothing is taken twice. */
static void
test_replays(void **state)
{
	static const PgwState ends[] = {PGW_COMPLETED, PGW_FAILED, PGW_REFUNDED};

	(void) state;
	for (int kind = PGW_KIND_PAYMENT; kind <= PGW_KIND_REFUND; kind++)
	{
		for (size_t i = 0; i < LENGTH(ends); i++)
		{
			for (int about = 0; about < PGW_NOPS; about++)
			{
				PgwEvidenceFacts f = {.kind = (PgwKind) kind,
									  .state = ends[i],
									  .about = (PgwBankOp) about,
									  .says_done = true};

				assert_int_not_equal(pgw_evidence_step(&f), PGW_EVIDENCE_DONE);
				f.says_failed = true;
				assert_int_not_equal(pgw_evidence_step(&f), PGW_EVIDENCE_DONE);
				assert_int_not_equal(pgw_evidence_step(&f), PGW_EVIDENCE_FAILED);
			}
		}
	}
}

/* As an answer to the order that was accepted: its amount counts, and a no is believed. */
static void
test_as_answer(void **state)
{
	PgwCapabilities caps = {.lookup_consistent_after_s = -1};
	PgwAnswer a = {.outcome = PGW_OUT_APPROVED,
				   .captured = -1,
				   .refunded = -1,
				   .has_amount = true,
				   .amount = 400,
				   .currency = "EUR"};
	PgwOperationInput in = {.op = PGW_OP_REFUND,
							.operation = PGW_OP_REFUND,
							.transport = PGW_TRANSPORT_ANSWERED,
							.answer = &a,
							.caps = &caps,
							.amount = 400,
							.currency = "EUR",
							.charged = 1000,
							.taken = 1000};
	PgwOperationDecision d;

	(void) state;
	pgw_accepted_result(&in, &d);
	assert_int_equal(d.next, PGW_OPERATION_DONE);
	a.amount = 401;
	pgw_accepted_result(&in, &d);
	assert_int_equal(d.next, PGW_OPERATION_STOP);
	a.amount = 400;
	strcpy(a.currency, "USD");
	pgw_accepted_result(&in, &d);
	assert_int_equal(d.next, PGW_OPERATION_STOP);
	strcpy(a.currency, "EUR");
	a.outcome = PGW_OUT_DECLINED;
	pgw_accepted_result(&in, &d);
	assert_int_equal(d.next, PGW_OPERATION_REFUSED);
	assert_string_equal(d.reason, PGW_ACCEPTED_FAILED);
	a.outcome = PGW_OUT_UNKNOWN;
	pgw_accepted_result(&in, &d);
	assert_int_equal(d.next, PGW_OPERATION_ACCEPTED);
}

/* A bank that says it by itself is waited for, where nothing can be asked, and not for ever. */
static void
test_is_waited_for(void **state)
{
	PgwCapabilities caps = {.lookup_consistent_after_s = -1};
	PgwUnknownOutcomeFacts f = {
		.operation = PGW_OP_CHARGE, .doubt_age_s = 100, .deadline_s = 1000, .cancelled_age_s = -1};
	const char *reason;

	(void) state;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &f, &reason), PGW_UNKNOWN_OUTCOME_REVIEW);
	caps.tells[PGW_OP_CHARGE] = true;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &f, &reason), PGW_UNKNOWN_OUTCOME_WAIT);
	assert_int_equal(pgw_unknown_outcome_wait_s(&caps, &f), 900);
	f.doubt_age_s = 1000;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &f, &reason), PGW_UNKNOWN_OUTCOME_REVIEW);
	assert_string_equal(reason, "deadline");

	/* what pends is waited for as long as the bank says, and not looked at every second */
	f.pending = true;
	caps.pending_deadline_s = 20000;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &f, &reason), PGW_UNKNOWN_OUTCOME_WAIT);
	assert_int_equal(pgw_unknown_outcome_wait_s(&caps, &f), 3600);
	f.doubt_age_s = 19990;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &f, &reason), PGW_UNKNOWN_OUTCOME_WAIT);
	assert_int_equal(pgw_unknown_outcome_wait_s(&caps, &f), 10);
	f.doubt_age_s = 20000;
	assert_int_equal(pgw_unknown_outcome_step(&caps, &f, &reason), PGW_UNKNOWN_OUTCOME_REVIEW);
}

/* What has failed and was done after all is claimed again, if what it claimed is still there. */
static void
test_claim_again(void **state)
{
	PgwPaymentAmounts s = {.status = PGW_PAY_CAPTURED, .authorized = 1000, .captured = 1000};

	(void) state;
	assert_true(pgw_payment_can_claim_again(PGW_KIND_REFUND, 1000, &s));
	s.refund_pending = 600;
	assert_true(pgw_payment_can_claim_again(PGW_KIND_REFUND, 400, &s));
	assert_false(pgw_payment_can_claim_again(PGW_KIND_REFUND, 401, &s));
	s.refund_pending = 0;
	s.refunded = 1000;
	s.status = PGW_PAY_REFUNDED;
	assert_false(pgw_payment_can_claim_again(PGW_KIND_REFUND, 1000, &s));
	s = (PgwPaymentAmounts){.status = PGW_PAY_AUTHORIZED, .authorized = 1000};
	assert_true(pgw_payment_can_claim_again(PGW_KIND_CAPTURE, 1000, &s));
	s.reserved = 400;
	assert_false(pgw_payment_can_claim_again(PGW_KIND_CAPTURE, 600, &s));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),        cmocka_unit_test(test_part_of_charge),
		cmocka_unit_test(test_second_word),  cmocka_unit_test(test_proved_later),
		cmocka_unit_test(test_later),        cmocka_unit_test(test_twice),
		cmocka_unit_test(test_replays),      cmocka_unit_test(test_as_answer),
		cmocka_unit_test(test_no_proof),     cmocka_unit_test(test_is_waited_for),
		cmocka_unit_test(test_other_charge), cmocka_unit_test(test_claim_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
