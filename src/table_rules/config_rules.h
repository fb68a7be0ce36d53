/*
 * config_rules.h - what the rules of several configuration tables share
 */
#ifndef PGW_TABLE_RULES_CONFIG_RULES_H
#define PGW_TABLE_RULES_CONFIG_RULES_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"

#include "base/json_writer.h"

/* One more fault of a row: the column, and what is wrong with it. */
extern void pgw_rule_fault(PgwJsonWriter *faults, const char *field, const char *message);

/* What is wrong with the name of a secret's file; NULL: nothing. */
extern const char *pgw_rule_secret_fault(const char *name);

/* A column that is an interval: between 10 ms and so many seconds. */
extern void pgw_rule_timeout(PgwJsonWriter *faults, HeapTuple tuple, TupleDesc desc,
							 const char *field, int max_s);

#endif
