/*
 * health_report.h - the rows of pgw.health()
 */
#ifndef PGW_OPERATOR_API_HEALTH_REPORT_H
#define PGW_OPERATOR_API_HEALTH_REPORT_H

#include "postgres.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

#include "base/json_writer.h"
#include "exchange/exchange_status.h"
#include "observe/gauges.h"

typedef enum PgwHealthStatus
{
	PGW_HEALTH_OK = 0,
	PGW_HEALTH_WARNING, /* somebody should look */
	PGW_HEALTH_ERROR,   /* money or callers wait until somebody acts */
	PGW_HEALTH_LOCKED   /* could not be looked at: somebody has a lock */
} PgwHealthStatus;

typedef struct PgwHealthReport
{
	Tuplestorestate *store;
	TupleDesc desc;
	TimestampTz now;
	const PgwExchangeStatus *exchange; /* of this database */
	int rows_put;
	PgwJsonWriter details; /* of the next row, without the closing brace */
} PgwHealthReport;

/* Before the first row: store, desc, now and exchange are set.  Or anew, which drops half a row. */
extern void pgw_health_begin(PgwHealthReport *r);

/* A member of the details of the next row. */
extern void pgw_health_detail(PgwHealthReport *r, const char *name, const char *value);
extern void pgw_health_detail_number(PgwHealthReport *r, const char *name, double value);
extern void pgw_health_detail_bool(PgwHealthReport *r, const char *name, bool value);
extern void pgw_health_detail_time(PgwHealthReport *r, const char *name, TimestampTz value);
extern void pgw_health_detail_json(PgwHealthReport *r, const char *name, const char *json);
extern void pgw_health_detail_list(PgwHealthReport *r, const char *name,
								   const char *list); /* JSON; NULL: it is empty */
extern void pgw_health_detail_gauge(PgwHealthReport *r, const PgwGauge *g);

/* The row of a check, with the details put before. The advice is shown unless all is well. */
extern void pgw_health_put(PgwHealthReport *r, const char *check, PgwHealthStatus status,
						   const char *advice);

/* What a query of one row and one column says; NULL: SQL NULL.  Within SPI. */
extern char *pgw_health_read_text(const char *sql);

/*
 * Has an object in this list, as jsonb writes it, a member of that name that is true?  What stands
 * in a string is not taken for one: its quotes are escaped.  NULL: an empty list.
 */
extern bool pgw_health_any(const char *list, const char *member);

#endif
