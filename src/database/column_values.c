/*
 * column_values.c - values of columns as text, whatever type somebody has given to the column
 *
 * Owns: labels of enums that were looked up before; void when the catalog of labels changes.
 * Locks: none.
 */
#include "postgres.h"

#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "database/column_values.h"

/*
 * A payment reads and writes some thirty labels of five enums, and each took two look-ups in caches
 * of the server's.  Labels that share a place only push each other out.
 */
#define NPLACES 128

typedef struct Label
{
	Oid type; /* InvalidOid: void */
	Oid value;
	NameData name;
} Label;

static Label by_name[NPLACES];
static Label by_value[NPLACES];

static Label *
place_of_name(Oid type, const char *name)
{
	uint32 h = type;

	for (const char *p = name; *p != '\0'; p++)
		h = h * 31 + (unsigned char) *p;
	return &by_name[h % NPLACES];
}

static void
forget_labels(Datum arg, int cacheid, uint32 hashvalue)
{
	memset(by_name, 0, sizeof(by_name));
	memset(by_value, 0, sizeof(by_value));
}

static void
remember_label(Oid type, Oid value, const char *name)
{
	Label label = {.type = type, .value = value};

	namestrcpy(&label.name, name);
	*place_of_name(type, name) = by_value[value % NPLACES] = label;
}

/* Before anything is looked up that is to be remembered. */
static void
watch_labels(void)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterSyscacheCallback(ENUMOID, forget_labels, (Datum) 0);
	registered = true;
}

/* InvalidOid: not remembered. */
static Oid
value_of(Oid type, const char *name)
{
	const Label *label = place_of_name(type, name);

	return label->type == type && strcmp(NameStr(label->name), name) == 0 ? label->value
																		  : InvalidOid;
}

/* NULL: not remembered. */
static const char *
name_of(Oid type, Oid value)
{
	const Label *label = &by_value[value % NPLACES];

	return label->type == type && label->value == value ? NameStr(label->name) : NULL;
}

static Oid
look_up_value(Oid type, const char *name)
{
	Oid value;

	watch_labels();
	value = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid, ObjectIdGetDatum(type),
							CStringGetDatum(name));
	if (!OidIsValid(value))
		elog(ERROR, "enum type %s has no label \"%s\"", format_type_be(type), name);
	remember_label(type, value, name);
	return value;
}

/* {}: what nearly every column of this type holds; without a look-up of its functions. */
static Datum
empty_object(void)
{
	Size size = offsetof(Jsonb, root) + offsetof(JsonbContainer, children);
	Jsonb *j = palloc(size);

	SET_VARSIZE(j, size);
	j->root.header = JB_FOBJECT;
	return JsonbPGetDatum(j);
}

static bool
is_empty_object(Datum value)
{
	const Jsonb *j = DatumGetJsonbP(value);

	return JB_ROOT_IS_OBJECT(j) && JB_ROOT_COUNT(j) == 0;
}

Datum
pgw_row_from_string(Oid type, const char *value)
{
	Oid label;

	if (type == TEXTOID || type == VARCHAROID)
		return CStringGetTextDatum(value);
	if (type == JSONBOID && strcmp(value, "{}") == 0)
		return empty_object();
	label = value_of(type, value);
	if (!OidIsValid(label) && get_typtype(type) == TYPTYPE_ENUM)
		label = look_up_value(type, value);
	if (OidIsValid(label))
		return ObjectIdGetDatum(label);
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
	const char *label;
	char *written;

	if (type == TEXTOID || type == VARCHAROID)
		return TextDatumGetCString(value);
	if (type == JSONBOID && is_empty_object(value))
		return pstrdup("{}");
	label = name_of(type, DatumGetObjectId(value));
	if (label != NULL)
		return pstrdup(label);
	watch_labels();
	getTypeOutputInfo(type, &output, &is_varlena);
	written = OidOutputFunctionCall(output, value);
	if (get_typtype(type) == TYPTYPE_ENUM)
		remember_label(type, DatumGetObjectId(value), written);
	return written;
}
