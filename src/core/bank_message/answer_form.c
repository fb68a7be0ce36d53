/*
 * answer_form.c - an answer that is a form (application/x-www-form-urlencoded), as JSON
 *
 * So all that judges answers reads one kind of document.  Each value becomes a string, as it came:
 * a form has no numbers.  Invariant: what is no form, such as an error page, becomes nothing: a
 * pair has a name and a "=", and neither blanks, control characters nor angle brackets.
 */
#include "core/bank_message/answer_form.h"

#include <string.h>

#include "core/base/buf_json.h"
#include "core/base/characters.h"

static bool
is_form_character(char c)
{
	return (unsigned char) c > 0x20 && c != 0x7F && c != '<' && c != '>';
}

/* As many bytes of one name or value, decoded; false: they are none. */
static bool
decode(const char *text, size_t len, PgwBuf *out)
{
	pgw_buf_reset(out);
	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];
		int32_t code;

		if (!is_form_character(c))
			return false;
		if (c == '+')
			c = ' ';
		else if (c == '%')
		{
			if ((code = pgw_hex_read(text + i + 1, len - i - 1, 2)) <= 0)
				return false; /* nor U+0000 */
			c = (char) code;
			i += 2;
		}
		pgw_buf_append(out, &c, 1);
	}
	return !out->failed;
}

static const char *
text_of(const PgwBuf *b)
{
	return b->data != NULL ? b->data : "";
}

/* Every name=value between two "&". */
static bool
put_pairs(const char *text, size_t len, PgwBuf *one, PgwBuf *json)
{
	const char *end = text + len;

	while (text < end)
	{
		const char *stop = memchr(text, '&', (size_t) (end - text));
		const char *equals;

		if (stop == NULL)
			stop = end;
		equals = memchr(text, '=', (size_t) (stop - text));
		if (equals == NULL || equals == text || !decode(text, (size_t) (equals - text), one))
			return false;
		pgw_buf_json_name(json, text_of(one));
		if (!decode(equals + 1, (size_t) (stop - equals - 1), one))
			return false;
		pgw_buf_json_string(json, text_of(one));
		text = stop + 1;
	}
	return true;
}

bool
pgw_answer_form_read(const char *text, size_t len, PgwBuf *json)
{
	PgwBuf one;
	bool good;

	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
	{
		text += 3;
		len -= 3;
	}
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	pgw_buf_init(&one, len + 1);
	pgw_buf_append(json, "{", 1);
	good = len > 0 && put_pairs(text, len, &one, json);
	pgw_buf_append(json, "}", 1);
	pgw_buf_free(&one);
	return good && !json->failed;
}
