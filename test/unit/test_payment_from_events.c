/*
 * test_payment_from_events.c - status and amounts from events: each way that a charge can go, and
 * random operations beside the row that is changed step by step
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/payment/payment_from_events.h"

#define AMOUNT 1000
#define MAX_OPERATIONS 12

static const char *
shown(const PgwToldPayment *p)
{
	static char text[160];
	const PgwPaymentAmounts *s = &p->amounts;

	snprintf(text, sizeof(text), "%s %d %d %d %d %d %d", pgw_payment_status_name(s->status),
			 (int) s->authorized, (int) s->captured, (int) s->reserved, (int) s->refunded,
			 (int) s->refund_pending, (int) p->given_back);
	if (s->capture_pending != 0)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " capture pending %d",
				 (int) s->capture_pending);
	if (s->bank_captured != 0 || s->bank_refunded != 0)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " at the bank %d %d",
				 (int) s->bank_captured, (int) s->bank_refunded);
	return text;
}

static void
tell(PgwToldAttempt *a, PgwEventType type, PgwState to)
{
	pgw_told_add(a, &(PgwToldEvent){.type = type, .to = to});
}

static PgwToldAttempt
started(const char *operation, int64_t amount)
{
	PgwToldAttempt a;

	memset(&a, 0, sizeof(a));
	pgw_told_add(&a, &(PgwToldEvent){.type = PGW_EV_TRANSACTION_STARTED,
									 .to = PGW_CREATED,
									 .operation = operation,
									 .amount = amount});
	return a;
}

/* want: status, authorized, captured, reserved, refunded, pending, given back */
static void
expect(const PgwToldAttempt *charge, const char *want)
{
	PgwToldPayment p;

	pgw_told_payment(charge, NULL, 0, &p);
	assert_string_equal(shown(&p), want);
}

