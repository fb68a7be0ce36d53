/*
 * bank_lanes.h - what waits for its bank in the worker's memory, and for how many calls each bank
 * has room (core/pacing/fair_turns.h)
 *
 * Everything belongs to the bank by its name: a changed row of pgw.banks changes the limit, not who
 * waits.
 */
#ifndef PGW_BANK_CALL_BANK_LANES_H
#define PGW_BANK_CALL_BANK_LANES_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "core/pacing/fair_turns.h"
#include "database/batch.h"

typedef struct PgwBankLanes PgwBankLanes;

/*
 * What one thing that waits, or is on its way to a call, takes of its bank's room.  Zeroed:
 * nothing.
 */
typedef struct PgwLanePlace
{
	PgwTurn turn; /* while it waits */
	/* whose room it takes, or in whose lane it waits; NULL: neither */
	PgwBankLanes *lanes;
	bool charge;           /* of the room */
	bool holds_connection; /* it takes a connection, too */
} PgwLanePlace;

extern void pgw_lanes_init(void);
/* creates its entry, so that waiting for it allocates nothing later */
extern void pgw_lanes_ensure(const char *bank);
/* the same for all banks as they are configured */
extern void pgw_lanes_ensure_configured(void);

/* The bank whose name has this key; NULL: nothing of it was seen yet. */
extern const char *pgw_lanes_bank(uint32 key);

/*
 * Has the bank room for a call of this lane now? first: ignore those who wait in this lane or in a
 * more urgent one.
 */
extern bool pgw_lanes_room(const char *bank, PgwLane lane, bool first);

/*
 * Put it into its bank's lane, to wait for room. force: even if the lane is full. Returns false if
 * there is no place: the attempt stays in the tables, and the scan asks for it later.
 */
extern bool pgw_lanes_wait(PgwLanePlace *place, const char *bank, PgwLane lane, uint32 merchant,
						   PgwBatchItem *owner, bool force);
extern void pgw_lanes_leave(PgwLanePlace *place);

/*
 * The next one whose bank has room, banks taking turns.  It waits no longer; room for its call is
 * kept, without a connection that is counted apart, until pgw_lanes_give_up().  NULL: none.
 */
extern PgwBatchItem *pgw_lanes_next(void);

/*
 * A call of this bank: it takes room, and a connection, until the transfer is over; then room only,
 * until its result is written.
 */
extern void pgw_lanes_begin(PgwLanePlace *place, const char *bank, bool charge);
extern void pgw_lanes_closed(PgwLanePlace *place);
extern void pgw_lanes_give_up(PgwLanePlace *place); /* all of it; nothing to give up is fine */

/* the bank's, where it waits or takes room */
extern const char *pgw_lanes_name(const PgwLanePlace *place);

/* Is the bank left alone just now, because its breaker would refuse whatever is queued? */
extern bool pgw_lanes_left_alone(const char *bank);

/* ---- what the tables hold beyond that ---- */

/* Two kinds of rows: begun (their lane is known by a look), and waiting, not begun. */
typedef enum PgwBacklog
{
	PGW_BACKLOG_BEGUN = 0,
	PGW_BACKLOG_WAITING,
	PGW_NBACKLOGS
} PgwBacklog;

/* how many more are wanted there; 0: it has enough, or is left alone */
extern int pgw_lanes_places(const char *bank, PgwLane lane);
/* after a look at the tables: do they hold more (more), and was anything new found (progress)? */
extern void pgw_lanes_note_backlog(const char *bank, PgwBacklog backlog, bool more, bool progress);
/* a bank whose lanes are low while the tables have more; NULL: none */
extern const char *pgw_lanes_wanting(TimestampTz now, bool *begun, bool *waiting);
/* when to ask again for that; 0: nothing to ask */
extern TimestampTz pgw_lanes_next_due(void);

/* Where the walk over a bank's merchants goes on, and into how many parts its places are shared. */
typedef struct PgwMerchantCursor
{
	char after[64];
	int merchants;
	TimestampTz from; /* nothing is left that was due before; 0: not known */
} PgwMerchantCursor;
extern PgwMerchantCursor *pgw_lanes_cursor(const char *bank, int kind);

#endif
