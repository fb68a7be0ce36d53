/*
 * test_flow.c - every answer, for every way of asking: events, state, payment, error
 */
#include "check_flow.h"

#include <stdio.h>

static PgwChargeInput
asked(bool submitted, const PgwAnswer *a)
{
	PgwChargeInput in = {.kind = PGW_KIND_PAYMENT,
						 .state = PGW_CREATED,
						 .capture = PGW_CAPTURE_IMMEDIATE,
						 .submitted = submitted,
						 .payment_locked = submitted,
						 .amount = 1250,
						 .currency = "EUR",
						 .transport = PGW_TRANSPORT_ANSWERED,
						 .answer = a};

	return in;
}

/* Runs it and checks what must hold for any input; want: the expected events, -1 ends. */
static void
expect(const PgwChargeInput *in, PgwDecision *d, const int *want)
{
	pgw_charge_result(in, d);
	assert_null(events_wrong(in->kind, in->state, d));
	assert_true(events_are(d, want));
	if (!in->submitted)
		assert_int_equal(d->payment, PGW_PAYMENT_UNCHANGED);
}

static void
approved_process(void **state)
{
	PgwAnswer a = answer(PGW_OUT_APPROVED);
	PgwChargeInput in = asked(false, &a);
	PgwDecision d;

	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_STARTED));
	assert_int_equal(d.state, PGW_BANK_APPROVED);
	assert_null(d.error);
	in.state = PGW_BANK_UNKNOWN;
	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_STARTED));
}

static void
approved_submit(void **state)
{
	static const PgwPaymentChange want[] = {
		PGW_PAYMENT_BECOMES_CAPTURED, PGW_PAYMENT_BECOMES_CAPTURED, PGW_PAYMENT_BECOMES_AUTHORIZED};
	PgwAnswer a = answer(PGW_OUT_APPROVED);
	PgwChargeInput in = asked(true, &a);
	PgwDecision d;

	for (int c = PGW_CAPTURE_IMMEDIATE; c <= PGW_CAPTURE_MANUAL; c++)
	{
		in.capture = (PgwCaptureMode) c;
		expect(&in, &d,
			   EVENTS(PGW_EV_BANK_PROCESSING_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_STARTED,
					  PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_EV_TRANSACTION_COMPLETED));
		assert_int_equal(d.state, PGW_COMPLETED);
		assert_int_equal(d.payment, want[c]);
		assert_int_equal(d.authorized_amount, 1250);
		assert_int_equal(d.captured_amount, want[c] == PGW_PAYMENT_BECOMES_CAPTURED ? 1250 : 0);
	}
	in.payment_locked = false;
	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_STARTED));
	assert_true(d.save_later);
	assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
}

static void
refusals(void **state)
{
	static const struct
	{
		PgwOutcome outcome;
		const char *code;
		const char *want;
		int http;
		PgwPaymentChange payment;
	} cases[] = {
		{PGW_OUT_DECLINED, "insufficient_funds", "insufficient_funds", 422,
		 PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_OUT_DECLINED, "", "declined", 422, PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_OUT_DECLINED, "no_such_code", "declined", 422, PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_OUT_DECLINED, "outcome_unknown", "declined", 422, PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_OUT_DECLINED, "given_back", "declined", 422, PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_OUT_DECLINED, "payment_not_found", "declined", 422, PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_OUT_REQUIRES_ACTION, "do_not_honor", "authentication_required", 422,
		 PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_OUT_REQUIRES_ACTION, "", "authentication_required", 422, PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_OUT_REJECTED, "", "bank_rejected_request", 502, PGW_PAYMENT_BECOMES_FAILED},
		{PGW_OUT_REJECTED, "bank_credentials_rejected", "bank_credentials_rejected", 502,
		 PGW_PAYMENT_BECOMES_FAILED},
		{PGW_OUT_REJECTED, "insufficient_funds", "bank_rejected_request", 502,
		 PGW_PAYMENT_BECOMES_FAILED},
		{PGW_OUT_NOT_PROCESSED, "", "not_processed", 502, PGW_PAYMENT_BECOMES_FAILED},
		{PGW_OUT_NOT_PROCESSED, "bank_unavailable", "bank_unavailable", 502,
		 PGW_PAYMENT_BECOMES_FAILED},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		for (int submitted = 0; submitted < 2; submitted++)
		{
			PgwAnswer a = answer(cases[i].outcome);
			PgwChargeInput in = asked(submitted, &a);
			PgwDecision d;

			strncpy(a.error_code, cases[i].code, sizeof(a.error_code) - 1);
			expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_FAILED, PGW_EV_TRANSACTION_FAILED));
			assert_int_equal(d.state, PGW_FAILED);
			assert_string_equal(d.error->code, cases[i].want);
			assert_int_equal(d.error->http_status, cases[i].http);
			assert_int_equal(pgw_charge_payment_of_state(PGW_FAILED, d.error->code),
							 cases[i].payment);
			if (submitted)
				assert_int_equal(d.payment, cases[i].payment);
		}
	}
}

/* No money moved, says the bank, and its own document shows that it did: unknown, first or later.
 */
static void
belied_refusals(void **state)
{
	static const PgwOutcome refusals[] = {PGW_OUT_DECLINED, PGW_OUT_REQUIRES_ACTION,
										  PGW_OUT_REJECTED, PGW_OUT_NOT_PROCESSED,
										  PGW_OUT_NOT_FOUND};

	for (size_t i = 0; i < LENGTH(refusals); i++)
	{
		PgwAnswer a = answer(refusals[i]);
		PgwChargeInput in = asked(true, &a);
		PgwDecision d;

		a.captured = 1;
		expect(&in, &d, EVENTS(PGW_EV_BANK_OUTCOME_UNKNOWN));
		assert_string_equal(d.error->code, "outcome_unknown");
		assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
		in.state = PGW_BANK_UNKNOWN;
		in.op = PGW_OP_LOOKUP_CHARGE;
		in.not_found_counts = true;
		expect(&in, &d, EVENTS(PGW_EV_BANK_STATUS_CHECKED));
		assert_false(d.not_found);

		/* what was given back since is nobody's money */
		a.refunded = 1;
		pgw_charge_result(&in, &d);
		assert_int_equal(d.state, PGW_FAILED);
	}
}

