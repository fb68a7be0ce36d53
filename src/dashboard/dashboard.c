/*
 * dashboard.c - pgw.dashboard(): how everything is, as one page of HTML
 *
 * Owns the order of the sections; changes nothing.  Like pgw.health() it waits for nobody: what a
 * lock keeps it from is said in the section's place.  It costs what is open, and a bounded range of
 * what is stored (page.h); every list has an end.
 *
 * Levels: the owner sees everything; operators and auditors what is of their merchants; a monitor
 * the figures of all of them, without a payment, a message or a sum of money.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/clock.h"
#include "core/base/uuid7.h"
#include "dashboard/page.h"
#include "database/extension.h"
#include "database/extension_version.h"
#include "operator_api/health_locked.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"

/* 1970 began, and 9999 is about to */
#define FIRST_TIME \
	((TimestampTz) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * SECS_PER_DAY * USECS_PER_SEC)
#define LAST_TIME (INT64_C(7999) * 31556952 * USECS_PER_SEC)
#define DAY_MS (INT64CONST(24) * 60 * 60 * 1000)

PG_FUNCTION_INFO_V1(pgw_dashboard_1_0);

typedef struct Section
{
	const char *id;
	const char *heading;
	bool of_payments; /* not for the level monitor */
	bool reads_tables;
	void (*put)(PgwPage *page);
} Section;

static const Section sections[] = {
	{"state", "At a glance", false, false, pgw_page_state},
	{"health", "Health", false, false, pgw_page_health},
	{"figures", "Payments", false, true, pgw_page_figures},
	{"money", "Money", true, true, pgw_page_money},
	{"open", "Open work", false, true, pgw_page_open_work},
	{"reviews", "Reviews", true, true, pgw_page_reviews},
	{"give-backs", "Give-backs", true, true, pgw_page_give_backs},
	{"reconciliation", "Reconciliation", false, true, pgw_page_reconciliation},
	{"alerts", "Alerts", false, true, pgw_page_alerts},
};

/* ---------------------------------------------------------------- what is asked for */

static TimestampTz
time_argument(FunctionCallInfo fcinfo, const char *name, TimestampTz left_out)
{
	bool isnull;
	Datum value = pgw_arg(fcinfo, name, &isnull);

	if (isnull)
		return left_out;
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
		pgw_raise_fault(name, "out_of_range", "must be a point in time");
	return DatumGetTimestampTz(value);
}

static void
set_argument(PgwPage *page, PgwPageArgument which, Datum value)
{
	page->args[which] = value;
	page->nulls[which] = ' ';
}

/* The smallest id of that millisecond. */
static Datum
first_id(TimestampTz of)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));

	pgw_uuid7_first_of((uint64) Max(pgw_unix_microseconds(of) / 1000, 0), id->data);
	return UUIDPGetDatum(id);
}

static void
read_range(FunctionCallInfo fcinfo, PgwPage *page)
{
	TimestampTz until = time_argument(fcinfo, "until", page->now);
	TimestampTz since = time_argument(fcinfo, "since", until - DAY_MS * 1000);

	/* nothing of pgw's is from before or after, and all that is counted from these fits */
	since = Max(since, FIRST_TIME);
	until = Min(until, LAST_TIME);
	if (since >= until)
		pgw_raise_fault("since", "out_of_range", "must be before until");
	set_argument(page, PGW_PAGE_SINCE, TimestampTzGetDatum(since));
	set_argument(page, PGW_PAGE_UNTIL, TimestampTzGetDatum(until));
	set_argument(page, PGW_PAGE_FROM_ID, first_id(since));
	/* what began in this very millisecond is there, too */
	set_argument(page, PGW_PAGE_TO_ID, first_id(TimestampTzPlusMilliseconds(until, 1)));
}

/* ---------------------------------------------------------------- who may see what */

