/*
 * ask_first.h - notifications that are not taken yet, and that the bank is asked for all the same
 */
#ifndef PGW_EXCHANGE_ASK_FIRST_H
#define PGW_EXCHANGE_ASK_FIRST_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* Whoever has sent it was told to send it again, so nothing is lost by forgetting it. */
typedef struct PgwAskFirst
{
	char bank[64];
	char event_id[256]; /* may be anything, also a card's number; empty: nothing */
	char identity[65];
	TimestampTz received_at;
} PgwAskFirst;

/* Few have a place, for each bank its own; a later one takes it. */
#define PGW_ASK_FIRST_PLACES 64
typedef PgwAskFirst PgwAskFirstPlaces[PGW_ASK_FIRST_PLACES];

#define PGW_ASK_FIRST_FOR_MS 60000 /* what cannot be asked for within this time is forgotten */

/* Nothing is put where no worker would ask: none runs, or it is paused. */
extern void pgw_exchange_ask_first(Oid dboid, const PgwAskFirst *what);
/* The same of one that could not be asked for just now, if nobody has taken its place. */
extern void pgw_exchange_ask_later(Oid dboid, const PgwAskFirst *what);

/* The worker: those that there are, so many at most, which are wiped there. */
extern int pgw_exchange_asked_first(PgwAskFirst *out, int most);
/* ... and now and then: what has lain there for too long is wiped. */
extern void pgw_exchange_ask_first_sweep(void);

/* All of an entry, with pgw_lock held for writing: nobody will ask. */
extern void pgw_ask_first_wipe(int entry);

#endif
