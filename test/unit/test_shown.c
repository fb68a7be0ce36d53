/*
 * test_shown.c - what each combination of what a bank shows means: by hand, and what must hold over
 * all of them
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/payment/shown_by_bank.h"

#define AMOUNT 100

/* What the bank names; -1 and NULL: it does not. */
typedef struct Standing
{
	int amount;
	const char *currency;
	int captured;
	int refunded;
	int voided; /* 0 and 1: it says so */
	bool unreadable;
} Standing;

#define SILENT -1, NULL, -1, -1, -1, false

static PgwAnswer
standing(const Standing *s)
{
	PgwAnswer a = answer(PGW_OUT_APPROVED);

	a.has_amount = s->amount >= 0;
	a.amount = a.has_amount ? s->amount : 0;
	if (s->currency != NULL)
		strncpy(a.currency, s->currency, sizeof(a.currency) - 1);
	a.captured = s->captured;
	a.refunded = s->refunded;
	a.has_voided = s->voided >= 0;
	a.voided = s->voided == 1;
	a.charge_state_unreadable = s->unreadable;
	return a;
}

static void
charges(void **unused)
{
	static const struct
	{
		Standing s;
		PgwShown charge;
		PgwShown authorize; /* captured by hand */
		PgwShown on_commit; /* captured by pgw, after the commit */
	} rows[] = {
		/* what is not named is as the outcome says */
		{{SILENT}, PGW_SHOWN_AS_ASKED, PGW_SHOWN_AS_ASKED, PGW_SHOWN_AS_ASKED},
		{{100, "EUR", -1, -1, -1, false},
		 PGW_SHOWN_AS_ASKED,
		 PGW_SHOWN_AS_ASKED,
		 PGW_SHOWN_AS_ASKED},
		{{100, NULL, -1, -1, -1, false},
		 PGW_SHOWN_AS_ASKED,
		 PGW_SHOWN_AS_ASKED,
		 PGW_SHOWN_AS_ASKED},
		{{-1, "EUR", -1, 0, 0, false}, PGW_SHOWN_AS_ASKED, PGW_SHOWN_AS_ASKED, PGW_SHOWN_AS_ASKED},
		/* all of it is taken */
		{{100, "EUR", 100, 0, 0, false},
		 PGW_SHOWN_AS_ASKED,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_AS_ASKED},
		{{-1, NULL, 100, -1, -1, false},
		 PGW_SHOWN_AS_ASKED,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_AS_ASKED},
		/* none of it, a part of it, more than that */
		{{100, "EUR", 0, 0, 0, false}, PGW_SHOWN_OTHERWISE, PGW_SHOWN_AS_ASKED, PGW_SHOWN_AS_ASKED},
		{{-1, NULL, 0, -1, -1, false}, PGW_SHOWN_OTHERWISE, PGW_SHOWN_AS_ASKED, PGW_SHOWN_AS_ASKED},
		{{100, "EUR", 1, 0, 0, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{100, "EUR", 99, 0, 0, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{100, "EUR", 101, 0, 0, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		/* given back, or some of it */
		{{100, "EUR", 100, 1, 0, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{100, "EUR", 100, 100, 0, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{100, "EUR", 0, 0, 1, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{-1, NULL, -1, -1, 1, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{-1, NULL, -1, 1, -1, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		/* another amount or currency */
		{{99, "EUR", -1, -1, -1, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{101, "EUR", 100, 0, 0, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{100, "USD", 100, 0, 0, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		{{-1, "USD", -1, -1, -1, false},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_OTHERWISE},
		/* something stands there, and nobody can read it: neither nothing nor all */
		{{100, "EUR", -1, -1, -1, true},
		 PGW_SHOWN_UNREADABLE,
		 PGW_SHOWN_UNREADABLE,
		 PGW_SHOWN_UNREADABLE},
		{{100, "EUR", 100, -1, 0, true},
		 PGW_SHOWN_UNREADABLE,
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_UNREADABLE},
		{{100, "EUR", 0, -1, 0, true},
		 PGW_SHOWN_OTHERWISE,
		 PGW_SHOWN_UNREADABLE,
		 PGW_SHOWN_UNREADABLE},
	};

	(void) unused;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwAnswer a = standing(&rows[i].s);
		PgwAsked asked = {.op = PGW_OP_CHARGE, .amount = AMOUNT, .currency = "EUR"};
		PgwShown got[3];

		got[0] = pgw_shown_charge(&asked, &a);
		asked.op = PGW_OP_AUTHORIZE;
		got[1] = pgw_shown_charge(&asked, &a);
		asked.capture_follows = true;
		got[2] = pgw_shown_charge(&asked, &a);
		if (got[0] != rows[i].charge || got[1] != rows[i].authorize || got[2] != rows[i].on_commit)
			fail_msg("row %zu: charge %d, authorize %d, on_commit %d", i, got[0], got[1], got[2]);
	}
}

/* 40 before, 10 by others in doubt (refunds only), 100 asked for. */
static void
operations(void **unused)
{
	static const struct
	{
		PgwBankOp op;
		Standing s;
		PgwShown want;
		bool excess;
	} rows[] = {
		{PGW_OP_CAPTURE, {SILENT}, PGW_SHOWN_NOTHING, false},
		/* less than is known: the look-up is of before that */
		{PGW_OP_CAPTURE, {-1, NULL, 0, -1, -1, false}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_CAPTURE, {-1, NULL, 39, -1, 1, false}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_CAPTURE, {-1, NULL, 40, -1, -1, false}, PGW_SHOWN_NOT_DONE, false},
		{PGW_OP_CAPTURE, {-1, NULL, 41, -1, -1, false}, PGW_SHOWN_PART, false},
		{PGW_OP_CAPTURE, {-1, NULL, 139, -1, 1, false}, PGW_SHOWN_PART, false},
		{PGW_OP_CAPTURE, {-1, NULL, 140, -1, -1, false}, PGW_SHOWN_AS_ASKED, false},
		{PGW_OP_CAPTURE, {999, "EUR", 140, 140, 0, false}, PGW_SHOWN_AS_ASKED, false},
		{PGW_OP_CAPTURE, {-1, NULL, 141, -1, -1, false}, PGW_SHOWN_OTHERWISE, false},
		{PGW_OP_CAPTURE, {-1, "USD", 140, -1, -1, false}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_CAPTURE, {-1, NULL, 40, -1, 1, false}, PGW_SHOWN_IMPOSSIBLE, false},
		{PGW_OP_CAPTURE, {-1, NULL, -1, -1, 1, false}, PGW_SHOWN_IMPOSSIBLE, false},
		{PGW_OP_VOID, {SILENT}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_VOID, {-1, NULL, 0, -1, 1, false}, PGW_SHOWN_AS_ASKED, false},
		{PGW_OP_VOID, {-1, NULL, 0, -1, 0, false}, PGW_SHOWN_NOT_DONE, false},
		{PGW_OP_VOID, {-1, NULL, 1, -1, 0, false}, PGW_SHOWN_IMPOSSIBLE, false},
		{PGW_OP_VOID, {-1, NULL, 0, -1, -1, false}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_REFUND, {SILENT}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 0, -1, false}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 39, -1, false}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 40, -1, false}, PGW_SHOWN_NOT_DONE, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 50, -1, false}, PGW_SHOWN_NOT_DONE, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 51, -1, false}, PGW_SHOWN_PART, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 139, -1, false}, PGW_SHOWN_PART, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 140, -1, false}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 149, -1, false}, PGW_SHOWN_NOTHING, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 150, -1, false}, PGW_SHOWN_AS_ASKED, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 151, -1, false}, PGW_SHOWN_AS_ASKED, true},
		{PGW_OP_REFUND, {-1, NULL, 149, 150, -1, false}, PGW_SHOWN_AS_ASKED, true},
		{PGW_OP_REFUND, {-1, "USD", 500, 150, -1, false}, PGW_SHOWN_NOTHING, false},
	};

	(void) unused;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwAnswer a = standing(&rows[i].s);
		PgwAsked asked = {.op = rows[i].op,
						  .amount = AMOUNT,
						  .currency = "EUR",
						  .before = 40,
						  .others = rows[i].op == PGW_OP_REFUND ? 10 : 0};
		PgwShown got = pgw_shown_operation(&asked, &a);

		if (got != rows[i].want || pgw_shown_excess(&asked, &a) != rows[i].excess)
			fail_msg("row %zu: %d, excess %d", i, got, pgw_shown_excess(&asked, &a));
	}
}

/* Of a refund by a void, only if no rest of the charge can be meant. */
static void
never_a_phantom_refund(PgwAsked asked, const PgwAnswer *a)
{
	asked.op = PGW_OP_REFUND;
	for (int charged = AMOUNT; charged <= AMOUNT + 80; charged += 40)
		for (int taken = AMOUNT; taken <= charged; taken += 40)
		{
			int64_t captured = a->captured >= 0 ? a->captured : taken;
			bool undone = a->voided && (captured == 0 || captured >= charged);
			PgwShown shown;

			asked.charged = charged;
			asked.taken = taken;
			shown = pgw_shown_operation(&asked, a);
			assert_true((shown == PGW_SHOWN_AS_ASKED) ==
						(undone || a->refunded >= asked.before + AMOUNT));
			if (a->refunded > asked.before || a->voided)
				assert_int_not_equal(shown, PGW_SHOWN_NOT_DONE);
		}
}

/*
 * Whatever else is shown: nothing counts as captured, or as given back, that the bank shows
 * otherwise.
 */
static void
never_a_phantom(void **unused)
{
	(void) unused;
	for (int captured = -1; captured <= AMOUNT + 60; captured++)
		for (int refunded = -1; refunded <= AMOUNT + 60; refunded += 7)
			for (int voided = -1; voided <= 1; voided++)
				for (int before = 0; before <= 40; before += 20)
				{
					Standing s = {-1, NULL, captured, refunded, voided, false};
					PgwAnswer a = standing(&s);
					PgwAsked asked = {
						.op = PGW_OP_CHARGE, .amount = AMOUNT, .currency = "EUR", .before = before};

					if (captured >= 0 && captured != AMOUNT)
						assert_int_equal(pgw_shown_charge(&asked, &a), PGW_SHOWN_OTHERWISE);
					asked.op = PGW_OP_CAPTURE;
					assert_true((pgw_shown_operation(&asked, &a) == PGW_SHOWN_AS_ASKED) ==
								(captured == before + AMOUNT));
					if (captured > before && captured != before + AMOUNT)
						assert_int_not_equal(pgw_shown_operation(&asked, &a), PGW_SHOWN_NOT_DONE);
					never_a_phantom_refund(asked, &a);
				}
}

/*
 * A refund that the bank has carried out as a void, or whose charge somebody has voided: 1000
 * authorized, 1000 or 300 of it captured as far as pgw knows.
 */
static void
refunds_by_void(void **unused)
{
	static const struct
	{
		int taken;
		int before;
		int others;
		int amount;
		Standing s;
		PgwShown want;
		bool excess;
	} rows[] = {
		/* all of it was captured: there is nothing else that "voided" could mean */
		{1000, 0, 0, 1000, {-1, NULL, 1000, 0, 1, false}, PGW_SHOWN_AS_ASKED, false},
		{1000, 0, 0, 1000, {-1, NULL, 0, 0, 1, false}, PGW_SHOWN_AS_ASKED, false},
		{1000, 0, 0, 1000, {-1, NULL, -1, -1, 1, false}, PGW_SHOWN_AS_ASKED, false},
		{1000, 0, 0, 1000, {-1, NULL, -1, 0, 1, false}, PGW_SHOWN_AS_ASKED, false},
		{1000, 300, 0, 700, {-1, NULL, 1000, 300, 1, false}, PGW_SHOWN_AS_ASKED, false},
		/* a part was asked for, by one or two, and the whole was undone */
		{1000, 0, 0, 300, {-1, NULL, 1000, 0, 1, false}, PGW_SHOWN_AS_ASKED, true},
		{1000, 0, 300, 300, {-1, NULL, 0, 0, 1, false}, PGW_SHOWN_AS_ASKED, true},
		{1000, 0, 700, 300, {-1, NULL, 1000, 0, 1, false}, PGW_SHOWN_AS_ASKED, false},
		/* a part was captured: the rest of it may be what was voided */
		{300, 0, 0, 300, {-1, NULL, 300, 0, 1, false}, PGW_SHOWN_NOTHING, false},
		{300, 0, 0, 300, {-1, NULL, -1, 0, 1, false}, PGW_SHOWN_NOTHING, false},
		{300, 0, 0, 300, {-1, NULL, 300, 200, 1, false}, PGW_SHOWN_NOTHING, false},
		{300, 0, 0, 300, {-1, NULL, 300, 300, 1, false}, PGW_SHOWN_AS_ASKED, false},
		{300, 0, 0, 300, {-1, NULL, 0, 0, 1, false}, PGW_SHOWN_AS_ASKED, false},
		/* what was captured stands there, and cannot be read */
		{1000, 0, 0, 1000, {-1, NULL, -1, 0, 1, true}, PGW_SHOWN_NOTHING, false},
		{1000, 0, 0, 1000, {-1, NULL, 1000, -1, 1, true}, PGW_SHOWN_AS_ASKED, false},
		/* in another currency it says nothing */
		{1000, 0, 0, 1000, {-1, "USD", 1000, 0, 1, false}, PGW_SHOWN_NOTHING, true},
		{1000, 0, 0, 1000, {-1, NULL, 1000, 0, 0, false}, PGW_SHOWN_NOT_DONE, false},
	};

	(void) unused;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwAnswer a = standing(&rows[i].s);
		PgwAsked asked = {.op = PGW_OP_REFUND,
						  .amount = rows[i].amount,
						  .currency = "EUR",
						  .before = rows[i].before,
						  .others = rows[i].others,
						  .charged = 1000,
						  .taken = rows[i].taken};
		bool done = rows[i].want == PGW_SHOWN_AS_ASKED;

		if (pgw_shown_operation(&asked, &a) != rows[i].want)
			fail_msg("row %zu: %d", i, pgw_shown_operation(&asked, &a));
		if (rows[i].s.currency == NULL && pgw_shown_excess(&asked, &a) != rows[i].excess)
			fail_msg("row %zu: excess %d", i, pgw_shown_excess(&asked, &a));
		/* a yes is not belied by what shows it done, and a no is */
		if (done && (pgw_shown_belied(&asked, &a) || !pgw_shown_refusal_belied(&asked, &a)))
			fail_msg("row %zu: belied", i);
		/* the void of the whole that pgw makes of a refund is told apart just so */
		asked.op = PGW_OP_REVERSE;
		if (rows[i].amount == rows[i].taken && rows[i].s.voided == 1 &&
			rows[i].s.currency == NULL && pgw_shown_operation(&asked, &a) != rows[i].want &&
			rows[i].s.refunded <= 0)
			fail_msg("row %zu: reversal %d", i, pgw_shown_operation(&asked, &a));
	}
}

/* A yes or a no that its own document contradicts.  100 asked for, 40 before. */
static void
belied(void **unused)
{
	static const struct
	{
		PgwBankOp op;
		Standing s;
		bool yes;
		bool no;
	} rows[] = {
		{PGW_OP_CHARGE, {SILENT}, false, false},
		{PGW_OP_CHARGE, {100, "EUR", -1, -1, -1, false}, false, false},
		{PGW_OP_CHARGE, {100, "EUR", 0, 0, 0, false}, false, false},
		{PGW_OP_CHARGE, {100, "EUR", 100, 0, 0, false}, false, true},
		{PGW_OP_CHARGE, {-1, NULL, 1, -1, -1, false}, false, true},
		{PGW_OP_AUTHORIZE, {-1, NULL, 100, 99, 0, false}, false, true},
		{PGW_OP_CHARGE, {-1, NULL, 100, 100, 0, false}, false, false},
		{PGW_OP_CHARGE, {-1, NULL, 100, 0, 1, false}, false, false},
		{PGW_OP_CAPTURE, {-1, NULL, 40, -1, -1, false}, true, false},
		{PGW_OP_CAPTURE, {-1, NULL, 41, -1, -1, false}, true, true},
		{PGW_OP_CAPTURE, {-1, NULL, 140, -1, -1, false}, false, true},
		/* voided, and what was captured is not said: nothing of it, then */
		{PGW_OP_CAPTURE, {-1, NULL, -1, -1, 1, false}, true, false},
		{PGW_OP_CAPTURE, {-1, NULL, -1, -1, 0, false}, false, false},
		{PGW_OP_CAPTURE, {-1, NULL, 100, -1, 1, false}, false, true},
		{PGW_OP_VOID, {SILENT}, false, false},
		{PGW_OP_VOID, {-1, NULL, 0, 0, 0, false}, true, false},
		/* it was captured, and is held: none of it was released */
		{PGW_OP_VOID, {100, NULL, 100, -1, -1, false}, true, false},
		{PGW_OP_VOID, {100, NULL, 100, 60, -1, false}, true, false},
		{PGW_OP_VOID, {100, NULL, 100, 100, -1, false}, false, false},
		{PGW_OP_VOID, {100, NULL, 0, 0, -1, false}, false, false},
		{PGW_OP_VOID, {100, NULL, 100, 0, 1, false}, false, true},
		{PGW_OP_VOID, {-1, NULL, 0, 0, 1, false}, false, true},
		{PGW_OP_REFUND, {SILENT}, false, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 40, 0, false}, true, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 139, 0, false}, false, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 140, 0, false}, false, true},
		{PGW_OP_CANCEL, {SILENT}, false, false},
		{PGW_OP_CANCEL, {-1, NULL, 1000, 0, 0, false}, true, false},
		{PGW_OP_CANCEL, {-1, NULL, 1000, 300, 0, false}, true, false},
		{PGW_OP_CANCEL, {-1, NULL, 1000, 1000, 0, false}, false, false},
		{PGW_OP_CANCEL, {-1, NULL, 1000, 0, 1, false}, false, true},
		{PGW_OP_CANCEL, {-1, NULL, 1000, -1, 0, false}, false, false},
		{PGW_OP_CANCEL, {-1, NULL, 0, 0, 0, false}, true, false},
		{PGW_OP_CANCEL, {-1, NULL, 0, 0, -1, false}, false, false},
		{PGW_OP_REFUND, {-1, NULL, 500, 0, 1, false}, false, true},
	};

	(void) unused;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwAnswer a = standing(&rows[i].s);
		PgwAsked asked = {.op = rows[i].op, .amount = AMOUNT, .currency = "EUR", .before = 40};

		if (pgw_shown_belied(&asked, &a) != rows[i].yes ||
			pgw_shown_refusal_belied(&asked, &a) != rows[i].no)
			fail_msg("row %zu: yes %d, no %d", i, pgw_shown_belied(&asked, &a),
					 pgw_shown_refusal_belied(&asked, &a));
	}
}

