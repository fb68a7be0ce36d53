/*
 * health_report.c - the rows of pgw.health()
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "operator_api/health_report.h"

void
pgw_health_begin(PgwHealthReport *r)
{
	pgw_json_begin(&r->details);
	pgw_json_begin_object(&r->details, NULL);
}

void
pgw_health_detail(PgwHealthReport *r, const char *name, const char *value)
{
	pgw_json_put_string(&r->details, name, value);
}

void
pgw_health_detail_number(PgwHealthReport *r, const char *name, double value)
{
	pgw_json_put_float(&r->details, name, value, value == (double) (int64) value ? 0 : 1);
}

void
pgw_health_detail_bool(PgwHealthReport *r, const char *name, bool value)
{
	pgw_json_put_bool(&r->details, name, value);
}

void
pgw_health_detail_time(PgwHealthReport *r, const char *name, TimestampTz value)
{
	pgw_health_detail(r, name, value != 0 ? timestamptz_to_str(value) : NULL);
}

void
pgw_health_detail_json(PgwHealthReport *r, const char *name, const char *json)
{
	pgw_json_put_raw(&r->details, name, json);
}

void
pgw_health_detail_list(PgwHealthReport *r, const char *name, const char *list)
{
	pgw_health_detail_json(r, name, list != NULL ? list : "[]");
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
	static const char *const names[] = {"ok", "warning", "error", "locked"};
	bool nulls[4] = {false, false, status == PGW_HEALTH_OK, false};
	Datum values[4] = {0};

	pgw_json_end_object(&r->details);
	values[0] = CStringGetTextDatum(check);
	values[1] = CStringGetTextDatum(names[status]);
	if (status != PGW_HEALTH_OK)
		values[2] = CStringGetTextDatum(advice);
	values[3] = DirectFunctionCall1(jsonb_in, CStringGetDatum(r->details.text.data));
	tuplestore_putvalues(r->store, r->desc, values, nulls);
	r->rows_put++;
	pgw_json_reset(&r->details);
	pgw_json_begin_object(&r->details, NULL);
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

bool
pgw_health_any(const char *list, const char *member)
{
	return list != NULL && strstr(list, psprintf("\"%s\": true", member)) != NULL;
}
