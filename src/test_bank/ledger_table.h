/*
 * ledger_table.h - the ledger of the bank inside the worker: pgw.test_bank_ledger
 */
#ifndef PGW_TEST_BANK_LEDGER_TABLE_H
#define PGW_TEST_BANK_LEDGER_TABLE_H

#include "postgres.h"

#include "core/test_bank/test_bank.h"

/* All rows that an order can concern, with room for those it adds; palloc'd. */
extern void pgw_ledger_load(PgwTestLedger *ledger, const PgwTestOrder *order);

/* What was added and changed. */
extern void pgw_ledger_save(const PgwTestLedger *ledger);

extern int64 pgw_ledger_ms(TimestampTz t); /* milliseconds since 1970 */

#endif
