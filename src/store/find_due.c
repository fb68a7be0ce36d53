/*
 * find_due.c - what the worker looks for in the tables: what is due, bank by bank, and what was
 * left
 *
 * Owns the kept plans of these questions (text only: they are made anew when the extension is
 * dropped and created again).
 * Locks: those of plain SELECTs.
 *
 * A question costs what it returns, not what is stored, nor what waits: each is answered from one
 * small index of pgw.open_work, from the place on where its answer begins.  pinned_settings.c pins
 * enable_seqscan, enable_bitmapscan and enable_sort to off: else a planner without statistics reads
 * the whole table, or all that waits for the sake of its first rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "database/statements.h"
#include "database/table_locks.h"
#include "store/find_due.h"

/* attempts of slots that are elsewhere are that shard's */
#define OPEN_WORK " FROM pgw.open_work t WHERE pgw.slot_is_worked(t.transaction_id) AND "
#define BEGUN "t.next_step_at IS NOT NULL AND t.begun"
#define WAITING "t.next_step_at IS NOT NULL AND NOT t.begun"
#define BANK "t.bank COLLATE pg_catalog.\"C\""
#define MERCHANT "t.merchant COLLATE pg_catalog.\"C\""

/* Each state's lane, as attempt/step.c has it. */
#define STATES \
	"(VALUES ('Refunding'::pgw.transaction_status, 0), ('BankApproved', 0), ('BankUnknown', 1), ('Saved', 2), ('Created', 3), ('Failed', 1)," \
	" ('Refunded', 1), ('Completed', 1), ('RequiresManualReview', 1)) s (state, lane)"

StaticAssertDecl(PGW_LANE_GIVE_BACK == 0 && PGW_LANE_LOOKUP == 1 && PGW_LANE_FOLLOW_UP == 2 &&
					 PGW_LANE_CHARGE == 3,
				 "STATES names the lanes by number");

/*
 * Prepared once for the life of the process; text only, so DROP and CREATE EXTENSION only make it
 * plan anew.
 */
