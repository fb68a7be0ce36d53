/*
 * test_payment.c - the grid of operations against a transcription and the page in docs/, the
 * ceilings under every sequence of operations
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check_docs.h"
#include "core/base/error_codes.h"
#include "core/payment/payment_amounts.h"

#define LENGTH(a) ((int) (sizeof(a) / sizeof((a)[0])))

/* status, under way: capture void refund; typed by hand, not from payment_amounts.c */
static const char *const expected[] = {
	"pending no: - - -",
	"authorized no: capture void -",
	"authorized yes: - - -",
	"partially_captured no: capture - refund",
	"partially_captured yes: - - refund",
	"captured no: - - refund",
	"partially_refunded no: - - refund",
	"refunded no: - - -",
	"voided no: - - -",
	"expired no: - - -",
	"declined no: - - -",
	"failed no: - - -",
	"in_review no: - - -",
};

static const PgwCapabilities can_all = {.separate_capture = true,
										.partial_capture = true,
										.multiple_captures = true,
										.can_void = true,
										.can_refund = true,
										.partial_refund = true};

static bool
allowed(PgwKind kind, const PgwPaymentAmounts *s)
{
	PgwOperationCheck check;

	pgw_payment_operation_check(kind, s, &can_all, &(PgwOperationWish){0, true, false}, &check);
	if (check.error_code == NULL || strcmp(check.error_code, "operation_not_allowed") != 0)
		return true;
	assert_non_null(check.hint);
	return false;
}

static void
every_cell(void **unused)
{
	(void) unused;
	for (int status = 0; status < PGW_NPAYMENT_STATUSES; status++)
		for (int under_way = 0; under_way < 2; under_way++)
		{
			PgwPaymentAmounts s = {.status = (PgwPaymentStatus) status,
								   .authorized = 100,
								   .captured = 50,
								   .reserved = under_way ? 10 : 0};
			char want[128];
			const char *row = NULL;

			snprintf(want, sizeof(want), "%s %s:", pgw_payment_status_name(s.status),
					 under_way ? "yes" : "no");
			for (int i = 0; i < LENGTH(expected); i++)
			{
				if (strncmp(expected[i], want, strlen(want)) == 0)
					row = expected[i] + strlen(want);
			}
			for (int c = 0; c < PGW_NOPERATIONS; c++)
			{
				PgwKind kind = pgw_payment_operation_kind(c);

				/* what the contract does not foresee is refused */
				if (allowed(kind, &s) != (row != NULL && strstr(row, pgw_kind_name(kind)) != NULL))
					fail_msg("%s %s", want, pgw_kind_name(kind));
			}
		}
}

static const char *
error_of(PgwKind kind, PgwPaymentAmounts s, PgwCapabilities caps, int64_t amount, bool final,
		 int64_t *out)
{
	PgwOperationCheck check;

	pgw_payment_operation_check(kind, &s, &caps, &(PgwOperationWish){amount, final, false}, &check);
	if (check.error_code != NULL)
		assert_non_null(pgw_error_find(check.error_code));
	if (out != NULL)
		*out = check.error_code == NULL ? check.amount : check.left;
	return check.error_code;
}

static void
amounts(void **unused)
{
	PgwPaymentAmounts authorized = {.status = PGW_PAY_AUTHORIZED, .authorized = 100};
	PgwPaymentAmounts part = {
		.status = PGW_PAY_PARTIALLY_CAPTURED, .authorized = 100, .captured = 30};
	PgwPaymentAmounts captured = {.status = PGW_PAY_CAPTURED,
								  .authorized = 100,
								  .captured = 100,
								  .refunded = 20,
								  .refund_pending = 30};
	int64_t n;

	(void) unused;
	assert_null(error_of(PGW_KIND_CAPTURE, authorized, can_all, 0, true, &n));
	assert_int_equal(n, 100);
	assert_null(error_of(PGW_KIND_CAPTURE, part, can_all, 0, true, &n));
	assert_int_equal(n, 70);
	assert_null(error_of(PGW_KIND_CAPTURE, part, can_all, 70, true, &n));
	assert_string_equal(error_of(PGW_KIND_CAPTURE, part, can_all, 71, true, &n),
						"amount_exceeds_remaining");
	assert_int_equal(n, 70);
	assert_null(error_of(PGW_KIND_VOID, authorized, can_all, 0, true, &n));
	assert_int_equal(n, 100);
	assert_null(error_of(PGW_KIND_REFUND, captured, can_all, 0, true, &n));
	assert_int_equal(n, 50);
	assert_string_equal(error_of(PGW_KIND_REFUND, captured, can_all, 51, true, &n),
						"amount_exceeds_remaining");
	assert_int_equal(n, 50);
	captured.refund_pending = 80;
	assert_string_equal(error_of(PGW_KIND_REFUND, captured, can_all, 0, true, &n),
						"amount_exceeds_remaining");
	assert_int_equal(n, 0);
	assert_string_equal(error_of(PGW_KIND_REFUND, captured, can_all, INT64_MAX, true, &n),
						"amount_exceeds_remaining");
}