static void
transport(void **state)
{
	PgwChargeInput in = asked(true, NULL);
	PgwDecision d;

	in.transport = PGW_TRANSPORT_NEVER_SENT;
	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_FAILED, PGW_EV_TRANSACTION_FAILED));
	assert_string_equal(d.error->code, "bank_unavailable");
	assert_int_equal(d.payment, PGW_PAYMENT_BECOMES_FAILED);

	/* an earlier request may have arrived: that this one did not proves nothing */
	in.state = PGW_BANK_UNKNOWN;
	in.in_doubt = true;
	expect(&in, &d, EVENTS(PGW_EV_BANK_STATUS_CHECKED));
	assert_int_equal(d.state, PGW_BANK_UNKNOWN);

	/* unless a look-up that counts has shown that the earlier one did nothing */
	in.in_doubt = false;
	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_FAILED, PGW_EV_TRANSACTION_FAILED));

	in.state = PGW_CREATED;
	in.transport = PGW_TRANSPORT_MAYBE_SENT;
	expect(&in, &d, EVENTS(PGW_EV_BANK_OUTCOME_UNKNOWN));
	assert_string_equal(d.error->code, "outcome_unknown");
	assert_int_equal(d.error->http_status, 504);
	assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
}

static void
doubts(void **state)
{
	static const PgwOutcome outcomes[] = {PGW_OUT_UNKNOWN, PGW_OUT_NOT_FOUND};
	PgwAnswer a = answer(PGW_OUT_UNKNOWN);
	PgwChargeInput in = asked(true, &a);
	PgwDecision d;

	for (int i = 0; i < 2; i++)
	{
		a = answer(outcomes[i]);
		expect(&in, &d, EVENTS(PGW_EV_BANK_OUTCOME_UNKNOWN));
		assert_int_equal(d.state, PGW_BANK_UNKNOWN);
	}
	a = answer(PGW_OUT_PENDING);
	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_PENDING));
	assert_string_equal(d.error->code, "bank_pending");
	in.state = PGW_BANK_UNKNOWN;
	expect(&in, &d, EVENTS(PGW_EV_BANK_STATUS_CHECKED));
}

/*
 * What the bank says it has taken must be what was asked for; what nobody can read is asked about
 * again.
 */
