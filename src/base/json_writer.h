/*
 * json_writer.h - JSON text, written member by member
 *
 * Everything of the server's side that is told in JSON is written with this, so that commas and
 * escapes are seen to in one place.  The text has a blank after each comma and colon, as jsonb
 * shows it; jsonb_in() takes it.
 *
 * name is the member's, or NULL for an element of an array.  What is written outside of every
 * object and array is a piece, members or elements with commas, to be put into another text with
 * pgw_json_put_raw().
 */
#ifndef PGW_BASE_JSON_WRITER_H
#define PGW_BASE_JSON_WRITER_H

#include "postgres.h"
#include "lib/stringinfo.h"

typedef struct PgwJsonWriter
{
	StringInfoData text;
	bool comma; /* one is due before what comes next */
} PgwJsonWriter;

extern void pgw_json_begin(PgwJsonWriter *w); /* an empty text, in the current memory context */
extern void pgw_json_reset(PgwJsonWriter *w); /* empty again, in the same memory */

extern void pgw_json_begin_object(PgwJsonWriter *w, const char *name);
extern void pgw_json_end_object(PgwJsonWriter *w);
extern void pgw_json_begin_array(PgwJsonWriter *w, const char *name);
extern void pgw_json_end_array(PgwJsonWriter *w);

/* value NULL: null */
extern void pgw_json_put_string(PgwJsonWriter *w, const char *name, const char *value);
extern void pgw_json_put_int(PgwJsonWriter *w, const char *name, int64 value);
extern void pgw_json_put_uint(PgwJsonWriter *w, const char *name, uint64 value);
extern void pgw_json_put_float(PgwJsonWriter *w, const char *name, double value, int decimals);
extern void pgw_json_put_bool(PgwJsonWriter *w, const char *name, bool value);

/* JSON as it stands: a value, or with name NULL also a piece.  Of an empty piece nothing is put. */
extern void pgw_json_put_raw(PgwJsonWriter *w, const char *name, const char *json);

/* An object with this one member; an array of the elements in this piece. */
extern char *pgw_json_object_of(const char *name, const char *value);
extern char *pgw_json_array_of(const char *elements);

#endif
