/*
 * fair_turns.c - who is next at a bank, and how much of what is shared one bank may hold
 *
 * Invariants:
 *     - A lane's `next` is NULL exactly when its count is 0; each merchant who waits there is on
 *       its ring once, by the first of his items.
 *     - A merchant who has had his turn goes behind all others of the lane.
 *     - Every lane that is asked for and not empty gets a turn after at most PGW_TURNS_IN_A_ROW +
 *       1 turns of those before it (twice that, for the last).
 *     - Nothing is allocated: a merchant's first item is his place on the ring.
 */
#include "core/pacing/fair_turns.h"

#include <stddef.h>

#include "core/base/mutant.h"

#define SHARE_WEIGHT 2
#define KEPT_MAX 8

/* FNV-1a; never 0. */
uint32_t
pgw_turns_key(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char) *name) * 16777619u;
	return h != 0 ? h : 1;
}

static PgwTurn **
bucket_of(PgwTurnLane *l, uint32_t merchant)
{
	return &l->buckets[(merchant ^ merchant >> 16) % PGW_TURNS_BUCKETS];
}

static PgwTurn *
first_of(const PgwTurnLane *l, uint32_t merchant)
{
	PgwTurn *first = l->buckets[(merchant ^ merchant >> 16) % PGW_TURNS_BUCKETS];

	while (first != NULL && first->merchant != merchant)
		first = first->bucket;
	return first;
}

bool
pgw_turns_has_place(const PgwTurns *t, PgwLane lane, uint32_t merchant)
{
	const PgwTurnLane *l = &t->lanes[lane];
	const PgwTurn *first = first_of(l, merchant);
	int left = PGW_LANE_PLACES - l->count;

	return left > 0 && (first == NULL || first->n < left);
}

/* A merchant's place on the ring: behind all others, that is before the one whose turn it is. */
static void
join(PgwTurnLane *l, PgwTurn *first)
{
	PgwTurn **bucket = bucket_of(l, first->merchant);

	first->bucket = *bucket;
	*bucket = first;
	if (l->next == NULL)
		l->next = first->prev_merchant = first->next_merchant = first;
	else
	{
		first->next_merchant = l->next;
		first->prev_merchant = l->next->prev_merchant;
		first->prev_merchant->next_merchant = first;
		l->next->prev_merchant = first;
	}
}

static void
leave(PgwTurnLane *l, PgwTurn *first)
{
	PgwTurn **at = bucket_of(l, first->merchant);

	while (*at != first)
		at = &(*at)->bucket;
	*at = first->bucket;
	if (first->next_merchant == first)
		l->next = NULL;
	else
	{
		first->prev_merchant->next_merchant = first->next_merchant;
		first->next_merchant->prev_merchant = first->prev_merchant;
		if (l->next == first)
			l->next = first->next_merchant;
	}
}

/* The merchant's next item takes the first one's place, on the ring and in the bucket. */
static void
hand_on(PgwTurnLane *l, PgwTurn *first, PgwTurn *second)
{
	PgwTurn **at = bucket_of(l, first->merchant);

	while (*at != first)
		at = &(*at)->bucket;
	*at = second;
	second->bucket = first->bucket;
	second->last = first->last;
	second->n = first->n - 1;
	if (first->next_merchant == first)
		second->prev_merchant = second->next_merchant = second;
	else
	{
		second->prev_merchant = first->prev_merchant;
		second->next_merchant = first->next_merchant;
		second->prev_merchant->next_merchant = second;
		second->next_merchant->prev_merchant = second;
	}
	if (l->next == first)
		l->next = second;
}

void
pgw_turns_add(PgwTurns *t, PgwTurn *turn, PgwLane lane, uint32_t merchant, void *owner)
{
	PgwTurnLane *l = &t->lanes[lane];
	PgwTurn *first = first_of(l, merchant);

	*turn = (PgwTurn){.merchant = merchant, .lane = lane, .waiting = true, .owner = owner};
	l->count++;
	if (first == NULL)
	{
		turn->last = turn;
		turn->n = 1;
		join(l, turn);
		return;
	}
	turn->prev = first->last;
	first->last->next = turn;
	first->last = turn;
	first->n++;
}

