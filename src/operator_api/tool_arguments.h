/*
 * tool_arguments.h - what the tools for writers of connectors are called with: a connector, an
 * operation
 */
#ifndef PGW_OPERATOR_API_TOOL_ARGUMENTS_H
#define PGW_OPERATOR_API_TOOL_ARGUMENTS_H

#include "postgres.h"

#include "bank/bank_config.h"

/*
 * Faults are added to *faults as pgw_arg_fault() does; what is returned then is NULL, or -1.
 */

/* A row of pgw.connectors by its name, or a document. Lives as long as the memory context. */
extern const PgwConnector *pgw_tool_connector(const char *connector, char **faults);

/* A row of pgw.banks whose connector can be used. */
extern PgwBank *pgw_tool_bank(const char *name, char **faults);

/* connector may be NULL: then only whether there is such an operation at all. */
extern int pgw_tool_operation(const PgwConnector *connector, const char *operation, char **faults);

/*
 * A document that the caller handed in (NULL: he did not).  Where it holds what looks like a card
 * number, no line of the log shows it from here on, nor pg_stat_activity the statement in which it
 * stood.  What is longer than max bytes is a fault, of which card data is not looked for.
 */
extern void pgw_tool_document(const char *field, const char *text, size_t max, char **faults);

#endif
