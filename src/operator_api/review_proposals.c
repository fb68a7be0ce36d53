/*
 * review_proposals.c - what pgw.resolve_review() reads and writes besides the attempt: proposals of
 * a first pair of eyes
 *
 * Proposals are only ever added; the attempt's row lock, which the caller holds, orders them.  One
 * counts while the attempt has not moved since.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "database/column_values.h"
#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "operator_api/review_proposals.h"

static Datum
column(PgwRel *r, const char *name, Oid *type, bool *isnull)
{
	AttrNumber att = pgw_relation_column(r->rel, name);

	*type = TupleDescAttr(RelationGetDescr(r->rel), att - 1)->atttypid;
	return slot_getattr(r->found, att, isnull);
}

static char *
text_column(PgwRel *r, const char *name)
{
	Oid type;
	bool isnull;
	Datum d = column(r, name, &type, &isnull);

	return isnull ? NULL : pgw_row_to_string(type, d);
}

static int
int_column(PgwRel *r, const char *name)
{
	Oid type;
	bool isnull;

	return DatumGetInt32(column(r, name, &type, &isnull));
}

static void
keep_newest(PgwRel *r, void *arg)
{
	PgwProposal *newest = arg;
	Oid type;
	bool isnull;
	int number = int_column(r, "proposal");

	if (number <= newest->proposal)
		return;
	newest->proposal = number;
	newest->step_order = int_column(r, "step_order");
	newest->action = text_column(r, "action");
	newest->note = text_column(r, "note");
	newest->evidence = text_column(r, "evidence");
	newest->proposed_by = DatumGetObjectId(column(r, "proposed_by", &type, &isnull));
	newest->proposer = text_column(r, "proposer");
	newest->actor = text_column(r, "actor");
}

bool
pgw_proposal_newest(const pg_uuid_t *transaction_id, PgwProposal *out)
{
	static PgwIndexByColumns by_attempt = {.columns = {"transaction_id"}, .n = 1};
	Oid relid = pgw_relation("review_proposals");
	Oid index = pgw_relation_index(relid, &by_attempt);
	Datum key = UUIDPGetDatum(transaction_id);
	PgwRel r;

	memset(out, 0, sizeof(*out));
	pgw_row_open_read(&r, relid);
	pgw_row_each(&r, index, &key, 1, keep_newest, out);
	pgw_row_close(&r);
	return out->proposal > 0;
}

static void
put_json(PgwRel *r, Oid relid, const char *column, const char *text)
{
	Oid type = get_atttype(relid, get_attnum(relid, column));

	pgw_row_put(r, column, pgw_row_from_string(type, text), false);
}

void
pgw_proposal_add(const pg_uuid_t *transaction_id, const PgwProposal *p)
{
	PgwRel r;
	Oid relid = pgw_relation("review_proposals");

	pgw_row_open_write(&r, relid, NULL, false);
	pgw_row_clear(&r);
	pgw_row_put(&r, "transaction_id", UUIDPGetDatum(transaction_id), false);
	pgw_row_put(&r, "proposal", Int32GetDatum(p->proposal), false);
	pgw_row_put(&r, "step_order", Int32GetDatum(p->step_order), false);
	pgw_row_put(&r, "action", CStringGetTextDatum(p->action), false);
	pgw_row_put(&r, "note", CStringGetTextDatum(p->note), false);
	put_json(&r, relid, "evidence", p->evidence);
	pgw_row_put(&r, "proposed_by", ObjectIdGetDatum(p->proposed_by), false);
	pgw_row_put(&r, "proposer", CStringGetTextDatum(p->proposer), false);
	put_json(&r, relid, "actor", p->actor);
	pgw_row_put(&r, "proposed_at", TimestampTzGetDatum(GetCurrentTimestamp()), false);
	ExecStoreVirtualTuple(r.slot);
	pgw_row_insert(&r);
	pgw_row_close(&r);
}
