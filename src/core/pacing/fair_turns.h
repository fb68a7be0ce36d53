/*
 * fair_turns.h - who is next at a bank: lanes by urgency, fair turns among merchants, bounded
 * places; and how much of what is shared one bank may hold
 *
 * Pure: items are linked, never allocated.  The worker (bank_call/bank_lanes.c) has one PgwTurns
 * for each bank.
 */
#ifndef PGW_CORE_PACING_FAIR_TURNS_H
#define PGW_CORE_PACING_FAIR_TURNS_H

#include <stdbool.h>
#include <stdint.h>

/* In order of urgency: what has begun comes before what is new. */
typedef enum PgwLane
{
	PGW_LANE_GIVE_BACK = 0, /* somebody's money is to be given back */
	PGW_LANE_LOOKUP,        /* an outcome is not known */
	PGW_LANE_FOLLOW_UP,     /* captures, voids, refunds that were asked for */
	PGW_LANE_CHARGE,        /* a caller waits for it, or it has begun before */
	PGW_LANE_QUEUED,        /* submitted, not begun: it can stay in its table */
	PGW_NLANES
} PgwLane;

#define PGW_LANE_BIT(lane) (1u << (lane))
#define PGW_LANES_CHARGES (PGW_LANE_BIT(PGW_LANE_CHARGE) | PGW_LANE_BIT(PGW_LANE_QUEUED))
#define PGW_LANES_ALL ((1u << PGW_NLANES) - 1)

/* So many wait in one lane at most; the others stay in the tables. */
#define PGW_LANE_PLACES 1024

/* A lane that has no more than so many left is filled again. */
#define PGW_LANE_LOW (PGW_LANE_PLACES / 4)

/*
 * What is more urgent goes first, but only so many times in a row while something less urgent
 * waits, too.
 */
#define PGW_TURNS_IN_A_ROW 7

#define PGW_TURNS_BUCKETS 64

/* Part of whatever waits.  Zeroed: it does not. */
typedef struct PgwTurn
{
	struct PgwTurn *prev; /* of the same merchant */
	struct PgwTurn *next;
	/* of a merchant's first one only: the ring of those who wait in this lane */
	struct PgwTurn *prev_merchant;
	struct PgwTurn *next_merchant;
	struct PgwTurn *bucket; /* likewise: the next in its bucket */
	struct PgwTurn *last;   /* likewise: its merchant's last */
	int n;                  /* likewise: how many its merchant has waiting here */
	uint32_t merchant;      /* pgw_turns_key() */
	PgwLane lane;
	bool waiting;
	void *owner; /* the user's */
} PgwTurn;

typedef struct PgwTurnLane
{
	PgwTurn *next; /* the merchant whose turn it is; NULL: nobody waits */
	int count;
	PgwTurn *buckets[PGW_TURNS_BUCKETS];
} PgwTurnLane;

/* Zeroed: nobody waits. */
typedef struct PgwTurns
{
	PgwTurnLane lanes[PGW_NLANES];
	int urgent_in_a_row;  /* what has begun, while a charge waited */
	int charges_in_a_row; /* charges, while a queued one waited */
} PgwTurns;

/*
 * A name's key: merchants and banks are told apart by it.  Two that share one share their turns, no
 * more.
 */
extern uint32_t pgw_turns_key(const char *name);

/*
 * May one more of this merchant wait in this lane?  Nobody takes more than half of what is left, so
 * that there is a place for the next merchant.
 */
extern bool pgw_turns_has_place(const PgwTurns *t, PgwLane lane, uint32_t merchant);

extern void pgw_turns_add(PgwTurns *t, PgwTurn *turn, PgwLane lane, uint32_t merchant, void *owner);
extern void pgw_turns_remove(PgwTurns *t, PgwTurn *turn);

/* The next one of these lanes (a mask of PGW_LANE_BIT), which waits no longer.  NULL: none. */
extern PgwTurn *pgw_turns_next(PgwTurns *t, unsigned lanes);

extern int pgw_turns_count(const PgwTurns *t, unsigned lanes);

/* ---- what is shared ---- */

/*
 * May somebody who holds so many of a thing have one more, of which so many are free?  alone: there
 * is nobody else.  Else only up to twice of what is free afterwards: one who takes all that he can
 * get leaves a third, two leave a fifth, and so on; whoever comes next finds something.
 */
extern bool pgw_share_allows(int held, int free, bool alone);

/* The calls of one bank, and how many it may have. */
typedef struct PgwBankLoad
{
	int capacity;           /* connections, of all banks */
	int connections_in_use; /* of them in use */
	int held;               /* ... by this bank */
	int charges_held;
	int in_flight; /* this bank's calls up to their result's commit */
	int charges_in_flight;
	int max_in_flight; /* 0: no limit */
	bool alone;        /* there is no other bank */
} PgwBankLoad;

extern bool pgw_bank_load_allows(const PgwBankLoad *load, PgwLane lane);

#endif
