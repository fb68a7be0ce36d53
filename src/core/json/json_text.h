/*
 * json_text.h - what a JSON text says that pgw_json_read() has accepted
 */
#ifndef PGW_CORE_JSON_JSON_TEXT_H
#define PGW_CORE_JSON_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json/json_read.h"

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

extern PgwJsonType pgw_json_type(const PgwJson *v);

/* false: there is no such member or element (or v is no object, or array). */
extern bool pgw_json_member(const PgwJson *v, const char *name, PgwJson *member);
extern bool pgw_json_element(const PgwJson *v, size_t index, PgwJson *element);

/*
 * An object's members, one after the other: *at is NULL at first.  false: there is no further one
 * (or v is no object).
 */
extern bool pgw_json_next_member(const PgwJson *v, const char **at, PgwJson *name, PgwJson *value);

/* An array's elements, likewise. */
extern bool pgw_json_next_element(const PgwJson *v, const char **at, PgwJson *element);

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
