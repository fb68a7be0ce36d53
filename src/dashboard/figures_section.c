/*
 * figures_section.c - pgw.dashboard(): payments over time, by bank, by decline, and their money
 *
 * Owns nothing, changes nothing.  What began in the range of time is found by the ids, which are
 * UUIDv7: a range of the primary key, the newest PGW_PAGE_SCAN of it.
 */
#include "postgres.h"

#include <math.h>

#include "core/html/plot.h"
#include "dashboard/page.h"

#define INTERVALS 48

/*
 * One pass over the attempts.  took: until the bank's last answer; of a submitted payment its wait
 * is in it.  An attempt that has gone from bank to bank counts for the last one.
 */
static const char figures[] =
	"WITH a AS MATERIALIZED (SELECT t.kind, t.status, t.bank, t.error_code, t.created_at, t.bank_asked_at, t.livemode, t.merchant"
	"  FROM pgw.payment_transactions t WHERE t.transaction_id >= $1 AND t.transaction_id < $2"
	"  ORDER BY t.transaction_id DESC LIMIT " CppAsString2(
		PGW_PAGE_SCAN) "),"
					   " p AS (SELECT least(" CppAsString2(INTERVALS) " - 1, greatest(0, floor(" CppAsString2(
						   INTERVALS) "   * extract(epoch FROM a.created_at - $3) / extract(epoch FROM $4 - $3))))::int AS slice,"
									  "  coalesce(a.bank, 'none yet') AS bank, CASE WHEN a.status = 'Failed' THEN coalesce(a.error_code, 'none') END AS code,"
									  "  CASE WHEN a.status IN ('Completed', 'Saved') THEN 'approved' WHEN a.status IN ('Refunding', 'Refunded') THEN 'given_back'"
									  "   WHEN a.status <> 'Failed' THEN 'open' WHEN pgw.is_decline(a.error_code) THEN 'declined' ELSE 'failed' END AS outcome,"
									  "  extract(epoch FROM a.bank_asked_at - a.created_at)::float8 AS took"
									  "  FROM a WHERE a.kind = 'payment' AND a.livemode = $5 AND ($6 IS NULL OR a.merchant = ANY ($6))),"
									  " g AS (SELECT p.slice, p.bank, p.code, grouping(p.slice, p.bank, p.code) AS by_what, count(*) AS n,"
									  "  count(*) FILTER (WHERE p.outcome = 'approved') AS approved, count(*) FILTER (WHERE p.outcome = 'declined') AS declined,"
									  "  count(*) FILTER (WHERE p.outcome = 'failed') AS failed, count(*) FILTER (WHERE p.outcome = 'given_back') AS given_back,"
									  "  count(*) FILTER (WHERE p.outcome = 'open') AS open,"
									  "  percentile_cont(0.5) WITHIN GROUP (ORDER BY p.took) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY p.took) AS p95"
									  "  FROM p GROUP BY GROUPING SETS ((p.slice), (p.bank), (p.code), ()))"
									  " SELECT CASE g.by_what WHEN 3 THEN 'time' WHEN 5 THEN 'bank' WHEN 6 THEN 'code' ELSE 'all' END AS what,"
									  "  CASE g.by_what WHEN 3 THEN date_trunc('second', $3 + g.slice * ($4 - $3) / " CppAsString2(
										  INTERVALS) ")::text WHEN 5 THEN g.bank ELSE g.code END AS name,"
													 "  g.slice, g.n, g.approved, g.declined, g.failed, g.given_back, g.open,"
													 "  round(100.0 * g.approved / nullif(g.approved + g.declined, 0), 1) || ' %' AS rate,"
													 "  round(100.0 * g.n / nullif(sum(g.n) FILTER (WHERE g.by_what = 6) OVER (), 0), 1) || ' %' AS share,"
													 "  CASE WHEN g.declined > 0 THEN 'declined' ELSE 'failed' END AS kind, round(g.p50::numeric, 3) AS p50, round(g.p95::numeric, 3) AS p95,"
													 "  (SELECT count(*) FROM a) AS scanned, (SELECT date_trunc('second', min(a.created_at)) FROM a)::text AS scanned_since"
													 " FROM g WHERE g.by_what <> 6 OR g.code IS NOT NULL ORDER BY what, g.slice, g.n DESC, name";

