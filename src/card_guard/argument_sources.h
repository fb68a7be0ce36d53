/*
 * argument_sources.h - where the value of an argument comes from, as the query is written
 */
#ifndef PGW_CARD_GUARD_ARGUMENT_SOURCES_H
#define PGW_CARD_GUARD_ARGUMENT_SOURCES_H

#include "postgres.h"

#include "nodes/parsenodes.h"

/* The queries around an expression, from the inside out: what its variables mean. */
typedef struct PgwScope
{
	const Query *query;
	const struct PgwScope *outer;
	bool returning; /* in RETURNING: columns of the target are what the query writes */
} PgwScope;

typedef enum PgwValueSource
{
	PGW_VALUE_FROM_ELSEWHERE,
	PGW_VALUE_IN_TEXT,
	PGW_VALUE_TOO_FAR /* the way to it was given up: it may stand in the text, or not */
} PgwValueSource;

/*
 * Does the value of an analyzed, not yet planned expression stand in the text that it was made of?
 * Yes when one of its ways (a branch of CASE, an argument of COALESCE, a row of VALUES …) is made
 * of literals alone, or when a literal in it holds a card number.  NULL and empty literals do not
 * count. scope may be NULL: no variables.  Can be cancelled, and takes a bounded time.
 */
extern PgwValueSource pgw_value_source(Node *expr, const PgwScope *scope);

#endif
