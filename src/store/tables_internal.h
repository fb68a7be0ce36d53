/*
 * tables_internal.h - what the store's files share: where tables, columns and indexes are, and rows
 * to structs and back
 */
#ifndef PGW_STORE_TABLES_INTERNAL_H
#define PGW_STORE_TABLES_INTERNAL_H

#include "database/row.h"
#include "store/events.h"
#include "store/tables.h"

typedef enum PgwTable
{
	PGW_TABLE_PAYMENTS = 0,
	PGW_TABLE_TRANSACTIONS,
	PGW_NTABLES
} PgwTable;

typedef enum PgwColumnType
{
	PGW_COLUMN_UUID,
	PGW_COLUMN_STRING,
	PGW_COLUMN_INT64,
	PGW_COLUMN_INT64_OR_NULL,
	PGW_COLUMN_INT,
	PGW_COLUMN_INT_OR_NULL,
	PGW_COLUMN_BOOL,
	PGW_COLUMN_TIME,
	PGW_COLUMN_FXID,
	PGW_COLUMN_OID,
	PGW_COLUMN_STATE,
	PGW_COLUMN_KIND,
	PGW_COLUMN_CAPTURE,
	PGW_COLUMN_PAYMENT_STATUS
} PgwColumnType;

typedef struct PgwColumn
{
	const char *name;
	PgwColumnType type;
	size_t offset;
	/* never changed by an update: ids and what the caller asked for */
	bool fixed;
} PgwColumn;

extern void pgw_store_check_events(void); /* pgw_store_check()'s part */

extern void pgw_store_open(PgwRel *r, PgwTable table, bool write, bool speculative);
/* struct -> r->slot; an update's fixed columns too */
extern void pgw_store_fill(PgwRel *r, PgwTable table, const void *row);
/* r->found -> struct, in the current memory context */
extern void pgw_store_read(PgwRel *r, PgwTable table, void *row);

extern Oid pgw_store_claim_index(Oid relid);
extern Oid pgw_store_id_index(PgwTable table, Oid relid);
extern PgwFind pgw_store_find_id(PgwRel *r, PgwTable table, const pg_uuid_t *id);

/* their steps follow on attempt->step_order */
extern void pgw_store_write_events(PgwAttempt *attempt, const PgwEvent *events, int n);

#endif
