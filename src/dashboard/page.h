/*
 * page.h - the page of pgw.dashboard(): what its sections share
 */
#ifndef PGW_DASHBOARD_PAGE_H
#define PGW_DASHBOARD_PAGE_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"

#include "core/html/html.h"

/* What one look reads at most of attempts, payments or open work: the newest. */
#define PGW_PAGE_SCAN 200000
/* What a list shows at most. */
#define PGW_PAGE_ROWS 20

/* What every query of the page is given, as $1 to $7. */
typedef enum PgwPageArgument
{
	PGW_PAGE_FROM_ID = 0, /* uuid: payments and attempts from this id on ... */
	PGW_PAGE_TO_ID,       /* uuid: ... and before this one */
	PGW_PAGE_SINCE,       /* the same as timestamptz */
	PGW_PAGE_UNTIL,
	PGW_PAGE_LIVEMODE,  /* boolean */
	PGW_PAGE_MERCHANTS, /* text[]; NULL: all of them */
	PGW_PAGE_SUBJECT,   /* uuid: the attempt that is looked at */
	PGW_PAGE_ARGUMENTS
} PgwPageArgument;

typedef struct PgwPage
{
	PgwBuf html;
	TimestampTz now;
	bool payments; /* may the caller see single payments, and sums of money? */
	bool serves;   /* are the tables those of this library? */
	Datum args[PGW_PAGE_ARGUMENTS];
	char nulls[PGW_PAGE_ARGUMENTS]; /* as SPI takes them */
} PgwPage;

/* The rows of a query.  Within SPI. */
typedef struct PgwPageRows
{
	SPITupleTable *table;
	uint64 n;
} PgwPageRows;

extern PgwPageRows pgw_page_read(PgwPage *page, const char *sql);

/* A value as text; "" for SQL NULL.  It is UTF-8: pgw is in no other database. */
extern const char *pgw_page_value(const PgwPageRows *rows, uint64 row, const char *column);

typedef struct PgwPageColumn
{
	const char *heading;
	const char *column; /* of the query */
	PgwHtmlCell cell;
	bool amount; /* its text is "EUR 1234", in minor units */
} PgwPageColumn;

#define PGW_PAGE_COLUMNS 10

typedef struct PgwPageTable
{
	const char *id;
	const char *caption;
	const char *none; /* said instead where there is no row */
	const char *what; /* only rows whose column `what` is this; NULL: all */
	uint64 most;      /* rows; of the others it is said how many they are */
	PgwPageColumn columns[PGW_PAGE_COLUMNS];
} PgwPageTable;

/*
 * A query that has a LIMIT says in its column `of` how many rows there would be.
 */
extern void pgw_page_table(PgwPage *page, const PgwPageRows *rows, const PgwPageTable *t);

/* "EUR 1234" as "EUR 12.34"; what is no such stays as it is. */
extern const char *pgw_page_amount(const char *minor);

/* A paragraph. */
extern void pgw_page_say(PgwPage *page, const char *class_name, const char *text);

/* One of a list of figures: what it is of, and its value. */
extern void pgw_page_figure(PgwPage *page, const char *class_name, const char *value,
							const char *of_what);

/* The sections. */
extern void pgw_page_state(PgwPage *page);
extern void pgw_page_health(PgwPage *page);
extern void pgw_page_figures(PgwPage *page);
extern void pgw_page_money(PgwPage *page);
extern void pgw_page_open_work(PgwPage *page);
extern void pgw_page_reviews(PgwPage *page);
extern void pgw_page_give_backs(PgwPage *page);
extern void pgw_page_reconciliation(PgwPage *page);
extern void pgw_page_alerts(PgwPage *page);

#endif
