/*
 * lock_refusals.h - what pgw.health() is told of locks on pgw's tables
 */
#ifndef PGW_DATABASE_LOCK_REFUSALS_H
#define PGW_DATABASE_LOCK_REFUSALS_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* The worker could not have a lock; InvalidOid: not known which.  In other processes: nothing. */
extern void pgw_tables_note_refusal(Oid relid);
extern void pgw_tables_refusal_is_over(void);
/* What the worker sees of the tables that each call needs: this one cannot be had; InvalidOid: all
 * can. */
extern void pgw_tables_note_kept_out(Oid relid);
extern void pgw_tables_note_limit(void); /* likewise: a time limit was reached */

typedef struct PgwTablesStatus
{
	int covered;                /* tables that the worker has locked for callers */
	int callers;                /* transactions that made it do so */
	Oid refused_table;          /* InvalidOid: not known which, or none */
	TimestampTz refused_since;  /* the worker lets work pass since then; 0: it does not */
	Oid kept_out_of;            /* a table that each call needs, and none can have */
	TimestampTz kept_out_since; /* 0: there is none */
	TimestampTz limited_at;     /* 0: not for minutes */
} PgwTablesStatus;
extern void pgw_tables_status(PgwTablesStatus *out);

#endif
