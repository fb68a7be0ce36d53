/*
 * fuzz_json.c - any bytes as a JSON text, beside json-c
 *
 * What is accepted, json-c accepts and understands alike: the same members and elements, strings
 * and small integers; and the accessors never leave the text.  Equal names are json-c's blind spot:
 * it keeps the last, so an object has as many members here as there.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/json/json_text.h"

#define NESTING 16

static void
require(bool ok)
{
	if (!ok)
		abort();
}

static void
compare_text(const PgwJson *v, json_object *other)
{
	size_t len = (size_t) json_object_get_string_len(other);
	char *mine = malloc(len + 1);

	require(pgw_json_text(v, mine, len + 1) == len);
	require(memcmp(mine, json_object_get_string(other), len) == 0);
	free(mine);
}

static void
compare(const PgwJson *v, json_object *other)
{
	PgwJson inner;
	int64_t n;
	size_t i = 0;

	switch (pgw_json_type(v))
	{
		case PGW_JSON_NULL:
			require(other == NULL);
			return;
		case PGW_JSON_BOOLEAN:
			require(json_object_is_type(other, json_type_boolean) &&
					pgw_json_is_true(v) == (json_object_get_boolean(other) != 0));
			return;
		case PGW_JSON_NUMBER:
			require(json_object_is_type(other, json_type_int) ||
					json_object_is_type(other, json_type_double));
			if (json_object_is_type(other, json_type_int) && v->len < 18)
				require(pgw_json_integer(v, 0, &n) && n == json_object_get_int64(other));
			(void) pgw_json_integer(v, 3, &n);
			return;
		case PGW_JSON_STRING:
			require(json_object_is_type(other, json_type_string));
			compare_text(v, other);
			return;
		case PGW_JSON_ARRAY:
			require(json_object_is_type(other, json_type_array));
			for (; pgw_json_element(v, i, &inner); i++)
				compare(&inner, json_object_array_get_idx(other, i));
			require(i == json_object_array_length(other));
			return;
		case PGW_JSON_OBJECT:
			require(json_object_is_type(other, json_type_object));
			{
				PgwJsonMembers members;
				PgwJson again;

				pgw_json_members(v, &members);
				json_object_object_foreach(other, key, value)
				{
					/* json-c ends a name at U+0000 */
					if (pgw_json_member(v, key, &inner))
					{
						require(pgw_json_find(&members, key, &again) && again.text == inner.text &&
								again.len == inner.len);
						compare(&inner, value);
					}
				}
			}
			return;
		case PGW_JSON_NONE:
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	PgwJson v;
	PgwJsonVerdict verdict = pgw_json_read(text, size, NESTING, &v);
	json_tokener *tokener;
	json_object *other;

	require((verdict == PGW_JSON_GOOD) == (v.text != NULL));
	if (verdict != PGW_JSON_GOOD)
		return 0;
	require(v.text >= text && v.len > 0 && v.text + v.len <= text + size);
	tokener = json_tokener_new_ex(NESTING + 4);
	/* a number alone is not over for json-c until something follows */
	other = json_tokener_parse_ex(tokener, v.text, (int) v.len);
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		other = json_tokener_parse_ex(tokener, " ", 1);
	require(json_tokener_get_error(tokener) == json_tokener_success);
	compare(&v, other);
	json_object_put(other);
	json_tokener_free(tokener);
	return 0;
}
