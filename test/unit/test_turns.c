/*
 * test_turns.c - who is next at a bank: each trait by itself, and random histories against a list;
 * and what one bank may hold
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmocka_names.h"
#include "core/pacing/fair_turns.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static PgwTurns turns;

static void
nobody(void)
{
	memset(&turns, 0, sizeof(turns));
}

static void
add(PgwTurn *t, PgwLane lane, const char *merchant)
{
	pgw_turns_add(&turns, t, lane, pgw_turns_key(merchant), t);
}

/* What has begun goes before what is new, in the order of its urgency, whoever came first. */
static void
urgent_first(void **state)
{
	PgwTurn t[PGW_NLANES];

	nobody();
	for (int lane = PGW_NLANES - 1; lane >= 0; lane--)
		add(&t[lane], (PgwLane) lane, "m");
	for (int lane = 0; lane < PGW_NLANES; lane++)
		assert_ptr_equal(pgw_turns_next(&turns, PGW_LANES_ALL), &t[lane]);
	assert_null(pgw_turns_next(&turns, PGW_LANES_ALL));

	/* only of the lanes that are asked for */
	add(&t[0], PGW_LANE_GIVE_BACK, "m");
	add(&t[1], PGW_LANE_QUEUED, "m");
	assert_null(pgw_turns_next(&turns, PGW_LANE_BIT(PGW_LANE_LOOKUP)));
	assert_ptr_equal(pgw_turns_next(&turns, PGW_LANES_CHARGES), &t[1]);
	assert_int_equal(pgw_turns_count(&turns, PGW_LANES_ALL), 1);
	assert_int_equal(pgw_turns_count(&turns, PGW_LANES_CHARGES), 0);
}

/*
 * But what is less urgent gets its turn: after seven give-backs a charge, after seven charges a
 * queued one.
 */
static void
nobody_starves(void **state)
{
	static PgwTurn urgent[400];
	static PgwTurn charges[400];
	static PgwTurn queued[400];
	int got[PGW_NLANES] = {0};
	int since[PGW_NLANES] = {0};

	nobody();
	for (int i = 0; i < 400; i++)
	{
		add(&urgent[i], PGW_LANE_GIVE_BACK, "m");
		add(&charges[i], PGW_LANE_CHARGE, "m");
		add(&queued[i], PGW_LANE_QUEUED, "m");
	}
	for (int i = 0; i < 400; i++)
	{
		PgwTurn *t = pgw_turns_next(&turns, PGW_LANES_ALL);

		got[t->lane]++;
		for (int lane = 0; lane < PGW_NLANES; lane++)
			since[lane] = t->lane == (PgwLane) lane ? 0 : since[lane] + 1;
		assert_true(since[PGW_LANE_GIVE_BACK] <= 1);
		assert_true(since[PGW_LANE_CHARGE] <= 2 * (PGW_TURNS_IN_A_ROW + 1));
		assert_true(since[PGW_LANE_QUEUED] <= (PGW_TURNS_IN_A_ROW + 1) * (PGW_TURNS_IN_A_ROW + 1));
	}
	assert_int_equal(got[PGW_LANE_GIVE_BACK], 350);
	assert_true(got[PGW_LANE_QUEUED] > 0);
}

/*
 * 500 of one merchant, and one each of three others who come later: they are next but one, two,
 * three.
 */
static void
merchants_take_turns(void **state)
{
	static PgwTurn many[500];
	PgwTurn others[3];
	static const char *const names[] = {"a", "b", "c"};

	nobody();
	for (int i = 0; i < 500; i++)
		add(&many[i], PGW_LANE_QUEUED, "many");
	for (int i = 0; i < 3; i++)
		add(&others[i], PGW_LANE_QUEUED, names[i]);
	assert_ptr_equal(pgw_turns_next(&turns, PGW_LANES_ALL), &many[0]);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(pgw_turns_next(&turns, PGW_LANES_ALL), &others[i]);
	for (int i = 1; i < 500; i++)
		assert_ptr_equal(pgw_turns_next(&turns, PGW_LANES_ALL), &many[i]);
	assert_null(pgw_turns_next(&turns, PGW_LANES_ALL));
}

