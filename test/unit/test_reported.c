/*
 * test_reported.c - what a bank shows of a charge that pgw has not made: by hand, and beside a bank
 * at which pgw and somebody else capture and give back in turn
 */
#include "check_flow.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/payment/reported_by_bank.h"
#include "random.h"

/* What the bank shows; -1: it does not. */
typedef struct Shown
{
	int captured;
	int refunded;
	int voided;
} Shown;

static PgwReport
report(const PgwPaymentAmounts *s, Shown shown, bool shows_all)
{
	PgwAnswer a = answer(PGW_OUT_APPROVED);
	PgwReportInput in = {.s = s, .currency = "EUR", .answer = &a, .shows_all = shows_all};
	PgwReport out;

	a.captured = shown.captured;
	a.refunded = shown.refunded;
	a.has_voided = shown.voided >= 0;
	a.voided = shown.voided == 1;
	pgw_report_read(&in, &out);
	return out;
}

/* One operation, told by a bank that can be asked nothing. */
static void
told(void **unused)
{
	static const PgwPaymentAmounts captured = {PGW_PAY_CAPTURED, 100, 100, 0, 0, 0, 0, 0, 0, 0};
	static const PgwPaymentAmounts authorized = {PGW_PAY_AUTHORIZED, 100, 0, 0, 0, 0, 0, 0, 0, 0};
	static const PgwPaymentAmounts declined = {PGW_PAY_DECLINED, 100, 0, 0, 0, 0, 0, 0, 0, 0};
#define TOLD(amounts, op, is_done) \
	.s = &amounts, .currency = "EUR", .about = op, .done = is_done, .has_amount = true, \
	.amount = 40, .said_currency = "EUR"
	static const struct
	{
		PgwToldInput in;
		PgwToldStep want;
	} cases[] = {
		{{TOLD(captured, PGW_OP_REFUND, true)}, PGW_TOLD_RECORD},
		/* told again, whoever has made it */
		{{TOLD(captured, PGW_OP_REFUND, true), .owner = PGW_TOLD_OURS}, PGW_TOLD_SEEN},
		{{TOLD(captured, PGW_OP_REFUND, true), .owner = PGW_TOLD_OURS, .owner_done = true},
		 PGW_TOLD_SEEN},
		{{TOLD(captured, PGW_OP_REFUND, true), .owner = PGW_TOLD_BANKS, .owner_done = true},
		 PGW_TOLD_SEEN},
		/* what cannot be of one and the same */
		{{TOLD(captured, PGW_OP_REFUND, true), .owner = PGW_TOLD_BANKS, .owner_failed = true},
		 PGW_TOLD_UNCLEAR},
		{{TOLD(captured, PGW_OP_REFUND, true), .owner = PGW_TOLD_OURS, .differs = true},
		 PGW_TOLD_UNCLEAR},
		{{TOLD(captured, PGW_OP_REFUND, true), .owner = PGW_TOLD_ELSEWHERES, .owner_done = true},
		 PGW_TOLD_UNCLEAR},
		{{TOLD(captured, PGW_OP_REFUND, true), .of_other_charge = true}, PGW_TOLD_UNCLEAR},
		/* pgw's own may be meant */
		{{TOLD(captured, PGW_OP_REFUND, true), .own_unnamed_open = true}, PGW_TOLD_WAITS},
		{{TOLD(captured, PGW_OP_REFUND, true), .own_unnamed_done = true}, PGW_TOLD_UNCLEAR},
		/* failures, in whatever order */
		{{TOLD(captured, PGW_OP_REFUND, true), .failed_too = true}, PGW_TOLD_UNCLEAR},
		{{TOLD(captured, PGW_OP_REFUND, false)}, PGW_TOLD_SEEN},
		{{TOLD(captured, PGW_OP_REFUND, false), .own_unnamed_open = true}, PGW_TOLD_SEEN},
		{{TOLD(captured, PGW_OP_REFUND, false), .owner = PGW_TOLD_OURS}, PGW_TOLD_SEEN},
		{{TOLD(captured, PGW_OP_REFUND, false), .owner = PGW_TOLD_OURS, .owner_done = true},
		 PGW_TOLD_UNCLEAR},
		{{TOLD(captured, PGW_OP_REFUND, false), .owner = PGW_TOLD_BANKS, .owner_done = true},
		 PGW_TOLD_TAKE_BACK},
		{{TOLD(captured, PGW_OP_REFUND, false), .owner = PGW_TOLD_BANKS, .owner_failed = true},
		 PGW_TOLD_SEEN},
		{{TOLD(captured, PGW_OP_REFUND, false), .owner = PGW_TOLD_BANKS, .owner_done = true,
		  .differs = true},
		 PGW_TOLD_UNCLEAR},
		{{TOLD(captured, PGW_OP_CAPTURE, false), .owner = PGW_TOLD_BANKS, .owner_done = true},
		 PGW_TOLD_UNCLEAR},
		{{TOLD(authorized, PGW_OP_CAPTURE, true)}, PGW_TOLD_RECORD},
		{{TOLD(captured, PGW_OP_CAPTURE, true)}, PGW_TOLD_UNCLEAR},
		{{TOLD(authorized, PGW_OP_VOID, true)}, PGW_TOLD_RECORD},
		{{TOLD(captured, PGW_OP_VOID, true)}, PGW_TOLD_UNCLEAR},
		{{TOLD(declined, PGW_OP_REFUND, true)}, PGW_TOLD_UNCLEAR},
	};
	PgwPaymentAmounts open = captured;
	PgwToldInput in = {TOLD(captured, PGW_OP_REFUND, true)};
	PgwPaymentAmounts much = captured;

	(void) unused;
	much.bank_refunded = INT64_MAX / 8 - 4000;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		if (pgw_report_told(&cases[i].in) != cases[i].want)
			fail_msg("case %zu: %d", i, (int) pgw_report_told(&cases[i].in));
	}
	in.said_currency = "USD";
	assert_int_equal(pgw_report_told(&in), PGW_TOLD_UNCLEAR);
	in.said_currency = NULL;
	assert_int_equal(pgw_report_told(&in), PGW_TOLD_UNCLEAR);
	in.said_currency = "EUR";
	in.amount = 4000; /* more than was captured: recorded as it is */
	assert_int_equal(pgw_report_told(&in), PGW_TOLD_RECORD);
	in.s = &much; /* ... but for what no number would hold together */
	assert_int_equal(pgw_report_told(&in), PGW_TOLD_RECORD);
	in.amount = INT64_MAX / 8;
	assert_int_equal(pgw_report_told(&in), PGW_TOLD_UNCLEAR);
	in.has_amount = false;
	assert_int_equal(pgw_report_told(&in), PGW_TOLD_UNCLEAR);
	in = (PgwToldInput){TOLD(open, PGW_OP_CAPTURE, true)};
	open.status = PGW_PAY_AUTHORIZED;
	open.reserved = 10;
	assert_int_equal(pgw_report_told(&in), PGW_TOLD_WAITS);
