/*
 * page.c - the page of pgw.dashboard(): from the rows of a query to tables
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/base/money.h"
#include "dashboard/page.h"

PgwPageRows
pgw_page_read(PgwPage *page, const char *sql)
{
	static Oid types[PGW_PAGE_ARGUMENTS] = {UUIDOID, UUIDOID,      TIMESTAMPTZOID, TIMESTAMPTZOID,
											BOOLOID, TEXTARRAYOID, UUIDOID};

	if (SPI_execute_with_args(sql, PGW_PAGE_ARGUMENTS, types, page->args, page->nulls, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "a look of pgw.dashboard() failed");
	return (PgwPageRows){.table = SPI_tuptable, .n = SPI_processed};
}

const char *
pgw_page_value(const PgwPageRows *rows, uint64 row, const char *column)
{
	int number = SPI_fnumber(rows->table->tupdesc, column);
	char *text;

	if (number <= 0)
		elog(ERROR, "pgw.dashboard() has no column %s", column);
	text = SPI_getvalue(rows->table->vals[row], rows->table->tupdesc, number);
	return text != NULL ? text : "";
}

const char *
pgw_page_amount(const char *minor)
{
	char code[4];
	char decimal[64];
	const PgwCurrency *currency;
	char *end;
	int64 amount;

	if (strlen(minor) < 5 || minor[3] != ' ')
		return minor;
	strlcpy(code, minor, sizeof(code));
	currency = pgw_currency_find(code);
	errno = 0;
	amount = strtoll(minor + 4, &end, 10);
	if (currency == NULL || errno != 0 || *end != '\0' ||
		!pgw_money_to_decimal(amount, currency->exponent, decimal, sizeof(decimal)))
		return psprintf("%s in minor units", minor);
	return psprintf("%s %s", code, decimal);
}

void
pgw_page_say(PgwPage *page, const char *class_name, const char *text)
{
	pgw_html_element(&page->html, "p", class_name, text);
}

void
pgw_page_figure(PgwPage *page, const char *class_name, const char *value, const char *of_what)
{
	pgw_buf_puts(&page->html, "<li>");
	pgw_html_text(&page->html, of_what, PGW_HTML_CELL_CHARS);
	pgw_html_element(&page->html, "strong", class_name, value[0] != '\0' ? value : "none");
	pgw_buf_puts(&page->html, "</li>\n");
}

static bool
is_of(const PgwPageRows *rows, uint64 row, const char *what)
{
	return what == NULL || strcmp(pgw_page_value(rows, row, "what"), what) == 0;
}

static size_t
count_columns(const PgwPageTable *t)
{
	size_t n = 0;

	while (n < PGW_PAGE_COLUMNS && t->columns[n].heading != NULL)
		n++;
	return n;
}

static void
put_row(PgwPage *page, const PgwPageRows *rows, uint64 row, const PgwPageTable *t,
		const PgwHtmlColumn *columns, size_t n)
{
	const char *cells[PGW_PAGE_COLUMNS];

	for (size_t i = 0; i < n; i++)
	{
		cells[i] = pgw_page_value(rows, row, t->columns[i].column);
		if (t->columns[i].amount)
			cells[i] = pgw_page_amount(cells[i]);
	}
	pgw_html_row(&page->html, columns, n, cells);
}

void
pgw_page_table(PgwPage *page, const PgwPageRows *rows, const PgwPageTable *t)
{
	PgwHtmlColumn columns[PGW_PAGE_COLUMNS];
	size_t n = count_columns(t);
	uint64 all = 0;
	uint64 shown = 0;

	for (size_t i = 0; i < n; i++)
		columns[i] = (PgwHtmlColumn){t->columns[i].heading, t->columns[i].cell};
	for (uint64 i = 0; i < rows->n; i++)
		all += is_of(rows, i, t->what);
	if (all == 0)
	{
		pgw_page_say(page, "faint", t->none);
		return;
	}
	pgw_html_begin_table(&page->html, t->id, t->caption, columns, n);
	for (uint64 i = 0; i < rows->n && shown < t->most; i++)
	{
		if (!is_of(rows, i, t->what))
			continue;
		put_row(page, rows, i, t, columns, n);
		shown++;
	}
	pgw_html_end_table(&page->html);
	if (SPI_fnumber(rows->table->tupdesc, "of") > 0)
		all = strtou64(pgw_page_value(rows, 0, "of"), NULL, 10);
	if (all > shown)
		pgw_page_say(page, "faint", psprintf("and " UINT64_FORMAT " more", all - shown));
}