/* Each capability taken away refuses just what needs it. */
static void
capabilities(void **unused)
{
	PgwPaymentAmounts authorized = {.status = PGW_PAY_AUTHORIZED, .authorized = 100};
	PgwPaymentAmounts part = {
		.status = PGW_PAY_PARTIALLY_CAPTURED, .authorized = 100, .captured = 30};
	PgwPaymentAmounts captured = {.status = PGW_PAY_CAPTURED, .authorized = 100, .captured = 100};
	PgwCapabilities caps;

	(void) unused;
	caps = can_all;
	caps.separate_capture = false;
	assert_string_equal(error_of(PGW_KIND_CAPTURE, authorized, caps, 0, true, NULL),
						"bank_operation_not_supported");
	caps = can_all;
	caps.partial_capture = caps.multiple_captures = false;
	assert_null(error_of(PGW_KIND_CAPTURE, authorized, caps, 0, false, NULL));
	assert_string_equal(error_of(PGW_KIND_CAPTURE, authorized, caps, 30, true, NULL),
						"bank_operation_not_supported");
	caps = can_all;
	caps.multiple_captures = false;
	assert_null(error_of(PGW_KIND_CAPTURE, authorized, caps, 30, true, NULL));
	assert_string_equal(error_of(PGW_KIND_CAPTURE, authorized, caps, 30, false, NULL),
						"bank_operation_not_supported");
	assert_string_equal(error_of(PGW_KIND_CAPTURE, part, caps, 0, true, NULL),
						"bank_operation_not_supported");
	caps = can_all;
	caps.can_void = false;
	assert_string_equal(error_of(PGW_KIND_VOID, authorized, caps, 0, true, NULL),
						"bank_operation_not_supported");
	caps = can_all;
	caps.can_refund = false;
	assert_string_equal(error_of(PGW_KIND_REFUND, captured, caps, 0, true, NULL),
						"bank_operation_not_supported");
	caps = can_all;
	caps.partial_refund = false;
	assert_null(error_of(PGW_KIND_REFUND, captured, caps, 0, true, NULL));
	assert_string_equal(error_of(PGW_KIND_REFUND, captured, caps, 99, true, NULL),
						"bank_operation_not_supported");
}

/* ---------------------------------------------------------------- every sequence */

#define AUTHORIZED 3
#define DEPTH 9
#define MAX_OPEN DEPTH

typedef struct Open
{
	PgwKind kind;
	int64_t amount;
	bool final;
	bool done;     /* a refund that can still be taken back */
	bool accepted; /* by the bank, which may still fail it */
} Open;

typedef struct World
{
	PgwPaymentAmounts s;
	Open open[MAX_OPEN];
	int n;
	int64_t captured; /* by a bookkeeping of the test's own */
	int64_t refunded;
	bool closed;
} World;

static long worlds = 0;

