/*
 * open_work.c - pgw.open_work, what the worker has to find again by itself, and the mark before
 * which nothing else is open
 *
 * A row says of an attempt what the scans look for (find_due.c).  It is written in the transaction
 * that writes the attempt's row, by the functions that do so (tables.c, claim_id.c);
 * core/state/open_work_rules.c says which attempts have one.  What of attempts is changed by a
 * statement, two triggers change here (pgw.list_changed_work()).
 *
 * Owns: pgw.open_work and pgw.open_work_mark; what this process takes for the mark.
 *
 * Locks: a row belongs to whoever has its attempt's row locked, so nobody waits here.  But the
 * caller of a payment ends it (BankApproved to Saved or Completed) without a look at this table:
 * the worker may be inserting the row just then, or may have done so, as the caller's change is not
 * committed yet; were both to write it, the worker would wait for the caller.  Such rows are marked
 * left_to_caller, and the worker takes them away.  For the same reason it inserts them with a look
 * first, and leaves what somebody else is inserting for the next time.
 *
 * What is on the normal path, before and after a change, needs no look here: so payments that go
 * well go on while somebody's DDL has this table.
 *
 * Invariants
 *     - An attempt whose id is smaller than the mark is over or has a row: of what is written by
 *       the worker it sees to that here (below_mark), callers' attempts have one from the
 *       first, and the mark is moved in the transaction that lists what it passes.
 *     - The process's mark is no smaller than the table's: at worst something has a row that
 *       needs none yet.  Who does not know it takes it for the greatest.
 *     - What has a row though it is on its way and behind the mark has an id no greater than
 *       greatest_listed: the mark can become smaller for this process, when it gets to know it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/base/mutant.h"
#include "core/state/open_work_rules.h"
#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "database/statements.h"
#include "database/table_locks.h"
#include "store/open_work.h"
#include "store/table_rows_internal.h"
#include "store/tables.h"

static pg_uuid_t process_mark;
static bool mark_known = false;
static pg_uuid_t greatest_listed; /* of what has its row for the sake of the mark alone */
static TimestampTz last_unlisted = 0;

/* ---------------------------------------------------------------- a row */

static bool
below_mark(const pg_uuid_t *id)
{
	if (PGW_MUTATED(BELOW_MARK))
		return false;
	return !mark_known || memcmp(id, &process_mark, sizeof(pg_uuid_t)) < 0;
}

static bool
has_row_if(const PgwAttempt *attempt, bool is_below_mark)
{
	PgwOpenWorkFacts facts = {.state = attempt->status,
							  .live = attempt->live,
							  .submitted = attempt->submitted,
							  .has_next_step = attempt->next_step_at != 0,
							  .put_off = attempt->put_off_since != 0,
							  .below_mark = is_below_mark};

	return pgw_open_work_has(&facts);
}

static bool
is_listed(const PgwAttempt *attempt)
{
	return has_row_if(attempt, below_mark(&attempt->transaction_id));
}

static void
note_listed(const PgwAttempt *attempt)
{
	if (!has_row_if(attempt, false) &&
		memcmp(&attempt->transaction_id, &greatest_listed, sizeof(pg_uuid_t)) > 0)
		greatest_listed = attempt->transaction_id;
}

/*
 * Only what is on its way: the normal path spares the look.  What is over may have a row left, of
 * its caller's end or of replication.  What an operator's mark_charged has led to BankApproved has
 * kept its row, as his backend knows no mark: a caller's is taken away once it is over
 * (pgw_store_forget_ended), of one that nobody waits for it is looked for.
 */
bool
pgw_store_has_no_row(const PgwAttempt *attempt)
{
	if (!pgw_attempt_is_open(attempt->status, attempt->next_step_at != 0) || is_listed(attempt))
		return false;
	if (memcmp(&attempt->transaction_id, &greatest_listed, sizeof(pg_uuid_t)) <= 0 &&
		!PGW_MUTATED(MARK_SMALLER))
		return false;
	return !attempt->submitted || attempt->status != PGW_BANK_APPROVED;
}

