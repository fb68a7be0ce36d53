/*
 * look_without_lock.c - a look at a recorded payment that leaves no lock behind
 *
 * Most calls that repeat an earlier one need two rows and nothing else.  To take all the locks of a
 * payment for them (table_locks.c) costs a third of their speed.  To keep the two locks that
 * reading takes would be worse: a later payment of the same transaction could then not step back
 * when DDL comes in between, and would fail.
 *
 * Owns: nothing.
 * Locks: AccessShareLock on one table and the one index by which it is read, acquired without
 * waiting, and released before the next table's are asked for: so nobody is waited for, no deadlock
 * can come of it, and DDL is held up no longer than one row is read.
 * Invariant: what a look tells is a row as it was committed, or as this transaction has written it.
 * A row that is missed (it is being inserted, or moved by an update at this moment) is only a look
 * that tells nothing, or a "none" that the claim contradicts: the unique index decides.
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "store/look_without_lock.h"
#include "store/table_rows_internal.h"
#include "store/tables.h"

typedef Oid (*IndexOf)(Oid relid);

static Oid
transaction_id_index(Oid relid)
{
	return pgw_store_id_index(PGW_TABLE_TRANSACTIONS, relid);
}

/* Under both locks. */
static PgwFind
read_row(Oid relid, Oid index, PgwTable table, const Datum *keys, int nkeys, void *out)
{
	PgwRel r;
	PgwFind found;

	pgw_row_open_locked(&r, relid);
	found = pgw_row_find(&r, index, keys, nkeys, PGW_FIND_ONCE, NULL, NULL);
	if (found == PGW_FIND_ROW)
		pgw_store_read(&r, table, out);
	pgw_row_close(&r);
	return found;
}

/* PGW_FIND_IN_PROGRESS also when it could not be looked at. */
static PgwFind
look(const char *name, PgwTable table, IndexOf index_of, const Datum *keys, int nkeys, void *out)
{
	Oid relid = pgw_relation(name);
	Oid index;
	PgwFind found = PGW_FIND_IN_PROGRESS;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return found;
	index = index_of(relid);
	if (ConditionalLockRelationOid(index, AccessShareLock))
	{
		/* Either lock can have brought the news that another table or index has taken the place. */
		if (relid == pgw_relation(name) && index == index_of(relid))
			found = read_row(relid, index, table, keys, nkeys, out);
		UnlockRelationOid(index, AccessShareLock);
	}
	UnlockRelationOid(relid, AccessShareLock);
	return found;
}

bool
pgw_store_look(const char *client_request_id, const char *merchant, PgwPayment *p,
			   PgwAttempt *attempt, bool *is_none)
{
	Datum keys[2] = {CStringGetTextDatum(client_request_id), CStringGetTextDatum(merchant)};
	Datum id;
	PgwFind found = look("payments", PGW_TABLE_PAYMENTS, pgw_store_claim_index, keys, 2, p);

	*is_none = found == PGW_FIND_NONE;
	if (found != PGW_FIND_ROW)
		return false;
	id = UUIDPGetDatum(&p->transaction_id);
	return look("payment_transactions", PGW_TABLE_TRANSACTIONS, transaction_id_index, &id, 1,
				attempt) == PGW_FIND_ROW;
}
