/*
 * column_values.c - values of columns as text, whatever type somebody has given to the column
 *
 * Owns: nothing.  Locks: none.
 */
#include "postgres.h"

#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "database/column_values.h"

Datum
pgw_row_from_string(Oid type, const char *value)
{
	if (type == TEXTOID || type == VARCHAROID)
		return CStringGetTextDatum(value);
	if (get_typtype(type) == TYPTYPE_ENUM)
	{
		Oid label = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid, ObjectIdGetDatum(type),
									CStringGetDatum(value));

		if (!OidIsValid(label))
			elog(ERROR, "enum type %s has no label \"%s\"", format_type_be(type), value);
		return ObjectIdGetDatum(label);
	}
	{
		Oid input;
		Oid ioparam;

		getTypeInputInfo(type, &input, &ioparam);
		return OidInputFunctionCall(input, unconstify(char *, value), ioparam, -1);
	}
}

char *
pgw_row_to_string(Oid type, Datum value)
{
	Oid output;
	bool is_varlena;

	if (type == TEXTOID || type == VARCHAROID)
		return TextDatumGetCString(value);
	getTypeOutputInfo(type, &output, &is_varlena);
	return OidOutputFunctionCall(output, value);
}
