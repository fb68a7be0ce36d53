/*
 * bank_references.c - whose a bank's id of a charge is (pgw.bank_references), and whose one of a
 * capture, void or refund (pgw.operation_references)
 *
 * Owns the claim of an attempt on the id that a bank's answer gives to its charge, or to what
 * follows that.  A claim is written in the transaction that records the answer, and stands as soon
 * as that commits; it is never changed.
 *
 * Locks: none that lasts.  A conflict is an answer to the insert, not an error, and nobody's
 * transaction is waited for.  What somebody else has inserted and not committed is "busy"
 * (only an operator's mark_charged can be that, or the worker, seen from there).
 * Invariant: within one account an id has one attempt; of what follows a charge, one for each kind
 * of operation.  The unique index holds it, also for two answers in one transaction: a dirty scan
 * and the index see this transaction's own rows.
 */
#include "postgres.h"

#include "access/transam.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "store/bank_references.h"

/*
 * Somebody's claim may be rolled back again and again between our look and our insert, but not this
 * often.
 */
#define CLAIM_TRIES 20

/* One id, as the table names it that knows whose it is. */
typedef struct Id
{
	Oid relid;
	Oid index;
	int n;
	const char *const *columns;
	Datum keys[3];
} Id;

static void
need_index(const Id *id, const char *table)
{
	if (!OidIsValid(id->index))
		elog(ERROR, "table pgw.%s has no unique index by which an id has one attempt", table);
}

static void
id_of_charge(const char *account, const char *bank_reference, Id *id)
{
	static const char *const columns[] = {"account", "bank_reference"};
	static PgwIndexByColumns by_id = {
		.columns = {"account", "bank_reference"}, .n = 2, .unique = true};

	*id = (Id){.relid = pgw_relation("bank_references"),
			   .n = 2,
			   .columns = columns,
			   .keys = {CStringGetTextDatum(account), CStringGetTextDatum(bank_reference)}};
	id->index = pgw_relation_index(id->relid, &by_id);
	need_index(id, "bank_references");
}

static void
id_of_operation(const char *account, const char *operation, const char *bank_reference, Id *id)
{
	static const char *const columns[] = {"account", "operation", "bank_reference"};
	static PgwIndexByColumns by_id = {
		.columns = {"account", "operation", "bank_reference"}, .n = 3, .unique = true};

	*id = (Id){.relid = pgw_relation("operation_references"),
			   .n = 3,
			   .columns = columns,
			   .keys = {CStringGetTextDatum(account), CStringGetTextDatum(operation),
						CStringGetTextDatum(bank_reference)}};
	id->index = pgw_relation_index(id->relid, &by_id);
	need_index(id, "operation_references");
}

/* r is open. */
static PgwOwner
find_owner(PgwRel *r, const Id *id, const pg_uuid_t *transaction_id, TransactionId *xid)
{
	uint32 token;
	bool isnull;

	switch (pgw_row_find(r, id->index, id->keys, id->n, PGW_FIND_ONCE, xid, &token))
	{
		case PGW_FIND_NONE:
			return PGW_OWNER_NONE;
		case PGW_FIND_IN_PROGRESS:
			return PGW_OWNER_BUSY;
		case PGW_FIND_ROW:
			break;
	}
	return memcmp(DatumGetUUIDP(slot_getattr(
					  r->found, pgw_relation_column(r->rel, "transaction_id"), &isnull)),
				  transaction_id, UUID_LEN) == 0
			   ? PGW_OWNER_SELF
			   : PGW_OWNER_OTHER;
}

PgwOwner
pgw_store_reference_owner(const char *account, const char *bank_reference,
						  const pg_uuid_t *transaction_id)
{
	TransactionId xid;
	PgwOwner owner;
	PgwRel r;
	Id id;

	id_of_charge(account, bank_reference, &id);
	pgw_row_open_read(&r, id.relid);
	owner = find_owner(&r, &id, transaction_id, &xid);
	pgw_row_close(&r);
	return owner;
}

/* Whose it is, as far as that is committed. */
static bool
find_attempt(const Id *id, pg_uuid_t *transaction_id)
{
	TransactionId xid;
	uint32 token;
	bool isnull;
	bool found;
	PgwRel r;

	pgw_row_open_read(&r, id->relid);
	found =
		pgw_row_find(&r, id->index, id->keys, id->n, PGW_FIND_ONCE, &xid, &token) == PGW_FIND_ROW;
	if (found)
		*transaction_id = *DatumGetUUIDP(
			slot_getattr(r.found, pgw_relation_column(r.rel, "transaction_id"), &isnull));
	pgw_row_close(&r);
	return found;
}

bool
pgw_store_reference_attempt(const char *account, const char *bank_reference,
							pg_uuid_t *transaction_id)
{
	Id id;

	id_of_charge(account, bank_reference, &id);
	return find_attempt(&id, transaction_id);
}

bool
pgw_store_operation_reference_attempt(const char *account, const char *operation,
									  const char *bank_reference, pg_uuid_t *transaction_id)
{
	Id id;

	id_of_operation(account, operation, bank_reference, &id);
	return find_attempt(&id, transaction_id);
}

static void
fill(PgwRel *r, const Id *id, const pg_uuid_t *transaction_id)
{
	pgw_row_clear(r);
	for (int i = 0; i < id->n; i++)
		pgw_row_put(r, id->columns[i], id->keys[i], false);
	pgw_row_put(r, "transaction_id", UUIDPGetDatum(transaction_id), false);
	ExecStoreVirtualTuple(r->slot);
}

/* Nobody has it, as it seems: ours, or somebody was faster (only when wait; else that is an error).
 */
static PgwOwner
insert(PgwRel *r, Oid index, bool wait)
{
	if (wait)
		return pgw_row_insert_speculative(r, index) ? PGW_OWNER_SELF : PGW_OWNER_NONE;
	pgw_row_insert_free_key(r, index);
	return PGW_OWNER_SELF;
}

static PgwOwner
claim(const Id *id, const pg_uuid_t *transaction_id, bool wait)
{
	PgwOwner owner = PGW_OWNER_BUSY;
	PgwRel r;

	pgw_row_open_write(&r, id->relid, NULL, true);
	for (int i = 0; i < CLAIM_TRIES; i++)
	{
		TransactionId xid = InvalidTransactionId;

		owner = find_owner(&r, id, transaction_id, &xid);
		if (owner == PGW_OWNER_NONE)
		{
			fill(&r, id, transaction_id);
			owner = insert(&r, id->index, wait);
		}
		if (owner == PGW_OWNER_BUSY && wait && TransactionIdIsValid(xid))
			XactLockTableWait(xid, NULL, NULL, XLTW_None);
		else if (owner != PGW_OWNER_NONE)
			break;
	}
	pgw_row_close(&r);
	return owner == PGW_OWNER_NONE ? PGW_OWNER_BUSY : owner;
}

PgwOwner
pgw_store_claim_reference(const char *account, const char *bank_reference,
						  const pg_uuid_t *transaction_id, bool wait)
{
	Id id;

	id_of_charge(account, bank_reference, &id);
	return claim(&id, transaction_id, wait);
}

PgwOwner
pgw_store_claim_operation_reference(const char *account, const char *operation,
									const char *bank_reference, const pg_uuid_t *transaction_id)
{
	Id id;

	id_of_operation(account, operation, bank_reference, &id);
	return claim(&id, transaction_id, false);
}
