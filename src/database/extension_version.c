/*
 * extension_version.c - does this library serve the version of the extension that this database
 * has?
 *
 * Owns nothing.  Locks: AccessShareLock on pg_extension for a look (extension.c).
 */
#include "postgres.h"

#include "core/base/version.h"
#include "database/extension.h"
#include "database/extension_version.h"

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
