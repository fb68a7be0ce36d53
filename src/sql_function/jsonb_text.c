/*
 * jsonb_text.c - a jsonb as text, of which nothing is left but the text itself
 *
 * JsonbToCString() copies each string to escape it, and moves what it has written when that grows;
 * PostgreSQL frees both as they are.  What is told of a customer stood there, in the memory of a
 * backend that serves others next.  The text is the same as JsonbToCString()'s.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "sql_function/jsonb_text.h"

typedef struct Text
{
	char *data; /* no NUL yet */
	Size len;
	Size size;
} Text;

static void
make_room(Text *t, Size more)
{
	char *larger;

	if (t->len + more <= t->size)
		return;
	if (t->len + more > MaxAllocSize / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("a document is too large")));
	t->size = 2 * (t->len + more);
	larger = palloc(t->size);
	memcpy(larger, t->data, t->len);
	explicit_bzero(t->data, t->len);
	pfree(t->data);
	t->data = larger;
}

static void
put(Text *t, const char *s, Size len)
{
	make_room(t, len);
	memcpy(t->data + t->len, s, len);
	t->len += len;
}

/* As escape_json() does. */
static void
put_string(Text *t, const char *s, Size len)
{
	static const char escaped[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";
	Size plain = 0; /* from here to i nothing is to be escaped */

	put(t, "\"", 1);
	for (Size i = 0; i < len; i++)
	{
		const char *found = s[i] != '\0' ? strchr(escaped, s[i]) : NULL;
		char code[8];

		if (found == NULL && (unsigned char) s[i] >= ' ')
			continue;
		put(t, s + plain, i - plain);
		plain = i + 1;
		if (found != NULL)
		{
			code[0] = '\\';
			code[1] = letters[found - escaped];
			put(t, code, 2);
		}
		else
			put(t, code, (Size) snprintf(code, sizeof(code), "\\u%04x", (int) s[i]));
	}
	put(t, s + plain, len - plain);
	put(t, "\"", 1);
}

static void
put_scalar(Text *t, const JsonbValue *v)
{
	char *number;

	switch (v->type)
	{
		case jbvNull:
			put(t, "null", 4);
			break;
		case jbvBool:
			put(t, v->val.boolean ? "true" : "false", v->val.boolean ? 4 : 5);
			break;
		case jbvString:
			put_string(t, v->val.string.val, (Size) v->val.string.len);
			break;
		case jbvNumeric:
			number =
				DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
			put(t, number, strlen(number));
			explicit_bzero(number, strlen(number));
			pfree(number);
			break;
		default:
			elog(ERROR, "unknown type of jsonb scalar");
	}
}

/* Each value but the first behind a comma; a name brings its value along. */
char *
pgw_jsonb_text(JsonbContainer *container, Size size)
{
	Text t = {.size = Max(size, 64)};
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbValue v;
	JsonbIteratorToken token;
	bool raw_scalar = false;
	bool first = true;

	t.data = palloc(t.size);
	while ((token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		bool begins = token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT;
		bool ends = token == WJB_END_ARRAY || token == WJB_END_OBJECT;

		if (!ends && !first && token != WJB_VALUE)
			put(&t, ", ", 2);
		if (token == WJB_BEGIN_ARRAY && v.val.array.rawScalar)
			raw_scalar = true;
		else if (begins)
			put(&t, token == WJB_BEGIN_ARRAY ? "[" : "{", 1);
		else if (ends && !(raw_scalar && token == WJB_END_ARRAY))
			put(&t, token == WJB_END_ARRAY ? "]" : "}", 1);
		else if (token == WJB_KEY)
		{
			put_string(&t, v.val.string.val, (Size) v.val.string.len);
			put(&t, ": ", 2);
		}
		else if (!ends)
			put_scalar(&t, &v);
		/* behind a name comes its value, behind a beginning the first of what is in it */
		first = begins || token == WJB_KEY;
	}
	put(&t, "", 1);
	return t.data;
}