static void
charges(void **unused)
{
	PgwToldAttempt a = started("charge", AMOUNT);

	(void) unused;
	assert_int_equal(a.kind, PGW_KIND_PAYMENT);
	expect(&a, "pending 0 0 0 0 0 0");
	tell(&a, PGW_EV_BANK_OUTCOME_UNKNOWN, PGW_BANK_UNKNOWN);
	expect(&a, "pending 0 0 0 0 0 0");
	tell(&a, PGW_EV_BANK_PROCESSING_COMPLETED, PGW_BANK_APPROVED);
	expect(&a, "pending 0 0 0 0 0 0");
	tell(&a, PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_SAVED);
	expect(&a, "captured 1000 1000 0 0 0 0");
	tell(&a, PGW_EV_TRANSACTION_COMPLETED, PGW_COMPLETED);
	expect(&a, "captured 1000 1000 0 0 0 0");

	a = started("authorize", AMOUNT);
	tell(&a, PGW_EV_TRANSACTION_COMPLETED, PGW_COMPLETED);
	expect(&a, "authorized 1000 0 0 0 0 0");
	tell(&a, PGW_EV_AUTHORIZATION_EXPIRED, PGW_COMPLETED);
	expect(&a, "expired 1000 0 0 0 0 0");

	/* captured after the commit; in review it stays what it was */
	memset(&a, 0, sizeof(a));
	pgw_told_add(&a, &(PgwToldEvent){.type = PGW_EV_TRANSACTION_STARTED,
									 .to = PGW_CREATED,
									 .operation = "authorize",
									 .amount = AMOUNT,
									 .on_commit = true});
	tell(&a, PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_SAVED);
	expect(&a, "authorized 1000 0 1000 0 0 0");
	tell(&a, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
	expect(&a, "authorized 1000 0 1000 0 0 0");
	tell(&a, PGW_EV_MANUAL_REVIEW_RESOLVED, PGW_COMPLETED);
	expect(&a, "captured 1000 1000 0 0 0 0");
}

static void
in_vain(void **unused)
{
	PgwToldAttempt a = started("charge", AMOUNT);

	(void) unused;
	pgw_told_add(&a, &(PgwToldEvent){.type = PGW_EV_BANK_PROCESSING_FAILED,
									 .to = PGW_FAILED,
									 .error_code = "insufficient_funds"});
	tell(&a, PGW_EV_TRANSACTION_FAILED, PGW_FAILED); /* the code stands in one of them */
	expect(&a, "declined 0 0 0 0 0 0");
	/* it turns up late after all: the payment stays declined */
	tell(&a, PGW_EV_LATE_APPROVAL_RECEIVED, PGW_REFUNDING);
	expect(&a, "declined 0 0 0 0 0 0");
	tell(&a, PGW_EV_REFUND_COMPLETED, PGW_REFUNDED);
	expect(&a, "declined 0 0 0 0 0 1000");

	a = started("charge", AMOUNT);
	pgw_told_add(&a, &(PgwToldEvent){.type = PGW_EV_TRANSACTION_FAILED,
									 .to = PGW_FAILED,
									 .error_code = "bank_unavailable"});
	expect(&a, "failed 0 0 0 0 0 0");

	/* approved for another amount: that much is given back; and the bank takes it back again */
	a = started("charge", AMOUNT);
	pgw_told_add(&a, &(PgwToldEvent){.type = PGW_EV_BANK_OUTCOME_UNACCEPTABLE,
									 .to = PGW_REFUNDING,
									 .bank_amount = 900});
	expect(&a, "failed 0 0 0 0 0 0");
	tell(&a, PGW_EV_REFUND_COMPLETED, PGW_REFUNDED);
	expect(&a, "failed 0 0 0 0 0 900");
	tell(&a, PGW_EV_REFUND_REVERSED, PGW_REQUIRES_MANUAL_REVIEW);
	expect(&a, "failed 0 0 0 0 0 0");

	/* the charge in doubt is reviewed; what it came to then is no decline */
	a = started("charge", AMOUNT);
	tell(&a, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
	expect(&a, "in_review 0 0 0 0 0 0");
	tell(&a, PGW_EV_MANUAL_REVIEW_RESOLVED, PGW_BANK_UNKNOWN);
	expect(&a, "in_review 0 0 0 0 0 0");
	tell(&a, PGW_EV_MANUAL_REVIEW_RESOLVED, PGW_FAILED);
	expect(&a, "failed 0 0 0 0 0 0");
}

/* ---- beside the row ---- */

typedef struct Walk
{
	PgwToldAttempt charge;
	PgwToldAttempt operations[MAX_OPERATIONS];
	bool final[MAX_OPERATIONS];
	bool accepted[MAX_OPERATIONS];
	int n;
	PgwPaymentAmounts row;
} Walk;

static const PgwCapabilities can_all = {.separate_capture = true,
										.partial_capture = true,
										.multiple_captures = true,
										.can_void = true,
										.can_refund = true,
										.partial_refund = true};

static void
begin_operation(Walk *w)
{
	static const PgwKind kinds[] = {PGW_KIND_CAPTURE, PGW_KIND_VOID, PGW_KIND_REFUND};
	PgwKind kind = kinds[rand() % 3];
	int64_t amount = kind == PGW_KIND_VOID || rand() % 4 == 0 ? 0 : 1 + rand() % (AMOUNT / 2);
	bool final = kind != PGW_KIND_CAPTURE || rand() % 2 == 0;
	PgwOperationCheck check;

	if (w->n == MAX_OPERATIONS)
		return;
	pgw_payment_operation_check(kind, &w->row, &can_all, &(PgwOperationWish){amount, final, false},
								&check);
	if (check.error_code != NULL)
		return;
	pgw_payment_operation_begin(kind, check.amount, &w->row);
	memset(&w->operations[w->n], 0, sizeof(PgwToldAttempt));
	pgw_told_add(&w->operations[w->n], &(PgwToldEvent){.type = PGW_EV_TRANSACTION_STARTED,
													   .to = PGW_CREATED,
													   .operation = pgw_kind_name(kind),
													   .amount = check.amount,
													   .not_final = !final});
	assert_int_equal(w->operations[w->n].kind, kind);
	w->final[w->n++] = final;
}

/* The bank has taken the order: as requested_operation.c and accepted.c have it. */
static void
accept_operation(Walk *w, int i)
{
	if (w->accepted[i])
		return;
	pgw_payment_operation_accepted(w->operations[i].kind, w->operations[i].amount, &w->row);
	w->accepted[i] = true;
	tell(&w->operations[i], PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_SAVED);
	tell(&w->operations[i], PGW_EV_BANK_ACCEPTED, PGW_SAVED);
}

/* As store/find_attempts.c has it. */
static bool
closed_by_another(const Walk *w, int i)
{
	for (int k = 0; k < w->n; k++)
	{
		if (k != i && w->operations[k].kind == PGW_KIND_CAPTURE && !w->operations[k].by_bank &&
			w->operations[k].state == PGW_COMPLETED && w->final[k])
			return true;
	}
	return false;
}

/* As requested_operation.c, watch_after_end.c and resolve_review.c have it. */
static void
move_operation(Walk *w)
{
	int i = w->n > 0 ? rand() % w->n : 0;
	PgwToldAttempt *o = &w->operations[i];

	if (w->n == 0 || o->state == PGW_FAILED || o->by_bank)
		return;
	if (o->state != PGW_COMPLETED && rand() % 5 == 0)
	{
		accept_operation(w, i);
		return;
	}
	/* in review it is still pending; what comes of it otherwise is that first */
	if (w->accepted[i] && o->state != PGW_COMPLETED)
	{
		if (rand() % 3 == 0)
		{
			tell(o,
				 o->kind == PGW_KIND_CAPTURE ? PGW_EV_CAPTURE_REVERSED
											 : PGW_EV_MANUAL_REVIEW_REQUIRED,
				 PGW_REQUIRES_MANUAL_REVIEW);
			return;
		}
		pgw_payment_operation_no_longer_accepted(o->kind, o->amount, &w->row);
		w->accepted[i] = false;
		tell(o, PGW_EV_MANUAL_REVIEW_RESOLVED, PGW_BANK_UNKNOWN);
	}
	if (o->state == PGW_COMPLETED)
	{
		if (o->kind == PGW_KIND_CAPTURE && rand() % 4 == 0 &&
			pgw_payment_capture_reversed(o->amount, w->final[i], closed_by_another(w, i), &w->row))
			tell(o, PGW_EV_CAPTURE_REVERSED, PGW_REQUIRES_MANUAL_REVIEW);
		if (o->kind == PGW_KIND_REFUND && rand() % 4 == 0)
		{
			pgw_payment_refund_reversed(o->amount, &w->row);
			tell(o, PGW_EV_REFUND_REVERSED, PGW_REQUIRES_MANUAL_REVIEW);
		}
		return;
	}
	switch (rand() % 4)
	{
		case 0:
			pgw_payment_operation_undone(o->kind, o->amount, &w->row);
			tell(o, PGW_EV_TRANSACTION_FAILED, PGW_FAILED);
			break;
		case 1:
			tell(o, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
			break;
		case 2:
			/* a void that came too late is done: nothing is held any more */
			if (o->kind == PGW_KIND_VOID && rand() % 2 == 0)
			{
				pgw_payment_operation_undone(o->kind, o->amount, &w->row);
				assert_true(pgw_payment_authorization_expired(&w->row));
				tell(&w->charge, PGW_EV_AUTHORIZATION_EXPIRED, PGW_COMPLETED);
			}
			else
				pgw_payment_operation_done(o->kind, o->amount,
										   w->final[i] || closed_by_another(w, i), &w->row);
			tell(o, PGW_EV_TRANSACTION_COMPLETED, PGW_COMPLETED);
			break;
		default:
			tell(o, PGW_EV_BANK_OUTCOME_UNKNOWN, PGW_BANK_UNKNOWN);
			break;
	}
}

static void
add_reported(Walk *w, const char *operation, int64_t amount)
{
	PgwToldAttempt *o = &w->operations[w->n++];

	memset(o, 0, sizeof(*o));
	pgw_told_add(o, &(PgwToldEvent){.type = PGW_EV_TRANSACTION_STARTED,
									.to = PGW_CREATED,
									.operation = operation,
									.amount = amount,
									.not_final = true,
									.by_bank = true});
	w->final[w->n - 1] = false;
	tell(o, PGW_EV_BANK_REPORTED, PGW_BANK_APPROVED);
	tell(o, PGW_EV_TRANSACTION_COMPLETED, PGW_COMPLETED);
}

/* What pgw has not made: captured, given back, taken back, voided. */
static void
report_something(Walk *w)
{
	PgwPaymentStatus status = w->row.status;

	if (w->n == MAX_OPERATIONS || status < PGW_PAY_AUTHORIZED || status > PGW_PAY_REFUNDED)
		return;
	if (status == PGW_PAY_AUTHORIZED && w->row.reserved + w->row.capture_pending == 0 &&
		rand() % 3 == 0)
	{
		add_reported(w, "void", AMOUNT);
		pgw_payment_bank_voided(&w->row);
	}
	else if (w->row.reserved + w->row.capture_pending == 0 && rand() % 2 == 0)
	{
		add_reported(w, "capture", 1 + rand() % 700);
		pgw_payment_bank_captured(w->operations[w->n - 1].amount, &w->row);
	}
	else if (status != PGW_PAY_AUTHORIZED)
	{
		for (int i = 0; i < w->n; i++)
		{
			PgwToldAttempt *o = &w->operations[i];

			if (o->by_bank && o->kind == PGW_KIND_REFUND && o->state == PGW_COMPLETED &&
				rand() % 2 == 0)
			{
				tell(o, PGW_EV_BANK_REPORTED, PGW_FAILED);
				pgw_payment_bank_refunded(-o->amount, &w->row);
				return;
			}
		}
		add_reported(w, "refund", 1 + rand() % 700);
		pgw_payment_bank_refunded(w->operations[w->n - 1].amount, &w->row);
	}
}

static void
compare(const Walk *w)
{
	PgwToldPayment told;
	PgwToldPayment row = {.amounts = w->row};
	PgwToldAttempt turned[MAX_OPERATIONS];
	char want[160];

	snprintf(want, sizeof(want), "%s", shown(&row));
	pgw_told_payment(&w->charge, w->operations, w->n, &told);
	assert_string_equal(shown(&told), want);

	/* in whatever order the operations are taken */
	for (int i = 0; i < w->n; i++)
		turned[i] = w->operations[w->n - 1 - i];
	pgw_told_payment(&w->charge, turned, w->n, &told);
	assert_string_equal(shown(&told), want);
}

/* The capture after the commit: pending until it is done, or an operator has it asked again. */
static void
accepted_on_commit(void **unused)
{
	PgwToldAttempt a = started("authorize", AMOUNT);

	(void) unused;
	a.on_commit = true;
	tell(&a, PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_SAVED);
	expect(&a, "authorized 1000 0 1000 0 0 0");
	tell(&a, PGW_EV_BANK_ACCEPTED, PGW_SAVED);
	expect(&a, "authorized 1000 0 0 0 0 0 capture pending 1000");
	tell(&a, PGW_EV_CAPTURE_REVERSED, PGW_REQUIRES_MANUAL_REVIEW);
	tell(&a, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
	expect(&a, "authorized 1000 0 0 0 0 0 capture pending 1000");
	tell(&a, PGW_EV_MANUAL_REVIEW_RESOLVED, PGW_SAVED);
	expect(&a, "authorized 1000 0 1000 0 0 0");
	tell(&a, PGW_EV_CAPTURE_COMPLETED, PGW_COMPLETED);
	expect(&a, "captured 1000 1000 0 0 0 0");
}

static void
beside_the_row(void **unused)
{
	int seen[PGW_NPAYMENT_STATUSES] = {0};

	(void) unused;
	srand(42);
	for (int i = 0; i < 20000; i++)
	{
		Walk w = {.n = 0};
		bool manual = rand() % 3 != 0;

		w.charge = started(manual ? "authorize" : "charge", AMOUNT);
		tell(&w.charge, PGW_EV_TRANSACTION_COMPLETED, PGW_COMPLETED);
		w.row = (PgwPaymentAmounts){.status = manual ? PGW_PAY_AUTHORIZED : PGW_PAY_CAPTURED,
									.authorized = AMOUNT,
									.captured = manual ? 0 : AMOUNT};
		for (int step = 0; step < 20; step++)
		{
			if (rand() % 8 == 0)
				report_something(&w);
			else if (rand() % 2 == 0)
				begin_operation(&w);
			else if (rand() % 12 != 0)
				move_operation(&w);
			else if (pgw_payment_authorization_expired(&w.row))
				tell(&w.charge, PGW_EV_AUTHORIZATION_EXPIRED, PGW_COMPLETED);
			compare(&w);
			seen[w.row.status]++;
		}
	}
	for (int status = PGW_PAY_AUTHORIZED; status <= PGW_PAY_EXPIRED; status++)
		assert_true(seen[status] > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(charges),
		cmocka_unit_test(in_vain),
		cmocka_unit_test(accepted_on_commit),
		cmocka_unit_test(beside_the_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
