/*
 * reviews_section.c - pgw.dashboard(): what waits for a person, its story, and what can be done
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "core/payment/review_rules.h"
#include "dashboard/page.h"

#define STEPS_SHOWN 40

static void
put_fact(PgwPage *page, const PgwPageRows *rows, uint64 row, const char *label, const char *column)
{
	const char *value = pgw_page_value(rows, row, column);

	if (value[0] == '\0')
		return;
	pgw_html_element(&page->html, "dt", NULL, label);
	pgw_html_element(&page->html, "dd", NULL, value);
}

static void
put_step(PgwPage *page, const PgwPageRows *steps, uint64 row)
{
	PgwBuf *b = &page->html;
	const char *data = pgw_page_value(steps, row, "data");

	pgw_buf_printf(b, "<li value=\"%d\">", atoi(pgw_page_value(steps, row, "step_order")));
	pgw_html_element(b, "span", "faint", pgw_page_value(steps, row, "at"));
	pgw_html_element(b, "strong", NULL, pgw_page_value(steps, row, "event_type"));
	pgw_html_text(b, pgw_page_value(steps, row, "states"), PGW_HTML_CELL_CHARS);
	pgw_buf_puts(b, " ");
	if (data[0] != '\0')
		pgw_html_element(b, "code", NULL, data);
	pgw_html_text(b, pgw_page_value(steps, row, "error_details"), PGW_HTML_CELL_CHARS);
	pgw_buf_puts(b, "</li>\n");
}

/* The last steps, as the page has to end. */
static void
put_story(PgwPage *page, const char *transaction_id)
{
	PgwPageRows steps;

	page->args[PGW_PAGE_SUBJECT] = DirectFunctionCall1(uuid_in, CStringGetDatum(transaction_id));
	page->nulls[PGW_PAGE_SUBJECT] = ' ';
	steps = pgw_page_read(
		page,
		"SELECT * FROM (SELECT e.step_order, date_trunc('second', e.occurred_at) AS at, e.event_type,"
		" concat_ws(' to ', e.from_status, e.to_status) AS states, left(e.event_data::text, 400) AS data, left(e.error_details, 400) AS error_details"
		" FROM pgw.transaction_events e WHERE e.transaction_id = $7 ORDER BY e.step_order DESC LIMIT " CppAsString2(
			STEPS_SHOWN) ") e"
						 " ORDER BY e.step_order");
	if (steps.n > 0 && atoi(pgw_page_value(&steps, 0, "step_order")) > 1)
		pgw_page_say(page, "faint", "Its first steps are left out here: pgw.payment_history().");
	pgw_buf_puts(&page->html, "<ol>\n");
	for (uint64 i = 0; i < steps.n; i++)
		put_step(page, &steps, i);
	pgw_buf_puts(&page->html, "</ol>\n");
}

static const char *const action_meanings[] = {
	[PGW_REVIEW_RETRY] = "The cause is gone: pgw goes on with it.",
	[PGW_REVIEW_MARK_CHARGED] = "The bank has done it; its id of that goes into bank_reference.",
	[PGW_REVIEW_MARK_NOT_CHARGED] = "The bank has not done it.",
	[PGW_REVIEW_MARK_REFUNDED] =
		"It was given back at the bank; the bank's id of that goes into bank_reference.",
	[PGW_REVIEW_REFUND] = "pgw is to give it back.",
};

StaticAssertDecl(lengthof(action_meanings) == PGW_NREVIEW_ACTIONS, "each action has its meaning");

/* Without a note none of them is taken: whoever copies one has to say why. */
static void
put_actions(PgwPage *page, const char *transaction_id, const char *actions)
{
	if (actions[0] != '\0')
		pgw_page_say(
			page, "faint",
			"What can be done, as SQL to copy; the note has to say why (docs/manual-review.md):");
	for (int a = 0; a < PGW_NREVIEW_ACTIONS; a++)
	{
		const char *name = pgw_review_action_name((PgwReviewAction) a);

		if (strstr(actions, psprintf(",%s,", name)) == NULL)
			continue;
		pgw_page_say(page, NULL, action_meanings[a]);
		pgw_html_element(&page->html, "pre", NULL,
						 psprintf("SELECT pgw.resolve_review('%s', '%s', note => ''%s);",
								  transaction_id, name,
								  pgw_review_needs_reference((PgwReviewAction) a)
									  ? ", evidence => '{\"bank_reference\": \"\"}'"
									  : ""));
	}
}

