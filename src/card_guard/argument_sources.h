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
} PgwScope;

/*
 * Does the value of an analyzed, not yet planned expression stand in the text that it was made of?
 * Yes when one of its ways (a branch of CASE, an argument of COALESCE, a row of VALUES …) is made
 * of literals alone, or when a literal in it holds a card number.  NULL and empty literals do not
 * count. scope may be NULL: no variables.
 */
extern bool pgw_stands_in_text(Node *expr, const PgwScope *scope);

#endif
