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
#include "utils/rel.h"
#include "utils/syscache.h"

#include "database/column_values.h"

void
pgw_row_check_type(Relation rel, AttrNumber attnum, const char *column, Oid wanted)
{
	Oid type = attnum != InvalidAttrNumber
				   ? TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid
				   : InvalidOid;

	if (attnum == InvalidAttrNumber)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table pgw.%s has no column \"%s\"", RelationGetRelationName(rel), column),
			 errhint(
				 "pgw's own columns must stay as CREATE EXTENSION has made them: see docs/ddl.md. Nothing is lost meanwhile.")));
	if (OidIsValid(wanted) && type != wanted)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of table pgw.%s has type %s instead of %s", column,
					RelationGetRelationName(rel), format_type_be(type), format_type_be(wanted)),
			 errhint(
				 "pgw's own columns must stay as CREATE EXTENSION has made them: see docs/ddl.md. Nothing is lost meanwhile.")));
}

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