static void
left(void **unused)
{
	static const struct
	{
		Standing s;
		bool asked_captured;
		int amount;
		bool captured;
	} rows[] = {
		{{SILENT}, true, 0, true},
		{{SILENT}, false, 0, false},
		{{100, NULL, -1, -1, -1, false}, true, 100, true},
		{{100, NULL, 0, 0, 0, false}, true, 100, false}, /* an authorization: to be voided */
		{{100, NULL, 60, 0, 0, false}, true, 60, true},
		{{100, NULL, 60, -1, 0, false}, false, 60, true},
		{{100, NULL, 100, 30, 0, false}, true, 70, true},
		{{100, NULL, 150, 0, 0, false}, true, 150, true},
		{{100, NULL, 100, 100, 0, false}, true, 100, true}, /* nothing: the bank will say so */
	};

	(void) unused;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwAnswer a = standing(&rows[i].s);
		bool captured = rows[i].asked_captured;

		if (pgw_shown_left(&a, 0, &captured) != rows[i].amount || captured != rows[i].captured)
			fail_msg("row %zu", i);
	}
}

/* An authorization whose lifetime is over, of which 40 are known to be captured. */
static void
ends(void **unused)
{
	static const struct
	{
		Standing s;
		PgwShownEnd approved;
		PgwShownEnd declined;
	} rows[] = {
		{{SILENT}, PGW_END_UNTOLD, PGW_END_LAPSED},
		{{100, "EUR", 40, 0, 0, false}, PGW_END_LAPSED, PGW_END_LAPSED},
		{{100, "EUR", 0, 0, 1, false}, PGW_END_LAPSED, PGW_END_LAPSED},
		{{100, "EUR", 41, 0, 0, false}, PGW_END_TAKEN, PGW_END_TAKEN},
		{{100, "EUR", 100, -1, 1, false}, PGW_END_TAKEN, PGW_END_LAPSED},
		{{100, "EUR", 100, 100, 0, false}, PGW_END_TAKEN, PGW_END_LAPSED},
		/* nobody can read what was captured: perhaps all of it */
		{{100, "EUR", -1, 0, 0, true}, PGW_END_UNTOLD, PGW_END_UNTOLD},
		{{100, "EUR", -1, 0, 1, true}, PGW_END_UNTOLD, PGW_END_LAPSED},
		{{100, "EUR", 100, -1, 0, true}, PGW_END_TAKEN, PGW_END_TAKEN},
	};

	(void) unused;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwAnswer a = standing(&rows[i].s);
		PgwShownEnd approved = pgw_shown_end(&a, 40);

		a.outcome = PGW_OUT_DECLINED;
		if (approved != rows[i].approved || pgw_shown_end(&a, 40) != rows[i].declined)
			fail_msg("row %zu: %d, declined %d", i, approved, pgw_shown_end(&a, 40));
		for (int other = 0; other <= PGW_OUT_ACCEPTED; other++)
		{
			a.outcome = (PgwOutcome) other;
			if (a.outcome != PGW_OUT_APPROVED && a.outcome != PGW_OUT_DECLINED)
				assert_int_equal(pgw_shown_end(&a, 40), PGW_END_UNTOLD);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),       cmocka_unit_test(charges),
		cmocka_unit_test(operations), cmocka_unit_test(never_a_phantom),
		cmocka_unit_test(belied),     cmocka_unit_test(refunds_by_void),
		cmocka_unit_test(left)};

	return cmocka_run_group_tests_name("shown", tests, NULL, NULL);
}