#undef TOLD
}

static const char *
text(const PgwReport *r)
{
	static char t[128];

	snprintf(t, sizeof(t), "%s%d %d -%d%s%s%s", r->told ? "" : "not told ", (int) r->captured,
			 (int) r->refunded, (int) r->taken_back, r->voided ? " voided" : "",
			 r->unexplained ? " unexplained" : "", r->again ? " again" : "");
	return t;
}

#define CAPTURED(refunded, pending, bank_refunded) \
	{ \
		PGW_PAY_CAPTURED, 100, 100, 0, 0, refunded, pending, 0, bank_refunded, 0 \
	}

static void
by_hand(void **unused)
{
	static const struct
	{
		PgwPaymentAmounts s;
		Shown shown;
		const char *want;  /* captured, refunded, taken back */
		const char *stale; /* where the look-up may be older than what pgw did; NULL: the same */
	} rows[] = {
		{CAPTURED(0, 0, 0), {100, 0, 0}, "0 0 -0", NULL},
		{CAPTURED(0, 0, 0), {-1, -1, -1}, "0 0 -0", NULL},
		/* given back at the bank: all of it, a part, more than there was */
		{CAPTURED(0, 0, 0), {100, 100, 0}, "0 100 -0", NULL},
		{CAPTURED(0, 0, 0), {100, 30, 0}, "0 30 -0", NULL},
		{CAPTURED(0, 0, 0), {-1, 30, -1}, "0 30 -0", NULL},
		{CAPTURED(0, 0, 0), {100, 130, 0}, "0 130 -0", NULL},
		/* beside what pgw has given back; and shown again */
		{CAPTURED(20, 0, 0), {100, 30, 0}, "0 10 -0", NULL},
		{CAPTURED(20, 0, 10), {100, 30, 0}, "0 0 -0", NULL},
		{CAPTURED(20, 0, 10), {100, 45, 0}, "0 15 -0", NULL},
		/* one of pgw's is open: it may be that */
		{CAPTURED(0, 30, 0), {100, 30, 0}, "0 0 -0 again", NULL},
		{CAPTURED(0, 30, 0), {100, 0, 0}, "0 0 -0", NULL},
		/* less than before: taken back, but never what pgw has done */
		{CAPTURED(20, 0, 30), {100, 35, 0}, "0 0 -15", "0 0 -0 again"},
		{CAPTURED(20, 0, 30), {100, 20, 0}, "0 0 -30", "0 0 -0 again"},
		{CAPTURED(20, 0, 30), {100, 5, 0}, "0 0 -30 unexplained", "0 0 -0 again"},
		{CAPTURED(20, 0, 0), {100, 5, 0}, "0 0 -0 unexplained", "0 0 -0 again"},
		{CAPTURED(0, 0, 0), {80, 0, 0}, "0 0 -0 unexplained", "0 0 -0 again"},
		/* a captured charge that was voided is given back */
		{CAPTURED(0, 0, 0), {100, 0, 1}, "0 100 -0", NULL},
		{CAPTURED(0, 0, 0), {-1, -1, 1}, "0 100 -0", NULL},
		{CAPTURED(20, 0, 0), {100, 20, 1}, "0 80 -0", NULL},
		/* more than was authorized is recorded as it is */
		{CAPTURED(0, 0, 0), {120, 0, 0}, "20 0 -0", NULL},
		/* an authorization: captured, captured and given back, released */
		{{PGW_PAY_AUTHORIZED, 100, 0, 0, 0, 0, 0, 0, 0, 0}, {100, 0, 0}, "100 0 -0", NULL},
		{{PGW_PAY_AUTHORIZED, 100, 0, 0, 0, 0, 0, 0, 0, 0}, {60, 60, 0}, "60 60 -0", NULL},
		{{PGW_PAY_AUTHORIZED, 100, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 1}, "0 0 -0 voided", NULL},
		{{PGW_PAY_AUTHORIZED, 100, 0, 0, 0, 0, 0, 0, 0, 0}, {-1, -1, 1}, "0 0 -0 voided", NULL},
		{{PGW_PAY_AUTHORIZED, 100, 0, 0, 100, 0, 0, 0, 0, 0}, {100, 0, 0}, "0 0 -0 again", NULL},
		{{PGW_PAY_AUTHORIZED, 100, 0, 0, 100, 0, 0, 0, 0, 0}, {0, 0, 1}, "0 0 -0 again", NULL},
		{{PGW_PAY_AUTHORIZED, 100, 0, 100, 0, 0, 0, 0, 0, 0}, {100, 0, 0}, "0 0 -0 again", NULL},
		/* the rest of what was captured in part is released: that is nothing given back */
		{{PGW_PAY_PARTIALLY_CAPTURED, 100, 60, 0, 0, 0, 0, 0, 0, 0}, {60, 0, 1}, "0 0 -0", NULL},
		/* of what is not held nothing is recorded */
		{{PGW_PAY_VOIDED, 100, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 1}, "0 0 -0", NULL},
		{{PGW_PAY_FAILED, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {100, 100, 0}, "0 0 -0", NULL},
	};

	(void) unused;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwReport all = report(&rows[i].s, rows[i].shown, true);
		PgwReport stale = report(&rows[i].s, rows[i].shown, false);
		const char *want = rows[i].stale != NULL ? rows[i].stale : rows[i].want;

		if (strcmp(text(&all), rows[i].want) != 0)
			fail_msg("case %zu: %s", i, text(&all));
		if (strcmp(text(&stale), want) != 0)
			fail_msg("case %zu, stale: %s", i, text(&stale));
	}
}