/* What is counted of attempts, whatever they are counted by. */
#define FIGURES \
	{"Attempts", "n", PGW_HTML_NUMBER}, {"Approved", "approved", PGW_HTML_NUMBER}, \
		{"Declined", "declined", PGW_HTML_NUMBER}, {"Approval rate", "rate", PGW_HTML_NUMBER}, \
		{"Failed", "failed", PGW_HTML_NUMBER}, {"Given back", "given_back", PGW_HTML_NUMBER}, \
		{"Open", "open", PGW_HTML_NUMBER}, {"Median (s)", "p50", PGW_HTML_NUMBER}, \
	{ \
		"95 % within (s)", "p95", PGW_HTML_NUMBER \
	}

static const PgwPageColumn totals[] = {FIGURES};

static const PgwPageTable time_table = {
	.id = "time-table",
	.caption = "Attempts over time, by when they began",
	.none = "No attempt began in this time.",
	.what = "time",
	.most = INTERVALS,
	.columns = {{"From", "name"}, FIGURES},
};

static const PgwPageTable bank_table = {
	.id = "approval-table",
	.caption = "Attempts by bank: the approval rate is of those that the bank approved or declined",
	.none = "No attempt began in this time.",
	.what = "bank",
	.most = PGW_PAGE_ROWS,
	.columns = {{"Bank", "name"}, FIGURES},
};

static const PgwPageTable code_table = {
	.id = "declines-table",
	.caption = "Why payments were declined or have failed (error codes of docs/errors.md)",
	.none = "None was declined or has failed.",
	.what = "code",
	.most = PGW_PAGE_ROWS,
	.columns = {{"Reason", "name"},
				{"How", "kind"},
				{"Attempts", "n", PGW_HTML_NUMBER},
				{"Share", "share", PGW_HTML_NUMBER}},
};

/* Of all of them: there is one such row, whatever else there is. */
static void
put_totals(PgwPage *page, const PgwPageRows *rows)
{
	uint64 row = 0;

	while (strcmp(pgw_page_value(rows, row, "what"), "all") != 0)
		row++;
	pgw_buf_puts(&page->html, "<ul class=\"figures\" id=\"totals\">\n");
	for (int i = 0; i < lengthof(totals); i++)
		pgw_page_figure(page, NULL, pgw_page_value(rows, row, totals[i].column), totals[i].heading);
	pgw_buf_puts(&page->html, "</ul>\n");
}

/* The column's value of each interval; where there is no row, or no value, it is what none says. */
static void
fill(double *values, const PgwPageRows *rows, const char *column, double none)
{
	for (int i = 0; i < INTERVALS; i++)
		values[i] = none;
	for (uint64 i = 0; i < rows->n; i++)
	{
		const char *value;

		if (strcmp(pgw_page_value(rows, i, "what"), "time") != 0)
			continue;
		value = pgw_page_value(rows, i, column);
		if (value[0] != '\0')
			values[atoi(pgw_page_value(rows, i, "slice"))] = Max(strtod(value, NULL), 0);
	}
}

