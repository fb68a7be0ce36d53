/*
 * notification_row.h - the row of a notification that is taken
 */
#ifndef PGW_NOTIFIED_NOTIFICATION_ROW_H
#define PGW_NOTIFIED_NOTIFICATION_ROW_H

#include "postgres.h"
#include "utils/timestamp.h"

#include "core/notification/notification_verdict.h"
#include "notified/match_notification.h"

typedef struct PgwNotificationRow
{
	pg_uuid_t notification_id;
	const PgwBank *bank;
	const PgwNotification *said;
	const PgwMatch *match;
	PgwProof proof;
	TimestampTz received_at;
	TimestampTz ask_at; /* the bank is to be asked for it, from then on; 0: it is the bank's */
} PgwNotificationRow;

/* false: it has its row already. */
extern bool pgw_notification_insert(const PgwNotificationRow *r);

#endif
