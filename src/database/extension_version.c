/*
 * extension_version.c - does this library serve the version of the extension that this database
 * has?
 *
 * Owns nothing.  The row is read each time: no message tells of a change of pg_extension, and a
 * look by its index costs some microseconds of a payment's millisecond.
 * Locks: AccessShareLock on pg_extension for the look.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "core/base/version.h"
#include "database/extension_version.h"

char *
pgw_script_version(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	SysScanDesc scan;
	HeapTuple tuple;
	ScanKeyData key;
	char *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("pgw"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum datum =
			heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		Assert(!isnull); /* the catalog says so */
		version = TextDatumGetCString(datum);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

bool
pgw_serves_script(const char *script)
{
	return script == NULL || strcmp(script, PGW_SCRIPT_VERSION) == 0;
}

char *
pgw_version_advice(const char *script)
{
	if (pgw_version_compare(script, PGW_SCRIPT_VERSION) < 0)
		return psprintf("The extension in this database is older than the library: ALTER EXTENSION "
						"pgw UPDATE TO '%s'. See docs/upgrade.md.",
						PGW_SCRIPT_VERSION);
	return psprintf("The library that this server runs is older than the extension in this "
					"database: install the library for version %s and restart the server. See "
					"docs/upgrade.md.",
					script);
}
