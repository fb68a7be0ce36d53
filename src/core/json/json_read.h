/*
 * json_read.h - is a text JSON, whole and unambiguous?
 *
 * For what others send us.  A value is a piece of the source, so a number of any length keeps its
 * digits.  Pure C, no library: nothing here depends on what a version of json-c lets pass.
 */
#ifndef PGW_CORE_JSON_JSON_READ_H
#define PGW_CORE_JSON_JSON_READ_H

#include <stddef.h>

/* A piece of a text that pgw_json_read() has accepted; it does not outlive the text. */
typedef struct PgwJson
{
	const char *text; /* not terminated; NULL: no value */
	size_t len;
} PgwJson;

typedef enum PgwJsonVerdict
{
	PGW_JSON_GOOD = 0,
	/* not RFC 8259: broken, no UTF-8, half a surrogate pair, something behind the end */
	PGW_JSON_INVALID,
	PGW_JSON_TOO_DEEP,
	/* a name twice in one object: two statements, and readers differ in which one they take */
	PGW_JSON_AMBIGUOUS,
	PGW_JSON_NO_MEMORY
} PgwJsonVerdict;

/*
 * The whole text as one value, nested at most max_nesting objects and arrays deep.  A byte order
 * mark before it is skipped.
 */
extern PgwJsonVerdict pgw_json_read(const char *text, size_t len, int max_nesting, PgwJson *value);

/*
 * One character of a string's inside at p, unescaped into out (at most 4 bytes).  Returns the place
 * behind it; NULL: not a character.
 */
extern const char *pgw_json_next_char(const char *p, const char *end, char *out, int *n);

#endif
