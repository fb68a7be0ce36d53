/*
 * warnings.h - shared by the files that say what a connector that compiles will cost
 *
 *   warnings.c       each operation by itself
 *   disagreements.c  places of the document that contradict each other
 *   hidden_rules.c   which rule is never asked because of an earlier one
 */
#ifndef PGW_CORE_CONNECTOR_WARNINGS_H
#define PGW_CORE_CONNECTOR_WARNINGS_H

#include "core/connector/compiled.h"

typedef struct PgwWarnings
{
	PgwConnectorError *list;
	int max;
	int n;             /* may be more than max */
	const char *by_id; /* what is looked at is not the operation itself, but its other request */
} PgwWarnings;

/* warnings.c */
/* place: below the operation */
extern void pgw_warn(PgwWarnings *w, PgwBankOp op, const char *place, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
extern void pgw_warn_at(PgwWarnings *w, const char *pointer, const char *message);

/* hidden_rules.c */
/* Do the first hold wherever the later do? */
extern bool pgw_conditions_hide(const PgwCondition *first, int nfirst, const PgwCondition *later,
								int nlater);
/* Whatever the later rule matches, the first has matched before. */
extern bool pgw_rule_hides(const PgwRule *first, const PgwRule *later);
/* Does this rule of a charge decline for what an approval behind it may have, too? */
extern bool pgw_refusal_before_approval(PgwBankOp op, const PgwAnswerSpec *spec, int rule);

/* disagreements.c */
extern void pgw_look_at_units(PgwWarnings *w, const PgwConnector *c, PgwBankOp op);
extern void pgw_look_at_currency(PgwWarnings *w, const PgwConnector *c, PgwBankOp op);
extern void pgw_look_at_totals(PgwWarnings *w, const PgwConnector *c, PgwBankOp op,
							   const PgwAnswerSpec *spec);
extern void pgw_look_at_evidence(PgwWarnings *w, const PgwConnector *c);

#endif
