/*
 * find_attempts.c - attempts by what is known of them: the request's id, or the payment
 *
 * Owns: nothing.
 * Locks: AccessShareLock on the table and on the index that is read.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "core/state/state_machine.h"
#include "database/column_values.h"
#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "store/find_attempts.h"
#include "store/table_rows_internal.h"
#include "store/tables.h"

typedef struct Search
{
	bool late_too; /* what was given up and turned up at the bank later */
	PgwAttempt *out;
	bool found;
} Search;

static bool
is_late(const PgwAttempt *attempt)
{
	return !attempt->live && attempt->status != PGW_FAILED && attempt->status != PGW_REFUNDED;
}

/*
 * The live one before all others.  Ids grow with time: of the others the greatest is the newest. Of
 * two versions of one row the later counts.
 */
static void
keep_best(PgwRel *r, void *arg)
{
	Search *s = arg;
	PgwAttempt attempt;
	int newer;

	pgw_store_read(r, PGW_TABLE_TRANSACTIONS, &attempt);
	if (attempt.kind != PGW_KIND_PAYMENT || (is_late(&attempt) && !s->late_too))
		return;
	newer =
		s->found ? memcmp(attempt.transaction_id.data, s->out->transaction_id.data, UUID_LEN) : 1;
	if (newer == 0)
		newer = attempt.step_order >= s->out->step_order ? 1 : -1;
	else if (s->found && attempt.live != s->out->live)
		newer = attempt.live ? 1 : -1;
	if (newer > 0)
		*s->out = attempt;
	s->found = true;
}

static Oid
index_of(const PgwRel *r, PgwIndexByColumns *wanted)
{
	Oid index = pgw_relation_index(RelationGetRelid(r->rel), wanted);

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.payment_transactions has no index on %s where %s",
			 wanted->columns[0], wanted->where[0]);
	return index;
}

/*
 * By two indexes, as no index holds all attempts by their ids: what waits to be begun is in neither
 * and is found by its payments row, which came with it.
 */
static bool
search_request(Search *s, const char *client_request_id, const char *merchant)
{
	static PgwIndexByColumns indexes[] = {
		{.columns = {"client_request_id", "merchant"}, .n = 2, .where = {"live"}, .nwhere = 1},
		{.columns = {"client_request_id", "merchant"}, .n = 2, .where = {"given_up"}, .nwhere = 1}};
	Datum keys[2] = {CStringGetTextDatum(client_request_id), CStringGetTextDatum(merchant)};
	PgwRel r;

	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	for (int i = 0; i < lengthof(indexes); i++)
		pgw_row_each(&r, index_of(&r, &indexes[i]), keys, 2, keep_best, s);
	pgw_row_close(&r);
	return s->found;
}

bool
pgw_store_attempt_by_request(const char *client_request_id, const char *merchant, PgwAttempt *out)
{
	Search s = {.late_too = true, .out = out};

	return search_request(&s, client_request_id, merchant);
}

bool
pgw_store_earlier_attempt(const char *client_request_id, const char *merchant, PgwAttempt *out)
{
	Search s = {.out = out};

	return search_request(&s, client_request_id, merchant);
}

typedef struct AttemptList
{
	PgwAttempt *rows;
	int n;
	int cap;
} AttemptList;

static void
collect_attempt(PgwRel *r, void *arg)
{
	AttemptList *list = arg;

	if (list->n == list->cap)
	{
		list->cap = list->cap == 0 ? 4 : list->cap * 2;
		list->rows = list->rows == NULL ? palloc(list->cap * sizeof(PgwAttempt))
										: repalloc(list->rows, list->cap * sizeof(PgwAttempt));
	}
	pgw_store_read(r, PGW_TABLE_TRANSACTIONS, &list->rows[list->n++]);
}

static int
compare_attempts(const void *a, const void *b)
{
	return memcmp(((const PgwAttempt *) a)->transaction_id.data,
				  ((const PgwAttempt *) b)->transaction_id.data, UUID_LEN);
}

pg_uuid_t
pgw_store_first_attempt_id(const pg_uuid_t *payment_id)
{
	pg_uuid_t id = *payment_id;

	id.data[UUID_LEN - 1] ^= 1;
	return id;
}