/* Places are bounded, and one merchant leaves half of what he finds to the next. */
static void
places(void **state)
{
	static PgwTurn t[PGW_LANE_PLACES];
	int n = 0;
	int before = 0;

	nobody();
	for (int m = 0; m < 5; m++)
	{
		char name[8];

		snprintf(name, sizeof(name), "m%d", m);
		assert_true(pgw_turns_has_place(&turns, PGW_LANE_QUEUED, pgw_turns_key(name)));
		while (pgw_turns_has_place(&turns, PGW_LANE_QUEUED, pgw_turns_key(name)))
			add(&t[n++], PGW_LANE_QUEUED, name);
		assert_int_equal(n - before, (PGW_LANE_PLACES - before + 1) / 2);
		before = n;
	}
	for (int i = 0; i < 2000; i++)
	{
		char name[16];

		snprintf(name, sizeof(name), "other%d", i);
		if (pgw_turns_has_place(&turns, PGW_LANE_QUEUED, pgw_turns_key(name)))
			add(&t[n++], PGW_LANE_QUEUED, name);
	}
	assert_int_equal(n, PGW_LANE_PLACES);
	/* each lane has its own */
	assert_true(pgw_turns_has_place(&turns, PGW_LANE_LOOKUP, pgw_turns_key("m0")));
}

/* ---- random histories ---- */

#define ITEMS 300
#define MERCHANTS 9

typedef struct Model
{
	PgwTurn turn;
	int merchant;
	int order; /* among all; 0: does not wait */
} Model;

static Model items[ITEMS];

/*
 * Nobody of this merchant in this lane waits for longer than since then (0: not asked), and the
 * counts are right.
 */
static void
check(PgwLane lane_of, int merchant, int since)
{
	int count[PGW_NLANES] = {0};

	for (int i = 0; i < ITEMS; i++)
	{
		if (items[i].order == 0)
			continue;
		count[items[i].turn.lane]++;
		assert_true(items[i].turn.waiting);
		if (items[i].turn.lane == lane_of && items[i].merchant == merchant)
			assert_true(items[i].order > since);
	}
	for (int lane = 0; lane < PGW_NLANES; lane++)
		assert_int_equal(pgw_turns_count(&turns, PGW_LANE_BIT(lane)), count[lane]);
}

static void
random_histories(void **state)
{
	srand(1);
	for (int history = 0; history < 200; history++)
	{
		int order = 0;
		int waited[PGW_NLANES][MERCHANTS];

		nobody();
		memset(items, 0, sizeof(items));
		memset(waited, 0, sizeof(waited));
		for (int step = 0; step < 600; step++)
		{
			Model *m = &items[rand() % ITEMS];

			switch (rand() % 4)
			{
				case 0:
				case 1:
					if (m->order != 0)
						break;
					m->merchant = rand() % MERCHANTS;
					m->order = ++order;
					/* one bucket */
					pgw_turns_add(&turns, &m->turn, (PgwLane) (rand() % PGW_NLANES),
								  (uint32_t) m->merchant * PGW_TURNS_BUCKETS + 1, m);
					break;
				case 2:
					if (m->order == 0)
						break;
					pgw_turns_remove(&turns, &m->turn);
					m->order = 0;
					/* who has left comes back behind the others */
					waited[m->turn.lane][m->merchant] = 0;
					break;
				case 3:
				{
					PgwTurn *t = pgw_turns_next(&turns, PGW_LANES_ALL);
					bool here[MERCHANTS] = {false};
					Model *next;
					int since;

					if (t == NULL)
						break;
					next = t->owner;
					since = next->order;
					assert_true(since != 0);
					next->order = 0;
					check(t->lane, next->merchant, since);
					for (int i = 0; i < ITEMS; i++)
						if (items[i].order != 0 && items[i].turn.lane == t->lane)
							here[items[i].merchant] = true;
					/*
					 * no merchant who waits here is passed over more often than there are
					 * others
					 */
					for (int k = 0; k < MERCHANTS; k++)
					{
						waited[t->lane][k] =
							k == next->merchant || !here[k] ? 0 : waited[t->lane][k] + 1;
						assert_true(waited[t->lane][k] < MERCHANTS);
					}
				}
				break;
			}
		}
		check(PGW_LANE_GIVE_BACK, 0, 0);
		while (pgw_turns_next(&turns, PGW_LANES_ALL) != NULL)
			;
		assert_int_equal(pgw_turns_count(&turns, PGW_LANES_ALL), 0);
	}
}

