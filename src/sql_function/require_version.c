/*
 * require_version.c - what cannot be had while library and script differ
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "core/base/mutant.h"
#include "core/base/version.h"
#include "database/extension_version.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"

void
pgw_require_version(void)
{
	char *script;

	if (pgw_serves_database(&script) || PGW_MUTATED(VERSION_CHECK))
		return;
	pgw_raise("version_mismatch",
			  pgw_detail(pgw_detail(NULL, "script", script), "library_serves", PGW_SCRIPT_VERSION),
			  pgw_version_advice(script));
}
