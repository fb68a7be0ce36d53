/*
 * header_text.c - the headers of an answer as a person has them
 *
 * For tools alone: what a bank sends is taken by the HTTP layer.  Nothing of the text is repeated
 * in what is said of it.
 */
#include "core/bank_message/header_text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/characters.h"
#include "core/json/json_text.h"

#define MAX_NESTING 4
#define BLANKS " \t"

static const char not_lines[] =
	"must be lines of the form \"Name: value\", or a JSON object of names and texts";
static const char control[] = "a header holds a control character";
static const char no_memory[] = "out of memory";

static const char *
put_line(const char *name, size_t name_len, const char *value, size_t len, PgwBuf *lines)
{
	if (name_len == 0)
		return not_lines;
	for (size_t i = 0; i < name_len; i++)
	{
		if (name[i] <= ' ' || name[i] == ':' || name[i] == 0x7F)
			return not_lines;
	}
	while (len > 0 && strchr(BLANKS, value[0]) != NULL)
		value++, len--;
	while (len > 0 && strchr(BLANKS, value[len - 1]) != NULL)
		len--;
	for (size_t i = 0; i < len; i++)
	{
		if (pgw_is_ascii_control(value[i]) && value[i] != '\t')
			return control;
	}
	pgw_buf_append(lines, name, name_len);
	pgw_buf_puts(lines, ": ");
	pgw_buf_append(lines, value, len);
	pgw_buf_puts(lines, "\n");
	return lines->failed ? no_memory : NULL;
}

static const char *
read_lines(const char *text, PgwBuf *lines)
{
	const char *fault = NULL;

	while (fault == NULL && *text != '\0')
	{
		size_t len = strcspn(text, "\r\n");
		const char *colon = memchr(text, ':', len);

		if (strspn(text, BLANKS) < len && strncasecmp(text, "HTTP/", 5) != 0)
			fault = colon == NULL ? not_lines
								  : put_line(text, (size_t) (colon - text), colon + 1,
											 len - (size_t) (colon - text) - 1, lines);
		text += len;
		text += strspn(text, "\r\n");
	}
	return fault;
}

/* A number or true counts as its text: people leave the quotes out. */
static const char *
put_member(const PgwJson *name, const PgwJson *value, PgwBuf *lines)
{
	PgwJsonType type = pgw_json_type(value);
	size_t size = name->len + value->len + 2;
	char *texts = malloc(size);
	const char *fault = not_lines;
	size_t name_len;
	size_t len;

	if (texts == NULL)
		return no_memory;
	name_len = pgw_json_text(name, texts, size);
	if (type == PGW_JSON_STRING || type == PGW_JSON_NUMBER)
	{
		len = pgw_json_text(value, texts + name_len, size - name_len);
		fault = put_line(texts, name_len, texts + name_len, len, lines);
	}
	free(texts);
	return fault;
}

static const char *
read_object(const char *text, PgwBuf *lines)
{
	PgwJson object;
	PgwJson name;
	PgwJson value;
	const char *at = NULL;
	const char *fault = NULL;

	if (pgw_json_read(text, strlen(text), MAX_NESTING, &object) != PGW_JSON_GOOD)
		return "is no valid JSON object of names and texts, each name once";
	while (fault == NULL && pgw_json_next_member(&object, &at, &name, &value))
		fault = put_member(&name, &value, lines);
	return fault;
}

const char *
pgw_header_text_read(const char *text, PgwBuf *lines)
{
	const char *start = text + strspn(text, " \t\r\n");

	return *start == '{' ? read_object(start, lines) : read_lines(start, lines);
}

bool
pgw_header_text_find(const PgwBuf *lines, const char *name, char *value, size_t size)
{
	size_t n = strlen(name);
	const char *line = lines->len > 0 ? lines->data : "";

	for (; *line != '\0'; line += strcspn(line, "\n") + 1)
	{
		size_t len = strcspn(line, "\n");

		if (len < n + 2 || strncasecmp(line, name, n) != 0 || line[n] != ':')
			continue;
		len -= n + 2;
		if (len >= size)
			return false;
		memcpy(value, line + n + 2, len);
		value[len] = '\0';
		return true;
	}
	return false;
}
