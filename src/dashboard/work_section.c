/*
 * work_section.c - pgw.dashboard(): what is open, what is being given back, whether the records
 * agree, and alerts
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "dashboard/page.h"

static const PgwPageTable open_table = {
	.id = "open-table",
	.caption = "Open work by age, since the attempt was recorded",
	.none = "Nothing is open.",
	.most = PGW_PAGE_ROWS,
	.columns = {{"Kind and state", "name"},
				{"What that means", "meaning"},
				{"Attempts", "n", PGW_HTML_NUMBER},
				{"Up to 1 min", "minute", PGW_HTML_NUMBER},
				{"1 min to 1 h", "hour", PGW_HTML_NUMBER},
				{"1 h to 1 day", "day", PGW_HTML_NUMBER},
				{"Older", "older", PGW_HTML_NUMBER},
				{"Oldest (s)", "oldest", PGW_HTML_NUMBER}},
};

void
pgw_page_open_work(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(
		page,
		"WITH o AS MATERIALIZED (SELECT o.transaction_id FROM pgw.open_attempts o LIMIT " CppAsString2(
			PGW_PAGE_SCAN) "),"
						   " t AS (SELECT t.kind, t.status, now() - t.created_at AS age FROM o JOIN pgw.payment_transactions t ON t.transaction_id = o.transaction_id"
						   "  WHERE t.livemode = $5 AND ($6 IS NULL OR t.merchant = ANY ($6)))"
						   " SELECT t.kind || ' ' || t.status || CASE WHEN t.status IN ('Completed', 'Failed', 'Refunded') THEN ', watched' ELSE '' END AS name,"
						   " CASE t.status WHEN 'Created' THEN 'to be asked of the bank, or being asked' WHEN 'BankApproved' THEN 'the bank said yes; whether it is kept is not decided'"
						   "  WHEN 'Saved' THEN 'kept; the money still has to be taken' WHEN 'Refunding' THEN 'the money is being given back'"
						   "  WHEN 'BankUnknown' THEN 'what the bank has done is not known yet; it is asked again' WHEN 'RequiresManualReview' THEN 'a person has to decide: see Reviews'"
						   "  ELSE 'over; what the bank says of it later is still noticed' END AS meaning,"
						   " count(*) AS n, count(*) FILTER (WHERE t.age < '1 min') AS minute, count(*) FILTER (WHERE t.age >= '1 min' AND t.age < '1 h') AS hour,"
						   " count(*) FILTER (WHERE t.age >= '1 h' AND t.age < '1 d') AS day, count(*) FILTER (WHERE t.age >= '1 d') AS older,"
						   " greatest(0, extract(epoch FROM max(t.age)))::bigint AS oldest, (SELECT count(*) FROM o) AS scanned, count(*) OVER () AS of"
						   " FROM t GROUP BY t.kind, t.status ORDER BY t.kind, t.status");

	if (rows.n > 0 && strtou64(pgw_page_value(&rows, 0, "scanned"), NULL, 10) >= PGW_PAGE_SCAN)
		pgw_page_say(
			page, "warning",
			psprintf("More than that is open: %d attempts were looked at.", PGW_PAGE_SCAN));
	pgw_page_say(
		page, "faint",
		"What pgw goes on with by itself. What is old, and what Health names, needs a look.");
	pgw_page_table(page, &rows, &open_table);
}

static const PgwPageTable give_back_table = {
	.id = "give-backs-table",
	.caption = "Charges that are being given back, the oldest first",
	.none = "Nothing is being given back.",
	.most = PGW_PAGE_ROWS,
	.columns = {{"Transaction", "transaction_id"},
				{"Request", "client_request_id"},
				{"Merchant", "merchant"},
				{"Bank", "bank"},
				{"Amount", "amount", PGW_HTML_NUMBER, true},
				{"Since", "since"},
				{"Keys used", "refund_keys_used", PGW_HTML_NUMBER},
				{"Error", "error_code"},
				{"Put off because", "put_off_reason"}},
};

static const PgwPageTable given_back_table = {
	.id = "given-back-table",
	.caption = "Charges of this time that were given back, by bank and how",
	.none = "None that began in this time was given back.",
	.most = PGW_PAGE_ROWS,
	.columns = {{"Bank", "bank"},
				{"How", "how"},
				{"Charges", "n", PGW_HTML_NUMBER},
				{"Sum", "amount", PGW_HTML_NUMBER, true}},
};

void
pgw_page_give_backs(PgwPage *page)
{
	PgwPageRows open = pgw_page_read(
		page,
		"WITH r AS MATERIALIZED (SELECT w.transaction_id FROM pgw.open_work w WHERE w.begun AND w.status = 'Refunding' LIMIT " CppAsString2(
			PGW_PAGE_SCAN) "),"
						   " t AS (SELECT t.* FROM r JOIN pgw.payment_transactions t ON t.transaction_id = r.transaction_id"
						   "  WHERE t.status = 'Refunding' AND t.livemode = $5 AND ($6 IS NULL OR t.merchant = ANY ($6)))"
						   " SELECT t.transaction_id, t.client_request_id, t.merchant, t.bank, t.currency || ' ' || t.amount AS amount,"
						   " date_trunc('second', coalesce(t.abandoned_at, t.created_at)) AS since, t.refund_keys_used, t.error_code, t.put_off_reason,"
						   " count(*) OVER () AS of FROM t ORDER BY t.transaction_id LIMIT " CppAsString2(
							   PGW_PAGE_ROWS));
	PgwPageRows done = pgw_page_read(
		page,
		"SELECT coalesce(t.bank, 'none yet') AS bank, coalesce(t.refund_operation, 'not known') AS how, count(*) AS n,"
		" t.currency || ' ' || sum(t.amount) AS amount, count(*) OVER () AS of"
		" FROM (SELECT * FROM pgw.payment_transactions t WHERE t.transaction_id >= $1 AND t.transaction_id < $2"
		"  ORDER BY t.transaction_id DESC LIMIT " CppAsString2(
			PGW_PAGE_SCAN) ") t"
						   " WHERE t.kind = 'payment' AND t.status = 'Refunded' AND t.livemode = $5 AND ($6 IS NULL OR t.merchant = ANY ($6))"
						   " GROUP BY t.bank, t.refund_operation, t.currency ORDER BY n DESC, 1, 2");

	pgw_page_say(
		page, "faint",
		"What a bank has charged and nobody keeps, as its caller rolled back or was gone: pgw "
		"gives it back by itself.");
	pgw_page_table(page, &open, &give_back_table);
	pgw_page_table(page, &done, &given_back_table);
}

static const PgwPageTable reconciliation_table = {
	.id = "reconciliation-table",
	.caption = "Do the records of what began in this time agree with one another?",
	.none = "",
	.most = PGW_PAGE_ROWS,
	.columns = {{"What", "name"},
				{"How many", "n", PGW_HTML_NUMBER},
				{"Status", "status", PGW_HTML_STATUS}},
};

/*
 * The first two are promises of every commit; with the others somebody may want to ask the bank.
 * The whole is pgw.check_consistency()'s, which reads all that is stored.
 */
