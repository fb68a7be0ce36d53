/*
 * html.c - a page of HTML, written piece by piece
 *
 * Owns nothing.
 */
#include "core/html/html.h"

#include <stdbool.h>
#include <string.h>

/*
 * Of the code point at s, which ends with a NUL: its length in bytes; 0: this byte begins none.
 * Overlong forms, surrogates and what is beyond U+10FFFF are none.
 */
static size_t
decode(const unsigned char *s, uint32_t *code_point)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80       ? 1
				 : s[0] >> 5 == 6  ? 2
				 : s[0] >> 4 == 14 ? 3
				 : s[0] >> 3 == 30 ? 4
								   : 0;
	uint32_t c = len == 1 ? s[0] : len == 0 ? 0 : s[0] & (0xFF >> (len + 1));

	for (size_t i = 1; i < len; i++)
	{
		if (s[i] >> 6 != 2) /* the NUL ends it here at the latest */
			return 0;
		c = c << 6 | (s[i] & 0x3F);
	}
	if (len == 0 || c < smallest[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return 0;
	*code_point = c;
	return len;
}

typedef struct Range
{
	uint32_t first;
	uint32_t last;
} Range;

/* What a reader cannot see, or what changes how he reads the rest. */
static const Range not_shown[] = {
	{0x00, 0x1F},       {0x7F, 0x9F},       {0xAD, 0xAD},        {0x034F, 0x034F},
	{0x061C, 0x061C},   {0x115F, 0x1160},   {0x17B4, 0x17B5},    {0x180B, 0x180F},
	{0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x206F},    {0x3164, 0x3164},
	{0xD800, 0xF8FF},   {0xFDD0, 0xFDEF},   {0xFE00, 0xFE0F},    {0xFEFF, 0xFEFF},
	{0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB},   {0xFFFE, 0xFFFF},    {0x1BCA0, 0x1BCA3},
	{0x1D173, 0x1D17A}, {0x1FFFE, 0x1FFFF}, {0xE0000, 0x10FFFF},
};

static bool
is_shown(uint32_t c)
{
	for (size_t i = 0; i < sizeof(not_shown) / sizeof(not_shown[0]); i++)
	{
		if (c >= not_shown[i].first && c <= not_shown[i].last)
			return false;
	}
	return (c & 0xFFFE) != 0xFFFE; /* no character, in any plane */
}

static void
put_character(PgwBuf *b, uint32_t c)
{
	char plain = (char) c;

	if (c == '\t' || c == '\n' || c == '\r')
		pgw_buf_puts(b, " ");
	else if (!is_shown(c))
		pgw_buf_printf(b, "\\u{%X}", (unsigned) c);
	else if (c >= 0x80 || strchr("&<>\"'", plain) != NULL)
		pgw_buf_printf(b, "&#%u;", (unsigned) c);
	else
		pgw_buf_append(b, &plain, 1);
}

void
pgw_html_text(PgwBuf *b, const char *utf8, size_t max_chars)
{
	const unsigned char *s = (const unsigned char *) utf8;

	for (size_t n = 0; *s != '\0'; n++)
	{
		uint32_t c;
		size_t len = decode(s, &c);

		if (n == max_chars)
		{
			pgw_buf_puts(b, "&#8230;");
			return;
		}
		if (len > 0)
			put_character(b, c);
		else
			pgw_buf_printf(b, "\\x{%02X}", *s);
		s += len > 0 ? len : 1;
	}
}

void
pgw_html_element(PgwBuf *b, const char *name, const char *class_name, const char *text)
{
	if (class_name != NULL)
		pgw_buf_printf(b, "<%s class=\"%s\">", name, class_name);
	else
		pgw_buf_printf(b, "<%s>", name);
	pgw_html_text(b, text, PGW_HTML_CELL_CHARS);
	pgw_buf_printf(b, "</%s>\n", name);
}

/* ---------------------------------------------------------------- the page */

/*
 * Colours by role, for light and dark; each has a contrast of 4.5 to 1 or more on its ground.  No
 * meaning is in a colour alone: a status is a word, lines differ by their dashes.
 */
static const char style[] =
	":root{color-scheme:light dark;--ground:#fff;--text:#1b1f23;--faint:#57606a;--line:#d0d7de;"
	"--mark:#0b57d0;--second:#8a3b00;--ok:#1a6b2d;--warning:#7a4d00;--error:#b3001b;--code:#f3f4f6}\n"
	"@media(prefers-color-scheme:dark){:root{--ground:#14171a;--text:#e6e8ea;--faint:#a3adb7;"
	"--line:#3a424a;--mark:#8ab4f8;--second:#ffb77c;--ok:#7fd494;--warning:#f5c76a;--error:#ff9aa2;"
	"--code:#20252b}}\n"
	"*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--ground);"
	"color:var(--text);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
	"h1{font-size:1.5rem}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}"
	"h3{font-size:1rem;margin:1.25rem 0 .25rem}a{color:var(--mark)}nav a{margin-right:.75rem;display:inline-block}"
	".faint,figcaption,caption{color:var(--faint)}p{margin:.5rem 0}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}"
	"caption{text-align:left;padding:.25rem 0}th,td{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;"
	"border-bottom:1px solid var(--line);overflow-wrap:break-word;max-width:30rem}"
	"td:not([class]){overflow-wrap:anywhere;min-width:6.5rem}tbody th{max-width:14rem}"
	".number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.number+:not(.number){padding-left:1rem}\n"
	".ok{color:var(--ok)}.warning,.locked{color:var(--warning);font-weight:600}.error{color:var(--error);font-weight:700}\n"
	"code,pre{font:.85rem/1.45 ui-monospace,monospace;background:var(--code);border-radius:.25rem}"
	"code{padding:.05rem .2rem;overflow-wrap:anywhere}pre{padding:.5rem;margin:.25rem 0;white-space:pre-wrap;"
	"-webkit-user-select:all;user-select:all}"
	".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(8rem,1fr));gap:.75rem;padding:0;list-style:none}"
	"#summary,#checks{grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}.figures li{"
	"border:1px solid var(--line);border-radius:.5rem;padding:.5rem .75rem}.figures strong{display:block;font-size:1.4rem}\n"
	"article{border:1px solid var(--line);border-radius:.5rem;padding:0 .75rem .75rem;margin:.75rem 0}ol{padding-left:1.5rem}"
	"figure{margin:1rem 0}figure svg{display:block;width:100%;height:9rem;border:solid var(--line);border-width:1px 0}"
	"figure div{display:flex;justify-content:space-between;font-size:.85rem;color:var(--faint)}"
	".bars{fill:var(--mark)}.line,.dashes{fill:none;stroke:var(--mark);stroke-width:2;stroke-linecap:round;"
	"vector-effect:non-scaling-stroke}.dashes{stroke:var(--second);stroke-dasharray:6 5}"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .75rem;margin:.5rem 0}dt{color:var(--faint)}dd{margin:0}"
	"td code{display:inline-block;min-width:11rem}summary{cursor:pointer;padding:.25rem 0}"
	"figure .key{width:2.5rem;height:.75rem;display:inline-block;border:0;vertical-align:middle}\n"
	/* a table that is wider than a phone is as wide as its texts want, within reason: else they are
	   columns of single words */
	"@media(max-width:40rem){table{width:max-content;min-width:100%}th,td{max-width:16rem}}\n"
	"@media print{pre{border:1px solid var(--line)}}\n";

