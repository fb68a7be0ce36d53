/*
 * html.h - a page of HTML, written piece by piece
 *
 * What is written is ASCII whatever the text held, so it is the same in every encoding, and it is
 * well-formed XML, too.  Nothing in it is loaded from anywhere, and nothing runs: the page forbids
 * both to the browser.  Texts from tables get in by pgw_html_text() alone.
 */
#ifndef PGW_CORE_HTML_HTML_H
#define PGW_CORE_HTML_HTML_H

#include "core/base/buf.h"

/*
 * A text in UTF-8, at most max_chars characters of it and then an ellipsis.  Nothing in it can be
 * taken for markup, and nothing is invisible or changes the order in which the rest is read:
 * control characters, the bidirectional ones and those without a width are written as \u{202E},
 * and so is each byte that is no UTF-8, as \x{FF}.
 */
extern void pgw_html_text(PgwBuf *b, const char *utf8, size_t max_chars);

/* <name>text</name>, or with a class.  name and class_name are our own words. */
extern void pgw_html_element(PgwBuf *b, const char *name, const char *class_name, const char *text);

/* From the doctype to the beginning of what it says. */
extern void pgw_html_begin_page(PgwBuf *b, const char *title);
extern void pgw_html_end_page(PgwBuf *b);

/* A part with its heading; id is our own word, the target of links within the page. */
extern void pgw_html_begin_section(PgwBuf *b, const char *id, const char *heading);
extern void pgw_html_end_section(PgwBuf *b);

typedef enum PgwHtmlCell
{
	PGW_HTML_TEXT = 0,
	PGW_HTML_NUMBER, /* to the right */
	PGW_HTML_CODE,   /* JSON and the like */
	PGW_HTML_STATUS  /* ok, warning, error, locked: coloured, and the word says it */
} PgwHtmlCell;

typedef struct PgwHtmlColumn
{
	const char *heading;
	PgwHtmlCell cell;
} PgwHtmlColumn;

/* What a cell or an element shows of a text. */
#define PGW_HTML_CELL_CHARS 400

/* The first column names the row.  A table wider than a phone scrolls by itself. */
extern void pgw_html_begin_table(PgwBuf *b, const char *id, const char *caption,
								 const PgwHtmlColumn *columns, size_t n);
/* n cells, NULL: an empty one. */
extern void pgw_html_row(PgwBuf *b, const PgwHtmlColumn *columns, size_t n,
						 const char *const *cells);
extern void pgw_html_end_table(PgwBuf *b);

#endif