static void
put_review(PgwPage *page, const PgwPageRows *rows, uint64 row)
{
	const char *id = pgw_page_value(rows, row, "transaction_id");

	pgw_buf_puts(&page->html, "<article>\n");
	pgw_html_element(&page->html, "h3", NULL,
					 psprintf("%s of %s: %s", pgw_page_value(rows, row, "kind"),
							  pgw_page_amount(pgw_page_value(rows, row, "amount")),
							  pgw_page_value(rows, row, "reason")));
	pgw_buf_puts(&page->html, "<dl>\n");
	put_fact(page, rows, row, "Waits since", "since");
	put_fact(page, rows, row, "Request", "client_request_id");
	put_fact(page, rows, row, "Merchant", "merchant");
	put_fact(page, rows, row, "Bank", "bank");
	put_fact(page, rows, row, "The bank's id", "bank_reference");
	put_fact(page, rows, row, "Error", "error_code");
	put_fact(page, rows, row, "Came from", "came_from");
	put_fact(page, rows, row, "Transaction", "transaction_id");
	put_fact(page, rows, row, "Payment", "payment_id");
	put_fact(page, rows, row, "Correlation id", "correlation_id");
	put_fact(page, rows, row, "Proposed", "proposal");
	pgw_buf_puts(&page->html, "</dl>\n<details><summary>Its story</summary>\n");
	put_story(page, id);
	pgw_buf_puts(&page->html, "</details>\n");
	put_actions(page, id, pgw_page_value(rows, row, "actions"));
	pgw_buf_puts(&page->html, "</article>\n");
}

/* First which, then what is told of them: their stories are read of no others. */
void
pgw_page_reviews(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(
		page,
		"WITH w AS MATERIALIZED (SELECT w.transaction_id FROM pgw.open_work w WHERE w.begun AND w.status = 'RequiresManualReview'"
		"  LIMIT " CppAsString2(
			PGW_PAGE_SCAN) "),"
						   " r AS MATERIALIZED (SELECT t.transaction_id FROM w JOIN pgw.payment_transactions t ON t.transaction_id = w.transaction_id"
						   "  WHERE t.status = 'RequiresManualReview' AND t.livemode = $5 AND ($6 IS NULL OR t.merchant = ANY ($6)))"
						   " SELECT m.transaction_id, m.payment_id, m.client_request_id, m.merchant, m.kind, m.came_from, date_trunc('second', m.since) AS since,"
						   " m.currency || ' ' || m.amount AS amount, m.bank, m.bank_reference, m.reason, m.error_code, left(m.proposal::text, 1000) AS proposal,"
						   " ',' || array_to_string(m.possible_actions, ',') || ',' AS actions, m.correlation_id, (SELECT count(*) FROM r) AS of"
						   " FROM pgw.manual_reviews m WHERE m.transaction_id = ANY (ARRAY(SELECT r.transaction_id FROM r ORDER BY r.transaction_id LIMIT " CppAsString2(
							   PGW_PAGE_ROWS) "))"
											  " ORDER BY m.since, m.transaction_id");
	uint64 of = rows.n > 0 ? strtou64(pgw_page_value(&rows, 0, "of"), NULL, 10) : 0;

	if (rows.n == 0)
		pgw_page_say(page, "faint", "Nothing waits for a person.");
	else
		pgw_page_say(
			page, "faint",
			"pgw could not find out, or could not do, what is to become of these. Look at the bank for what it has "
			"done, then tell pgw. Until then the money stays where it is.");
	for (uint64 i = 0; i < rows.n; i++)
		put_review(page, &rows, i);
	if (of > rows.n)
		pgw_page_say(page, "faint", psprintf("and " UINT64_FORMAT " more", of - rows.n));
}
