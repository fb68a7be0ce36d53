/*
 * system_section.c - pgw.dashboard(): is everything well? What pgw.health() says, and of each bank
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "dashboard/page.h"

/* From shared memory, so it is there whatever is locked. */
void
pgw_page_state(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(
		page, "SELECT s.live, s.ready, s.degraded, s.reason FROM pgw.health_summary() s");
	bool live = strcmp(pgw_page_value(&rows, 0, "live"), "t") == 0;
	bool ready = strcmp(pgw_page_value(&rows, 0, "ready"), "t") == 0;
	bool degraded = strcmp(pgw_page_value(&rows, 0, "degraded"), "t") == 0;
	const char *reason = pgw_page_value(&rows, 0, "reason");

	pgw_buf_puts(&page->html, "<ul class=\"figures\" id=\"summary\">\n");
	pgw_page_figure(page, live ? "ok" : "error", live ? "at work" : "not at work",
					"The worker, which talks to the banks (live)");
	pgw_page_figure(page, ready ? "ok" : "error", ready ? "taken" : "not taken",
					"New payments (ready)");
	pgw_page_figure(page, degraded ? "warning" : "ok", degraded ? "needs a person" : "in order",
					"Server and worker (degraded)");
	pgw_buf_puts(&page->html, "</ul>\n");
	if (reason[0] != '\0')
		pgw_page_say(page, "warning", reason);
}

static const PgwPageTable needs_a_person = {
	.id = "health-table",
	.caption = "Checks that are not ok",
	.none = "Every check that could be made is ok.",
	.what = "check",
	.most = 60,
	.columns = {{"Check", "name"},
				{"Status", "status", PGW_HTML_STATUS},
				{"What to do", "advice"},
				{"Details", "details", PGW_HTML_CODE}},
};

static const PgwPageTable well = {
	.id = "health-ok-table",
	.caption = "Checks that are ok",
	.none = "None.",
	.what = "well",
	.most = 60,
	.columns = {{"Check", "name"},
				{"Status", "status", PGW_HTML_STATUS},
				{"Details", "details", PGW_HTML_CODE}},
};

static const PgwPageTable banks = {
	.id = "banks-table",
	.caption = "Banks, in the order in which they are tried",
	.none = "There is no bank, or pgw.banks is locked.",
	.what = "bank",
	.most = 50,
	.columns = {{"Bank", "name"},
				{"Money", "mode"},
				{"Takes payments", "enabled"},
				{"Status", "status", PGW_HTML_STATUS},
				{"What to do", "advice"},
				{"Breakers not closed", "details"},
				{"Failures in a row", "failures", PGW_HTML_NUMBER},
				{"Last success", "last_success"}},
};

static uint64
count_status(const PgwPageRows *rows, const char *status)
{
	uint64 n = 0;

	for (uint64 i = 0; i < rows->n; i++)
		n += strcmp(pgw_page_value(rows, i, "status"), status) == 0;
	return n;
}

/* Of all checks, those of banks as well: one that is not ok is in one of the tables below. */
static void
put_summary(PgwPage *page, const PgwPageRows *rows)
{
	uint64 errors = count_status(rows, "error");
	uint64 warnings = count_status(rows, "warning");
	uint64 locked = count_status(rows, "locked");

	pgw_buf_puts(&page->html, "<ul class=\"figures\" id=\"checks\">\n");
	pgw_page_figure(page, errors > 0 ? "error" : "ok", psprintf(UINT64_FORMAT, errors),
					"Errors: somebody has to act");
	pgw_page_figure(page, warnings > 0 ? "warning" : "ok", psprintf(UINT64_FORMAT, warnings),
					"Warnings: somebody should look");
	if (locked > 0)
		pgw_page_figure(page, "locked", psprintf(UINT64_FORMAT, locked),
						"Not known: a table is locked");
	pgw_page_figure(page, NULL, psprintf(UINT64_FORMAT, count_status(rows, "ok")),
					"Checks that are ok");
	pgw_buf_puts(&page->html, "</ul>\n");
}

void
pgw_page_health(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(
		page,
		"WITH h AS MATERIALIZED (SELECT * FROM pgw.health() WITH ORDINALITY h (check_name, status, advice, details, n))"
		" SELECT CASE WHEN h.status = 'ok' THEN 'well' ELSE 'check' END AS what, h.check_name AS name, h.status, h.advice,"
		"  left(h.details::text, 1000) AS details, NULL AS mode, NULL AS enabled, NULL AS failures, NULL AS last_success, h.n"
		" FROM h WHERE h.check_name NOT LIKE 'bank:%'"
		" UNION ALL SELECT 'bank', h.details->>'bank', h.status, h.advice,"
		"  (SELECT string_agg(b->>'operations' || ' ' || (b->>'state'), ', ') FROM jsonb_array_elements(h.details->'open_breakers') b),"
		"  CASE h.details->>'livemode' WHEN 'true' THEN 'real' ELSE 'tests' END,"
		"  CASE h.details->>'enabled' WHEN 'true' THEN 'yes' ELSE 'no' END, h.details->>'failures',"
		"  date_trunc('second', (h.details->>'last_success')::timestamptz)::text, h.n"
		" FROM h WHERE h.check_name LIKE 'bank:%' ORDER BY n");

	put_summary(page, &rows);
	pgw_page_table(page, &rows, &needs_a_person);
	pgw_buf_puts(&page->html, "<details><summary>Checks that are ok</summary>\n");
	pgw_page_table(page, &rows, &well);
	pgw_buf_puts(&page->html, "</details>\n<h3>Banks</h3>\n");
	pgw_page_table(page, &rows, &banks);
}
