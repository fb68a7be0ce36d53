/*
 * find_attempts.c - attempts by what is known of them: the request's id, or the payment
 *
 * Owns: nothing.
 * Locks: AccessShareLock on the table and on the index that is read.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/uuid.h"

#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "store/find_attempts.h"
#include "store/table_rows_internal.h"
#include "store/tables.h"

typedef struct Search
{
	PgwKind kind;
	bool prefer_live;
	PgwAttempt *out;
	bool found;
} Search;

static bool
is_live(const PgwAttempt *attempt)
{
	return attempt->taken_by_worker && attempt->status != PGW_FAILED &&
		   attempt->status != PGW_REFUNDED;
}

/* Ids grow with time: the greatest is the newest. Of two versions of one row the later counts. */
static void
keep_best(PgwRel *r, void *arg)
{
	Search *s = arg;
	PgwAttempt attempt;
	int newer;

	pgw_store_read(r, PGW_TABLE_TRANSACTIONS, &attempt);
	if (attempt.kind != s->kind || (s->prefer_live && !attempt.taken_by_worker))
		return;
	newer =
		s->found ? memcmp(attempt.transaction_id.data, s->out->transaction_id.data, UUID_LEN) : 1;
	if (newer == 0)
		newer = attempt.step_order >= s->out->step_order ? 1 : -1;
	else if (s->found && s->prefer_live && is_live(&attempt) != is_live(s->out))
		newer = is_live(&attempt) ? 1 : -1;
	if (newer > 0)
		*s->out = attempt;
	s->found = true;
}

static bool
search_request(Search *s, const char *client_request_id, const char *merchant)
{
	static PgwIndexByColumns by_request = {.columns = {"client_request_id", "merchant"}, .n = 2};
	Oid relid = pgw_relation("payment_transactions");
	Oid index = pgw_relation_index(relid, &by_request);
	Datum keys[2] = {CStringGetTextDatum(client_request_id), CStringGetTextDatum(merchant)};
	PgwRel r;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.payment_transactions has no index on (client_request_id, merchant)");
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	pgw_row_each(&r, index, keys, 2, keep_best, s);
	pgw_row_close(&r);
	return s->found;
}

bool
pgw_store_attempt_by_request(PgwKind kind, const char *client_request_id, const char *merchant,
							 PgwAttempt *out)
{
	Search s = {.kind = kind, .out = out};

	return search_request(&s, client_request_id, merchant);
}

bool
pgw_store_earlier_attempt(const char *client_request_id, const char *merchant, PgwAttempt *out)
{
	Search s = {.kind = PGW_KIND_PAYMENT, .prefer_live = true, .out = out};

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

int
pgw_store_attempts(const pg_uuid_t *payment_id, PgwAttempt **out)
{
	static PgwIndexByColumns by_payment = {.columns = {"payment_id"}, .n = 1};
	Oid relid = pgw_relation("payment_transactions");
	Oid index = pgw_relation_index(relid, &by_payment);
	Datum key = UUIDPGetDatum(payment_id);
	AttemptList list = {0};
	PgwRel r;
	int kept = 0;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.payment_transactions has no index on payment_id");
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	pgw_row_each(&r, index, &key, 1, collect_attempt, &list);
	pgw_row_close(&r);
	if (list.n > 1)
		qsort(list.rows, list.n, sizeof(PgwAttempt), compare_attempts);

	/*
	 * A scan with a dirty snapshot can meet an old and a new version of one row: the one with more
	 * steps counts.
	 */
	for (int i = 0; i < list.n; i++)
	{
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