static void
sound(const World *w)
{
	const PgwPaymentAmounts *s = &w->s;
	int64_t reserved = 0;
	int64_t capture_pending = 0;
	int64_t pending = 0;
	int claims = 0;

	for (int i = 0; i < w->n; i++)
	{
		if (w->open[i].done)
			continue;
		if (w->open[i].kind == PGW_KIND_REFUND)
			pending += w->open[i].amount;
		else
		{
			*(w->open[i].accepted && w->open[i].kind == PGW_KIND_CAPTURE ? &capture_pending
																		 : &reserved) +=
				w->open[i].amount;
			claims++;
		}
	}
	assert_true(claims <= 1);
	assert_int_equal(s->reserved, reserved);
	assert_int_equal(s->capture_pending, capture_pending);
	assert_int_equal(s->refund_pending, pending);
	assert_int_equal(s->captured, w->captured);
	assert_int_equal(s->refunded, w->refunded);
	assert_true(s->captured + s->capture_pending + s->reserved <= s->authorized);
	assert_true(s->refunded >= 0 && s->refunded + s->refund_pending <= s->captured);
	switch (s->status)
	{
		case PGW_PAY_AUTHORIZED:
			assert_true(s->captured == 0 && !w->closed);
			break;
		case PGW_PAY_PARTIALLY_CAPTURED:
			assert_true(s->captured > 0 && s->captured < s->authorized && !w->closed);
			break;
		case PGW_PAY_CAPTURED:
			assert_true(s->captured > 0 && s->refunded == 0 && w->closed);
			break;
		case PGW_PAY_PARTIALLY_REFUNDED:
			assert_true(s->refunded > 0 && s->refunded < s->captured && w->closed);
			break;
		case PGW_PAY_REFUNDED:
			assert_true(s->refunded > 0 && s->refunded == s->captured && w->closed);
			break;
		case PGW_PAY_VOIDED:
		case PGW_PAY_EXPIRED:
			assert_true(s->captured == 0 && w->closed);
			break;
		default:
			fail_msg("status %d", (int) s->status);
	}
}

static void walk(const World *before, int depth);

static void
begin(const World *before, PgwKind kind, int64_t amount, bool final, int depth)
{
	World w = *before;
	PgwOperationCheck check;

	pgw_payment_operation_check(kind, &w.s, &can_all, &(PgwOperationWish){amount, final, false},
								&check);
	if (check.error_code != NULL)
		return;
	assert_true(check.amount > 0);
	w.open[w.n++] = (Open){.kind = kind, .amount = check.amount, .final = final};
	pgw_payment_operation_begin(kind, check.amount, &w.s);
	walk(&w, depth);
}

static void
end(const World *before, int i, bool done, int depth)
{
	World w = *before;
	Open o = w.open[i];

	if (o.accepted)
		pgw_payment_operation_no_longer_accepted(o.kind, o.amount, &w.s);
	w.open[i].accepted = false;
	if (done)
		pgw_payment_operation_done(o.kind, o.amount, o.final, &w.s);
	else
		pgw_payment_operation_undone(o.kind, o.amount, &w.s);
	if (done && o.kind == PGW_KIND_CAPTURE)
	{
		w.captured += o.amount;
		w.closed = o.final || w.captured == AUTHORIZED;
	}
	else if (done && o.kind == PGW_KIND_VOID)
		w.closed = true;
	else if (done)
		w.refunded += o.amount;
	w.open[i].done = true;
	if (!(done && o.kind == PGW_KIND_REFUND))
		w.open[i] = w.open[--w.n]; /* nothing more can come of it */
	walk(&w, depth);
}

static void
walk(const World *before, int depth)
{
	worlds++;
	sound(before);
	if (depth == 0)
		return;
	for (int64_t amount = 0; amount <= 2; amount++)
	{
		begin(before, PGW_KIND_CAPTURE, amount, true, depth - 1);
		begin(before, PGW_KIND_CAPTURE, amount, false, depth - 1);
		begin(before, PGW_KIND_REFUND, amount, false, depth - 1);
	}
	begin(before, PGW_KIND_VOID, 0, false, depth - 1);
	for (int i = 0; i < before->n; i++)
	{
		if (before->open[i].done)
		{
			World w = *before;

			pgw_payment_refund_reversed(w.open[i].amount, &w.s);
			w.refunded -= w.open[i].amount;
			w.open[i].done = false;
			walk(&w, depth - 1);
			continue;
		}
		if (!before->open[i].accepted)
		{
			World w = *before;

			pgw_payment_operation_accepted(w.open[i].kind, w.open[i].amount, &w.s);
			w.open[i].accepted = true;
			walk(&w, depth - 1);
		}
		end(before, i, true, depth - 1);
		end(before, i, false, depth - 1);
	}
	{
		World w = *before;

		if (pgw_payment_authorization_expired(&w.s))
		{
			w.closed = true;
			walk(&w, depth - 1);
		}
		else
			assert_memory_equal(&w.s, &before->s, sizeof(w.s));
	}
}