/* Which notification of such a change is followed up: none of what the payment has already. */
static void
matters(void **unused)
{
	static const struct
	{
		PgwPaymentStatus status;
		bool captured;
		bool refunded;
		bool voided;
	} rows[] = {
		{PGW_PAY_PENDING, false, false, false},          {PGW_PAY_AUTHORIZED, true, true, true},
		{PGW_PAY_PARTIALLY_CAPTURED, true, true, true},  {PGW_PAY_CAPTURED, false, true, true},
		{PGW_PAY_PARTIALLY_REFUNDED, false, true, true}, {PGW_PAY_REFUNDED, false, true, false},
		{PGW_PAY_VOIDED, false, false, false},           {PGW_PAY_EXPIRED, false, false, false},
		{PGW_PAY_DECLINED, false, false, false},         {PGW_PAY_FAILED, false, false, false},
		{PGW_PAY_IN_REVIEW, false, false, false},
	};

	(void) unused;
	assert_int_equal(LENGTH(rows), PGW_NPAYMENT_STATUSES);
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwPaymentStatus s = rows[i].status;

		assert_false(pgw_report_change_matters(0, s));
		assert_int_equal(pgw_report_change_matters(PGW_CHANGE_CAPTURED, s), rows[i].captured);
		assert_int_equal(pgw_report_change_matters(PGW_CHANGE_REFUNDED, s), rows[i].refunded);
		assert_int_equal(pgw_report_change_matters(PGW_CHANGE_VOIDED, s), rows[i].voided);
	}
}

