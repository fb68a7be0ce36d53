/*
 * bank_lanes.c - bulkheads: each bank's own lanes for what waits for it, and its share of the
 * connections
 *
 * Owns, for each bank by its name: who waits (core/pacing/fair_turns.c: by urgency, merchants in
 * turn), how much room its calls take, and whether the tables hold more than waits here.  Requests
 * of waiting callers and attempts found in the tables wait side by side; what pgw_lanes_next()
 * gives out goes into the next batch.
 *
 * Why lanes: a bank that hangs holds its calls for half a minute each.  Whoever waits for it must
 * not cost the others anything: it is not walked over, not looked at again, and only so many of it
 * are in memory (PGW_LANE_PLACES); the rest stays in the tables and is asked for when the lane is
 * low.
 *
 * Invariants
 *     - held, in_flight and their charges count the places that point here, as long as they take
 *       room: what is given out by pgw_lanes_next() as one to come, what is rendered, what waits
 *       for its result's commit.
 *     - A bank whose charges its breaker refuses gives out nothing that is queued, unless another
 *       bank could take it; while the worker drains, none does.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank/bank_config.h"
#include "bank/call_permission.h"
#include "bank_call/bank_lanes.h"
#include "base/clock.h"
#include "http/http.h"
#include "restore/pause.h"

#define ASK_AGAIN_MS 100
#define NKINDS 4 /* of operations: PgwKind */

struct PgwBankLanes
{
	char name[64];   /* key */
	uint32 key;      /* of the name */
	dlist_node node; /* on `banks`, in turn */
	PgwTurns turns;
	int held; /* connections: of calls that are open, and of those to come */
	int charges_held;
	int in_flight; /* the same, and of those whose result is not written */
	int charges_in_flight;
	int max_in_flight;                    /* as its row said last */
	bool more[PGW_NBACKLOGS];             /* the tables hold more */
	TimestampTz ask_after[PGW_NBACKLOGS]; /* nothing new came of the last look */
	PgwMerchantCursor cursors[NKINDS];
};

static HTAB *by_name;
static dlist_head banks = DLIST_STATIC_INIT(banks);
static int held = 0; /* of all banks */

void
pgw_lanes_init(void)
{
	HASHCTL ctl;

	ctl.keysize = NAMEDATALEN;
	ctl.entrysize = sizeof(PgwBankLanes);
	ctl.hcxt = TopMemoryContext;
	by_name = hash_create("pgw banks' lanes", 16, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static PgwBankLanes *
lanes_of(const char *bank)
{
	char key[NAMEDATALEN];
	bool found;
	PgwBankLanes *l;

	strlcpy(key, bank, sizeof(key));
	l = hash_search(by_name, key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) l + sizeof(l->name), 0, sizeof(PgwBankLanes) - sizeof(l->name));
		l->key = pgw_turns_key(key);
		dlist_push_tail(&banks, &l->node);
	}
	return l;
}

void
pgw_lanes_ensure(const char *bank)
{
	(void) lanes_of(bank);
}

void
pgw_lanes_ensure_configured(void)
{
	for (int i = 0; pgw_config_nth(i) != NULL; i++)
	{
		(void) lanes_of(pgw_config_nth(i)->name);
		(void) pgw_bank_is_shut(pgw_config_nth(i)->name, PGW_OP_CHARGE);
	}
}

const char *
pgw_lanes_bank(uint32 key)
{
	dlist_iter iter;

	dlist_foreach(iter, &banks)
	{
		PgwBankLanes *l = dlist_container(PgwBankLanes, node, iter.cur);

		if (l->key == key)
			return l->name;
	}
	for (int i = 0; pgw_config_nth(i) != NULL; i++)
	{
		if (pgw_turns_key(pgw_config_nth(i)->name) == key)
			return lanes_of(pgw_config_nth(i)->name)->name;
	}
	return NULL;
}

/* ---------------------------------------------------------------- room */