/* ---- shares ---- */

static int
takes_all(int free, bool alone)
{
	int held = 0;

	while (pgw_share_allows(held, free, alone))
	{
		held++;
		free--;
	}
	return held;
}

static void
shares(void **state)
{
	static const int capacities[] = {4, 12, 245, 512, 10000};

	for (size_t i = 0; i < LENGTH(capacities); i++)
	{
		int free = capacities[i];

		assert_int_equal(takes_all(free, true), free);
		assert_int_in_range(takes_all(free, false), free * 2 / 3, free * 2 / 3 + 1);

		/*
		 * however many take all that they can get, there is something for the next, until nothing
		 * can be divided
		 */
		for (int banks = 0; free > 0; banks++)
		{
			int held = takes_all(free, false);

			assert_true(held >= 1);
			free -= held;
			assert_true(banks < 10);
		}
	}
	assert_false(pgw_share_allows(0, 0, true));
	assert_false(pgw_share_allows(0, 0, false));
}

static void
room(void **state)
{
	PgwBankLoad load = {.capacity = 240, .max_in_flight = 100};
	int n = 0;

	/* a bank that hangs: its charges leave room for what has begun, and for the other banks */
	while (pgw_bank_load_allows(&load, PGW_LANE_QUEUED))
	{
		n++;
		load.connections_in_use++;
		load.held++;
		load.charges_held++;
		load.in_flight++;
		load.charges_in_flight++;
	}
	assert_int_equal(n, 100 - 8);
	assert_false(pgw_bank_load_allows(&load, PGW_LANE_CHARGE));
	for (int lane = 0; lane < PGW_LANE_CHARGE; lane++)
		assert_true(pgw_bank_load_allows(&load, (PgwLane) lane));
	load.in_flight = 100;
	assert_false(pgw_bank_load_allows(&load, PGW_LANE_GIVE_BACK));

	/* without a limit of its own it has its share, and leaves a third */
	load = (PgwBankLoad){.capacity = 240};
	while (pgw_bank_load_allows(&load, PGW_LANE_CHARGE))
	{
		load.connections_in_use++;
		load.held++;
		load.charges_held++;
	}
	assert_int_in_range(load.held, 240 * 2 / 3 - 8, 240 * 2 / 3);
	assert_true(pgw_bank_load_allows(&load, PGW_LANE_GIVE_BACK));
	n = load.connections_in_use;
	load.held = load.charges_held = 0;
	assert_true(pgw_bank_load_allows(&load, PGW_LANE_CHARGE)); /* another bank */
	load.connections_in_use = 240;
	assert_false(pgw_bank_load_allows(&load, PGW_LANE_GIVE_BACK));

	/* alone it has all but what is kept for give-backs */
	load = (PgwBankLoad){.capacity = 240,
						 .alone = true,
						 .connections_in_use = 231,
						 .held = 231,
						 .charges_held = 231};
	assert_true(pgw_bank_load_allows(&load, PGW_LANE_CHARGE));
	load.connections_in_use = load.held = load.charges_held = 232;
	assert_false(pgw_bank_load_allows(&load, PGW_LANE_CHARGE));
	assert_true(pgw_bank_load_allows(&load, PGW_LANE_GIVE_BACK));

	/* a limit so small that nothing can be kept is a limit all the same */
	for (int max = 1; max < 8; max++)
	{
		load = (PgwBankLoad){.capacity = 240,
							 .max_in_flight = max,
							 .in_flight = max - 1,
							 .charges_in_flight = max - 1};
		assert_true(pgw_bank_load_allows(&load, PGW_LANE_CHARGE));
		load.in_flight = max;
		assert_false(pgw_bank_load_allows(&load, PGW_LANE_CHARGE));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urgent_first),
		cmocka_unit_test(nobody_starves),
		cmocka_unit_test(merchants_take_turns),
		cmocka_unit_test(places),
		cmocka_unit_test(random_histories),
		cmocka_unit_test(shares),
		cmocka_unit_test(room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