void
pgw_page_reconciliation(PgwPage *page)
{
	PgwPageRows rows = pgw_page_read(
		page,
		"WITH a AS MATERIALIZED (SELECT * FROM (SELECT t.transaction_id, t.payment_id, t.kind, t.status, t.unconfirmed, t.accepted_at,"
		"   t.approved_amount, t.approved_currency, t.origin, t.livemode, t.merchant FROM pgw.payment_transactions t"
		"   WHERE t.transaction_id >= $1 AND t.transaction_id < $2 ORDER BY t.transaction_id DESC LIMIT " CppAsString2(
			PGW_PAGE_SCAN) ") t"
						   "  WHERE t.livemode = $5 AND ($6 IS NULL OR t.merchant = ANY ($6))),"
						   " p AS MATERIALIZED (SELECT * FROM (SELECT p.transaction_id, p.authorized_amount, p.livemode, p.merchant FROM pgw.payments p"
						   "   WHERE p.payment_id >= $1 AND p.payment_id < $2 ORDER BY p.payment_id DESC LIMIT " CppAsString2(
							   PGW_PAGE_SCAN) ") p"
											  "  WHERE p.livemode = $5 AND ($6 IS NULL OR p.merchant = ANY ($6)))"
											  " SELECT c.name, c.n, CASE WHEN c.n = 0 THEN 'ok' WHEN c.place <= 2 THEN 'error' ELSE 'warning' END AS status FROM ("
											  "  SELECT 1 AS place, 'Charges kept by an attempt that no payment names' AS name, count(*) AS n FROM a"
											  "   WHERE a.kind = 'payment' AND a.status = 'Completed' AND NOT EXISTS (SELECT FROM pgw.payments p"
											  "    WHERE p.payment_id = a.payment_id AND p.transaction_id = a.transaction_id)"
											  "  UNION ALL SELECT 2, 'Payments with money whose attempt has failed, is given back or is not there', count(*) FROM p"
											  "   WHERE p.authorized_amount > 0 AND NOT EXISTS (SELECT FROM pgw.payment_transactions t"
											  "    WHERE t.transaction_id = p.transaction_id AND t.status NOT IN ('Failed', 'Refunding', 'Refunded'))"
											  "  UNION ALL SELECT 3, 'Approved with another amount or currency than was asked for', count(*) FROM a"
											  "   WHERE a.approved_amount IS NOT NULL OR a.approved_currency IS NOT NULL"
											  "  UNION ALL SELECT 4, 'Accepted by the bank, which may still fail it', count(*) FROM a"
											  "   WHERE a.accepted_at IS NOT NULL AND a.status NOT IN ('Completed', 'Failed', 'Refunded')"
											  "  UNION ALL SELECT 5, 'Ended as done without the bank having confirmed it', count(*) FROM a WHERE a.unconfirmed"
											  "  UNION ALL SELECT 6, 'Made at the bank without pgw', count(*) FROM a WHERE a.origin = 'bank') c ORDER BY c.place");

	pgw_page_table(page, &rows, &reconciliation_table);
	pgw_page_say(page, "faint", "All that is stored is checked by this, which takes its time:");
	pgw_html_element(&page->html, "pre", NULL, "SELECT * FROM pgw.check_consistency();");
}