static void
describe(const PgwAttempt *attempt, PgwOpenWork *row)
{
	memset(row, 0, sizeof(*row));
	row->transaction_id = attempt->transaction_id;
	row->kind = attempt->kind;
	row->merchant = attempt->merchant;
	row->submitted_by = attempt->submitted_by;
	row->expires_at = attempt->expires_at;
	row->bank = attempt->bank;
	row->begun = pgw_open_work_begun(attempt->status, attempt->live);
	row->left_to_caller = pgw_open_work_left_to_caller(attempt->status, attempt->submitted);
	row->status = attempt->status;
	row->next_step_at = attempt->next_step_at;
	row->put_off_since = attempt->put_off_since;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Of what can change. */
static bool
same(const PgwOpenWork *a, const PgwOpenWork *b)
{
	return a->expires_at == b->expires_at && same_text(a->bank, b->bank) && a->begun == b->begun &&
		   a->left_to_caller == b->left_to_caller && a->status == b->status &&
		   a->next_step_at == b->next_step_at && a->put_off_since == b->put_off_since;
}

static Oid
id_index(const PgwRel *r)
{
	return pgw_store_id_index(PGW_TABLE_OPEN_WORK, RelationGetRelid(r->rel));
}

static void
insert(const PgwOpenWork *row)
{
	PgwRel r;

	pgw_store_open(&r, PGW_TABLE_OPEN_WORK, true, false);
	pgw_store_fill(&r, PGW_TABLE_OPEN_WORK, row);
	pgw_row_insert(&r);
	pgw_row_close(&r);
}

/* false: somebody else has inserted it, or is about to. */
static bool
insert_without_waiting(const PgwOpenWork *row)
{
	PgwRel r;
	bool inserted;

	pgw_store_open(&r, PGW_TABLE_OPEN_WORK, true, true);
	pgw_store_fill(&r, PGW_TABLE_OPEN_WORK, row);
	inserted = pgw_row_insert_speculative(&r, id_index(&r));
	pgw_row_close(&r);
	return inserted;
}

static void
raise_busy(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("pgw: a row of pgw.open_work is being inserted; the work is done later")));
}

/* The row as it is to be; row NULL: none. */
static void
put(const pg_uuid_t *id, const PgwOpenWork *row)
{
	Datum key = UUIDPGetDatum(id);
	PgwRel r;
	PgwFind found;

	pgw_store_open(&r, PGW_TABLE_OPEN_WORK, true, false);
	found = pgw_row_find(&r, id_index(&r), &key, 1, PGW_FIND_ONCE, NULL, NULL);
	if (found == PGW_FIND_ROW && row == NULL)
		pgw_row_delete(&r);
	else if (found == PGW_FIND_ROW)
	{
		PgwOpenWork now;

		pgw_store_read(&r, PGW_TABLE_OPEN_WORK, &now);
		if (!same(&now, row))
		{
			pgw_store_fill(&r, PGW_TABLE_OPEN_WORK, row);
			pgw_row_update(&r);
		}
	}
	pgw_row_close(&r);
	if (found == PGW_FIND_ROW || row == NULL)
		return;
	if (found == PGW_FIND_IN_PROGRESS || !insert_without_waiting(row))
		raise_busy();
}

void
pgw_store_list_open_work(PgwAttempt *attempt, bool is_new)
{
	PgwOpenWork row;
	bool listed;

	if (attempt->by_caller)
		return;
	listed = is_listed(attempt);
	describe(attempt, &row);
	if (!listed && pgw_attempt_is_open(attempt->status, attempt->next_step_at != 0))
		last_unlisted = GetCurrentTimestamp();
	if (listed)
		note_listed(attempt);
	if (is_new && listed)
		insert(&row);
	else if (listed || (!is_new && !attempt->without_row))
		put(&attempt->transaction_id, listed ? &row : NULL);
	attempt->listed = true;
	attempt->without_row = !listed;
}

bool
pgw_store_list_busy(const pg_uuid_t *transaction_id)
{
	Datum key = UUIDPGetDatum(transaction_id);
	PgwAttempt attempt;
	PgwOpenWork row;
	PgwRel r;
	PgwFind found;

	/* as it was committed last */
	if (!pgw_store_attempt_by_id(transaction_id, &attempt) || !is_listed(&attempt))
		return true;
	pgw_store_open(&r, PGW_TABLE_OPEN_WORK, false, false);
	found = pgw_row_find(&r, id_index(&r), &key, 1, PGW_FIND_ONCE, NULL, NULL);
	pgw_row_close(&r);
	if (found != PGW_FIND_NONE)
		return found == PGW_FIND_ROW;
	describe(&attempt, &row);
	row.left_to_caller = true;
	return insert_without_waiting(&row);
}

/* ---------------------------------------------------------------- the mark */

