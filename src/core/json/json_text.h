/*
 * json_text.h - read a JSON text as it stands: whole and unambiguous, or not at all
 *
 * For what others send us.  A value is a piece of the source, so a number of any length keeps its
 * digits.  Pure C, no library: nothing here depends on what a version of json-c lets pass.
 */
#ifndef PGW_CORE_JSON_JSON_TEXT_H
#define PGW_CORE_JSON_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum PgwJsonType
{
	PGW_JSON_NONE = 0, /* no value */
	PGW_JSON_NULL,
	PGW_JSON_BOOLEAN,
	PGW_JSON_NUMBER,
	PGW_JSON_STRING,
	PGW_JSON_ARRAY,
	PGW_JSON_OBJECT
} PgwJsonType;

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

extern PgwJsonType pgw_json_type(const PgwJson *v);

/* false: there is no such member or element (or v is no object, or array). */
extern bool pgw_json_member(const PgwJson *v, const char *name, PgwJson *member);
extern bool pgw_json_element(const PgwJson *v, size_t index, PgwJson *element);

/*
 * An object's members, found once for many questions; what is more than fits is looked for in the
 * text each time.
 */
#define PGW_JSON_MEMBERS_AT_HAND 32

typedef struct PgwJsonMembers
{
	PgwJson object;
	bool complete;
	int n;
	PgwJson names[PGW_JSON_MEMBERS_AT_HAND];
	PgwJson values[PGW_JSON_MEMBERS_AT_HAND];
} PgwJsonMembers;

extern void pgw_json_members(const PgwJson *v, PgwJsonMembers *m);
extern bool pgw_json_find(const PgwJsonMembers *m, const char *name, PgwJson *member);

/*
 * A string's characters without quotes and escapes, or a number's digits as they stand: at most
 * size bytes into dst, unterminated, U+0000 included. Returns how many there are altogether; 0 for
 * other values.
 */
extern size_t pgw_json_text(const PgwJson *v, char *dst, size_t size);

extern bool pgw_json_is_true(const PgwJson *v);

/* A number times 10^scale, if that is exactly a 64-bit integer: 5000.0 and 5E+3 are 5000. */
extern bool pgw_json_integer(const PgwJson *v, int scale, int64_t *result);

#endif