void
pgw_html_begin_page(PgwBuf *b, const char *title)
{
	pgw_buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
					"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
					"style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'\"/>\n"
					"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
					"<meta name=\"referrer\" content=\"no-referrer\"/>\n"
					"<meta name=\"robots\" content=\"noindex\"/>\n");
	pgw_html_element(b, "title", NULL, title);
	pgw_buf_puts(b, "<style>\n");
	pgw_buf_puts(b, style);
	pgw_buf_puts(b, "</style>\n</head>\n<body>\n<main>\n");
	pgw_html_element(b, "h1", NULL, title);
}

void
pgw_html_end_page(PgwBuf *b)
{
	pgw_buf_puts(b, "</main>\n</body>\n</html>\n");
}

void
pgw_html_begin_section(PgwBuf *b, const char *id, const char *heading)
{
	pgw_buf_printf(b, "<section id=\"%s\" aria-labelledby=\"%s-heading\">\n<h2 id=\"%s-heading\">",
				   id, id, id);
	pgw_html_text(b, heading, PGW_HTML_CELL_CHARS);
	pgw_buf_puts(b, "</h2>\n");
}

void
pgw_html_end_section(PgwBuf *b)
{
	pgw_buf_puts(b, "</section>\n");
}

/* ---------------------------------------------------------------- tables */

void
pgw_html_begin_table(PgwBuf *b, const char *id, const char *caption, const PgwHtmlColumn *columns,
					 size_t n)
{
	/* what scrolls must be reached by the keyboard, too */
	pgw_buf_printf(b, "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"");
	pgw_html_text(b, caption, PGW_HTML_CELL_CHARS);
	pgw_buf_printf(b, "\">\n<table id=\"%s\">\n", id);
	pgw_html_element(b, "caption", NULL, caption);
	pgw_buf_puts(b, "<thead><tr>");
	for (size_t i = 0; i < n; i++)
	{
		pgw_buf_printf(b, "<th scope=\"col\"%s>",
					   columns[i].cell == PGW_HTML_NUMBER ? " class=\"number\"" : "");
		pgw_html_text(b, columns[i].heading, PGW_HTML_CELL_CHARS);
		pgw_buf_puts(b, "</th>");
	}
	pgw_buf_puts(b, "</tr></thead>\n<tbody>\n");
}

/* The class of a status, which is one of ours or none. */
static const char *
status_class(const char *status)
{
	static const char *const classes[] = {"ok", "warning", "error", "locked"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
	{
		if (strcmp(status, classes[i]) == 0)
			return classes[i];
	}
	return NULL;
}

static void
put_cell(PgwBuf *b, PgwHtmlCell cell, bool heads_row, const char *text)
{
	const char *class_name = cell == PGW_HTML_NUMBER   ? "number"
							 : cell == PGW_HTML_STATUS ? status_class(text)
													   : NULL;
	bool code = cell == PGW_HTML_CODE && text[0] != '\0';

	pgw_buf_puts(b, heads_row ? "<th scope=\"row\"" : "<td");
	if (class_name != NULL)
		pgw_buf_printf(b, " class=\"%s\"", class_name);
	pgw_buf_puts(b, code ? "><code>" : ">");
	pgw_html_text(b, text, PGW_HTML_CELL_CHARS);
	pgw_buf_puts(b, code ? "</code>" : "");
	pgw_buf_puts(b, heads_row ? "</th>" : "</td>");
}

void
pgw_html_row(PgwBuf *b, const PgwHtmlColumn *columns, size_t n, const char *const *cells)
{
	pgw_buf_puts(b, "<tr>");
	for (size_t i = 0; i < n; i++)
		put_cell(b, columns[i].cell, i == 0, cells[i] != NULL ? cells[i] : "");
	pgw_buf_puts(b, "</tr>\n");
}

void
pgw_html_end_table(PgwBuf *b)
{
	pgw_buf_puts(b, "</tbody>\n</table>\n</div>\n");
}
