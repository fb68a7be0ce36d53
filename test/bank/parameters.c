/*-------------------------------------------------------------------------
 *
 * parameters.c
 *		The parameters of a request as one JSON object: of a form, a query or
 *		a JSON body.
 *
 * In forms and queries "a[b]" is member b of a, and "a[]" or "a[0]" an element
 * of a; their values are texts.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char) tolower((unsigned char) c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode what stands percent-encoded from s to end. */
static char *
decode(const char *s, const char *end)
{
	char *text = xalloc((size_t) (end - s) + 1);
	size_t n = 0;

	for (; s < end; s++)
	{
		char c = *s;

		if (c == '+')
			c = ' ';
		else if (c == '%' && end - s > 2 && hex_digit(s[1]) >= 0 && hex_digit(s[2]) >= 0)
		{
			c = (char) (hex_digit(s[1]) * 16 + hex_digit(s[2]));
			s += 2;
		}
		text[n++] = c;
	}
	return text;
}

/* Go to a member or element, which is made if it is not there. */
static void
put(json_object *parent, char *name, char *rest, const char *value)
{
	char *next = rest != NULL && *rest == '[' ? rest + 1 : NULL;
	char *end = next != NULL ? strchr(next, ']') : NULL;
	bool array = end != NULL && strspn(next, "0123456789") == (size_t) (end - next);
	json_object *child = NULL;

	if (json_object_is_type(parent, json_type_array))
	{
		child = end == NULL ? json_object_new_string(value) : json_object_new_object();
		json_object_array_add(parent, child);
	}
	else if (end == NULL)
		json_object_object_add(parent, name, json_object_new_string(value));
	else if (!json_object_object_get_ex(parent, name, &child))
	{
		child = array ? json_object_new_array() : json_object_new_object();
		json_object_object_add(parent, name, child);
	}
	if (end == NULL || (!json_object_is_type(child, json_type_array) &&
						!json_object_is_type(child, json_type_object)))
		return;
	*end = '\0';
	put(child, next, end + 1, value);
}

static void
add_parameter(json_object *params, char *name, const char *value)
{
	char *bracket = strchr(name, '[');
	char opening[2] = "";

	if (bracket == NULL || bracket == name)
	{
		put(params, name, opening, value);
		return;
	}
	/* the name ends where the bracket begins, but put() has to see the bracket */
	char *rest = xstrdup(bracket);

	*bracket = '\0';
	put(params, name, rest, value);
	free(rest);
}

json_object *
parameters_of_form(const char *body)
{
	json_object *params = json_object_new_object();
	const char *p = body;

	while (p != NULL && *p != '\0')
	{
		const char *next = strchr(p, '&');
		const char *end = next != NULL ? next : p + strlen(p);
		const char *equals = memchr(p, '=', (size_t) (end - p));
		char *name = decode(p, equals != NULL ? equals : end);
		char *value = equals != NULL ? decode(equals + 1, end) : xstrdup("");

		add_parameter(params, name, value);
		free(name);
		free(value);
		p = next != NULL ? next + 1 : NULL;
	}
	return params;
}

static enum MHD_Result
add_argument(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	char *own = xstrdup(name);

	(void) kind;
	add_parameter(cls, own, value != NULL ? value : "");
	free(own);
	return MHD_YES;
}

json_object *
parameters_of_query(struct MHD_Connection *connection)
{
	json_object *params = json_object_new_object();

	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_argument, params);
	return params;
}

/* NULL: it is no JSON object. */
json_object *
parameters_of_json(const char *body, size_t len)
{
	json_tokener *tokener = json_tokener_new_ex(16);
	json_object *params = json_tokener_parse_ex(tokener, body, (int) len);

	if (json_tokener_get_error(tokener) != json_tokener_success ||
		!json_object_is_type(params, json_type_object))
	{
		json_object_put(params);
		params = NULL;
	}
	json_tokener_free(tokener);
	return params;
}
