/*
 * unconfirmed.c - notifications that anybody may have sent, and that the bank is asked for
 *
 * Of one that came there is its id alone (core/notification/notification_verdict.c); the worker
 * asks the bank for it (queue/ask_banks.c), and what counts is what the bank answers.  Until then
 * it is matched with no payment, and nothing follows from it.
 *
 * Bounds: PGW_UNCONFIRMED_MOST of them wait for a bank, as anybody who knows the endpoint can make
 * them up.
 *
 * Orderings that matter
 *     - The row is committed before the bank that sent it is answered, so one that is to be asked
 *       for is never forgotten: whoever is killed while it is asked for leaves it due again.
 *     - One that comes again before it is confirmed is as new, as its sender is told that it is
 *       taken: no answer to a question of before lets it go.
 *     - That it is confirmed, which payment it is about and what follows are one commit.
 *     - One that has no row yet, as there is no room for it or its id may be a card's number, has
 *       been promised nothing, and is asked for from memory (exchange/ask_first.c).  Once the bank
 *       has confirmed it, it has its row, whatever waits for the bank: so whoever fills all places
 *       with ids that the bank stumbles over keeps none of the bank's own out for good, as the bank
 *       sends it again: in memory a bank has two places, and a later one takes them.  Nothing that
 *       was taken gives way for it: while a bank is down all that waits may be its own.
 *
 * Locks: only the worker changes such rows; what somebody else has locked (a purge) is passed over.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "core/base/mutant.h"
#include "core/notification/kept_ids.h"
#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "database/statements.h"
#include "database/table_locks.h"
#include "notified/notification_row.h"
#include "notified/unconfirmed.h"
#include "store/notification_rows.h"

/* Farther away no next question is: the clock was set back. */
#define FARTHEST_MS (INT64CONST(2) * 60 * 60 * 1000)

/*
 * In a caller's transaction: so without an MVCC read, which at SERIALIZABLE would make callers that
 * have nothing to do with each other fail, and see none that others took meanwhile.  No more
 * entries of the bank's part of the index are read than may wait.
 */
bool
pgw_unconfirmed_full(const char *bank)
{
	Oid relid = pgw_relation("notifications");
	static PgwIndexByColumns of_bank = {
		.columns = {"bank", "next_ask_at"}, .n = 2, .where = {"next_ask_at"}, .nwhere = 1};
	Oid index = pgw_relation_index(relid, &of_bank);
	Datum key = CStringGetTextDatum(bank);
	uint32 look = PGW_UNCONFIRMED_MOST;
	bool full;
	PgwRel r;

	if (!OidIsValid(index))
		return false; /* somebody has taken it away: no reason to refuse what a bank says */
	pgw_row_open_read(&r, relid);
	full = pgw_row_count(&r, index, &key, 1, look, &look, NULL, NULL) == PGW_UNCONFIRMED_MOST;
	pgw_row_close(&r);
	return full && !PGW_MUTATED(UNCONFIRMED_FLOOD);
}

/*
 * Is there such a row, also one that somebody is inserting?  Dirty, as the worker waits for nobody,
 * and a caller at SERIALIZABLE is to fail for nobody.
 */
static bool
is_there(const char *bank, const char *identity, bool locked)
{
	static PgwIndexByColumns once = {.columns = {"bank", "identity"}, .n = 2};
	Datum keys[] = {CStringGetTextDatum(bank), CStringGetTextDatum(identity)};
	Oid relid = pgw_relation("notifications");
	Oid index = pgw_relation_index(relid, &once);
	uint32 look = 100;
	bool found;
	PgwRel r;

	if (!OidIsValid(index))
		return true; /* somebody has taken it away: nobody knows */
	if (locked)
		pgw_row_open_locked(&r, relid);
	else
		pgw_row_open_read(&r, relid);
	found = pgw_row_count(&r, index, keys, 2, 1, &look, NULL, NULL) > 0;
	pgw_row_close(&r);
	return found;
}

PgwCameAgain
pgw_unconfirmed_came_again(const char *bank, const char *identity)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum args[] = {CStringGetTextDatum(bank), CStringGetTextDatum(identity)};
	PgwCameAgain is = PGW_AGAIN_RENEWED;

	/* of most that somebody makes up there is none: the two statements would be for nothing */
	if (!is_there(bank, identity, false))
		return PGW_AGAIN_BUSY;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications SET recorded_at = pg_catalog.clock_timestamp(),"
			" next_ask_at = pg_catalog.clock_timestamp() WHERE notification_id IN ("
			"SELECT notification_id FROM pgw.notifications WHERE bank = $1 AND identity = $2"
			" AND outcome = 'unconfirmed' FOR UPDATE SKIP LOCKED)",
			2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "a notification that has come again could not be renewed");
	if (SPI_processed == 0)
	{
		if (SPI_execute_with_args("SELECT FROM pgw.notifications WHERE bank = $1 AND identity = $2"
								  " AND outcome <> 'unconfirmed'",
								  2, types, args, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "the notification that has come again could not be read");
		is = SPI_processed > 0 ? PGW_AGAIN_CONFIRMED : PGW_AGAIN_BUSY;
	}
	SPI_finish();
	/* as of a new one: its sender is told that it is taken */
	if (is == PGW_AGAIN_RENEWED)
		ForceSyncCommit();
	return is;
}

