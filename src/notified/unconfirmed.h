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
	int64 age_ms;
} PgwUnconfirmed;

/* Do so many wait for this bank that no more are taken? */
extern bool pgw_unconfirmed_full(const char *bank);

/* Those that the bank is to be asked for by now, so many at most, the longest due first. */
extern int pgw_unconfirmed_due(TimestampTz now, int most, PgwUnconfirmed *out);

/* When the bank is asked for it next; 0: not any more. */
extern void pgw_unconfirmed_ask_at(const PgwUnconfirmed *u, TimestampTz when);

/* The bank has not sent it.  false: it is gone, or somebody else has it locked. */
extern bool pgw_unconfirmed_drop(const PgwUnconfirmed *u);

/*
 * The bank has: from here on it is one like those that are signed, with what the bank says of it
 * now.  Returns how many attempts are to be followed up, -1: as above.
 */
extern int pgw_unconfirmed_is_confirmed(const PgwUnconfirmed *u, PgwNotification *said,
										const PgwBank *bank, PgwMatched *out, int most);

#endif