/* Is there another bank that knows its tokens? */
static bool
has_sibling(const PgwBank *bank)
{
	for (int i = 0; bank != NULL && bank->token_scope != NULL && pgw_config_nth(i) != NULL; i++)
	{
		const PgwBank *other = pgw_config_nth(i);

		if (strcmp(other->name, bank->name) != 0 && other->enabled &&
			other->livemode == bank->livemode && other->token_scope != NULL &&
			strcmp(other->token_scope, bank->token_scope) == 0)
			return true;
	}
	return false;
}

/*
 * What is queued can wait where it is: each look that comes to nothing costs the others something.
 */
static bool
left_alone(const PgwBankLanes *l, PgwLane lane)
{
	if (lane == PGW_LANE_QUEUED && pgw_pause_drains())
		return true;
	return lane == PGW_LANE_QUEUED && pgw_bank_is_shut(l->name, PGW_OP_CHARGE) &&
		   !has_sibling(pgw_config_bank(l->name));
}

bool
pgw_lanes_left_alone(const char *bank)
{
	return left_alone(lanes_of(bank), PGW_LANE_QUEUED);
}

static bool
has_room(PgwBankLanes *l, PgwLane lane)
{
	const PgwBank *bank = pgw_config_bank(l->name);
	PgwBankLoad load;

	if (bank != NULL)
		l->max_in_flight = bank->max_in_flight;
	load = (PgwBankLoad){.capacity = pgw_http_capacity(),
						 .connections_in_use = held,
						 .held = l->held,
						 .charges_held = l->charges_held,
						 .in_flight = l->in_flight,
						 .charges_in_flight = l->charges_in_flight,
						 .max_in_flight = pgw_bank_share(l->max_in_flight),
						 .alone = pgw_config_one_bank()};
	return pgw_bank_load_allows(&load, lane) && !left_alone(l, lane);
}

bool
pgw_lanes_room(const char *bank, PgwLane lane, bool first)
{
	PgwBankLanes *l = lanes_of(bank);

	return has_room(l, lane) &&
		   (first || pgw_turns_count(&l->turns, (PGW_LANE_BIT(lane) << 1) - 1) == 0);
}

void
pgw_lanes_begin(PgwLanePlace *place, const char *bank, bool charge)
{
	PgwBankLanes *l = lanes_of(bank);

	Assert(place->lanes == NULL);
	place->lanes = l;
	place->charge = charge;
	place->holds_connection = true;
	held++;
	l->held++;
	l->in_flight++;
	l->charges_held += charge;
	l->charges_in_flight += charge;
}

void
pgw_lanes_closed(PgwLanePlace *place)
{
	if (!place->holds_connection)
		return;
	place->holds_connection = false;
	held--;
	place->lanes->held--;
	place->lanes->charges_held -= place->charge;
}

void
pgw_lanes_give_up(PgwLanePlace *place)
{
	if (place->lanes == NULL)
		return;
	Assert(!place->turn.waiting);
	pgw_lanes_closed(place);
	place->lanes->in_flight--;
	place->lanes->charges_in_flight -= place->charge;
	Assert(place->lanes->in_flight >= 0 && place->lanes->held >= 0 && held >= 0);
	place->lanes = NULL;
}

/* ---------------------------------------------------------------- who waits */

static PgwBacklog
backlog_of(PgwLane lane)
{
	return lane == PGW_LANE_QUEUED ? PGW_BACKLOG_WAITING : PGW_BACKLOG_BEGUN;
}

bool
pgw_lanes_wait(PgwLanePlace *place, const char *bank, PgwLane lane, uint32 merchant,
			   PgwBatchItem *owner, bool force)
{
	PgwBankLanes *l = lanes_of(bank);

	Assert(place->lanes == NULL);
	if (!force && !pgw_turns_has_place(&l->turns, lane, merchant))
	{
		l->more[backlog_of(lane)] = true;
		if (lane == PGW_LANE_FOLLOW_UP)
			l->more[PGW_BACKLOG_WAITING] = true; /* begun or not */
		return false;
	}
	place->lanes = l;
	place->holds_connection = false;
	pgw_turns_add(&l->turns, &place->turn, lane, merchant, owner);
	return true;
}

void
pgw_lanes_leave(PgwLanePlace *place)
{
	if (!place->turn.waiting)
		return;
	pgw_turns_remove(&place->lanes->turns, &place->turn);
	place->lanes = NULL;
}