static bool
has_row(const char *bank, const char *identity)
{
	pgw_table_need("notifications", RowExclusiveLock); /* as the INSERT that follows */
	return is_there(bank, identity, true);
}

static void
copy_text(HeapTuple tuple, int column, char *out, Size size)
{
	char *text = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);

	strlcpy(out, text != NULL ? text : "", size);
}

int
pgw_unconfirmed_due(TimestampTz now, int most, PgwUnconfirmed *out)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	Datum args[] = {TimestampTzGetDatum(now),
					TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, FARTHEST_MS)),
					Int32GetDatum(most)};
	bool isnull;
	int n;

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"SELECT notification_id, bank, event_id, identity, received_at, recorded_at"
			" FROM pgw.notifications WHERE notification_id IN (SELECT notification_id FROM ("
			"SELECT notification_id, next_ask_at,"
			" row_number() OVER (PARTITION BY bank ORDER BY next_ask_at) AS nth"
			" FROM pgw.notifications WHERE next_ask_at IS NOT NULL"
			" AND (next_ask_at <= $1 OR next_ask_at > $2)) due"
			" ORDER BY nth, next_ask_at LIMIT $3) ORDER BY next_ask_at FOR UPDATE SKIP LOCKED",
			3, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for notifications to be asked for failed");
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;

		out[i].notification_id = *DatumGetUUIDP(SPI_getbinval(tuple, desc, 1, &isnull));
		copy_text(tuple, 2, out[i].bank, sizeof(out[i].bank));
		copy_text(tuple, 3, out[i].event_id, sizeof(out[i].event_id));
		copy_text(tuple, 4, out[i].identity, sizeof(out[i].identity));
		out[i].received_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 5, &isnull));
		out[i].recorded_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 6, &isnull));
		out[i].age_ms = (now - out[i].recorded_at) / 1000;
	}
	pgw_statements_end();
	return n;
}

void
pgw_unconfirmed_ask_at(const PgwUnconfirmed *u, TimestampTz when)
{
	Oid types[] = {UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum args[] = {UUIDPGetDatum(&u->notification_id), TimestampTzGetDatum(when),
					TimestampTzGetDatum(u->recorded_at)};
	char nulls[] = {' ', when != 0 ? ' ' : 'n', ' ', '\0'};

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications SET next_ask_at = $2 WHERE notification_id IN ("
			"SELECT notification_id FROM pgw.notifications WHERE notification_id = $1"
			" AND outcome = 'unconfirmed' AND recorded_at = $3 FOR UPDATE SKIP LOCKED)",
			3, types, args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "a notification that is to be asked for could not be put off");
	pgw_statements_end();
}

static bool
drop(const PgwUnconfirmed *u, bool even_renewed)
{
	Oid types[] = {UUIDOID, TIMESTAMPTZOID, BOOLOID};
	Datum args[] = {UUIDPGetDatum(&u->notification_id), TimestampTzGetDatum(u->recorded_at),
					BoolGetDatum(even_renewed)};
	bool dropped;

	pgw_store_notifications_begin();
	if (SPI_execute_with_args("DELETE FROM pgw.notifications WHERE notification_id IN ("
							  "SELECT notification_id FROM pgw.notifications"
							  " WHERE notification_id = $1 AND outcome = 'unconfirmed'"
							  " AND ($3 OR recorded_at = $2) FOR UPDATE SKIP LOCKED)",
							  3, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "a notification that the bank has not sent could not be dropped");
	dropped = SPI_processed == 1;
	pgw_statements_end();
	return dropped;
}

bool
pgw_unconfirmed_drop(const PgwUnconfirmed *u)
{
	return drop(u, false);
}

int
pgw_unconfirmed_is_confirmed(const PgwUnconfirmed *u, PgwNotification *said, const PgwBank *bank,
							 PgwMatched *out, int most)
{
	PgwMatch match;
	PgwNotificationRow row = {.notification_id = u->notification_id,
							  .bank = bank,
							  .said = said,
							  .match = &match,
							  .proof = PGW_PROVED_BY_ANSWER,
							  .received_at = u->received_at};
	bool inserted;

	/* however often it comes: else whoever sends it all the time could keep it from being so */
	if (u->has_no_row ? has_row(u->bank, u->identity) : !drop(u, true))
		return -1;
	/* the same notification as it was when it came, however the bank writes its id */
	strlcpy(said->identity, u->identity, sizeof(said->identity));
	pgw_match_notification(said, false, bank, &match);
	pgw_notification_keep_ids(said, match.card_last4);
	pgw_store_notifications_begin();
	inserted = pgw_notification_insert(&row);
	pgw_statements_end();
	if (!inserted)
		return -1;
	return pgw_match_follow_ups(&match, said, false, out, most);
}
