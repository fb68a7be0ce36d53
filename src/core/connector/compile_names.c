/*
 * compile_names.c - the names of a document's members, before anything is made of it
 *
 * The document is stored as it was written, so what one reader hides another may take: json-c keeps
 * the last of two members of one name, and ends a name at U+0000.  Invariant: after this each
 * member of the document is the only one of its name, for every reader.
 */
#include "core/connector/compiled.h"

#include <stdlib.h>
#include <string.h>

#include "core/json/json_text.h"

static bool check_value(PgwCompile *cc, const PgwJson *v);

/* One name; those of the same object that stand before it are in seen. */
static bool
check_name(PgwCompile *cc, const PgwJson *written, json_object *seen, char **name)
{
	size_t len = pgw_json_text(written, NULL, 0);
	bool good;

	if ((*name = malloc(len + 1)) == NULL)
		return pgw_fault(cc, "out of memory");
	(void) pgw_json_text(written, *name, len);
	(*name)[len] = '\0';
	good = strlen(*name) == len || pgw_fault(cc, "a name must not hold U+0000");
	if (good && json_object_object_get_ex(seen, *name, NULL))
		good = pgw_fault_at(cc, *name, "this name stands twice here; which of the two is meant?");
	if (good && json_object_object_add(seen, *name, NULL) != 0)
		good = pgw_fault(cc, "out of memory");
	return good;
}

static bool
check_members(PgwCompile *cc, const PgwJson *object, json_object *seen)
{
	const char *at = NULL;
	PgwJson written;
	PgwJson value;
	bool good = true;

	while (good && pgw_json_next_member(object, &at, &written, &value))
	{
		char *name = NULL;

		good = check_name(cc, &written, seen, &name);
		if (good)
		{
			size_t mark = pgw_enter(cc, name);

			good = check_value(cc, &value);
			pgw_leave(cc, mark);
		}
		free(name);
	}
	return good;
}

static bool
check_value(PgwCompile *cc, const PgwJson *v)
{
	const char *at = NULL;
	PgwJson element;
	bool good = true;

	if (pgw_json_type(v) == PGW_JSON_OBJECT)
	{
		json_object *seen = json_object_new_object();

		good = seen != NULL ? check_members(cc, v, seen) : pgw_fault(cc, "out of memory");
		json_object_put(seen);
	}
	for (size_t i = 0; good && pgw_json_next_element(v, &at, &element); i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		good = check_value(cc, &element);
		pgw_leave(cc, mark);
	}
	return good;
}

bool
pgw_check_names(PgwCompile *cc, const char *json, size_t len)
{
	PgwJson document;

	while (len > 0 && (*json == ' ' || *json == '\n' || *json == '\r' || *json == '\t'))
	{
		json++;
		len--;
	}
	document = (PgwJson){json, len};
	return check_value(cc, &document);
}