static void
every_sequence(void **unused)
{
	World w = {.s = {.status = PGW_PAY_AUTHORIZED, .authorized = AUTHORIZED}};

	(void) unused;
	walk(&w, DEPTH);
	assert_true(worlds > 100000);
	w = (World){.s = {.status = PGW_PAY_CAPTURED, .authorized = AUTHORIZED, .captured = AUTHORIZED},
				.captured = AUTHORIZED,
				.closed = true};
	walk(&w, DEPTH);
}

static void
names(void **unused)
{
	(void) unused;
	for (int i = 0; i < PGW_NPAYMENT_STATUSES; i++)
		assert_int_equal(pgw_payment_status_parse(pgw_payment_status_name((PgwPaymentStatus) i)),
						 i);
	assert_int_equal(pgw_payment_status_parse("paid"), -1);
	assert_int_equal(pgw_payment_status_parse(NULL), -1);
	assert_null(pgw_payment_status_name(PGW_NPAYMENT_STATUSES));
}

/* ---------------------------------------------------------------- docs */

static void
docs_agree(void **unused)
{
	const char *refusals[MAX_REFUSALS];
	int nrefusals = 0;
	char want[1024];
	size_t n;
	const PgwOperationRow *rows = pgw_payment_operation_rows(&n);
	FILE *f = open_docs("docs/operations.md", "| status | under way | capture | void | refund |");

	(void) unused;
	for (size_t i = 0; i < n; i++)
	{
		int len =
			snprintf(want, sizeof(want), "| %s | %s |", pgw_payment_status_name(rows[i].status),
					 rows[i].under_way ? "yes" : "no");

		for (int c = 0; c < PGW_NOPERATIONS; c++)
		{
			if (rows[i].refusals[c] == NULL)
				len += snprintf(want + len, sizeof(want) - len, " yes |");
			else
				len += snprintf(want + len, sizeof(want) - len, " no (%d) |",
								number_of(refusals, &nrefusals, rows[i].refusals[c]));
		}
		expect_line(f, want);
	}
	expect_line(f, "");
	fclose(f);

	f = open_docs("docs/operations.md", "| no | the hint |");
	for (int i = 0; i < nrefusals; i++)
	{
		snprintf(want, sizeof(want), "| %d | %s |", i + 1, refusals[i]);
		expect_line(f, want);
	}
	expect_line(f, "");
	fclose(f);
}

/* What undoes the whole charge stands for a refund only where nothing else of it is left. */
static void
whole_refunds(void **state)
{
	static const PgwPaymentAmounts whole = {PGW_PAY_CAPTURED, 1000, 1000, 0, 0, 0, 1000, 0, 0, 0};
	static const PgwPaymentAmounts closed = {PGW_PAY_CAPTURED, 1000, 600, 0, 0, 0, 600, 0, 0, 0};
	static const PgwPaymentAmounts others[] = {
		{PGW_PAY_PARTIALLY_CAPTURED, 1000, 600, 0, 0, 0, 600, 0, 0, 0},   /* more can be captured */
		{PGW_PAY_PARTIALLY_CAPTURED, 1000, 600, 0, 400, 0, 600, 0, 0, 0}, /* and is being */
		{PGW_PAY_PARTIALLY_REFUNDED, 1000, 1000, 0, 0, 400, 600, 0, 0, 0},
		{PGW_PAY_CAPTURED, 1000, 1000, 0, 0, 0, 600, 0, 0, 0},
		{PGW_PAY_PARTIALLY_REFUNDED, 1000, 600, 0, 0, 0, 600, 0, 100,
		 0},                                                    /* given back at the bank */
		{PGW_PAY_CAPTURED, 1000, 600, 0, 0, 0, 600, 100, 0, 0}, /* captured there */
		{PGW_PAY_CAPTURED, 1000, 600, 0, 0, 0, 1000, 0, 0, 0},
		{PGW_PAY_CAPTURED, 1000, 600, 400, 0, 0, 600, 0, 0,
		 0}, /* which no row allows, and money could ride on */
	};

	assert_true(pgw_payment_refund_is_whole(1000, &whole));
	assert_true(pgw_payment_refund_is_whole(600, &closed));
	for (int i = 0; i < LENGTH(others); i++)
	{
		if (pgw_payment_refund_is_whole(600, &others[i]))
			fail_msg("case %d is taken for all of it", i);
	}
}