const char *
pgw_lanes_name(const PgwLanePlace *place)
{
	return place->lanes->name;
}

/* The lanes of this bank with somebody in them and room for one more. */
static unsigned
lanes_with_room(PgwBankLanes *l)
{
	unsigned lanes = 0;

	for (int lane = 0; lane < PGW_NLANES; lane++)
	{
		if (l->turns.lanes[lane].count > 0 && has_room(l, (PgwLane) lane))
			lanes |= PGW_LANE_BIT(lane);
	}
	return lanes;
}

PgwBatchItem *
pgw_lanes_next(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &banks)
	{
		PgwBankLanes *l = dlist_container(PgwBankLanes, node, iter.cur);
		PgwTurn *turn = pgw_turns_next(&l->turns, lanes_with_room(l));
		PgwLanePlace *place;

		if (turn == NULL)
			continue;
		dlist_delete(&l->node); /* behind the others */
		dlist_push_tail(&banks, &l->node);
		place = (PgwLanePlace *) ((char *) turn - offsetof(PgwLanePlace, turn));
		place->lanes = NULL;
		pgw_lanes_begin(place, l->name, turn->lane >= PGW_LANE_CHARGE);
		return turn->owner;
	}
	return NULL;
}

/* ---------------------------------------------------------------- left in the tables */

int
pgw_lanes_places(const char *bank, PgwLane lane)
{
	PgwBankLanes *l = lanes_of(bank);
	int count = pgw_turns_count(&l->turns, PGW_LANE_BIT(lane));

	return count > PGW_LANE_LOW || left_alone(l, lane) ? 0 : PGW_LANE_PLACES - count;
}

void
pgw_lanes_note_backlog(const char *bank, PgwBacklog backlog, bool more, bool progress)
{
	PgwBankLanes *l = lanes_of(bank);

	l->more[backlog] = more;
	l->ask_after[backlog] =
		more && !progress ? TimestampTzPlusMilliseconds(pgw_now(), ASK_AGAIN_MS) : 0;
}

/* There is more, and at least one of the lanes that it is for is low. */
static bool
wants(PgwBankLanes *l, PgwBacklog backlog)
{
	if (!l->more[backlog])
		return false;
	if (backlog == PGW_BACKLOG_WAITING)
		return pgw_lanes_places(l->name, PGW_LANE_QUEUED) > 0 ||
			   pgw_lanes_places(l->name, PGW_LANE_FOLLOW_UP) > 0;
	for (int lane = 0; lane < PGW_LANE_QUEUED; lane++)
	{
		if (pgw_lanes_places(l->name, (PgwLane) lane) > 0)
			return true;
	}
	return false;
}

const char *
pgw_lanes_wanting(TimestampTz now, bool *begun, bool *waiting)
{
	dlist_iter iter;

	dlist_foreach(iter, &banks)
	{
		PgwBankLanes *l = dlist_container(PgwBankLanes, node, iter.cur);

		*begun = pgw_is_due(l->ask_after[PGW_BACKLOG_BEGUN], now, ASK_AGAIN_MS) &&
				 wants(l, PGW_BACKLOG_BEGUN);
		*waiting = pgw_is_due(l->ask_after[PGW_BACKLOG_WAITING], now, ASK_AGAIN_MS) &&
				   wants(l, PGW_BACKLOG_WAITING);
		if (*begun || *waiting)
			return l->name;
	}
	return NULL;
}

TimestampTz
pgw_lanes_next_due(void)
{
	dlist_iter iter;
	TimestampTz next = 0;

	dlist_foreach(iter, &banks)
	{
		PgwBankLanes *l = dlist_container(PgwBankLanes, node, iter.cur);

		for (int rest = 0; rest < PGW_NBACKLOGS; rest++)
		{
			TimestampTz when = Max(l->ask_after[rest], 1); /* 0 means none */

			if (wants(l, (PgwBacklog) rest) && (next == 0 || when < next))
				next = when;
		}
	}
	return next;
}

PgwMerchantCursor *
pgw_lanes_cursor(const char *bank, int kind)
{
	Assert(kind >= 0 && kind < NKINDS);
	return &lanes_of(bank)->cursors[kind];
}
