/*
 * show_version.c - pgw.version(), and the row of pgw.health() that goes with it: the library that
 * this server runs beside the script that made the extension in this database
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "core/base/version.h"
#include "database/extension_version.h"
#include "operator_api/show_version.h"

PG_FUNCTION_INFO_V1(pgw_version_1_0);

/* For everybody who may use pgw: it says nothing of payments. */
Datum
pgw_version_1_0(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Datum values[4];
	bool nulls[4] = {false};
	char *script = pgw_script_version();

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values) || script == NULL)
		elog(ERROR, "pgw.version() is not the extension's");
	values[0] = CStringGetTextDatum(PGW_LIBRARY_VERSION);
	values[1] = CStringGetTextDatum(PGW_SCRIPT_VERSION);
	values[2] = CStringGetTextDatum(script);
	nulls[3] = pgw_serves_script(script);
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(pgw_version_advice(script));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

bool
pgw_health_check_version(PgwHealthReport *r)
{
	char *script = pgw_script_version();
	bool serves = pgw_serves_script(script);

	pgw_health_detail(r, "library", PGW_LIBRARY_VERSION);
	pgw_health_detail(r, "library_serves", PGW_SCRIPT_VERSION);
	pgw_health_detail(r, "script", script);
	pgw_health_put(r, "version", serves ? PGW_HEALTH_OK : PGW_HEALTH_ERROR,
				   serves ? NULL : pgw_version_advice(script));
	return serves;
}
