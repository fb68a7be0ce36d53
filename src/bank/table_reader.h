/*
 * table_reader.h - a table of the configuration, read row by row as it stands now
 */
#ifndef PGW_BANK_TABLE_READER_H
#define PGW_BANK_TABLE_READER_H

#include "postgres.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "utils/rel.h"

/* A table read row by row with SnapshotSelf; whoever opens it holds its lock. */
typedef struct PgwReader
{
	Relation rel;
	TableScanDesc scan;
	TupleTableSlot *slot;
} PgwReader;

extern void pgw_reader_open(PgwReader *r, Oid relid);
extern bool pgw_reader_next(PgwReader *r);
extern void pgw_reader_close(PgwReader *r);
extern Datum pgw_reader_column(PgwReader *r, const char *name, bool *isnull);
extern char *pgw_reader_text(PgwReader *r, const char *name);
extern int pgw_reader_int(PgwReader *r, const char *name); /* NULL: 0 */
extern int pgw_reader_interval_ms(PgwReader *r, const char *name, int otherwise);
extern char **pgw_reader_text_array(PgwReader *r, const char *name); /* NULL-terminated */
extern char *pgw_reader_jsonb(PgwReader *r, const char *name);
/* a string member of an object; NULL: there is none */
extern char *pgw_reader_jsonb_member(PgwReader *r, const char *name, const char *member);

#endif