/* Those whose ids follow from the payment: its first attempt, and the one that it names. */
static void
collect_by_id(PgwRel *r, const pg_uuid_t *payment_id, AttemptList *list)
{
	pg_uuid_t ids[2] = {pgw_store_first_attempt_id(payment_id)};
	PgwPayment p;
	int n = 1;

	if (pgw_store_payment_by_id(payment_id, &p) &&
		memcmp(&p.transaction_id, &ids[0], sizeof(pg_uuid_t)) != 0)
		ids[n++] = p.transaction_id;
	for (int i = 0; i < n; i++)
	{
		Datum key = UUIDPGetDatum(&ids[i]);

		pgw_row_each(r, pgw_store_id_index(PGW_TABLE_TRANSACTIONS, RelationGetRelid(r->rel)), &key,
					 1, collect_attempt, list);
	}
}

/* An id of another payment's attempt may be among them: it was adopted since. */
static bool
is_of(const PgwAttempt *attempt, const pg_uuid_t *payment_id)
{
	return memcmp(&attempt->payment_id, payment_id, sizeof(pg_uuid_t)) == 0;
}

int
pgw_store_attempts(const pg_uuid_t *payment_id, PgwAttempt **out)
{
	static PgwIndexByColumns by_payment = {
		.columns = {"payment_id"}, .n = 1, .where = {"kind", "adopted"}, .nwhere = 2};
	Datum key = UUIDPGetDatum(payment_id);
	AttemptList list = {0};
	PgwRel r;
	int kept = 0;

	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	collect_by_id(&r, payment_id, &list);
	pgw_row_each(&r, index_of(&r, &by_payment), &key, 1, collect_attempt, &list);
	pgw_row_close(&r);
	if (list.n > 1)
		qsort(list.rows, list.n, sizeof(PgwAttempt), compare_attempts);

	/*
	 * A scan with a dirty snapshot can meet an old and a new version of one row: the one with more
	 * steps counts.
	 */
	for (int i = 0; i < list.n; i++)
	{
		if (!is_of(&list.rows[i], payment_id))
			continue;
		if (kept > 0 && memcmp(list.rows[kept - 1].transaction_id.data,
							   list.rows[i].transaction_id.data, UUID_LEN) == 0)
		{
			if (list.rows[i].step_order > list.rows[kept - 1].step_order)
				list.rows[kept - 1] = list.rows[i];
		}
		else
			list.rows[kept++] = list.rows[i];
	}
	*out = list.rows;
	return kept;
}

bool
pgw_store_closed_by_another(const PgwAttempt *capture)
{
	PgwAttempt *attempts;
	int n = pgw_store_attempts(&capture->payment_id, &attempts);

	for (int i = 0; i < n; i++)
	{
		if (attempts[i].kind == PGW_KIND_CAPTURE && attempts[i].status == PGW_COMPLETED &&
			attempts[i].final_capture && attempts[i].origin == NULL &&
			memcmp(&attempts[i].transaction_id, &capture->transaction_id, sizeof(pg_uuid_t)) != 0)
			return true;
	}
	return false;
}

typedef struct IdList
{
	pg_uuid_t *ids;
	int n;
	int most;
	AttrNumber id_no;
} IdList;

static void
collect_id(PgwRel *r, void *arg)
{
	IdList *list = arg;
	bool isnull;

	if (list->n < list->most)
		list->ids[list->n++] = *DatumGetUUIDP(slot_getattr(r->found, list->id_no, &isnull));
}

int
pgw_store_in_doubt(const char *bank, int most, pg_uuid_t **out)
{
	static PgwIndexByColumns of_due = {
		.columns = {"bank", "status"}, .n = 2, .where = {"next_step_at", "begun"}, .nwhere = 2};
	Oid relid = pgw_relation("open_work");
	Oid index = pgw_relation_index(relid, &of_due);
	IdList list = {palloc(most * sizeof(pg_uuid_t)), 0, most, get_attnum(relid, "transaction_id")};
	Datum keys[2];
	PgwRel r;

	*out = list.ids;
	if (!OidIsValid(index) || list.id_no == InvalidAttrNumber)
		return 0; /* somebody has taken it away: what was planned is done all the same */
	keys[0] = CStringGetTextDatum(bank);
	keys[1] = pgw_row_from_string(get_atttype(relid, get_attnum(relid, "status")),
								  pgw_state_name(PGW_BANK_UNKNOWN));
	pgw_row_open_read(&r, relid);
	pgw_row_each(&r, index, keys, 2, collect_id, &list);
	pgw_row_close(&r);
	return list.n;
}