/* What is no word on how the charge stands. */
static void
unread(void **unused)
{
	static const PgwPaymentAmounts s = CAPTURED(0, 0, 0);
	PgwReportInput in = {.s = &s, .currency = "EUR", .shows_all = true};
	PgwReport out;

	(void) unused;
	for (int o = 0; o <= PGW_OUT_ACCEPTED; o++)
	{
		PgwAnswer a = answer((PgwOutcome) o);

		in.answer = &a;
		a.captured = 100;
		a.refunded = 30;
		pgw_report_read(&in, &out);
		assert_int_equal(out.refunded, o == PGW_OUT_APPROVED ? 30 : 0);
		assert_int_equal(out.told, o == PGW_OUT_APPROVED);
		a.charge_state_unreadable = true;
		pgw_report_read(&in, &out);
		assert_int_equal(out.refunded, 0);
		assert_false(out.told);
		a.charge_state_unreadable = false;
		strcpy(a.currency, "USD");
		pgw_report_read(&in, &out);
		assert_int_equal(out.refunded, 0);
		assert_int_equal(out.unexplained, o == PGW_OUT_APPROVED);
		a.currency[0] = '\0';
		a.refunded = INT64_MAX;
		pgw_report_read(&in, &out);
		assert_int_equal(out.refunded, 0);
	}
}

/*
 * pgw refunds, each of which the bank does or refuses, and somebody refunds at the bank, some of
 * which the bank takes back.  Whenever nothing of pgw's is open and the look-up is fresh, what is
 * recorded is what was done there; and pgw never gives back what is not left.
 */
static void
beside_a_bank(void **unused)
{
	int looks = 0;
	int taken_back = 0;

	(void) unused;
	seed = 7;
	for (int i = 0; i < 3000; i++)
	{
		PgwPaymentAmounts s = {PGW_PAY_CAPTURED, 1000, 1000, 0, 0, 0, 0, 0, 0, 0};
		PgwCapabilities caps = {.can_refund = true, .partial_refund = true};
		int64_t by_pgw = 0; /* as the bank has it */
		int64_t by_others = 0;
		int64_t open = 0;
		bool open_done = false;

		for (int step = 0; step < 30; step++)
		{
			PgwOperationCheck check;
			PgwReport r;

			switch (any(5))
			{
				case 0:
					if (open != 0)
						break;
					pgw_payment_operation_check(PGW_KIND_REFUND, &s, &caps,
												&(PgwOperationWish){1 + any(400), true, false},
												&check);
					if (check.error_code != NULL)
						break;
					open = check.amount;
					pgw_payment_operation_begin(PGW_KIND_REFUND, open, &s);
					open_done = any(3) != 0;
					by_pgw += open_done ? open : 0;
					break;
				case 1:
					if (open == 0)
						break;
					if (open_done)
						pgw_payment_operation_done(PGW_KIND_REFUND, open, true, &s);
					else
						pgw_payment_operation_undone(PGW_KIND_REFUND, open, &s);
					open = 0;
					break;
				case 2:
					by_others += any(4) == 0 ? any(200) : 0;
					break;
				case 3:
					by_others -= any(8) == 0 ? any((int) by_others + 1) : 0;
					break;
				default:
					r = report(&s, (Shown){1000, (int) (by_pgw + by_others), 0}, true);
					if (open != 0)
					{
						assert_true(r.refunded == 0 && r.taken_back == 0);
						break;
					}
					pgw_payment_bank_refunded(r.refunded - r.taken_back, &s);
					taken_back += r.taken_back > 0;
					looks++;
					assert_int_equal(s.bank_refunded, by_others);
					assert_int_equal(s.refunded, by_pgw);
					assert_false(r.unexplained || r.again);
					r = report(&s, (Shown){1000, (int) (by_pgw + by_others), 0}, true);
					assert_string_equal(text(&r), "0 0 -0");
					break;
			}
		}
	}
	assert_true(looks > 5000 && taken_back > 100);
}

