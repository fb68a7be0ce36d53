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
extern void pgw_exchange_ask_first(Oid dboid, const PgwAskFirst *what);
/* The same of one that could not be asked for just now, if nobody has taken its place. */
extern void pgw_exchange_ask_later(Oid dboid, const PgwAskFirst *what);

/* The worker: those that there are, so many at most, which are wiped there. */
extern int pgw_exchange_asked_first(PgwAskFirst *out, int most);

#endif