static void
put_plots(PgwPage *page, const PgwPageRows *rows)
{
	static double n[INTERVALS];
	static double unhappy[INTERVALS];
	static double failed[INTERVALS];
	static double p50[INTERVALS];
	static double p95[INTERVALS];
	const PgwPlotSeries begun[] = {{"attempts", PGW_PLOT_BARS, n}};
	const PgwPlotSeries refused[] = {{"declined", PGW_PLOT_LINE, unhappy},
									 {"failed", PGW_PLOT_DASHES, failed}};
	const PgwPlotSeries took[] = {{"median", PGW_PLOT_LINE, p50},
								  {"95 % within", PGW_PLOT_DASHES, p95}};
	PgwPageRows edges = pgw_page_read(page, "SELECT date_trunc('second', $3)::text AS since,"
											" date_trunc('second', $4)::text AS until");
	PgwPlot plot = {.id = "plot-attempts",
					.title = "Attempts at payments over time",
					.unit = "",
					.from = pgw_page_value(&edges, 0, "since"),
					.to = pgw_page_value(&edges, 0, "until"),
					.n_points = INTERVALS,
					.n_series = lengthof(begun),
					.series = begun};

	fill(n, rows, "n", 0);
	fill(unhappy, rows, "declined", 0);
	fill(failed, rows, "failed", 0);
	fill(p50, rows, "p50", NAN);
	fill(p95, rows, "p95", NAN);
	pgw_html_plot(&page->html, &plot);
	plot.id = "plot-refused";
	plot.title = "Declined and failed over time";
	plot.n_series = lengthof(refused);
	plot.series = refused;
	pgw_html_plot(&page->html, &plot);
	plot.id = "plot-latency";
	plot.title = "Seconds until the bank's last answer";
	plot.unit = "s";
	plot.n_series = lengthof(took);
	plot.series = took;
	pgw_html_plot(&page->html, &plot);
}

void
pgw_page_figures(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(page, figures);

	if (strtou64(pgw_page_value(&rows, 0, "scanned"), NULL, 10) >= PGW_PAGE_SCAN)
		pgw_page_say(page, "warning",
					 psprintf("Only the newest %d attempts are counted, those since %s: ask for a "
							  "shorter time.",
							  PGW_PAGE_SCAN, pgw_page_value(&rows, 0, "scanned_since")));
	pgw_page_say(
		page, "faint",
		"An attempt is one try to take a payment, by how it stands now. Approved: the bank has said yes. Declined: it "
		"said no. Failed: nothing was charged, for another reason. Given back: charged, and nobody kept it. Open: not "
		"over yet. Seconds are those until the bank's last answer.");
	put_totals(page, &rows);
	put_plots(page, &rows);
	pgw_buf_puts(&page->html, "<details><summary>The same as a table</summary>\n");
	pgw_page_table(page, &rows, &time_table);
	pgw_buf_puts(&page->html, "</details>\n<h3>Approval by bank</h3>\n");
	pgw_page_table(page, &rows, &bank_table);
	pgw_buf_puts(&page->html, "<h3>Reasons of declines and failures</h3>\n");
	pgw_page_table(page, &rows, &code_table);
}

static const PgwPageTable money_table = {
	.id = "money-table",
	.caption = "Payments that began in this time, by currency",
	.none = "No payment began in this time.",
	.most = PGW_PAGE_ROWS,
	.columns = {{"Currency", "currency"},
				{"Payments", "n", PGW_HTML_NUMBER},
				{"Authorized", "authorized", PGW_HTML_NUMBER, true},
				{"Captured", "captured", PGW_HTML_NUMBER, true},
				{"Refunded", "refunded", PGW_HTML_NUMBER, true},
				{"Refunds under way", "refund_pending", PGW_HTML_NUMBER, true}},
};

void
pgw_page_money(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(
		page,
		"SELECT p.currency, count(*) AS n, p.currency || ' ' || sum(p.authorized_amount) AS authorized,"
		" p.currency || ' ' || sum(p.captured_amount) AS captured, p.currency || ' ' || sum(p.refunded_amount) AS refunded,"
		" p.currency || ' ' || sum(p.refund_pending_amount) AS refund_pending, count(*) OVER () AS of"
		" FROM (SELECT * FROM pgw.payments p WHERE p.payment_id >= $1 AND p.payment_id < $2"
		"  ORDER BY p.payment_id DESC LIMIT " CppAsString2(
			PGW_PAGE_SCAN) ") p"
						   " WHERE p.livemode = $5 AND ($6 IS NULL OR p.merchant = ANY ($6)) GROUP BY p.currency ORDER BY p.currency");

	pgw_page_table(page, &rows, &money_table);
}