static void
another_capture(void **state)
{
	static const struct
	{
		PgwCaptureMode capture;
		bool submitted;
		int64_t captured;
		bool good;
	} cases[] = {
		{PGW_CAPTURE_IMMEDIATE, false, 1250, true},  {PGW_CAPTURE_IMMEDIATE, true, 1250, true},
		{PGW_CAPTURE_IMMEDIATE, false, 0, false},    {PGW_CAPTURE_IMMEDIATE, true, 0, false},
		{PGW_CAPTURE_IMMEDIATE, true, 1249, false},  {PGW_CAPTURE_IMMEDIATE, true, 1251, false},
		{PGW_CAPTURE_ON_COMMIT, true, 0, false},     {PGW_CAPTURE_ON_COMMIT, true, 1250, true},
		{PGW_CAPTURE_ON_COMMIT, false, 0, true},     {PGW_CAPTURE_ON_COMMIT, false, 1250, true},
		{PGW_CAPTURE_ON_COMMIT, false, 1249, false}, {PGW_CAPTURE_MANUAL, false, 0, true},
		{PGW_CAPTURE_MANUAL, true, 0, true},         {PGW_CAPTURE_MANUAL, true, 1250, false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
		for (int looked = 0; looked < 2; looked++)
		{
			PgwAnswer a = answer(PGW_OUT_APPROVED);
			PgwChargeInput in = asked(cases[i].submitted, &a);
			PgwDecision d;

			in.capture = cases[i].capture;
			in.op = looked ? PGW_OP_LOOKUP_CHARGE : pgw_charge_operation(in.capture, in.submitted);
			in.state = looked ? PGW_BANK_UNKNOWN : PGW_CREATED;
			in.in_doubt = looked;
			a.captured = cases[i].captured;
			pgw_charge_result(&in, &d);
			if ((d.state != PGW_REFUNDING) != cases[i].good)
				fail_msg("case %zu, looked %d: %s", i, looked, pgw_state_name(d.state));
			if (!cases[i].good)
			{
				assert_string_equal(d.reason, "amount_mismatch");
				assert_ptr_equal(d.shown, &a);
				assert_int_equal(d.asked_amount, 1250);
				assert_string_equal(d.asked_currency, "EUR");
			}
			else
				assert_null(d.shown);
			a.captured = -1;
			a.charge_state_unreadable = true;
			pgw_charge_result(&in, &d);
			assert_int_equal(d.state, PGW_BANK_UNKNOWN);
		}
}

#define UNACCEPTABLE \
	EVENTS(PGW_EV_BANK_OUTCOME_UNACCEPTABLE, PGW_EV_COMPENSATION_STARTED, PGW_EV_REFUND_STARTED)

/*
 * Money was taken, but not what was asked for: given back, from either state, and nobody waits for
 * the caller's decision.
 */
static void
another_amount(void **state)
{
	static const PgwState states[] = {PGW_CREATED, PGW_BANK_UNKNOWN};

	for (size_t i = 0; i < LENGTH(states); i++)
	{
		PgwAnswer a = answer(PGW_OUT_APPROVED);
		PgwChargeInput in = asked(true, &a);
		PgwDecision d;

		in.state = states[i];
		a.has_amount = true;
		a.amount = 1251;
		expect(&in, &d, UNACCEPTABLE);
		assert_int_equal(d.state, PGW_REFUNDING);
		assert_string_equal(d.error->code, "outcome_unacceptable");
		assert_string_equal(d.reason, "amount_mismatch");
		assert_int_equal(d.payment, PGW_PAYMENT_BECOMES_FAILED);
		for (int e = 0; e < d.nevents; e++)
		{
			assert_int_equal(d.events[e].from, states[i]);
			assert_int_equal(d.events[e].to, PGW_REFUNDING);
		}

		a.amount = 1249; /* a part of it is not it, either */
		expect(&in, &d, UNACCEPTABLE);

		a.amount = 1250;
		strcpy(a.currency, "USD");
		expect(&in, &d, UNACCEPTABLE);
		a.has_amount = false;
		expect(&in, &d, UNACCEPTABLE);

		strcpy(a.currency, "EUR");
		a.has_amount = true;
		pgw_charge_result(&in, &d);
		assert_int_equal(d.state, PGW_COMPLETED);

		/* it has been given back meanwhile, by whoever */
		a.refunded = 1;
		expect(&in, &d, UNACCEPTABLE);
		a.refunded = 0;
		a.voided = true;
		expect(&in, &d, UNACCEPTABLE);
		a.voided = false;

		a.amount_unreadable = true;
		expect(&in, &d, UNACCEPTABLE);

		in.payment_locked = false; /* whoever writes the row later writes it */
		expect(&in, &d, UNACCEPTABLE);
		assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
		assert_false(d.save_later);
	}
}

static void
looked_up(void **state)
{
	static const struct
	{
		PgwOutcome outcome;
		bool counts;
		bool voided;
		int64_t refunded;
		PgwState want;
		const char *reason;
	} cases[] = {
		{PGW_OUT_APPROVED, false, false, -1, PGW_BANK_APPROVED, NULL},
		{PGW_OUT_APPROVED, false, false, 0, PGW_BANK_APPROVED, NULL},
		{PGW_OUT_APPROVED, true, true, -1, PGW_REFUNDING, "amount_mismatch"},
		{PGW_OUT_APPROVED, true, false, 1, PGW_REFUNDING, "amount_mismatch"},
		{PGW_OUT_APPROVED, true, false, 1250, PGW_REFUNDING, "amount_mismatch"},
		{PGW_OUT_DECLINED, false, false, -1, PGW_FAILED, NULL},
		{PGW_OUT_REQUIRES_ACTION, false, false, -1, PGW_FAILED, NULL},
		{PGW_OUT_NOT_FOUND, true, false, -1, PGW_FAILED, "not_found"},
		{PGW_OUT_NOT_FOUND, false, false, -1, PGW_BANK_UNKNOWN, "not_found_yet"},
		{PGW_OUT_PENDING, true, false, -1, PGW_BANK_UNKNOWN, NULL},
		{PGW_OUT_REJECTED, true, false, -1, PGW_BANK_UNKNOWN, "answer_not_understood"},
		{PGW_OUT_NOT_PROCESSED, true, false, -1, PGW_BANK_UNKNOWN, "answer_not_understood"},
		{PGW_OUT_UNKNOWN, true, false, -1, PGW_BANK_UNKNOWN, "answer_not_understood"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwAnswer a = answer(cases[i].outcome);
		PgwChargeInput in = asked(false, &a);
		PgwDecision d;

		a.voided = cases[i].voided;
		a.refunded = cases[i].refunded;
		in.state = PGW_BANK_UNKNOWN;
		in.in_doubt = true;
		in.op = PGW_OP_LOOKUP_CHARGE;
		in.not_found_counts = cases[i].counts;
		pgw_charge_result(&in, &d);
		assert_null(events_wrong(in.kind, in.state, &d));
		if (d.state != cases[i].want || !same_text(d.reason, cases[i].reason) ||
			d.not_found != same_text(d.reason, "not_found"))
			fail_msg("case %zu: %s, reason %s", i, pgw_state_name(d.state),
					 d.reason != NULL ? d.reason : "none");
		if (d.not_found)
			assert_string_equal(d.error->code, "not_processed");
	}
}

/*
 * A repetition that is another try, because the bank keeps only successes: what it comes to is no
 * word of the first, and what a look-up says may be about the other.
 */
static void
tried_anew(void **state)
{
	static const PgwOutcome outcomes[] = {PGW_OUT_DECLINED, PGW_OUT_REQUIRES_ACTION,
										  PGW_OUT_NOT_FOUND};

	for (size_t o = 0; o < LENGTH(outcomes); o++)
		for (int bits = 0; bits < 16; bits++)
		{
			PgwAnswer a = answer(outcomes[o]);
			PgwChargeInput in = asked(false, &a);
			bool looked = (bits & 4) != 0;
			PgwState want = PGW_FAILED;
			const char *reason = NULL;
			PgwDecision d;

			in.state = PGW_BANK_UNKNOWN;
			in.in_doubt = (bits & 1) != 0;
			in.tried_anew = (bits & 2) != 0;
			in.op = looked ? PGW_OP_LOOKUP_CHARGE : PGW_OP_CHARGE;
			in.can_undo = (bits & 8) != 0;
			in.not_found_counts = true;
			pgw_charge_result(&in, &d);
			assert_null(events_wrong(in.kind, in.state, &d));
			if (outcomes[o] == PGW_OUT_NOT_FOUND)
			{
				want = looked ? PGW_FAILED : PGW_BANK_UNKNOWN;
				reason = looked ? "not_found" : "not_found_yet";
			}
			else if (outcomes[o] == PGW_OUT_REQUIRES_ACTION && in.can_undo)
			{
				want = PGW_BANK_UNKNOWN;
				reason = "requires_action";
			}
			if ((bits & 3) == 3 && (looked || outcomes[o] != PGW_OUT_NOT_FOUND))
			{
				want = looked ? PGW_REQUIRES_MANUAL_REVIEW : PGW_BANK_UNKNOWN;
				reason = "repeat_refused";
			}
			if (d.state != want || !same_text(d.reason, reason))
				fail_msg("outcome %zu, case %d: %s", o, bits, pgw_state_name(d.state));
			/* nothing that would undo the other try, and nothing that looks for a late charge */
			if ((bits & 3) == 3)
				assert_true(!d.not_found && strcmp(d.error->code, PGW_ACTION_REQUIRED) != 0);
		}
}

/* ---- the bank's id of the charge ---- */

/*
 * An answer that names another payment's charge: reviewed, whatever else it says, and whichever way
 * it came.
 */
static void
another_payments_charge(void **state)
{
	static const PgwState states[] = {PGW_CREATED, PGW_BANK_UNKNOWN};
	static const PgwOutcome outcomes[] = {PGW_OUT_APPROVED, PGW_OUT_DECLINED, PGW_OUT_PENDING,
										  PGW_OUT_REQUIRES_ACTION};

	for (int bits = 0; bits < 32; bits++)
		for (size_t o = 0; o < LENGTH(outcomes); o++)
		{
			PgwAnswer a = answer(outcomes[o]);
			PgwChargeInput in = asked((bits & 1) != 0, &a);
			PgwDecision d;

			in.state = states[(bits >> 1) & 1];
			in.op = (bits & 4) != 0 ? PGW_OP_LOOKUP_CHARGE : PGW_OP_CHARGE;
			in.can_cancel = in.can_lookup = (bits & 8) != 0;
			a.has_amount = true;
			a.amount = (bits & 16) != 0 ? 7 : 1250; /* another amount must not give it back */
			in.names_other_charge = true;
			expect(&in, &d, EVENTS(PGW_EV_MANUAL_REVIEW_REQUIRED));
			assert_int_equal(d.state, PGW_REQUIRES_MANUAL_REVIEW);
			assert_string_equal(d.error->code, "bank_reference_taken");
			assert_string_equal(d.reason, "charge_of_another_payment");
			assert_true(d.names_other_charge);
			assert_int_equal(d.payment,
							 in.submitted ? PGW_PAYMENT_BECOMES_IN_REVIEW : PGW_PAYMENT_UNCHANGED);
		}
}

static void
claims(void **state)
{
	static const struct
	{
		PgwOutcome outcome;
		PgwChargeIdClaim asked;
		PgwChargeIdClaim looked_up;
	} cases[] = {
		{PGW_OUT_APPROVED, PGW_CHARGE_ID_CLAIM_TAKE, PGW_CHARGE_ID_CLAIM_TAKE},
		{PGW_OUT_PENDING, PGW_CHARGE_ID_CLAIM_TAKE, PGW_CHARGE_ID_CLAIM_TAKE},
		{PGW_OUT_REQUIRES_ACTION, PGW_CHARGE_ID_CLAIM_TAKE, PGW_CHARGE_ID_CLAIM_TAKE},
		{PGW_OUT_DECLINED, PGW_CHARGE_ID_CLAIM_NOTHING, PGW_CHARGE_ID_CLAIM_LOOK},
		{PGW_OUT_REJECTED, PGW_CHARGE_ID_CLAIM_NOTHING, PGW_CHARGE_ID_CLAIM_NOTHING},
		{PGW_OUT_NOT_PROCESSED, PGW_CHARGE_ID_CLAIM_NOTHING, PGW_CHARGE_ID_CLAIM_NOTHING},
		{PGW_OUT_NOT_FOUND, PGW_CHARGE_ID_CLAIM_NOTHING, PGW_CHARGE_ID_CLAIM_NOTHING},
		{PGW_OUT_UNKNOWN, PGW_CHARGE_ID_CLAIM_NOTHING, PGW_CHARGE_ID_CLAIM_NOTHING},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwAnswer a = answer(cases[i].outcome);

		assert_int_equal(pgw_charge_id_claimed(PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, &a),
						 PGW_CHARGE_ID_CLAIM_NOTHING);
		strcpy(a.bank_reference, "ch_1");
		assert_int_equal(pgw_charge_id_claimed(PGW_OP_CHARGE, PGW_TRANSPORT_ANSWERED, &a),
						 cases[i].asked);
		assert_int_equal(pgw_charge_id_claimed(PGW_OP_AUTHORIZE, PGW_TRANSPORT_ANSWERED, &a),
						 cases[i].asked);
		assert_int_equal(pgw_charge_id_claimed(PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, &a),
						 cases[i].looked_up);
		assert_int_equal(pgw_charge_id_claimed(PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_MAYBE_SENT, &a),
						 PGW_CHARGE_ID_CLAIM_NOTHING);
		assert_int_equal(pgw_charge_id_claimed(PGW_OP_CANCEL, PGW_TRANSPORT_ANSWERED, &a),
						 PGW_CHARGE_ID_CLAIM_LOOK);
		/* an id that must not be kept is never taken, only looked at */
		strcpy(a.bank_reference, "");
		strcpy(a.compared_reference, "ch_1");
		assert_int_equal(pgw_charge_id_claimed(PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_ANSWERED, &a),
						 cases[i].looked_up == PGW_CHARGE_ID_CLAIM_TAKE ? PGW_CHARGE_ID_CLAIM_LOOK
																		: cases[i].looked_up);
		assert_int_equal(pgw_charge_id_claimed(PGW_OP_LOOKUP_CHARGE, PGW_TRANSPORT_MAYBE_SENT, &a),
						 PGW_CHARGE_ID_CLAIM_NOTHING);
	}
}

/*
 * A no whose own document shows money is not believed: its id is not taken for the charge's, but
 * another payment's shows at once.
 */
static void
claims_of_belied_refusals(void **state)
{
	static const PgwOutcome outcomes[] = {PGW_OUT_DECLINED, PGW_OUT_REQUIRES_ACTION,
										  PGW_OUT_REJECTED, PGW_OUT_NOT_PROCESSED,
										  PGW_OUT_NOT_FOUND};
	static const PgwBankOp ops[] = {PGW_OP_CHARGE, PGW_OP_AUTHORIZE, PGW_OP_LOOKUP_CHARGE};

	for (size_t o = 0; o < LENGTH(outcomes); o++)
		for (size_t i = 0; i < LENGTH(ops); i++)
		{
			PgwAnswer a = answer(outcomes[o]);

			a.captured = 1250;
			assert_int_equal(pgw_charge_id_claimed(ops[i], PGW_TRANSPORT_ANSWERED, &a),
							 PGW_CHARGE_ID_CLAIM_NOTHING);
			strcpy(a.bank_reference, "ch_1");
			assert_int_equal(pgw_charge_id_claimed(ops[i], PGW_TRANSPORT_ANSWERED, &a),
							 PGW_CHARGE_ID_CLAIM_LOOK);
			strcpy(a.bank_reference, "");
			strcpy(a.compared_reference, "ch_1");
			assert_int_equal(pgw_charge_id_claimed(ops[i], PGW_TRANSPORT_ANSWERED, &a),
							 PGW_CHARGE_ID_CLAIM_LOOK);
		}
}

/* Approved, but not named: looked up, else cancelled, else reviewed. */
static void
approval_without_reference(void **state)
{
	static const struct
	{
		PgwBankOp op;
		PgwOutcome outcome;
		bool before; /* approved already, without a name */
		bool can_lookup;
		bool can_cancel;
		bool counts;
		int64_t amount;
		PgwState want;
		const char *reason;
	} cases[] = {
		{PGW_OP_CHARGE, PGW_OUT_APPROVED, false, true, true, false, 1250, PGW_BANK_UNKNOWN,
		 "approval_without_reference"},
		{PGW_OP_CHARGE, PGW_OUT_APPROVED, false, true, false, false, 1250, PGW_BANK_UNKNOWN,
		 "approval_without_reference"},
		{PGW_OP_CHARGE, PGW_OUT_APPROVED, false, false, true, false, 1250, PGW_REFUNDING,
		 "approval_without_reference"},
		{PGW_OP_CHARGE, PGW_OUT_APPROVED, false, false, false, false, 1250,
		 PGW_REQUIRES_MANUAL_REVIEW, "approval_without_reference"},
		{PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, true, true, true, false, 1250, PGW_REFUNDING,
		 "approval_without_reference"},
		{PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, true, true, false, false, 1250,
		 PGW_REQUIRES_MANUAL_REVIEW, "approval_without_reference"},
		/* the bank said yes: "not found" is no no, and no reason to charge again */
		{PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, true, true, true, true, 1250, PGW_REFUNDING,
		 "approval_without_reference"},
		{PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, true, true, false, true, 1250,
		 PGW_REQUIRES_MANUAL_REVIEW, "approval_without_reference"},
		{PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, true, true, true, false, 1250, PGW_BANK_UNKNOWN,
		 "not_found_yet"},
		{PGW_OP_LOOKUP_CHARGE, PGW_OUT_UNKNOWN, true, true, true, true, 1250, PGW_BANK_UNKNOWN,
		 "answer_not_understood"},
		{PGW_OP_LOOKUP_CHARGE, PGW_OUT_PENDING, true, true, true, true, 1250, PGW_BANK_UNKNOWN,
		 NULL},
		/*
		 * another amount: cancelled at once where that is possible, else somebody has to name it
		 * first
		 */
		{PGW_OP_CHARGE, PGW_OUT_APPROVED, false, true, true, false, 7, PGW_REFUNDING,
		 "amount_mismatch"},
		{PGW_OP_CHARGE, PGW_OUT_APPROVED, false, true, false, false, 7, PGW_BANK_UNKNOWN,
		 "approval_without_reference"},
		{PGW_OP_CHARGE, PGW_OUT_APPROVED, false, false, false, false, 7, PGW_REQUIRES_MANUAL_REVIEW,
		 "approval_without_reference"},
	};

	for (size_t i = 0; i < 2 * LENGTH(cases); i++)
	{
		size_t c = i / 2;
		PgwAnswer a = answer(cases[c].outcome);
		PgwChargeInput in = asked(i % 2, &a);
		PgwDecision d;

		in.op = cases[c].op;
		in.state = in.op == PGW_OP_LOOKUP_CHARGE ? PGW_BANK_UNKNOWN : PGW_CREATED;
		in.lacks_reference = true;
		in.approved_before = cases[c].before;
		in.can_lookup = cases[c].can_lookup;
		in.can_cancel = cases[c].can_cancel;
		in.not_found_counts = cases[c].counts;
		a.has_amount = true;
		a.amount = cases[c].amount;
		pgw_charge_result(&in, &d);
		assert_null(events_wrong(in.kind, in.state, &d));
		if (d.state != cases[c].want || !same_text(d.reason, cases[c].reason) || d.not_found)
			fail_msg("case %zu: %s, reason %s", c, pgw_state_name(d.state),
					 d.reason != NULL ? d.reason : "none");
		/* that it was approved stays on record until it is named or given up */
		if (d.state != PGW_REFUNDING)
			assert_string_equal(d.error->code, PGW_APPROVAL_INCOMPLETE);
		assert_int_equal(d.payment, !in.submitted || d.state == PGW_BANK_UNKNOWN
										? PGW_PAYMENT_UNCHANGED
									: d.state == PGW_REFUNDING ? PGW_PAYMENT_BECOMES_FAILED
															   : PGW_PAYMENT_BECOMES_IN_REVIEW);
	}
}

static void
late_and_cancelled(void **state)
{
	PgwDecision d;

	pgw_charge_late_review("bank_reference_taken", "charge_of_another_payment", &d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_FAILED, &d));
	assert_true(
		events_are(&d, EVENTS(PGW_EV_LATE_APPROVAL_RECEIVED, PGW_EV_MANUAL_REVIEW_REQUIRED)));
	assert_string_equal(d.error->code, "bank_reference_taken");
	pgw_charge_cancel(&d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_BANK_UNKNOWN, &d));
	assert_true(events_are(&d, UNACCEPTABLE));
	assert_string_equal(d.error->code, "outcome_unacceptable");
}

/* ---- every combination ---- */

static const char *
describe(const PgwChargeInput *in, const PgwDecision *d)
{
	static char text[512];
	const PgwAnswer *a = in->answer;

	snprintf(
		text, sizeof(text),
		"%s, %s, transport %d, outcome %s '%s', counts %d, capture %d, submitted %d, locked %d, amount %d %lld '%s' bad %d, "
		"voided %d, refunded %lld: %s, %d events, payment %d",
		pgw_state_name(in->state), pgw_op_name(in->op), (int) in->transport,
		pgw_outcome_name(a->outcome), a->error_code, in->not_found_counts, (int) in->capture,
		in->submitted, in->payment_locked, a->has_amount, (long long) a->amount, a->currency,
		a->amount_unreadable, a->voided, (long long) a->refunded, pgw_state_name(d->state),
		d->nevents, (int) d->payment);
	return text;
}

#define HOLDS(condition) CHECK(condition, describe(in, &d))

/* The state that the answer must lead to, by the contract. */
static PgwState
state_after(const PgwChargeInput *in, bool as_asked)
{
	bool doubt = in->in_doubt;

	if (in->transport == PGW_TRANSPORT_NEVER_SENT)
		return doubt ? PGW_BANK_UNKNOWN : PGW_FAILED;
	if (in->transport == PGW_TRANSPORT_MAYBE_SENT)
		return PGW_BANK_UNKNOWN;
	switch (in->answer->outcome)
	{
		case PGW_OUT_APPROVED:
			return !as_asked                             ? PGW_REFUNDING
				   : in->submitted && in->payment_locked ? PGW_COMPLETED
														 : PGW_BANK_APPROVED;
		case PGW_OUT_DECLINED:
		case PGW_OUT_REQUIRES_ACTION:
			return PGW_FAILED;
		case PGW_OUT_REJECTED:
		case PGW_OUT_NOT_PROCESSED:
			return doubt ? PGW_BANK_UNKNOWN : PGW_FAILED;
		case PGW_OUT_NOT_FOUND:
			return in->op == PGW_OP_LOOKUP_CHARGE && in->not_found_counts ? PGW_FAILED
																		  : PGW_BANK_UNKNOWN;
		default:
			return PGW_BANK_UNKNOWN;
	}
}

static void
check_result(const PgwChargeInput *in, bool as_asked)
{
	PgwDecision d;
	PgwState want = state_after(in, as_asked);
	bool writes = in->submitted && in->payment_locked;
	bool taken = want == PGW_BANK_APPROVED || want == PGW_COMPLETED;
	bool said_no =
		in->transport == PGW_TRANSPORT_ANSWERED &&
		(in->answer->outcome == PGW_OUT_DECLINED || in->answer->outcome == PGW_OUT_REQUIRES_ACTION);

	pgw_charge_result(in, &d);
	HOLDS(events_wrong(in->kind, in->state, &d) == NULL);
	HOLDS(d.state == want);
	HOLDS(!d.keep_error && (d.error == NULL) == taken);
	HOLDS(d.save_later == (want == PGW_BANK_APPROVED && in->submitted));
	HOLDS(d.not_found == (want == PGW_FAILED && in->transport == PGW_TRANSPORT_ANSWERED &&
						  in->answer->outcome == PGW_OUT_NOT_FOUND));

	/* the payments row: only where the worker writes it, and as it would be written later */
	if (!writes || want == PGW_BANK_UNKNOWN)
		HOLDS(d.payment == PGW_PAYMENT_UNCHANGED);
	else if (taken)
	{
		bool captured = in->capture != PGW_CAPTURE_MANUAL;

		HOLDS(d.payment ==
			  (captured ? PGW_PAYMENT_BECOMES_CAPTURED : PGW_PAYMENT_BECOMES_AUTHORIZED));
		HOLDS(d.authorized_amount == in->amount &&
			  d.captured_amount == (captured ? in->amount : 0));
	}
	else
		HOLDS(d.payment == pgw_charge_payment_of_state(d.state, d.error->code));

	/* what callers are told */
	if (want == PGW_BANK_UNKNOWN)
		HOLDS(d.error->class == PGW_CLASS_TIMEOUT && d.error->http_status == 504 &&
			  !d.error->retryable);
	if (want == PGW_FAILED)
		HOLDS(strcmp(d.error->sqlstate, said_no ? "PW402" : "PW502") == 0 &&
			  pgw_charge_payment_of_state(want, d.error->code) ==
				  (said_no ? PGW_PAYMENT_BECOMES_DECLINED : PGW_PAYMENT_BECOMES_FAILED));
	if (want == PGW_REFUNDING)
		HOLDS(strcmp(d.error->code, "outcome_unacceptable") == 0);
}

static void
every_answer(PgwChargeInput in)
{
	static const char *const codes[] = {
		"",           "insufficient_funds", "bank_credentials_rejected", "outcome_unknown",
		"given_back", "no_such_code"};
	static const struct
	{
		bool has_amount;
		int64_t amount;
		const char *currency;
		bool bad;
		bool as_asked;
	} amounts[] = {
		{false, 0, "", false, true},       {false, 0, "EUR", false, true},
		{true, 1250, "", false, true},     {true, 1250, "EUR", false, true},
		{true, 1251, "EUR", false, false}, {true, 0, "", false, false},
		{true, 1250, "USD", false, false}, {false, 0, "USD", false, false},
		{true, 1250, "EUR", true, false},
	};
	static const int64_t refunded[] = {-1, 0, 1, 1250};

	for (int outcome = PGW_OUT_UNKNOWN; outcome <= PGW_OUT_NOT_FOUND; outcome++)
		for (size_t c = 0; c < LENGTH(codes); c++)
			for (size_t m = 0; m < LENGTH(amounts); m++)
				for (size_t r = 0; r < 2 * LENGTH(refunded); r++)
				{
					PgwAnswer a = answer((PgwOutcome) outcome);

					strcpy(a.error_code, codes[c]);
					a.has_amount = amounts[m].has_amount;
					a.amount = amounts[m].amount;
					strcpy(a.currency, amounts[m].currency);
					a.amount_unreadable = amounts[m].bad;
					a.refunded = refunded[r / 2];
					a.voided = r % 2;
					in.answer = &a;
					check_result(&in, amounts[m].as_asked && !a.voided && a.refunded <= 0);
				}
}

static void
every_combination(void **state)
{
	static const PgwState states[] = {PGW_CREATED, PGW_BANK_UNKNOWN};
	static const PgwBankOp ops[] = {PGW_OP_CHARGE, PGW_OP_AUTHORIZE, PGW_OP_LOOKUP_CHARGE};

	for (size_t s = 0; s < LENGTH(states); s++)
		for (size_t op = 0; op < LENGTH(ops); op++)
			for (int transport = PGW_TRANSPORT_ANSWERED; transport <= PGW_TRANSPORT_MAYBE_SENT;
				 transport++)
				for (int capture = PGW_CAPTURE_IMMEDIATE; capture <= PGW_CAPTURE_MANUAL; capture++)
					for (int bits = 0; bits < 16; bits++)
					{
						PgwChargeInput in = asked((bits & 1) != 0, NULL);

						in.state = states[s];
						in.op = ops[op];
						in.transport = (PgwTransport) transport;
						in.capture = (PgwCaptureMode) capture;
						in.payment_locked = (bits & 2) != 0;
						in.not_found_counts = (bits & 4) != 0;
						in.in_doubt = states[s] == PGW_BANK_UNKNOWN && (bits & 8) != 0;
						every_answer(in);
					}
}

/* ---- the rest ---- */

static void
operation(void **state)
{
	assert_int_equal(pgw_charge_operation(PGW_CAPTURE_IMMEDIATE, false), PGW_OP_CHARGE);
	assert_int_equal(pgw_charge_operation(PGW_CAPTURE_IMMEDIATE, true), PGW_OP_CHARGE);
	assert_int_equal(pgw_charge_operation(PGW_CAPTURE_ON_COMMIT, false), PGW_OP_AUTHORIZE);
	assert_int_equal(pgw_charge_operation(PGW_CAPTURE_ON_COMMIT, true), PGW_OP_CHARGE);
	assert_int_equal(pgw_charge_operation(PGW_CAPTURE_MANUAL, false), PGW_OP_AUTHORIZE);
	assert_int_equal(pgw_charge_operation(PGW_CAPTURE_MANUAL, true), PGW_OP_AUTHORIZE);
}

static void
saving(void **state)
{
	for (int capture = PGW_CAPTURE_IMMEDIATE; capture <= PGW_CAPTURE_MANUAL; capture++)
		for (int submitted = 0; submitted < 2; submitted++)
		{
			bool charged =
				pgw_charge_operation((PgwCaptureMode) capture, submitted) == PGW_OP_CHARGE;
			bool capture_follows = capture == PGW_CAPTURE_ON_COMMIT && !submitted;
			PgwDecision d;

			pgw_charge_save((PgwCaptureMode) capture, submitted, 10, &d);
			assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_BANK_APPROVED, &d));
			if (capture_follows)
				assert_true(events_are(&d, EVENTS(PGW_EV_PAYMENT_DATA_SAVE_COMPLETED)));
			else
				assert_true(events_are(
					&d, EVENTS(PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_EV_TRANSACTION_COMPLETED)));
			assert_int_equal(d.state, capture_follows ? PGW_SAVED : PGW_COMPLETED);
			assert_int_equal(d.payment, charged ? PGW_PAYMENT_BECOMES_CAPTURED
												: PGW_PAYMENT_BECOMES_AUTHORIZED);
			assert_int_equal(d.authorized_amount, 10);
			assert_int_equal(d.captured_amount, charged ? 10 : 0);
			assert_null(d.error);
		}
}