static const PgwPageTable alerts_table = {
	.id = "alerts-table",
	.caption = "Alerts, the newest first",
	.none = "There was no alert.",
	.most = PGW_PAGE_ROWS,
	.columns = {{"Kind", "kind"},
				{"Subject", "subject"},
				{"Message", "message"},
				{"First", "first_at"},
				{"Last", "last_at"},
				{"Times", "count", PGW_HTML_NUMBER}},
};

static const PgwPageTable alert_kinds_table = {
	.id = "alerts-table",
	.caption = "Alerts by kind",
	.none = "There was no alert.",
	.most = PGW_PAGE_ROWS,
	.columns = {{"Kind", "kind"},
				{"Causes", "n", PGW_HTML_NUMBER},
				{"Times", "count", PGW_HTML_NUMBER},
				{"Last", "last_at"}},
};

/* Whoever is kept to some merchants sees those about their attempts, as in the view pgw.alerts. */
#define ALERTS \
	"FROM (SELECT s.*, coalesce(t.livemode, b.livemode, true) AS livemode, t.merchant FROM pgw.alert_state s" \
	"  LEFT JOIN pgw.payment_transactions t ON t.transaction_id = s.transaction_id LEFT JOIN pgw.banks b ON b.name = s.bank) s" \
	" WHERE s.livemode = $5 AND ($6 IS NULL OR s.merchant = ANY ($6))"

void
pgw_page_alerts(PgwPage *page)
{
	PgwPageRows rows;

	if (page->payments)
		rows = pgw_page_read(
			page,
			"SELECT s.kind, s.subject, left(s.message, 1000) AS message, date_trunc('second', s.first_at) AS first_at,"
			" date_trunc('second', s.last_at) AS last_at, s.count, count(*) OVER () AS of " ALERTS
			" ORDER BY s.last_at DESC, s.kind, s.subject LIMIT " CppAsString2(PGW_PAGE_ROWS));
	else
		rows = pgw_page_read(
			page,
			"SELECT s.kind, count(*) AS n, sum(s.count) AS count, date_trunc('second', max(s.last_at)) AS last_at,"
			" count(*) OVER () AS of " ALERTS
			" GROUP BY s.kind ORDER BY max(s.last_at) DESC, s.kind");
	pgw_page_table(page, &rows, page->payments ? &alerts_table : &alert_kinds_table);
}
