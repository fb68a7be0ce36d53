/*
 * test_give_back_amount.c - how much of a charge is to be given back that is not what was asked
 * for, and where nobody can read that
 */
#include "check_flow.h"

#include "core/payment/shown_by_bank.h"

typedef struct Shows
{
	int amount; /* -1: not named; -2: named, and not readable */
	int captured;
	int refunded;
	bool voided;
	bool unreadable; /* captured or refunded, where it is not there; or voided */
	bool currency_unreadable;
} Shows;

static PgwAnswer
shows(const Shows *s)
{
	PgwAnswer a = answer(PGW_OUT_APPROVED);

	a.has_amount = s->amount >= 0;
	a.amount = a.has_amount ? s->amount : 0;
	a.amount_unreadable = s->amount == -2 || s->currency_unreadable;
	a.currency_unreadable = s->currency_unreadable;
	a.captured = s->captured;
	a.refunded = s->refunded;
	a.has_voided = a.voided = s->voided;
	a.charge_state_unreadable = s->unreadable;
	strcpy(a.bank_reference, "ch_1");
	return a;
}

/* 100 were asked for, as a charge. */
static void
left(void **state)
{
	static const struct
	{
		Shows s;
		int left; /* 0: not said */
	} rows[] = {
		{{-1, -1, -1, .voided = false}, 0},
		{{100, -1, 0, .voided = false}, 100},
		{{300, -1, -1, .voided = false}, 300},
		/* a part is back, and how much was captured is not said: all of it */
		{{100, -1, 30, .voided = false}, 70},
		{{300, -1, 30, .voided = false}, 270},
		{{-1, -1, 30, .voided = false}, 70},
		{{-1, -1, 100, .voided = false}, 0},
		{{100, -1, 100, .voided = false}, 100}, /* nothing: the bank will say so */
		{{-2, -1, 30, .voided = false}, 0},
		{{100, -1, 30, .voided = true}, 100},
		/* it is said */
		{{100, 60, 30, .voided = false}, 30},
		{{-1, 60, 30, .voided = false}, 30},
		{{100, 0, 30, .voided = false}, 100},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		PgwAnswer a = shows(&rows[i].s);
		bool captured = true;

		if (pgw_shown_left(&a, 100, &captured) != rows[i].left)
			fail_msg("row %zu: %d", i, (int) pgw_shown_left(&a, 100, &captured));
	}
}

/* 100 were asked for, as a charge or an authorization, and the answer is not that. */
static void
unreadable(void **state)
{
	static const struct
	{
		Shows s;
		bool charge;
		bool authorization;
	} rows[] = {
		{{300, -1, -1, .voided = false}, false, false},
		{{300, 300, 0, .voided = false}, false, false},
		{{100, -1, 30, .voided = false}, false, false},
		{{-2, -1, -1, .voided = false}, true, false},
		{{-2, -1, 0, .voided = false}, true, false},
		/* it says how much it has taken, if not of how much */
		{{-2, 300, 0, .voided = false}, false, false},
		{{300, -1, 0, .unreadable = true}, true, false},
		{{300, 300, -1, .unreadable = true}, true, true},
		{{300, 200, -1, .unreadable = true}, true, true},
		{{300, -1, 30, .unreadable = true}, true, false},
		/* whether it was voided: a refund of what is said says more */
		{{300, 300, 0, .unreadable = true}, false, false},
		/* nothing is held, or what is released without an amount */
		{{300, -1, -1, .voided = true, .unreadable = true}, false, false},
		{{300, 0, -1, .unreadable = true}, false, false},
		{{-2, 0, 0, .voided = false}, false, false},
		/* of who knows what */
		{{300, 300, 0, .currency_unreadable = true}, true, true},
		{{-1, -1, 30, .currency_unreadable = true}, true, false},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(rows) * 4; i++)
	{
		bool charge = (i & 1) != 0;
		bool only_refund = (i & 2) != 0;
		bool wanted = charge ? rows[i / 4].charge : rows[i / 4].authorization;
		PgwAnswer a = shows(&rows[i / 4].s);
		PgwDecision d;
		PgwChargeInput in = {.kind = PGW_KIND_PAYMENT,
							 .state = PGW_CREATED,
							 .op = charge ? PGW_OP_CHARGE : PGW_OP_AUTHORIZE,
							 .capture = charge ? PGW_CAPTURE_IMMEDIATE : PGW_CAPTURE_MANUAL,
							 .amount = 100,
							 .currency = "EUR",
							 .transport = PGW_TRANSPORT_ANSWERED,
							 .answer = &a,
							 .only_refund = only_refund};

		if (pgw_shown_left_unreadable(&a, charge) != wanted)
			fail_msg("row %zu, charge %d", i / 4, charge);
		/* what names no amount gives back all that there is */
		pgw_charge_result(&in, &d);
		assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_CREATED, &d));
		if (d.state != (wanted && only_refund ? PGW_BANK_UNKNOWN : PGW_REFUNDING))
			fail_msg("row %zu, charge %d, only by a refund %d: %d", i / 4, charge, only_refund,
					 d.state);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(left), cmocka_unit_test(unreadable)};

	return cmocka_run_group_tests_name("give_back_amount", tests, NULL, NULL);
}
