/*
 * unknown_payment.c - signed notifications whose payment is not known yet: they wait, and the
 * worker matches them again, in growing distances, as if they came then
 *
 * A bank may speak of a charge before pgw's own commit shows the attempt, or before its id of the
 * charge is known.  After an hour (core/notification/match_again.c) it stays what it is,
 * unknown_payment: it was made elsewhere.
 *
 * Bounds: a turn has TURN_MS, as a search by a reference with something around it reads what is in
 * doubt.  Where more wait than a turn gets to, those that have become due last come first: they are
 * the ones that may be ours, and an account that somebody else uses as well holds up only its own
 * old ones.  What nobody has got to by the end of its time is dropped by itself, many at once, so
 * there is no list that grows.  Payments are looked at by none of this.
 *
 * Orderings that matter
 *     - First a look is written down, then it is made, in another transaction: so one notification
 *       that cannot be matched is put off like the others, and does not stop them.  Those that the
 *       turn has no time for any more are given theirs back.
 *     - That the row is matched is in the commit that says what follows, and evidence and changes
 *       are found by their own rows again: so a worker or server that is killed loses nothing, at
 *       most the next look comes later.
 *
 * Locks: only the worker changes such rows; what somebody else has locked (a purge) is passed over.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/debug_points.h"
#include "core/notification/match_again.h"
#include "database/batch.h"
#include "database/statements.h"
#include "notified/match_notification.h"
#include "notified/unknown_payment.h"
#include "store/notification_rows.h"

#define ROWS 100 /* at once */
#define TURN_MS 50
#define DROPPED 10000

TimestampTz
pgw_unknown_payment_first(TimestampTz now)
{
	return TimestampTzPlusMilliseconds(now, pgw_match_again_ms(0));
}

typedef struct Row
{
	pg_uuid_t notification_id;
	char bank[NAMEDATALEN];
	PgwNotification said; /* what of it is kept */
	int64 age_ms;
	TimestampTz due; /* this look */
} Row;

/* A turn's work; there is one worker, and a turn at a time. */
typedef struct Turn
{
	TimestampTz now;
	instr_time began;
	int n;
	Row rows[ROWS];
	int nfound;
	int most;
	PgwMatched *found;
} Turn;

/* ---------------------------------------------------------------- its row */

static void
copy_text(HeapTuple tuple, int column, char *out, Size size)
{
	char *text = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);

	strlcpy(out, text != NULL ? text : "", size);
}

static void
read_row(HeapTuple tuple, TimestampTz now, Row *r)
{
	TupleDesc desc = SPI_tuptable->tupdesc;
	char *about = SPI_getvalue(tuple, desc, 7);
	bool isnull;

	memset(r, 0, sizeof(*r));
	r->notification_id = *DatumGetUUIDP(SPI_getbinval(tuple, desc, 1, &isnull));
	copy_text(tuple, 2, r->bank, sizeof(r->bank));
	copy_text(tuple, 3, r->said.bank_reference, sizeof(r->said.bank_reference));
	copy_text(tuple, 4, r->said.reference, sizeof(r->said.reference));
	r->said.amount = DatumGetInt64(SPI_getbinval(tuple, desc, 5, &isnull));
	r->said.has_amount = !isnull;
	copy_text(tuple, 6, r->said.currency, sizeof(r->said.currency));
	r->said.is_evidence = about != NULL;
	if (about != NULL)
	{
		r->said.about = (PgwBankOp) pgw_op_parse(about);
		r->said.says = (PgwOutcome) pgw_outcome_parse(SPI_getvalue(tuple, desc, 8));
	}
	r->said.changes = (unsigned) DatumGetInt32(SPI_getbinval(tuple, desc, 9, &isnull));
	r->said.amount_unreadable = SPI_getvalue(tuple, desc, 10)[0] == 't';
	/* what it says of a dispute stays in its row: here it only matters that it does, and of which
	 */
	r->said.dispute.steps = SPI_getvalue(tuple, desc, 12)[0] == 't' ? 1 : 0;
	copy_text(tuple, 13, r->said.dispute.id, sizeof(r->said.dispute.id));
	copy_text(tuple, 15, r->said.operation_reference, sizeof(r->said.operation_reference));
	r->age_ms =
		(now - DatumGetTimestampTz(SPI_getbinval(tuple, desc, 11, &isnull))) / INT64CONST(1000);
	r->due = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 14, &isnull));
}

