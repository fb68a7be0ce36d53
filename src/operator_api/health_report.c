/*
 * health_report.c - the rows of pgw.health()
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "operator_api/health_report.h"

static void
begin_member(PgwHealthReport *r, const char *name)
{
	appendStringInfoString(&r->details, r->details.len == 0 ? "{" : ", ");
	escape_json(&r->details, name);
	appendStringInfoString(&r->details, ": ");
}

void
pgw_health_detail(PgwHealthReport *r, const char *name, const char *value)
{
	begin_member(r, name);
	if (value != NULL)
		escape_json(&r->details, value);
	else
		appendStringInfoString(&r->details, "null");
}

void
pgw_health_detail_number(PgwHealthReport *r, const char *name, double value)
{
	begin_member(r, name);
	appendStringInfo(&r->details, value == (double) (int64) value ? "%.0f" : "%.1f", value);
}

void
pgw_health_detail_bool(PgwHealthReport *r, const char *name, bool value)
{
	begin_member(r, name);
	appendStringInfoString(&r->details, value ? "true" : "false");
}

void
pgw_health_detail_time(PgwHealthReport *r, const char *name, TimestampTz value)
{
	pgw_health_detail(r, name, value != 0 ? timestamptz_to_str(value) : NULL);
}

void
pgw_health_detail_json(PgwHealthReport *r, const char *name, const char *json)
{
	begin_member(r, name);
	appendStringInfoString(&r->details, json);
}

void
pgw_health_detail_gauge(PgwHealthReport *r, const PgwGauge *g)
{
	pgw_health_detail_number(r, "count", (double) g->n);
	pgw_health_detail_number(r, "oldest_age_seconds", g->age_s);
}

/* The row of a check, with the details put before. */
void
pgw_health_put(PgwHealthReport *r, const char *check, PgwHealthStatus status, const char *advice)
{
	static const char *const names[] = {"ok", "warning", "error"};
	bool nulls[4] = {false, false, status == PGW_HEALTH_OK, false};
	Datum values[4] = {0};

	if (r->details.len == 0)
		appendStringInfoChar(&r->details, '{');
	appendStringInfoChar(&r->details, '}');
	values[0] = CStringGetTextDatum(check);
	values[1] = CStringGetTextDatum(names[status]);
	if (status != PGW_HEALTH_OK)
		values[2] = CStringGetTextDatum(advice);
	values[3] = DirectFunctionCall1(jsonb_in, CStringGetDatum(r->details.data));
	tuplestore_putvalues(r->store, r->desc, values, nulls);
	resetStringInfo(&r->details);
}

char *
pgw_health_read_text(const char *sql)
{
	char *text;

	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "a look of pgw.health() failed");
	text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SPI_freetuptable(SPI_tuptable);
	return text;
}
