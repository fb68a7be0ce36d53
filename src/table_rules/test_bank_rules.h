/*
 * test_bank_rules.h - which rows of pgw.banks are answered inside the worker
 */
#ifndef PGW_TABLE_RULES_TEST_BANK_RULES_H
#define PGW_TABLE_RULES_TEST_BANK_RULES_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"

#include "base/json_writer.h"

/* Connector and base_url belong together.  true: with that, all is said about the URL. */
extern bool pgw_test_bank_check(PgwJsonWriter *faults, const char *name, const char *connector,
								const char *url, bool livemode);

/* A name stands for real money, or for none, for good; raises. */
extern void pgw_test_bank_keep_mode(HeapTuple old, HeapTuple new, TupleDesc desc);

/* An account is one for real money, or one for tests; raises. */
extern void pgw_test_bank_keep_apart(HeapTuple old, HeapTuple new, TupleDesc desc);

/* The bank "test" stays what it is; raises. */
extern void pgw_test_bank_keep(HeapTuple old, HeapTuple new, TupleDesc desc);

/* Says why the bank "test" cannot go. */
extern void pgw_test_bank_refuse_loss(void);

/* The row that a dump has of the bank "test": true, what was set there is set, and no row is
 * inserted. */
extern bool pgw_test_bank_restore(HeapTuple new, TupleDesc desc);

#endif
