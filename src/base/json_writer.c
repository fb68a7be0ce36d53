/*
 * json_writer.c - JSON text, written member by member
 *
 * Owns nothing: the text is the caller's, in the memory context in which he began it.
 *
 * It allocates, and may raise that there is no memory, so it is not for critical sections, for
 * code between the changes of shared memory that belong together, or for what libcurl or json-c
 * call: those have core/base/buf_json.h.
 */
#include "postgres.h"

#include "utils/json.h"

#include "base/json_writer.h"

void
pgw_json_begin(PgwJsonWriter *w)
{
	initStringInfo(&w->text);
	w->comma = false;
}

void
pgw_json_reset(PgwJsonWriter *w)
{
	resetStringInfo(&w->text);
	w->comma = false;
}

/* What stands before a value. */
static void
before_value(PgwJsonWriter *w, const char *name)
{
	if (w->comma)
		appendStringInfoString(&w->text, ", ");
	w->comma = true;
	if (name == NULL)
		return;
	escape_json(&w->text, name);
	appendStringInfoString(&w->text, ": ");
}

static void
open_bracket(PgwJsonWriter *w, const char *name, char bracket)
{
	before_value(w, name);
	appendStringInfoChar(&w->text, bracket);
	w->comma = false;
}

static void
close_bracket(PgwJsonWriter *w, char bracket)
{
	appendStringInfoChar(&w->text, bracket);
	w->comma = true;
}

void
pgw_json_begin_object(PgwJsonWriter *w, const char *name)
{
	open_bracket(w, name, '{');
}

void
pgw_json_end_object(PgwJsonWriter *w)
{
	close_bracket(w, '}');
}

void
pgw_json_begin_array(PgwJsonWriter *w, const char *name)
{
	open_bracket(w, name, '[');
}

void
pgw_json_end_array(PgwJsonWriter *w)
{
	close_bracket(w, ']');
}

void
pgw_json_put_string(PgwJsonWriter *w, const char *name, const char *value)
{
	before_value(w, name);
	if (value != NULL)
		escape_json(&w->text, value);
	else
		appendStringInfoString(&w->text, "null");
}

void
pgw_json_put_int(PgwJsonWriter *w, const char *name, int64 value)
{
	before_value(w, name);
	appendStringInfo(&w->text, INT64_FORMAT, value);
}

void
pgw_json_put_uint(PgwJsonWriter *w, const char *name, uint64 value)
{
	before_value(w, name);
	appendStringInfo(&w->text, UINT64_FORMAT, value);
}

void
pgw_json_put_float(PgwJsonWriter *w, const char *name, double value, int decimals)
{
	before_value(w, name);
	appendStringInfo(&w->text, "%.*f", decimals, value);
}

void
pgw_json_put_bool(PgwJsonWriter *w, const char *name, bool value)
{
	before_value(w, name);
	appendStringInfoString(&w->text, value ? "true" : "false");
}

void
pgw_json_put_raw(PgwJsonWriter *w, const char *name, const char *json)
{
	if (name == NULL && json[0] == '\0')
		return;
	before_value(w, name);
	appendStringInfoString(&w->text, json);
}

char *
pgw_json_object_of(const char *name, const char *value)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	pgw_json_put_string(&w, name, value);
	pgw_json_end_object(&w);
	return w.text.data;
}

char *
pgw_json_array_of(const char *elements)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_array(&w, NULL);
	pgw_json_put_raw(&w, NULL, elements);
	pgw_json_end_array(&w);
	return w.text.data;
}
