/*
 * notification_rows.h - what the rows of pgw.notifications have in common, whatever waits in them
 */
#ifndef PGW_STORE_NOTIFICATION_ROWS_H
#define PGW_STORE_NOTIFICATION_ROWS_H

#include "postgres.h"
#include "utils/uuid.h"

/* So many wait for a bank at most until it is asked whether they are its own. */
#define PGW_UNCONFIRMED_MOST 1000

/* pgw_statements_begin() for statements that read and change them. */
extern void pgw_store_notifications_begin(void);

/* What becomes of a row in this column ("evidence", "dispute"), which is no text of others. */
extern void pgw_store_notification_is(const pg_uuid_t *notification_id, const char *column,
									  const char *becomes);

#endif
