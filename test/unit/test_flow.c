/*
 * test_flow.c - every answer, for every way of asking: events, state, payment, error
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/flow.h"

static PgwAnswer
answer(PgwOutcome outcome)
{
	PgwAnswer	a;

	memset(&a, 0, sizeof(a));
	a.outcome = outcome;
	a.captured = a.refunded = a.retry_after_s = -1;
	return a;
}

static PgwFlowInput
asked(bool submitted, const PgwAnswer *a)
{
	PgwFlowInput in = {
		.kind = PGW_KIND_PAYMENT, .state = PGW_CREATED, .capture = PGW_CAPTURE_IMMEDIATE, .submitted = submitted,
		.payment_locked = submitted, .amount = 1250, .currency = "EUR",
		.transport = PGW_TRANSPORT_ANSWERED, .answer = a
	};

	return in;
}

/* Runs it and checks what must hold for any input; want: the expected events, -1 ends. */
static void
expect(const PgwFlowInput *in, PgwFlowDecision *d, const int *want)
{
	int			n = 0;

	pgw_flow_result(in, d);
	for (; want[n] >= 0; n++)
	{
		assert_true(n < d->nevents);
		assert_string_equal(pgw_event_name(d->events[n].type), pgw_event_name((PgwEventType) want[n]));
		assert_true(pgw_event_legal(in->kind, d->events[n].from, d->events[n].to, d->events[n].type));
	}
	assert_int_equal(d->nevents, n);
	assert_int_equal(d->events[0].from, in->state);
	assert_int_equal(d->events[n - 1].to, d->state);
	if (!in->submitted)
		assert_int_equal(d->payment, PGW_FLOW_PAY_NONE);
}

#define EVENTS(...) ((const int[]) {__VA_ARGS__, -1})

static void
approved_process(void **state)
{
	PgwAnswer	a = answer(PGW_OUT_APPROVED);
	PgwFlowInput in = asked(false, &a);
	PgwFlowDecision d;

	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_STARTED));
	assert_int_equal(d.state, PGW_BANK_APPROVED);
	assert_null(d.error);
	in.state = PGW_BANK_UNKNOWN;
	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_STARTED));
}

static void
approved_submit(void **state)
{
	static const PgwFlowPayment want[] = {PGW_FLOW_PAY_CAPTURED, PGW_FLOW_PAY_CAPTURED, PGW_FLOW_PAY_AUTHORIZED};
	PgwAnswer	a = answer(PGW_OUT_APPROVED);
	PgwFlowInput in = asked(true, &a);
	PgwFlowDecision d;

	for (int c = PGW_CAPTURE_IMMEDIATE; c <= PGW_CAPTURE_MANUAL; c++)
	{
		in.capture = (PgwCaptureMode) c;
		expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_STARTED,
							   PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_EV_TRANSACTION_COMPLETED));
		assert_int_equal(d.state, PGW_COMPLETED);
		assert_int_equal(d.payment, want[c]);
		assert_int_equal(d.authorized_amount, 1250);
		assert_int_equal(d.captured_amount, want[c] == PGW_FLOW_PAY_CAPTURED ? 1250 : 0);
	}
	in.payment_locked = false;
	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_STARTED));
	assert_true(d.save_later);
	assert_int_equal(d.payment, PGW_FLOW_PAY_NONE);
}

static void
refusals(void **state)
{
	static const struct
	{
		PgwOutcome	outcome;
		const char *code;
		const char *want;
		int			http;
		PgwFlowPayment payment;
	}			cases[] = {
		{PGW_OUT_DECLINED, "insufficient_funds", "insufficient_funds", 422, PGW_FLOW_PAY_DECLINED},
		{PGW_OUT_DECLINED, "", "declined", 422, PGW_FLOW_PAY_DECLINED},
		{PGW_OUT_DECLINED, "no_such_code", "declined", 422, PGW_FLOW_PAY_DECLINED},
		{PGW_OUT_DECLINED, "outcome_unknown", "declined", 422, PGW_FLOW_PAY_DECLINED},
		{PGW_OUT_REQUIRES_ACTION, "", "authentication_required", 422, PGW_FLOW_PAY_DECLINED},
		{PGW_OUT_REJECTED, "", "bank_rejected_request", 502, PGW_FLOW_PAY_FAILED},
		{PGW_OUT_REJECTED, "bank_credentials_rejected", "bank_credentials_rejected", 502, PGW_FLOW_PAY_FAILED},
		{PGW_OUT_NOT_PROCESSED, "", "not_processed", 502, PGW_FLOW_PAY_FAILED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		for (int submitted = 0; submitted < 2; submitted++)
		{
			PgwAnswer	a = answer(cases[i].outcome);
			PgwFlowInput in = asked(submitted, &a);
			PgwFlowDecision d;

			strncpy(a.error_code, cases[i].code, sizeof(a.error_code) - 1);
			expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_FAILED, PGW_EV_TRANSACTION_FAILED));
			assert_int_equal(d.state, PGW_FAILED);
			assert_string_equal(d.error->code, cases[i].want);
			assert_int_equal(d.error->http_status, cases[i].http);
			assert_int_equal(pgw_flow_failed_payment(d.error->code), cases[i].payment);
			if (submitted)
				assert_int_equal(d.payment, cases[i].payment);
		}
	}
}

