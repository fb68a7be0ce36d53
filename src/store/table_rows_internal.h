/*
 * table_rows_internal.h - rows of payments, attempts and open work to structs and back, for the
 * store's files
 */
#ifndef PGW_STORE_TABLE_ROWS_INTERNAL_H
#define PGW_STORE_TABLE_ROWS_INTERNAL_H

#include "database/row.h"
#include "store/tables.h"

typedef enum PgwTable
{
	PGW_TABLE_PAYMENTS = 0,
	PGW_TABLE_TRANSACTIONS,
	PGW_TABLE_OPEN_WORK,
	PGW_NTABLES
} PgwTable;

/* One row of pgw.open_work: what of its attempt the worker looks for (open_work.c). */
typedef struct PgwOpenWork
{
	pg_uuid_t transaction_id;
	PgwKind kind;
	char *merchant;
	char *submitted_by;
	TimestampTz expires_at; /* 0 = NULL */
	char *bank;
	bool begun;
	bool left_to_caller;
	PgwState status;
	TimestampTz next_step_at;  /* 0 = NULL */
	TimestampTz put_off_since; /* 0 = NULL */
	PgwRowLocation place;
} PgwOpenWork;

extern const char *pgw_store_table_name(PgwTable table);
extern PgwRowLocation *pgw_store_location(PgwTable table, void *row); /* of the struct */

extern void pgw_store_open(PgwRel *r, PgwTable table, bool write, bool speculative);
/* struct -> r->slot; an update's fixed columns too */
extern void pgw_store_fill(PgwRel *r, PgwTable table, const void *row);
/* r->found -> struct, in the current memory context */
extern void pgw_store_read(PgwRel *r, PgwTable table, void *row);

/*
 * What the trigger enforce_transition asks, of pgw's own update of an attempt, which may do without
 * it: are r->found and r->slot so that events of this kind can have led from one to the other?
 * (Fixed columns cannot differ: pgw_store_fill().)  ERROR.
 */
extern void pgw_store_check_transition(PgwRel *r, const PgwAttempt *attempt);

/* is r->found the row with this id, which is the first of the table's columns? */
extern bool pgw_store_has_id(PgwRel *r, PgwTable table, const pg_uuid_t *id);

extern Oid pgw_store_claim_index(Oid relid);
extern Oid pgw_store_id_index(PgwTable table, Oid relid);

/* pgw_store_check()'s part: ERROR when a column or key is not as it was made */
extern void pgw_store_check_rows(void);

#endif