static void
expired_lost_superseded(void **state)
{
	PgwDecision d;

	pgw_charge_expired(&d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_CREATED, &d));
	assert_true(events_are(&d, EVENTS(PGW_EV_TRANSACTION_FAILED)));
	assert_string_equal(d.error->code, "request_expired");
	assert_int_equal(d.payment, PGW_PAYMENT_BECOMES_FAILED);

	pgw_charge_lost(&d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_CREATED, &d));
	assert_true(events_are(&d, EVENTS(PGW_EV_BANK_OUTCOME_UNKNOWN)));
	assert_int_equal(d.state, PGW_BANK_UNKNOWN);
	assert_string_equal(d.error->code, "outcome_unknown");
	assert_string_equal(d.reason, "worker_lost");
	assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);

	/* its payments row goes on with another attempt, and must not be touched */
	pgw_charge_superseded(&d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_CREATED, &d));
	assert_true(events_are(&d, EVENTS(PGW_EV_TRANSACTION_FAILED)));
	assert_int_equal(d.state, PGW_FAILED);
	assert_string_equal(d.error->code, "superseded");
	assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
	assert_false(d.not_found);
}

static void
review(void **state)
{
	static const PgwState from[] = {PGW_CREATED, PGW_BANK_UNKNOWN, PGW_BANK_APPROVED, PGW_SAVED,
									PGW_REFUNDING};

	for (size_t i = 0; i < LENGTH(from); i++)
	{
		PgwDecision d;

		pgw_charge_review(from[i], "outcome_unknown", "deadline", &d);
		assert_null(events_wrong(PGW_KIND_PAYMENT, from[i], &d));
		assert_true(events_are(&d, EVENTS(PGW_EV_MANUAL_REVIEW_REQUIRED)));
		assert_int_equal(d.state, PGW_REQUIRES_MANUAL_REVIEW);
		assert_string_equal(d.error->code, "outcome_unknown");
		assert_string_equal(d.reason, "deadline");
		assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
	}
}