static void
ask(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types, Datum *args)
{
	pgw_table_need("open_work", AccessShareLock);
	pgw_statements_begin();
	if (*plan == NULL)
	{
		SPIPlanPtr fresh = SPI_prepare(sql, nargs, types);

		if (fresh == NULL || SPI_keepplan(fresh) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		*plan = fresh;
	}
	if (SPI_execute_plan(*plan, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for due attempts failed");
}

static Datum
value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

static TimestampTz
first_time(void)
{
	bool isnull = true;
	Datum d = SPI_processed > 0 ? value(0, 1, &isnull) : 0;

	return isnull ? 0 : DatumGetTimestampTz(d);
}

/* The ids of the first column, and of the second the merchant, if there is one. */
static int
take(PgwDue *due, int max)
{
	int n = 0;

	for (uint64 i = 0; i < SPI_processed && n < max; i++)
	{
		bool isnull;
		Datum id = value(i, 1, &isnull);

		if (isnull)
			continue;
		memcpy(&due[n].transaction_id, DatumGetUUIDP(id), UUID_LEN);
		due[n].merchant = SPI_tuptable->tupdesc->natts > 1
							  ? pgw_turns_key(TextDatumGetCString(value(i, 2, &isnull)))
							  : 0;
		n++;
	}
	return n;
}

bool
pgw_store_next_bank(const char *after, char *bank, Size size)
{
	static SPIPlanPtr plan = NULL;
	Oid types[1] = {TEXTOID};
	Datum args[1] = {CStringGetTextDatum(after)};
	bool isnull = true;
	Datum d = 0;

	ask(&plan,
		"SELECT least((SELECT " BANK OPEN_WORK BEGUN " AND " BANK " > $1 ORDER BY " BANK
		" LIMIT 1),"
		" (SELECT " BANK OPEN_WORK WAITING " AND " BANK " > $1 ORDER BY " BANK " LIMIT 1))",
		1, types, args);
	if (SPI_processed == 1)
		d = value(0, 1, &isnull);
	if (!isnull)
		strlcpy(bank, TextDatumGetCString(d), size);
	pgw_statements_end();
	return !isnull;
}

int
pgw_store_begun(const char *bank, const int places[PGW_NLANES], TimestampTz now, PgwDue *due,
				int max, bool *cut, TimestampTz *next)
{
	static SPIPlanPtr plan = NULL;
	static SPIPlanPtr plan_next = NULL;
	Oid types[6] = {TEXTOID, TIMESTAMPTZOID, INT4OID, INT4OID, INT4OID, INT4OID};
	Datum args[6] = {CStringGetTextDatum(bank), TimestampTzGetDatum(now), Int32GetDatum(places[0]),
					 Int32GetDatum(places[1]),  Int32GetDatum(places[2]), Int32GetDatum(places[3])};
	int of_lane[PGW_NLANES] = {0};
	int n;

	ask(&plan,
		"SELECT x.transaction_id, x.merchant, s.lane FROM " STATES ","
		" LATERAL (SELECT t.transaction_id, t.merchant" OPEN_WORK BEGUN " AND " BANK
		" = $1 AND t.status = s.state AND t.next_step_at <= $2"
		" ORDER BY t.next_step_at LIMIT CASE s.lane WHEN 0 THEN $3 WHEN 1 THEN $4 WHEN 2 THEN $5 ELSE $6 END) x",
		6, types, args);
	n = take(due, max);
	*cut = SPI_processed > max;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		int lane = DatumGetInt32(value(i, 3, &isnull));

		*cut |= ++of_lane[lane] >= places[lane];
	}
	pgw_statements_end();
	for (int lane = 0; lane < PGW_LANE_QUEUED; lane++)
		*cut |= places[lane] == 0; /* not asked for */

	ask(&plan_next,
		"SELECT min(x.next_step_at) FROM " STATES ","
		" LATERAL (SELECT t.next_step_at" OPEN_WORK BEGUN " AND " BANK
		" = $1 AND t.status = s.state AND t.next_step_at > $2"
		" ORDER BY t.next_step_at LIMIT 1) x",
		2, types, args);
	*next = first_time();
	pgw_statements_end();
	return n;
}

int
pgw_store_waiting(const char *bank, PgwKind kind, const char *after, int most, int each,
				  TimestampTz from, TimestampTz now, PgwDue *due, int max, int *merchants,
				  char *last, Size size, bool *cut, TimestampTz *first)
{
	static SPIPlanPtr plan = NULL;
	Oid types[8] = {TEXTOID, TEXTOID,        TEXTOID, INT4OID,
					INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID};
	Datum args[8] = {CStringGetTextDatum(bank),  CStringGetTextDatum(pgw_kind_name(kind)),
					 CStringGetTextDatum(after), Int32GetDatum(most),
					 Int32GetDatum(each),        TimestampTzGetDatum(now),
					 Int32GetDatum(max),         TimestampTzGetDatum(from)};
	uint32 merchant = 0;
	int of_merchant = 0;
	int n;

	/*
	 * the walk from merchant to merchant reads one row of each; the time keeps it away from what is
	 * taken and not yet vacuumed
	 */
#define OF_KIND " AND t.kind = $2::pgw.operation_kind AND t.next_step_at >= $8"
	ask(&plan,
		"WITH RECURSIVE m (merchant, n) AS ("
		"(SELECT t.merchant, 1" OPEN_WORK WAITING " AND " BANK " = $1" OF_KIND " AND " MERCHANT
		" > $3 ORDER BY " MERCHANT " LIMIT 1)"
		" UNION ALL SELECT (SELECT t.merchant" OPEN_WORK WAITING " AND " BANK " = $1" OF_KIND
		" AND " MERCHANT " > m.merchant ORDER BY " MERCHANT " LIMIT 1),"
		" m.n + 1 FROM m WHERE m.merchant IS NOT NULL AND m.n < $4)"
		" SELECT x.transaction_id, m.merchant, x.next_step_at FROM m LEFT JOIN"
		" LATERAL (SELECT t.transaction_id, t.next_step_at" OPEN_WORK WAITING " AND " BANK
		" = $1" OF_KIND " AND " MERCHANT " = m.merchant"
		" AND t.next_step_at <= $6 ORDER BY t.next_step_at LIMIT $5) x ON true WHERE m.merchant IS NOT NULL LIMIT $7",
		8, types, args);
	n = take(due, max);
	*merchants = 0;
	*first = 0;
	last[0] = '\0';
	*cut = SPI_processed >= max;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		char *name = TextDatumGetCString(value(i, 2, &isnull));
		uint32 key = pgw_turns_key(name);
		Datum when = value(i, 3, &isnull);

		if (!isnull && (*first == 0 || DatumGetTimestampTz(when) < *first))
			*first = DatumGetTimestampTz(when);
		if (key != merchant)
		{
			(*merchants)++;
			of_merchant = 0;
		}
		merchant = key;
		*cut |= ++of_merchant >= each;
		strlcpy(last, name, size);
	}
	*cut |= *merchants >= most;
	pgw_statements_end();
	return n;
}

int
pgw_store_expired(TimestampTz now, PgwDue *due, int max, TimestampTz *next)
{
	static SPIPlanPtr plan = NULL;
	static SPIPlanPtr plan_next = NULL;
	Oid types[2] = {TIMESTAMPTZOID, INT4OID};
	Datum args[2] = {TimestampTzGetDatum(now), Int32GetDatum(max)};
	int n;

	ask(&plan,
		"SELECT t.transaction_id" OPEN_WORK
		"t.expires_at IS NOT NULL AND t.status = 'Created' AND t.expires_at <= $1"
		" ORDER BY t.expires_at LIMIT $2",
		2, types, args);
	n = take(due, max);
	pgw_statements_end();
	ask(&plan_next,
		"SELECT t.expires_at" OPEN_WORK
		"t.expires_at IS NOT NULL AND t.status = 'Created' AND t.expires_at > $1"
		" ORDER BY t.expires_at LIMIT 1",
		1, types, args);
	*next = first_time();
	pgw_statements_end();
	return n;
}

int
pgw_store_left(const pg_uuid_t *after, PgwDue *due, int max)
{
	static SPIPlanPtr plan = NULL;
	Oid types[2] = {UUIDOID, INT4OID};
	Datum args[2] = {UUIDPGetDatum(after), Int32GetDatum(max)};
	int n;

	/* materialized, or the primary key would be walked for the sake of the order */
	ask(&plan,
		"WITH open AS MATERIALIZED (SELECT t.transaction_id" OPEN_WORK
		"t.next_step_at IS NULL AND t.status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown')"
		" AND t.begun)"
		" SELECT transaction_id FROM open WHERE transaction_id > $1 ORDER BY transaction_id LIMIT $2",
		2, types, args);
	n = take(due, max);
	pgw_statements_end();
	return n;
}
