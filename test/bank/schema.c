/*-------------------------------------------------------------------------
 *
 * schema.c
 *		Does a request have the parameters that a vendor has published?
 *
 * The schema is what the vendor's own files say, in the words of JSON Schema
 * that OpenAPI uses: type, required, properties, additionalProperties, items,
 * enum, anyOf.  A form says everything as text, so a number of a form is text
 * that reads as one.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

static json_object *
member(json_object *obj, const char *name)
{
	json_object *value = NULL;

	(void) json_object_object_get_ex(obj, name, &value);
	return value;
}

static bool
fault(SchemaFault *f, const char *code, const char *path)
{
	f->code = code;
	snprintf(f->param, sizeof(f->param), "%s", path);
	return false;
}

/* The name of a member as a form writes it: "a", "a[b]". */
static void
name_member(char *dst, size_t size, const char *path, const char *name)
{
	if (path[0] == '\0')
		snprintf(dst, size, "%s", name);
	else
		snprintf(dst, size, "%s[%s]", path, name);
}

static bool
is_integer_text(const char *s)
{
	if (*s == '-')
		s++;
	return *s != '\0' && strlen(s) <= 18 && strspn(s, "0123456789") == strlen(s);
}

static bool
is_number_text(const char *s)
{
	char *end;

	if (!isdigit((unsigned char) s[0]) && s[0] != '-')
		return false;
	(void) strtod(s, &end);
	return *end == '\0';
}

static bool
check_scalar(const char *type, json_object *value, bool form)
{
	const char *text = json_object_get_string(value);

	if (strcmp(type, "string") == 0)
		return json_object_is_type(value, json_type_string);
	if (form && !json_object_is_type(value, json_type_string))
		return false;
	if (strcmp(type, "integer") == 0)
		return form ? is_integer_text(text) : json_object_is_type(value, json_type_int);
	if (strcmp(type, "number") == 0)
		return form ? is_number_text(text)
					: json_object_is_type(value, json_type_int) ||
						  json_object_is_type(value, json_type_double);
	if (strcmp(type, "boolean") == 0)
		return form ? strcmp(text, "true") == 0 || strcmp(text, "false") == 0
					: json_object_is_type(value, json_type_boolean);
	return false;
}

static bool
in_enum(json_object *values, json_object *value)
{
	for (size_t i = 0; i < json_object_array_length(values); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(values, i)),
				   json_object_get_string(value)) == 0)
			return true;
	return false;
}

static bool
check_object(json_object *schema, json_object *value, bool form, const char *path, SchemaFault *f)
{
	json_object *properties = member(schema, "properties");
	json_object *others = member(schema, "additionalProperties");
	json_object *required = member(schema, "required");

	if (!json_object_is_type(value, json_type_object))
		return fault(f, "invalid_object", path);
	json_object_object_foreach(value, name, part)
	{
		char at[SCHEMA_PARAM];
		json_object *own = properties ? member(properties, name) : NULL;

		name_member(at, sizeof(at), path, name);
		if (own == NULL && others == NULL)
			return fault(f, "unknown_parameter", at);
		if (!schema_check(own ? own : others, part, form, at, f))
			return false;
	}
	for (size_t i = 0; required != NULL && i < json_object_array_length(required); i++)
	{
		const char *name = json_object_get_string(json_object_array_get_idx(required, i));
		char at[SCHEMA_PARAM];

		name_member(at, sizeof(at), path, name);
		if (member(value, name) == NULL)
			return fault(f, "missing_parameter", at);
	}
	return true;
}

static bool
check_any(json_object *schemas, json_object *value, bool form, const char *path, SchemaFault *f)
{
	SchemaFault first;

	for (size_t i = 0; i < json_object_array_length(schemas); i++)
	{
		if (schema_check(json_object_array_get_idx(schemas, i), value, form, path, f))
			return true;
		if (i == 0)
			first = *f;
	}
	*f = first;
	return false;
}

/* Is this value what the schema says?  If not, what is wrong, and where. */
bool
schema_check(json_object *schema, json_object *value, bool form, const char *path, SchemaFault *f)
{
	json_object *any = member(schema, "anyOf");
	json_object *values = member(schema, "enum");
	const char *type = json_object_get_string(member(schema, "type"));

	if (any != NULL)
		return check_any(any, value, form, path, f);
	if (type == NULL)
		return true; /* anything */
	if (strcmp(type, "object") == 0)
		return check_object(schema, value, form, path, f);
	if (strcmp(type, "array") == 0)
	{
		if (!json_object_is_type(value, json_type_array))
			return fault(f, "invalid_array", path);
		for (size_t i = 0; i < json_object_array_length(value); i++)
			if (!schema_check(member(schema, "items"), json_object_array_get_idx(value, i), form,
							  path, f))
				return false;
		return true;
	}
	if (!check_scalar(type, value, form))
		return fault(f,
					 strcmp(type, "integer") == 0   ? "invalid_integer"
					 : strcmp(type, "boolean") == 0 ? "invalid_boolean"
													: "invalid_string",
					 path);
	if (values != NULL && !in_enum(values, value))
		return fault(f, "invalid_enum", path);
	return true;
}
