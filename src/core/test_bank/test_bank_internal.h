/*
 * test_bank_internal.h - what the files of the bank inside the worker share; nobody else includes
 * it
 */
#ifndef PGW_CORE_TEST_BANK_TEST_BANK_INTERNAL_H
#define PGW_CORE_TEST_BANK_TEST_BANK_INTERNAL_H

#include "core/test_bank/test_bank.h"

/* What was done: the charge that it is about, and the step. */
typedef struct PgwTestWork
{
	const PgwTestOrder *order;
	PgwTestLedger *ledger;
	int64_t now;
	PgwTestAnswer *answer;
	PgwTestEntry *charge;
	PgwTestEntry *step;
	const char *result; /* of a cancellation */
	PgwFaultKind fault; /* what the answer suffers */
	bool refused;
} PgwTestWork;

/* --- test_operations.c --- */
extern void pgw_test_work_refuse(PgwTestWork *w, int status, const char *code, const char *message);
extern void pgw_test_carry_out(PgwTestWork *w);
extern void pgw_test_decide_due(PgwTestLedger *ledger, int64_t now);
extern bool pgw_test_is_charge(const PgwTestEntry *e);
extern PgwFault pgw_test_fault_of(const PgwTestEntry *charge);
extern PgwTestEntry *pgw_test_by_key(PgwTestLedger *ledger, const char *key);
/* A new row; its id is made of the prefix and of what it is named by. */
extern PgwTestEntry *pgw_test_add_entry(PgwTestWork *w, PgwTestKind kind, const char *prefix,
										const char *of);

#endif
