/*
 * extension.c - the extension as an object of the database: is it there, and whose is it?
 *
 * Owns: nothing.
 * Locks: AccessShareLock on the extension object, conditionally, so that the worker never stands in
 * the way of DROP EXTENSION.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "database/extension.h"
#include "database/relations.h"

bool
pgw_extension_lock(bool *busy)
{
	Oid oid = get_extension_oid("pgw", true);
	LOCKTAG tag;

	*busy = false;
	if (!OidIsValid(oid))
		return false;

	/*
	 * DROP and ALTER EXTENSION hold AccessExclusiveLock on the object; waiting for them could close
	 * a cycle nobody detects.
	 */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, oid, 0);
	if (LockAcquire(&tag, AccessShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		*busy = true;
		return true;
	}

	/* It may have gone between the look and the lock. */
	AcceptInvalidationMessages();
	InvalidateCatalogSnapshot();
	if (get_extension_oid("pgw", true) == oid)
		return true;
	LockRelease(&tag, AccessShareLock, false);
	return false;
}

Oid
pgw_extension_owner(void)
{
	Oid relid = pgw_relation("payments");
	HeapTuple tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	return owner;
}
