/*
 * unconfirmed.h - notifications that anybody may have sent, and that the bank is asked for
 */
#ifndef PGW_NOTIFIED_UNCONFIRMED_H
#define PGW_NOTIFIED_UNCONFIRMED_H

#include "postgres.h"
#include "utils/timestamp.h"

#include "notified/match_notification.h"

typedef struct PgwUnconfirmed
{
	pg_uuid_t notification_id;
	char bank[64];
	char event_id[256]; /* the bank's own id of it, as whoever sent it has said */
	char identity[65];
	TimestampTz received_at;
	TimestampTz recorded_at; /* or when it came again, while it was not confirmed */
	int64 age_ms;
	bool has_no_row; /* its sender was told to send it again: exchange/ask_first.h */
} PgwUnconfirmed;

/* Do so many wait for this bank that no more are taken? */
extern bool pgw_unconfirmed_full(const char *bank);

/* What is there of one that has come again */
typedef enum PgwCameAgain
{
	PGW_AGAIN_CONFIRMED = 0,
	PGW_AGAIN_RENEWED, /* it waits as if it had come now */
	PGW_AGAIN_BUSY     /* somebody else has its row: the bank has to send it once more */
} PgwCameAgain;
extern PgwCameAgain pgw_unconfirmed_came_again(const char *bank, const char *identity);

/*
 * Those that a bank is to be asked for by now, so many at most: the longest due of each bank first,
 * so that what waits for one does not hold up the others.
 */
extern int pgw_unconfirmed_due(TimestampTz now, int most, PgwUnconfirmed *out);

/* When the bank is asked for it next; 0: not any more.  Nothing, if it has come again since. */
extern void pgw_unconfirmed_ask_at(const PgwUnconfirmed *u, TimestampTz when);

/*
 * The bank has not sent it.  false: it is gone, or somebody else has it locked, or it has come
 * again since, and the bank may know it by now.
 */
extern bool pgw_unconfirmed_drop(const PgwUnconfirmed *u);

/*
 * The bank has: from here on it is one like those that are signed, with what the bank says of it
 * now.  Returns how many attempts are to be followed up, -1: it is gone, or locked.
 */
extern int pgw_unconfirmed_is_confirmed(const PgwUnconfirmed *u, PgwNotification *said,
										const PgwBank *bank, PgwMatched *out, int most);

#endif
