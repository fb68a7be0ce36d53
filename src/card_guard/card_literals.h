/*
 * card_literals.h - refuses card data that stands in the text of a statement
 */
#ifndef PGW_CARD_GUARD_CARD_LITERALS_H
#define PGW_CARD_GUARD_CARD_LITERALS_H

#include "postgres.h"

#include "nodes/supportnodes.h"

extern void pgw_literals_init(void);

/*
 * For the planner's support function: a call whose arguments are simplified.  Sees bodies of
 * inlined functions and expressions that stand in no query.
 */
extern void pgw_literals_check_simplified(const SupportRequestSimplify *request);

#endif