/* Adopted in whatever state it is, which stays; the error that the attempt has stays too. */
static void
adopted(void **state)
{
	static const PgwState from[] = {PGW_CREATED, PGW_BANK_UNKNOWN, PGW_BANK_APPROVED};

	for (size_t i = 0; i < LENGTH(from); i++)
	{
		PgwDecision d;

		pgw_charge_adopt(from[i], &d);
		assert_null(events_wrong(PGW_KIND_PAYMENT, from[i], &d));
		if (from[i] == PGW_BANK_APPROVED)
			assert_true(events_are(
				&d, EVENTS(PGW_EV_TRANSACTION_ADOPTED, PGW_EV_PAYMENT_DATA_SAVE_STARTED)));
		else
			assert_true(events_are(&d, EVENTS(PGW_EV_TRANSACTION_ADOPTED)));
		assert_int_equal(d.state, from[i]);
		assert_true(d.keep_error);
		assert_int_equal(d.payment, PGW_PAYMENT_UNCHANGED);
	}
}

static void
settled_payment(void **state)
{
	static const struct
	{
		PgwState state;
		const char *code;
		PgwPaymentChange want;
	} cases[] = {
		{PGW_CREATED, NULL, PGW_PAYMENT_UNCHANGED},
		{PGW_BANK_UNKNOWN, "outcome_unknown", PGW_PAYMENT_UNCHANGED},
		{PGW_BANK_APPROVED, NULL, PGW_PAYMENT_UNCHANGED},
		{PGW_SAVED, NULL, PGW_PAYMENT_UNCHANGED},
		{PGW_COMPLETED, NULL, PGW_PAYMENT_UNCHANGED},
		{PGW_FAILED, "declined", PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_FAILED, "authentication_required", PGW_PAYMENT_BECOMES_DECLINED},
		{PGW_FAILED, "not_processed", PGW_PAYMENT_BECOMES_FAILED},
		{PGW_FAILED, "bank_unavailable", PGW_PAYMENT_BECOMES_FAILED},
		/* of the same class as a decline, but none */
		{PGW_FAILED, "request_expired", PGW_PAYMENT_BECOMES_FAILED},
		{PGW_FAILED, "no_such_code", PGW_PAYMENT_BECOMES_FAILED},
		{PGW_FAILED, NULL, PGW_PAYMENT_BECOMES_FAILED},
		{PGW_REFUNDING, "given_back", PGW_PAYMENT_BECOMES_FAILED},
		{PGW_REFUNDING, "declined", PGW_PAYMENT_BECOMES_FAILED},
		{PGW_REFUNDED, "outcome_unacceptable", PGW_PAYMENT_BECOMES_FAILED},
		{PGW_REFUNDED, NULL, PGW_PAYMENT_BECOMES_FAILED},
		{PGW_REQUIRES_MANUAL_REVIEW, "refund_refused", PGW_PAYMENT_BECOMES_IN_REVIEW},
		{PGW_REQUIRES_MANUAL_REVIEW, NULL, PGW_PAYMENT_BECOMES_IN_REVIEW},
	};
	bool seen[PGW_NSTATES] = {false};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		if (pgw_charge_payment_of_state(cases[i].state, cases[i].code) != cases[i].want)
			fail_msg("%s, %s", pgw_state_name(cases[i].state),
					 cases[i].code != NULL ? cases[i].code : "no code");
		seen[cases[i].state] = true;
	}
	for (int s = 0; s < PGW_NSTATES; s++)
		assert_true(seen[s]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(approved_process),
		cmocka_unit_test(tried_anew),
		cmocka_unit_test(approved_submit),
		cmocka_unit_test(refusals),
		cmocka_unit_test(belied_refusals),
		cmocka_unit_test(transport),
		cmocka_unit_test(doubts),
		cmocka_unit_test(another_capture),
		cmocka_unit_test(another_amount),
		cmocka_unit_test(looked_up),
		cmocka_unit_test(another_payments_charge),
		cmocka_unit_test(claims),
		cmocka_unit_test(claims_of_belied_refusals),
		cmocka_unit_test(approval_without_reference),
		cmocka_unit_test(late_and_cancelled),
		cmocka_unit_test(every_combination),
		cmocka_unit_test(operation),
		cmocka_unit_test(saving),
		cmocka_unit_test(expired_lost_superseded),
		cmocka_unit_test(review),
		cmocka_unit_test(adopted),
		cmocka_unit_test(settled_payment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