void
pgw_turns_remove(PgwTurns *t, PgwTurn *turn)
{
	PgwTurnLane *l = &t->lanes[turn->lane];

	if (turn->prev == NULL)
	{
		if (turn->next == NULL)
			leave(l, turn);
		else
			hand_on(l, turn, turn->next);
	}
	else
	{
		PgwTurn *first = first_of(l, turn->merchant);

		first->n--;
		if (first->last == turn)
			first->last = turn->prev;
		turn->prev->next = turn->next;
	}
	if (turn->next != NULL)
		turn->next->prev = turn->prev;
	turn->prev = turn->next = NULL;
	turn->waiting = false;
	l->count--;
}

int
pgw_turns_count(const PgwTurns *t, unsigned lanes)
{
	int n = 0;

	for (int lane = 0; lane < PGW_NLANES; lane++)
		n += lanes & PGW_LANE_BIT(lane) ? t->lanes[lane].count : 0;
	return n;
}

/* The lane whose turn it is among those with somebody in them; -1: none. */
static int
lane_next(PgwTurns *t, unsigned lanes)
{
	bool charge = (lanes & PGW_LANE_BIT(PGW_LANE_CHARGE)) && t->lanes[PGW_LANE_CHARGE].count > 0;
	bool queued = (lanes & PGW_LANE_BIT(PGW_LANE_QUEUED)) && t->lanes[PGW_LANE_QUEUED].count > 0;
	int urgent = -1;

	for (int lane = 0; urgent < 0 && lane < PGW_LANE_CHARGE; lane++)
		if ((lanes & PGW_LANE_BIT(lane)) && t->lanes[lane].count > 0)
			urgent = lane;
	if (PGW_MUTATED(LANES))
		return queued ? PGW_LANE_QUEUED : charge ? PGW_LANE_CHARGE : urgent;
	if (!charge && !queued)
		return urgent;
	if (urgent >= 0 && t->urgent_in_a_row < PGW_TURNS_IN_A_ROW)
	{
		t->urgent_in_a_row++;
		return urgent;
	}
	t->urgent_in_a_row = 0;
	if (!queued || !charge)
		return charge ? PGW_LANE_CHARGE : PGW_LANE_QUEUED;
	if (t->charges_in_a_row < PGW_TURNS_IN_A_ROW)
	{
		t->charges_in_a_row++;
		return PGW_LANE_CHARGE;
	}
	t->charges_in_a_row = 0;
	return PGW_LANE_QUEUED;
}

PgwTurn *
pgw_turns_next(PgwTurns *t, unsigned lanes)
{
	int lane = lane_next(t, lanes);
	PgwTurn *turn;

	if (lane < 0)
		return NULL;
	turn = t->lanes[lane].next;
	if (!PGW_MUTATED(LANES))
		t->lanes[lane].next = turn->next_merchant;
	pgw_turns_remove(t, turn);
	return turn;
}

/* ---- what is shared ---- */

bool
pgw_share_allows(int held, int free, bool alone)
{
	return free > 0 && (alone || held < SHARE_WEIGHT * free || PGW_MUTATED(BANK_SHARE));
}

/*
 * Of so many calls that a bank may have at a time, how many are kept for what is not a new charge:
 * an eighth, at most 8; of a few, none.
 */
static int
share_kept(int limit)
{
	int kept = limit / KEPT_MAX;

	return kept < KEPT_MAX ? kept : KEPT_MAX;
}

bool
pgw_bank_load_allows(const PgwBankLoad *load, PgwLane lane)
{
	int free = load->capacity - load->connections_in_use;
	bool charge = lane >= PGW_LANE_CHARGE;

	if (!pgw_share_allows(load->held, free, load->alone) ||
		(load->max_in_flight > 0 && load->in_flight >= load->max_in_flight))
		return false;
	if (!charge || PGW_MUTATED(LANES))
		return true;
	if (load->charges_held + share_kept(load->capacity) >= load->capacity ||
		!pgw_share_allows(load->held + share_kept(load->capacity), free, load->alone))
		return false;
	return load->max_in_flight <= 0 ||
		   load->charges_in_flight + share_kept(load->max_in_flight) < load->max_in_flight;
}
