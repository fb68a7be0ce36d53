/*
 * system_section.c - pgw.dashboard(): is everything well? What pgw.health() says, and of each bank
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "dashboard/page.h"

static void
put_figure(PgwPage *page, const char *class_name, const char *value, const char *of_what)
{
	pgw_buf_puts(&page->html, "<li>");
	pgw_html_element(&page->html, "strong", class_name, value);
	pgw_html_text(&page->html, of_what, PGW_HTML_CELL_CHARS);
	pgw_buf_puts(&page->html, "</li>\n");
}

/* From shared memory, so it is there whatever is locked. */
void
pgw_page_state(PgwPage *page)
{
	PgwPageRows rows =
		pgw_page_read(page, "SELECT CASE WHEN s.live THEN 'yes' ELSE 'no' END AS live,"
							" CASE WHEN s.ready THEN 'yes' ELSE 'no' END AS ready,"
							" CASE WHEN s.degraded THEN 'yes' ELSE 'no' END AS degraded, s.reason"
							" FROM pgw.health_summary() s");
	const char *live = pgw_page_value(&rows, 0, "live");
	const char *ready = pgw_page_value(&rows, 0, "ready");
	const char *degraded = pgw_page_value(&rows, 0, "degraded");
	const char *reason = pgw_page_value(&rows, 0, "reason");

	pgw_buf_puts(&page->html, "<ul class=\"figures\" id=\"summary\">\n");
	put_figure(page, strcmp(live, "yes") == 0 ? "ok" : "error", live,
			   "live: the worker is at work");
	put_figure(page, strcmp(ready, "yes") == 0 ? "ok" : "error", ready,
			   "ready: a payment would be taken now");
	put_figure(page, strcmp(degraded, "no") == 0 ? "ok" : "warning", degraded,
			   "degraded: something needs a person soon");
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

	pgw_page_table(page, &rows, &needs_a_person);
	pgw_buf_puts(&page->html, "<details><summary>Checks that are ok</summary>\n");
	pgw_page_table(page, &rows, &well);
	pgw_buf_puts(&page->html, "</details>\n<h3>Banks</h3>\n");
	pgw_page_table(page, &rows, &banks);
}
