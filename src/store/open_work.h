/*
 * open_work.h - pgw.open_work, what the worker has to find again by itself, and its mark
 */
#ifndef PGW_STORE_OPEN_WORK_H
#define PGW_STORE_OPEN_WORK_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "store/tables.h"

/*
 * The attempt's row was written: it gets its row of open_work, or loses it, as it is to be. is_new:
 * it was inserted just now.
 */
extern void pgw_store_list_open_work(PgwAttempt *attempt, bool is_new);

/* By its columns as they are stored: is it sure to have none there? */
extern bool pgw_store_has_no_row(const PgwAttempt *attempt);

/* ---- for the worker: the mark (mark_turn.c) ---- */

/* What this process takes for the mark: no lower than that of the table.  NULL: not known. */
extern void pgw_store_set_mark(const pg_uuid_t *mark);

/* When this process has last left something on its way without a row; 0: never. */
extern TimestampTz pgw_store_last_unlisted(void);

/*
 * To be read from: the rows t of all open attempts.  Each is fetched by its id, whatever the
 * planner expects: with statistics from a time when nothing was open it expects one, and would read
 * all of open_work again for each attempt that the mark has not passed.
 */
#define PGW_OPEN_ATTEMPTS \
	"pgw.open_attempts o CROSS JOIN LATERAL (SELECT * FROM pgw.payment_transactions a" \
	" WHERE a.transaction_id = o.transaction_id OFFSET 0) t"

/* The mark of the table; zeros: none yet. */
extern void pgw_store_read_mark(pg_uuid_t *mark);
extern void pgw_store_write_mark(const pg_uuid_t *mark);

/*
 * The smallest ids, max at most, between these (the second excluded; NULL: no end) of what is open
 * and has no row.  How many.
 */
extern int pgw_store_find_unlisted(const pg_uuid_t *from, const pg_uuid_t *before, pg_uuid_t *ids,
								   int max);

/*
 * It gets its row whoever holds its own: a caller that is about to end it keeps it locked until it
 * commits.  Nobody is waited for. false: not now.
 */
extern bool pgw_store_list_busy(const pg_uuid_t *transaction_id);

/* Rows of what has ended since, without a look at them, as callers do: how many were deleted. */
extern uint64 pgw_store_forget_ended(void);

#endif
