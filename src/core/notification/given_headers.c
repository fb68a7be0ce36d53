/*
 * given_headers.c - the headers of a request, from JSON
 *
 * Invariant: a header that came twice stands in the list twice, so that nobody takes one of them
 * for the whole.
 */
#include "core/notification/given_headers.h"

#include <string.h>

#include "core/json/json_text.h"

#define MAX_NESTING 3
#define MAX_TEXT (1024 * 1024)

/* Where it begins in the buffer, which may move until all is read. */
typedef struct Places
{
	size_t name[PGW_NOTIFICATION_MAX_HEADERS];
	size_t value[PGW_NOTIFICATION_MAX_HEADERS];
} Places;

static size_t
put_text(PgwBuf *b, const PgwJson *v)
{
	size_t at = b->len;
	char text[PGW_NOTIFICATION_MAX_HEADER + 2];
	size_t len = pgw_json_text(v, text, sizeof(text));

	/* longer than any that is looked at: it stays so, whatever its end is */
	if (len > sizeof(text))
		len = sizeof(text);
	pgw_buf_append(b, text, len);
	pgw_buf_append(b, "", 1);
	explicit_bzero(text, sizeof(text));
	return at;
}

static bool
add(PgwGivenHeaders *headers, Places *places, const PgwJson *name, const PgwJson *value)
{
	if (pgw_json_type(value) != PGW_JSON_STRING)
		return true;
	if (headers->n == PGW_NOTIFICATION_MAX_HEADERS)
		return false;
	places->name[headers->n] = put_text(&headers->text, name);
	places->value[headers->n++] = put_text(&headers->text, value);
	return true;
}

bool
pgw_given_headers_read(const char *json, size_t len, PgwGivenHeaders *headers)
{
	const char *at = NULL;
	bool good = true;
	Places places = {{0}, {0}};
	PgwJson all;
	PgwJson name;
	PgwJson value;

	headers->n = 0;
	pgw_buf_init(&headers->text, MAX_TEXT);
	if (pgw_json_read(json, len, MAX_NESTING, &all) != PGW_JSON_GOOD ||
		pgw_json_type(&all) != PGW_JSON_OBJECT)
		return false;
	while (good && pgw_json_next_member(&all, &at, &name, &value))
	{
		const char *inner = NULL;
		PgwJson one;

		if (pgw_json_type(&value) == PGW_JSON_STRING)
			good = add(headers, &places, &name, &value);
		while (good && pgw_json_next_element(&value, &inner, &one))
			good = add(headers, &places, &name, &one);
	}
	good = good && !headers->text.failed;
	for (int i = 0; good && i < headers->n; i++)
		headers->list[i] = (PgwGivenHeader){headers->text.data + places.name[i],
											headers->text.data + places.value[i]};
	if (!good)
		headers->n = 0;
	return good;
}

void
pgw_given_headers_end(PgwGivenHeaders *headers)
{
	pgw_buf_free(&headers->text);
	headers->n = 0;
}