/* The time of their next look, or none. */
static void
put_off(const Turn *t)
{
	Oid types[] = {UUIDARRAYOID, TIMESTAMPTZARRAYOID};
	Datum ids[ROWS];
	Datum times[ROWS];
	Datum args[2];

	for (int i = 0; i < t->n; i++)
	{
		int64 again_ms = pgw_match_again_ms(t->rows[i].age_ms);

		ids[i] = UUIDPGetDatum(&t->rows[i].notification_id);
		times[i] = TimestampTzGetDatum(
			again_ms < 0 ? DT_NOEND : TimestampTzPlusMilliseconds(t->now, again_ms));
	}
	args[0] = PointerGetDatum(construct_array(ids, t->n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	args[1] = PointerGetDatum(construct_array(times, t->n, TIMESTAMPTZOID, sizeof(TimestampTz),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications n SET next_match_at = nullif(again.at, 'infinity'),"
			" may_change = CASE WHEN again.at < 'infinity' THEN n.may_change END"
			" FROM unnest($1, $2) again (id, at) WHERE n.notification_id = again.id",
			2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "notifications that wait could not be put off");
}

/* Those that are due, and their next look, should this one find nothing. */
static void
claim(void *arg)
{
	Turn *t = arg;
	Oid types[] = {TIMESTAMPTZOID, INT4OID};
	Datum args[] = {TimestampTzGetDatum(t->now), Int32GetDatum(ROWS)};

	t->n = 0;
	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"SELECT notification_id, bank, bank_reference, reference, amount, currency,"
			" about, says, coalesce(may_change, 0), coalesce(amounts = 'unreadable', false),"
			" recorded_at, dispute IS NOT NULL,"
			" dispute_says->>'id', next_match_at, operation_reference FROM pgw.notifications WHERE next_match_at <= $1"
			" ORDER BY next_match_at DESC LIMIT $2 FOR UPDATE SKIP LOCKED",
			2, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for notifications that wait failed");
	for (int i = 0; i < (int) SPI_processed; i++)
		read_row(SPI_tuptable->vals[i], t->now, &t->rows[i]);
	t->n = (int) SPI_processed;
	if (t->n > 0)
		put_off(t);
	pgw_statements_end();
}

/*
 * What nobody has got to within its time, by that alone: so the oldest stand first in the index,
 * and nothing that stays is read, however many wait.  Those of before the clock was set back are
 * due now.
 */
static void
let_go(void *arg)
{
	const Turn *t = arg;
	Oid types[] = {TIMESTAMPTZOID, INT4OID};
	Datum args[] = {TimestampTzGetDatum(TimestampTzPlusMilliseconds(t->now, -PGW_MATCH_FOR_MS)),
					Int32GetDatum(DROPPED)};

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications SET next_match_at = NULL, may_change = NULL"
			" WHERE notification_id IN (SELECT notification_id FROM pgw.notifications"
			" WHERE next_match_at <= $1 ORDER BY next_match_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
			2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "old notifications that wait could not be let go");
	args[0] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(t->now, 2 * PGW_MATCH_FOR_MS));
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications SET next_match_at = clock_timestamp()"
			" WHERE notification_id IN (SELECT notification_id FROM pgw.notifications"
			" WHERE next_match_at > $1 ORDER BY next_match_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
			2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "notifications that wait could not be given another time");
	pgw_statements_end();
}