void
pgw_store_set_mark(const pg_uuid_t *mark)
{
	mark_known = mark != NULL;
	if (mark_known)
		process_mark = *mark;
}

TimestampTz
pgw_store_last_unlisted(void)
{
	return last_unlisted;
}

/*
 * Text only, prepared once for the life of the process: DROP and CREATE EXTENSION only make it plan
 * anew.
 */
static uint64
execute(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types, Datum *args, bool read_only,
		int expected)
{
	if (*plan == NULL)
	{
		SPIPlanPtr fresh = SPI_prepare(sql, nargs, types);

		if (fresh == NULL || SPI_keepplan(fresh) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		*plan = fresh;
	}
	if (SPI_execute_plan(*plan, args, NULL, read_only, 0) != expected)
		elog(ERROR, "the mark of open work could not be read or moved");
	return SPI_processed;
}

static void
begin(LOCKMODE mode)
{
	pgw_table_need("payment_transactions", AccessShareLock);
	pgw_table_need("open_work", mode);
	pgw_table_need("open_work_mark", mode);
	pgw_statements_begin();
}

void
pgw_store_read_mark(pg_uuid_t *mark)
{
	static SPIPlanPtr plan = NULL;
	bool isnull;

	memset(mark, 0, sizeof(*mark));
	begin(AccessShareLock);
	if (execute(&plan, "SELECT m.below FROM pgw.open_work_mark m", 0, NULL, NULL, true,
				SPI_OK_SELECT) == 1)
		memcpy(
			mark,
			DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)),
			UUID_LEN);
	pgw_statements_end();
}

void
pgw_store_write_mark(const pg_uuid_t *mark)
{
	static SPIPlanPtr plan = NULL;
	Oid types[1] = {UUIDOID};
	Datum args[1] = {UUIDPGetDatum(mark)};

	begin(RowExclusiveLock);
	(void) execute(&plan,
				   "INSERT INTO pgw.open_work_mark AS m (below) VALUES ($1) ON CONFLICT (one_row)"
				   " DO UPDATE SET below = excluded.below, moved_at = excluded.moved_at"
				   " WHERE m.below < excluded.below",
				   1, types, args, false, SPI_OK_INSERT);
	pgw_statements_end();
}

int
pgw_store_find_unlisted(const pg_uuid_t *from, const pg_uuid_t *before, pg_uuid_t *ids, int max)
{
	static SPIPlanPtr plan = NULL;
	static pg_uuid_t greatest;
	Oid types[3] = {UUIDOID, UUIDOID, INT4OID};
	Datum args[3] = {UUIDPGetDatum(from), UUIDPGetDatum(before != NULL ? before : &greatest),
					 Int32GetDatum(max)};
	int n;

	memset(&greatest, 0xFF, sizeof(greatest));
	begin(AccessShareLock);
	n = (int) execute(
		&plan,
		"SELECT t.transaction_id FROM pgw.payment_transactions t"
		" WHERE t.transaction_id >= $1 AND t.transaction_id < $2"
		" AND (t.status NOT IN ('Completed', 'Failed', 'Refunded') OR t.next_step_at IS NOT NULL)"
		/* no join, which could read all of open_work: asked of each that is open */
		" AND (SELECT true FROM pgw.open_work w WHERE w.transaction_id = t.transaction_id) IS NULL"
		" ORDER BY t.transaction_id LIMIT $3",
		3, types, args, true, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		bool isnull;

		memcpy(
			&ids[i],
			DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)),
			UUID_LEN);
	}
	pgw_statements_end();
	return n;
}

uint64
pgw_store_forget_ended(void)
{
	static SPIPlanPtr plan = NULL;
	uint64 n;

	begin(RowExclusiveLock);
	/* what somebody else has locked, the owner's statement, is left for the next time */
	n = execute(
		&plan,
		"DELETE FROM pgw.open_work o WHERE o.transaction_id = ANY (ARRAY("
		"SELECT w.transaction_id FROM pgw.open_work w JOIN pgw.payment_transactions t USING (transaction_id)"
		" WHERE w.begun AND w.status IN ('Created', 'BankApproved', 'Saved') AND w.next_step_at IS NULL"
		" AND t.status IN ('Completed', 'Failed', 'Refunded') AND t.next_step_at IS NULL"
		" FOR UPDATE OF w SKIP LOCKED))",
		0, NULL, NULL, false, SPI_OK_DELETE);
	pgw_statements_end();
	return n;
}