/* A refund that has its claim leaves room for what disputes have taken since, or does not leave. */
static void
disputed_meanwhile(void **state)
{
	static const struct
	{
		int64_t refunded;
		int64_t pending; /* with its own claim */
		int64_t disputed;
		bool held;
	} rows[] = {
		{0, 100, 0, false}, {0, 60, 40, false}, {0, 61, 40, true},  {20, 40, 40, false},
		{20, 41, 40, true}, {0, 1, 100, true},  {40, 60, 40, true}, {100, 0, 0, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		PgwPaymentAmounts s = {.status = PGW_PAY_CAPTURED,
							   .authorized = 100,
							   .captured = 100,
							   .refunded = rows[i].refunded,
							   .refund_pending = rows[i].pending,
							   .disputed = rows[i].disputed};

		if (pgw_payment_refund_is_disputed(&s) != rows[i].held)
			fail_msg("row %zu", i);
	}
}

/* What a dispute has taken is not paid once more, but where that is wanted; and nothing else
 * changes. */
static void
disputed(void **state)
{
	static const struct
	{
		int64_t disputed;
		int64_t refunded;
		int64_t amount; /* asked for */
		const char *error;
		int64_t becomes; /* of the refund, or left */
		const char *despite;
		int64_t becomes_despite;
	} rows[] = {
		{0, 0, 0, NULL, 100, NULL, 100},
		{40, 0, 0, NULL, 60, NULL, 100},
		{40, 0, 60, NULL, 60, NULL, 60},
		{40, 0, 61, "amount_disputed", 60, NULL, 61},
		{40, 0, 101, "amount_exceeds_remaining", 100, "amount_exceeds_remaining", 100},
		{100, 0, 0, "amount_disputed", 0, NULL, 100},
		{150, 0, 1, "amount_disputed", 0, NULL, 1},
		{40, 80, 20, "amount_disputed", 0, NULL, 20},
		{40, 50, 0, NULL, 10, NULL, 50},
	};
	const PgwCapabilities caps = {.can_refund = true, .partial_refund = true};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		PgwPaymentAmounts s = {.status = PGW_PAY_CAPTURED,
							   .authorized = 100,
							   .captured = 100,
							   .refunded = rows[i].refunded,
							   .disputed = rows[i].disputed};

		for (int despite = 0; despite < 2; despite++)
		{
			const char *error = despite ? rows[i].despite : rows[i].error;
			int64_t becomes = despite ? rows[i].becomes_despite : rows[i].becomes;
			PgwOperationWish wish = {rows[i].amount, true, despite == 1};
			PgwOperationCheck check;

			pgw_payment_operation_check(PGW_KIND_REFUND, &s, &caps, &wish, &check);
			if ((error == NULL) != (check.error_code == NULL) ||
				(error != NULL && strcmp(error, check.error_code) != 0) ||
				(error == NULL ? check.amount : check.left) != becomes)
				fail_msg("row %zu, despite %d: %s %d", i, despite,
						 check.error_code != NULL ? check.error_code : "good",
						 (int) (error == NULL ? check.amount : check.left));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell),    cmocka_unit_test(amounts),
		cmocka_unit_test(capabilities),  cmocka_unit_test(every_sequence),
		cmocka_unit_test(names),         cmocka_unit_test(docs_agree),
		cmocka_unit_test(disputed),      cmocka_unit_test(disputed_meanwhile),
		cmocka_unit_test(whole_refunds),
	};

	return cmocka_run_group_tests_name("payment", tests, NULL, NULL);
}