_Noreturn static void
refuse(Oid caller, const char *merchant)
{
	const char *role = quote_literal_cstr(quote_identifier(GetUserNameFromId(caller, false)));

	if (merchant == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for pgw"),
				 errhint("The owner of pgw can allow it: SELECT pgw.grant_access(%s, 'auditor').",
						 role)));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for payments of merchant \"%s\"", merchant),
			 errhint("The owner of pgw can allow it: SELECT pgw.grant_access(%s, 'auditor', %s).",
					 role, quote_literal_cstr(merchant))));
}

/* As the owner, within SPI: the grants that the views of pgw go by. */
static void
read_scope(PgwPage *page, Oid caller, char *merchant)
{
	Oid types[2] = {OIDOID, TEXTOID};
	Datum args[2] = {ObjectIdGetDatum(caller),
					 merchant != NULL ? CStringGetTextDatum(merchant) : (Datum) 0};
	char nulls[3] = {' ', merchant != NULL ? ' ' : 'n', '\0'};
	bool isnull[4];
	Datum found[4];

	if (SPI_execute_with_args(
			"SELECT coalesce(bool_or(g.level <> 'monitor' AND g.merchant IN ('', $2)), false), coalesce(bool_or(g.level = 'monitor'), false),"
			" array_agg(DISTINCT g.merchant) FILTER (WHERE g.level <> 'monitor'),"
			" coalesce(bool_or(g.level <> 'monitor' AND g.merchant = ''), false)"
			" FROM pgw.access_grants g WHERE g.level IN ('operator', 'auditor', 'monitor') AND pg_has_role($1, g.role::oid, 'USAGE')",
			2, types, args, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the grants could not be read");
	for (int i = 0; i < 4; i++)
		found[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull[i]);
	page->payments = merchant != NULL ? DatumGetBool(found[0]) : !isnull[2];
	if (merchant != NULL ? !page->payments : !page->payments && !DatumGetBool(found[1]))
		refuse(caller, merchant);
	if (merchant == NULL && page->payments && !DatumGetBool(found[3]))
		set_argument(page, PGW_PAGE_MERCHANTS, found[2]);
}

static void
set_scope(PgwPage *page, Oid caller, char *merchant)
{
	if (has_privs_of_role(caller, pgw_extension_owner()))
		page->payments = true;
	else
		read_scope(page, caller, merchant);
	if (merchant != NULL)
	{
		Datum one = CStringGetTextDatum(merchant);

		set_argument(page, PGW_PAGE_MERCHANTS,
					 PointerGetDatum(construct_array(&one, 1, TEXTOID, -1, false, TYPALIGN_INT)));
	}
}

/* ---------------------------------------------------------------- the page */

typedef struct Look
{
	PgwPage *page;
	void (*put)(PgwPage *page);
} Look;

static void
look(void *arg)
{
	Look *l = arg;

	l->put(l->page);
}

/* false: a lock is in the way, and nothing of it was put. */
static bool
put_unless_locked(PgwPage *page, void (*put)(PgwPage *page))
{
	Look l = {.page = page, .put = put};
	size_t before = page->html.len;
	ErrorData *edata = pgw_health_try(look, &l);

	if (edata == NULL)
		return true;
	if (edata->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(edata);
	pgw_buf_truncate(&page->html, before);
	return false;
}

static void
look_at_version(PgwPage *page)
{
	page->serves = pgw_serves_script(pgw_script_version());
}

/* What is real and what is for tests is never added up. */
static void
choose_livemode(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(
		page, "SELECT 1 FROM pgw.banks b GROUP BY () HAVING bool_and(NOT b.livemode)");

	set_argument(page, PGW_PAGE_LIVEMODE, BoolGetDatum(rows.n == 0));
}

static void
put_head(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(
		page,
		"SELECT 'Made ' || date_trunc('second', now()) || '; payments that began from ' || date_trunc('second', $3) || ' to '"
		" || date_trunc('second', $4) || '; all times are UTC.' AS times,"
		" CASE WHEN $6 IS NULL THEN 'of all merchants' WHEN array_length($6, 1) = 1 THEN 'of merchant ' || $6[1]"
		"  ELSE 'of ' || array_length($6, 1) || ' merchants' END AS merchants");

	pgw_page_say(page, "faint", pgw_page_value(&rows, 0, "times"));
	pgw_page_say(page, NULL,
				 psprintf("%s, %s.%s%s",
						  DatumGetBool(page->args[PGW_PAGE_LIVEMODE]) ? "Real money"
																	  : "Tests: no money moves",
						  pgw_page_value(&rows, 0, "merchants"),
						  page->payments ? "" : " Made for the level monitor: figures only.",
						  RecoveryInProgress() ? " Read from a standby." : ""));
	pgw_buf_puts(&page->html, "<nav aria-label=\"Sections\">\n");
	for (int i = 0; i < lengthof(sections); i++)
	{
		if (sections[i].of_payments && !page->payments)
			continue;
		pgw_buf_printf(&page->html, "<a href=\"#%s\">", sections[i].id);
		pgw_html_text(&page->html, sections[i].heading, PGW_HTML_CELL_CHARS);
		pgw_buf_puts(&page->html, "</a>\n");
	}
	pgw_buf_puts(&page->html, "</nav>\n");
}

static void
put_section(PgwPage *page, const Section *s)
{
	if (s->of_payments && !page->payments)
		return;
	pgw_html_begin_section(&page->html, s->id, s->heading);
	if (s->reads_tables && !page->serves)
		pgw_page_say(
			page, "error",
			"The library of this server does not serve the extension of this database: see Health.");
	else if (!put_unless_locked(page, s->put))
		pgw_page_say(
			page, "locked",
			"This could not be looked at: a table of pgw, or a catalog, is locked. See Health, or pg_locks.");
	pgw_html_end_section(&page->html);
}

/* Within SPI, as the owner. */
static void
put_page(PgwPage *page, bool livemode_chosen)
{
	page->serves = true; /* as long as nobody knows: the look itself may be locked out */
	(void) put_unless_locked(page, look_at_version);
	if (!livemode_chosen)
	{
		set_argument(page, PGW_PAGE_LIVEMODE, BoolGetDatum(true));
		(void) put_unless_locked(page, choose_livemode);
	}
	pgw_html_begin_page(&page->html, psprintf("pgw: %s", get_database_name(MyDatabaseId)));
	put_head(page);
	for (int i = 0; i < lengthof(sections); i++)
		put_section(page, &sections[i]);
	pgw_html_end_page(&page->html);
}

static void
free_html(void *arg)
{
	pgw_buf_free(arg);
}

static PgwPage *
new_page(void)
{
	PgwPage *page = palloc0(sizeof(PgwPage));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	pgw_buf_init(&page->html, 0);
	callback->func = free_html;
	callback->arg = &page->html;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	page->now = pgw_now();
	memset(page->nulls, 'n', sizeof(page->nulls));
	return page;
}

Datum
pgw_dashboard_1_0(PG_FUNCTION_ARGS)
{
	int nest_level = pgw_health_bound_waits();
	PgwPage *page = new_page();
	char *merchant = pgw_arg_text(fcinfo, "merchant");
	bool livemode_left_out;
	Datum livemode = pgw_arg(fcinfo, "livemode", &livemode_left_out);
	Oid caller;
	int sec_context;
	text *result;

	pgw_health_require(GetUserId(), "monitor");
	PreventCommandIfParallelMode("pgw.dashboard()"); /* no latest snapshot can be had there */
	read_range(fcinfo, page);
	if (!livemode_left_out)
		set_argument(page, PGW_PAGE_LIVEMODE, livemode);
	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetLatestSnapshot());
	set_scope(page, caller, merchant);
	put_page(page, !livemode_left_out);
	PopActiveSnapshot();
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	pgw_health_unbound_waits(nest_level);
	if (page->html.failed)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("The page of pgw.dashboard() could not be made.")));
	result = cstring_to_text_with_len(page->html.data, page->html.len);
	PG_RETURN_TEXT_P(result);
}