/* What is left for pgw counts what was done without it. */
static void
left(void **unused)
{
	PgwPaymentAmounts s = {PGW_PAY_CAPTURED, 100, 100, 0, 0, 0, 0, 0, 0, 0};
	PgwCapabilities caps = {.can_refund = true,
							.partial_refund = true,
							.separate_capture = true,
							.partial_capture = true,
							.multiple_captures = true,
							.can_void = true};
	PgwOperationCheck check;

	(void) unused;
	pgw_payment_bank_refunded(30, &s);
	assert_int_equal(s.status, PGW_PAY_PARTIALLY_REFUNDED);
	pgw_payment_operation_check(PGW_KIND_REFUND, &s, &caps, &(PgwOperationWish){0, true, false},
								&check);
	assert_int_equal(check.amount, 70);
	pgw_payment_operation_check(PGW_KIND_REFUND, &s, &caps, &(PgwOperationWish){71, true, false},
								&check);
	assert_string_equal(check.error_code, "amount_exceeds_remaining");
	assert_false(pgw_payment_refund_is_whole(70, &s));
	pgw_payment_bank_refunded(100, &s);
	assert_int_equal(s.status, PGW_PAY_REFUNDED);
	pgw_payment_operation_check(PGW_KIND_REFUND, &s, &caps, &(PgwOperationWish){1, true, false},
								&check);
	assert_non_null(check.error_code);
	pgw_payment_bank_refunded(-130, &s);
	assert_int_equal(s.status, PGW_PAY_CAPTURED);

	/* what was given back there is of what the bank has taken: then no capture is taken back */
	pgw_payment_bank_refunded(30, &s);
	assert_false(pgw_payment_capture_reversed(100, true, false, &s));
	pgw_payment_bank_refunded(-30, &s);
	assert_true(pgw_payment_capture_reversed(100, true, false, &s));
	assert_int_equal(s.status, PGW_PAY_AUTHORIZED);

	s = (PgwPaymentAmounts){PGW_PAY_AUTHORIZED, 100, 0, 0, 0, 0, 0, 0, 0, 0};
	pgw_payment_bank_captured(60, &s);
	assert_int_equal(s.status, PGW_PAY_PARTIALLY_CAPTURED);
	pgw_payment_operation_check(PGW_KIND_CAPTURE, &s, &caps, &(PgwOperationWish){0, true, false},
								&check);
	assert_int_equal(check.amount, 40);
	pgw_payment_operation_check(PGW_KIND_REFUND, &s, &caps, &(PgwOperationWish){0, true, false},
								&check);
	assert_int_equal(check.amount, 60);
	pgw_payment_bank_captured(40, &s);
	assert_int_equal(s.status, PGW_PAY_CAPTURED);
	pgw_payment_operation_check(PGW_KIND_CAPTURE, &s, &caps, &(PgwOperationWish){1, true, false},
								&check);
	assert_non_null(check.error_code);

	s = (PgwPaymentAmounts){PGW_PAY_AUTHORIZED, 100, 0, 0, 0, 0, 0, 0, 0, 0};
	pgw_payment_bank_voided(&s);
	pgw_payment_operation_check(PGW_KIND_CAPTURE, &s, &caps, &(PgwOperationWish){0, true, false},
								&check);
	assert_non_null(check.error_code);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_hand),       cmocka_unit_test(unread), cmocka_unit_test(matters),
		cmocka_unit_test(beside_a_bank), cmocka_unit_test(left),   cmocka_unit_test(told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
