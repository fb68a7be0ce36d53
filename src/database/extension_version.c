/*
 * extension_version.c - does this library serve the version of the extension that this database
 * has?
 *
 * Owns: that it did when it was looked at last.  No message of the server's tells of a change of
 * pg_extension, so who changes the version says himself that pgw.payments has changed
 * (utility_hook.c), which every process hears when he has committed, on standbys, too.
 * Locks: AccessShareLock on pg_extension for a look (extension.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/inval.h"

#include "core/base/version.h"
#include "database/extension.h"
#include "database/extension_version.h"
#include "database/relation_changes.h"
#include "database/relations.h"

static PgwRemembered served; /* pgw.payments, while nothing has changed since */

char *
pgw_script_version(void)
{
	char *version;

	return pgw_extension_look(NULL, &version) ? version : NULL;
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

bool
pgw_serves_database(char **script)
{
	Oid payments;

	/* also in a transaction that has all its locks already, and takes in nothing by locking */
	AcceptInvalidationMessages();
	payments = pgw_relation_or_none("payments");
	*script = NULL;
	if (OidIsValid(payments) && served.relid == payments)
		return true;
	pgw_remembered_is_voided(&served);
	served.relid = InvalidOid;
	*script = pgw_script_version();
	if (!pgw_serves_script(*script))
		return false;
	/* only now: the look can have taken in what has changed before it */
	if (*script != NULL)
		served.relid = payments;
	return true;
}

void
pgw_version_has_changed(void)
{
	Oid payments = pgw_relation_or_none("payments");

	if (!OidIsValid(payments))
		return;
	CacheInvalidateRelcacheByRelid(payments);
	/* heard here at once, and again if this is rolled back */
	(void) GetCurrentCommandId(true);
	CommandCounterIncrement();
}
