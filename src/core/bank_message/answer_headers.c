/*
 * answer_headers.c - the headers of an answer that its connector reads
 *
 * Invariants: a header that comes twice says one thing, or the answer is not readable: of two ids
 * either may be somebody else's; a value that does not fit, has a control character or is no UTF-8
 * is not cut, but makes the answer unreadable, too.  Nothing here is kept.
 */
#include "core/bank_message/answer_headers.h"

#include <string.h>
#include <strings.h>

#include "core/base/buf_json.h"
#include "core/base/characters.h"
#include "core/base/mutant.h"

#define VALUE_BYTES 2048

/* Which of the wanted ones this line is, from 0 on; -1: none of them. */
static int
which_is(const PgwConnector *c, unsigned wanted, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);

	for (int i = 0; colon != NULL && i < c->nanswer_headers; i++)
	{
		const char *name = c->answer_headers[i];

		if ((wanted & 1U << i) != 0 && (size_t) (colon - line) == strlen(name) &&
			strncasecmp(line, name, strlen(name)) == 0)
			return i;
	}
	return -1;
}

/* What stands behind the colon, without the blanks around it; false: that cannot be read. */
static bool
read_value(const char *line, size_t len, char value[VALUE_BYTES])
{
	const char *from = (const char *) memchr(line, ':', len) + 1;
	size_t n = len - (size_t) (from - line);

	while (n > 0 && (*from == ' ' || *from == '\t'))
		from++, n--;
	while (n > 0 && (from[n - 1] == ' ' || from[n - 1] == '\t'))
		n--;
	if (n >= VALUE_BYTES)
		return false;
	memcpy(value, from, n);
	value[n] = '\0';
	return strlen(value) == n && !pgw_has_ascii_control(value, "");
}

/* As a JSON string behind the others: where it begins there. */
static bool
put_value(PgwAnswerHeaders *headers, const char *value, size_t *at, size_t *len)
{
	PgwJson json;

	*at = headers->json.len;
	pgw_buf_json_string(&headers->json, value);
	*len = headers->json.len - *at;
	return !headers->json.failed &&
		   pgw_json_read(headers->json.data + *at, *len, 1, &json) == PGW_JSON_GOOD;
}

bool
pgw_answer_headers_read(const PgwConnector *c, unsigned wanted, const char *lines,
						PgwAnswerHeaders *headers)
{
	char value[VALUE_BYTES];
	size_t at[PGW_MAX_ANSWER_HEADERS];
	size_t len[PGW_MAX_ANSWER_HEADERS];
	bool there[PGW_MAX_ANSWER_HEADERS] = {false};
	bool good = true;

	memset(headers->values, 0, sizeof(headers->values));
	pgw_buf_init(&headers->json, 0);
	for (const char *line = lines; good && wanted != 0 && line != NULL && *line != '\0';)
	{
		size_t n = strcspn(line, "\n");
		int i = which_is(c, wanted, line, n);
		size_t new_at;
		size_t new_len;

		good =
			i < 0 || (read_value(line, n, value) && put_value(headers, value, &new_at, &new_len));
		if (i >= 0 && good && there[i])
			good = (new_len == len[i] && memcmp(headers->json.data + at[i],
												headers->json.data + new_at, new_len) == 0) ||
				   PGW_MUTATED(HEADER_TWICE);
		else if (i >= 0 && good)
		{
			there[i] = true;
			at[i] = new_at;
			len[i] = new_len;
		}
		line += n + (line[n] == '\n');
	}
	for (int i = 0; good && i < c->nanswer_headers; i++)
	{
		if (there[i])
			headers->values[i] = (PgwJson){headers->json.data + at[i], len[i]};
	}
	explicit_bzero(value, sizeof(value));
	return good;
}

void
pgw_answer_headers_end(PgwAnswerHeaders *headers)
{
	pgw_buf_free(&headers->json);
}