static void
transport(void **state)
{
	PgwFlowInput in = asked(true, NULL);
	PgwFlowDecision d;

	in.transport = PGW_TRANSPORT_NEVER_SENT;
	expect(&in, &d, EVENTS(PGW_EV_BANK_PROCESSING_FAILED, PGW_EV_TRANSACTION_FAILED));
	assert_string_equal(d.error->code, "bank_unavailable");
	assert_int_equal(d.payment, PGW_FLOW_PAY_FAILED);

	/* an earlier request may have arrived: that this one did not proves nothing */
	in.state = PGW_BANK_UNKNOWN;
	expect(&in, &d, EVENTS(PGW_EV_BANK_STATUS_CHECKED));
	assert_int_equal(d.state, PGW_BANK_UNKNOWN);

	in.state = PGW_CREATED;
	in.transport = PGW_TRANSPORT_MAYBE_SENT;
	expect(&in, &d, EVENTS(PGW_EV_BANK_OUTCOME_UNKNOWN));
	assert_string_equal(d.error->code, "outcome_unknown");
	assert_int_equal(d.error->http_status, 504);
	assert_int_equal(d.payment, PGW_FLOW_PAY_NONE);
}

static void
doubts(void **state)
{
	static const PgwOutcome outcomes[] = {PGW_OUT_UNKNOWN, PGW_OUT_NOT_FOUND};
	PgwAnswer	a = answer(PGW_OUT_UNKNOWN);
	PgwFlowInput in = asked(true, &a);
	PgwFlowDecision d;

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

static void
another_amount(void **state)
{
	PgwAnswer	a = answer(PGW_OUT_APPROVED);
	PgwFlowInput in = asked(true, &a);
	PgwFlowDecision d;

	a.has_amount = true;
	a.amount = 1251;
	expect(&in, &d, EVENTS(PGW_EV_BANK_OUTCOME_UNKNOWN));
	assert_string_equal(d.reason, "amount_mismatch");

	a.amount = 1250;
	strcpy(a.currency, "USD");
	expect(&in, &d, EVENTS(PGW_EV_BANK_OUTCOME_UNKNOWN));

	strcpy(a.currency, "EUR");
	pgw_flow_result(&in, &d);
	assert_int_equal(d.state, PGW_COMPLETED);

	a.amount_bad = true;
	expect(&in, &d, EVENTS(PGW_EV_BANK_OUTCOME_UNKNOWN));
}

static void
saving(void **state)
{
	PgwFlowDecision d;

	pgw_flow_save(PGW_CAPTURE_ON_COMMIT, false, 10, &d);
	assert_int_equal(d.nevents, 1);
	assert_int_equal(d.state, PGW_SAVED);
	assert_int_equal(d.payment, PGW_FLOW_PAY_AUTHORIZED);

	pgw_flow_save(PGW_CAPTURE_IMMEDIATE, false, 10, &d);
	assert_int_equal(d.nevents, 2);
	assert_int_equal(d.state, PGW_COMPLETED);
	assert_int_equal(d.captured_amount, 10);

	pgw_flow_expired(&d);
	assert_int_equal(d.nevents, 1);
	assert_string_equal(d.error->code, "request_expired");
	assert_true(pgw_event_legal(PGW_KIND_PAYMENT, d.events[0].from, d.events[0].to, d.events[0].type));
	assert_int_equal(pgw_flow_failed_payment(d.error->code), PGW_FLOW_PAY_FAILED);
	assert_int_equal(pgw_flow_failed_payment(NULL), PGW_FLOW_PAY_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(approved_process), cmocka_unit_test(approved_submit), cmocka_unit_test(refusals),
		cmocka_unit_test(transport), cmocka_unit_test(doubts), cmocka_unit_test(another_amount), cmocka_unit_test(saving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