/* As notification_row.c writes it of one whose payment is known. */
static void
write_match(const Row *r, const PgwMatch *m)
{
	Oid types[] = {UUIDOID, UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, BOOLOID};
	const char *amounts = pgw_said_amount_name(m->amounts);
	Datum args[lengthof(types)] = {
		UUIDPGetDatum(&r->notification_id),
		UUIDPGetDatum(&m->payment_id),
		UUIDPGetDatum(&m->transaction_id),
		CStringGetTextDatum(m->outcome),
		CStringGetTextDatum(amounts != NULL ? amounts : ""),
		CStringGetTextDatum(m->request_key != NULL ? m->request_key : ""),
		BoolGetDatum(m->change),
		BoolGetDatum(m->request_key != NULL || m->told)};

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications SET payment_id = $2, transaction_id = $3, outcome = $4,"
			" amounts = nullif($5, ''), request_key = nullif($6, ''),"
			" about = CASE WHEN $8 THEN about END, says = CASE WHEN $8 THEN says END,"
			" operation_reference = CASE WHEN $8 THEN operation_reference END,"
			" evidence = CASE WHEN $6 <> '' THEN 'waiting' END,"
			" change = CASE WHEN $7 THEN 'waiting' END, may_change = NULL, next_match_at = NULL"
			" WHERE notification_id = $1",
			lengthof(types), types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "a notification that was matched could not be marked");
	pgw_statements_end();
}

/* ---------------------------------------------------------------- a turn */

static bool
time_is_up(const Turn *t)
{
	instr_time used;

	INSTR_TIME_SET_CURRENT(used);
	INSTR_TIME_SUBTRACT(used, t->began);
	return INSTR_TIME_GET_MILLISEC(used) >= TURN_MS;
}

/* The turn was over before these were looked at: each is due as it was. */
static void
give_looks_back(const Turn *t, int first)
{
	Oid types[] = {UUIDARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID};
	Datum ids[ROWS];
	Datum times[ROWS];
	Datum changes[ROWS];
	Datum args[3];
	int n = t->n - first;

	for (int i = 0; i < n; i++)
	{
		ids[i] = UUIDPGetDatum(&t->rows[first + i].notification_id);
		times[i] = TimestampTzGetDatum(t->rows[first + i].due);
		changes[i] = Int32GetDatum((int32) t->rows[first + i].said.changes);
	}
	args[0] = PointerGetDatum(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	args[1] = PointerGetDatum(construct_array(times, n, TIMESTAMPTZOID, sizeof(TimestampTz),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[2] =
		PointerGetDatum(construct_array(changes, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications n SET next_match_at = again.at, may_change ="
			" nullif(again.changes, 0) FROM unnest($1, $2, $3) again (id, at, changes)"
			" WHERE n.notification_id = again.id AND n.notification_id IN ("
			"SELECT notification_id FROM pgw.notifications WHERE notification_id = ANY ($1)"
			" FOR UPDATE SKIP LOCKED)",
			3, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "notifications could not be given their look back");
	pgw_statements_end();
}

static void
match(void *arg)
{
	Turn *t = arg;
	int i;

	/* one at least, whatever it took to come here: else none would ever be */
	for (i = 0; i < t->n && (i == 0 || !time_is_up(t)); i++)
	{
		const Row *r = &t->rows[i];
		const PgwBank *bank = pgw_config_bank(r->bank);
		PgwMatch m = {.has_payment = false};

		if (bank != NULL && bank->connector != NULL)
			pgw_match_notification(&r->said, false, bank, &m);
		if (!m.has_payment)
			continue;
		write_match(r, &m);
		t->nfound +=
			pgw_match_follow_ups(&m, &r->said, false, t->found + t->nfound, t->most - t->nfound);
		PGW_DEBUG_POINT("unknown_payment_matched");
	}
	if (i < t->n)
		give_looks_back(t, i);
}

int
pgw_unknown_payments_match(TimestampTz now, PgwMatched *out, int most)
{
	static Turn t;

	t.now = now;
	t.nfound = 0;
	t.most = most;
	t.found = out;
	INSTR_TIME_SET_CURRENT(t.began);
	do
	{
		int before = t.nfound;

		if (pgw_batch_transaction(claim, &t, false, NULL) != PGW_BATCH_DONE)
			break;
		if (t.n > 0 && pgw_batch_transaction(match, &t, false, NULL) != PGW_BATCH_DONE)
			t.nfound = before;
	} while (t.n == ROWS && !time_is_up(&t));
	(void) pgw_batch_transaction(let_go, &t, false, NULL);
	return t.nfound;
}
