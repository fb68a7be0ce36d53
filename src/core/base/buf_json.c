/*
 * buf_json.c - JSON into a buffer, for the core
 *
 * Owns: which characters are escaped, and how.
 */
#include "core/base/buf_json.h"

#include <string.h>

void
pgw_buf_json_string(PgwBuf *b, const char *s)
{
	const char *run = s;

	pgw_buf_append(b, "\"", 1);
	for (; *s != '\0'; s++)
	{
		unsigned char c = (unsigned char) *s;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		pgw_buf_append(b, run, (size_t) (s - run));
		run = s + 1;
		switch (c)
		{
			case '"':
				pgw_buf_append(b, "\\\"", 2);
				break;
			case '\\':
				pgw_buf_append(b, "\\\\", 2);
				break;
			case '\n':
				pgw_buf_append(b, "\\n", 2);
				break;
			case '\r':
				pgw_buf_append(b, "\\r", 2);
				break;
			case '\t':
				pgw_buf_append(b, "\\t", 2);
				break;
			default:
				pgw_buf_printf(b, "\\u%04x", c);
				break;
		}
	}
	pgw_buf_append(b, run, (size_t) (s - run));
	pgw_buf_append(b, "\"", 1);
}

/*
 * Within JSON, what stands last is an opening bracket or a colon only where a value is to begin: a
 * string ends with its quote, whatever is in it.
 */
void
pgw_buf_json_comma(PgwBuf *b, const char *comma)
{
	if (b->len > 0 && strchr("{[:", b->data[b->len - 1]) == NULL)
		pgw_buf_puts(b, comma);
}

void
pgw_buf_json_name(PgwBuf *b, const char *name)
{
	pgw_buf_json_comma(b, ",");
	pgw_buf_json_string(b, name);
	pgw_buf_append(b, ":", 1);
}

void
pgw_buf_json_member(PgwBuf *b, const char *name, const char *value)
{
	pgw_buf_json_name(b, name);
	pgw_buf_json_string(b, value);
}

void
pgw_buf_json_open(PgwBuf *b, char bracket)
{
	pgw_buf_json_comma(b, ",");
	pgw_buf_append(b, &bracket, 1);
}

void
pgw_buf_json_close(PgwBuf *b, char bracket)
{
	pgw_buf_append(b, &bracket, 1);
}
