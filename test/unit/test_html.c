/*
 * test_html.c - whatever a text holds, in a page it is a text and can be seen; plots have the right
 * height
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

#include "core/html/html.h"
#include "core/html/plot.h"
#include "random.h"

static char *
shown(const char *text, size_t max_chars)
{
	static char copy[65536];
	PgwBuf b;

	pgw_buf_init(&b, sizeof(copy) - 1);
	pgw_html_text(&b, text, max_chars);
	assert_false(b.failed);
	strcpy(copy, b.data != NULL ? b.data : "");
	pgw_buf_free(&b);
	return copy;
}

static void
markup_is_text(void **state)
{
	assert_string_equal(shown("<script>alert(1)</script>", 100),
						"&#60;script&#62;alert(1)&#60;/script&#62;");
	assert_string_equal(shown("\"'&", 100), "&#34;&#39;&#38;");
	assert_string_equal(shown("&lt;", 100), "&#38;lt;");
	assert_string_equal(shown("plain text - 0;", 100), "plain text - 0;");
	assert_string_equal(shown("", 100), "");
}

/* ASCII comes out, in whatever encoding the page is then kept. */
static void
other_characters_are_ascii(void **state)
{
	assert_string_equal(shown("Zo\xC3\xAB \xE2\x82\xAC", 100), "Zo&#235; &#8364;");
	assert_string_equal(shown("\xF0\x9F\x92\xB3", 100), "&#128179;");
}

static void
what_cannot_be_seen_is_told(void **state)
{
	assert_string_equal(shown("a\x01\x1B[2Jb\x7F", 100), "a\\u{1}\\u{1B}[2Jb\\u{7F}");
	assert_string_equal(shown("\xC2\x85", 100), "\\u{85}"); /* a C1 control */
	assert_string_equal(shown("\xE2\x80\xAE"
							  "cba",
							  100),
						"\\u{202E}cba"); /* right to left */
	assert_string_equal(shown("\xE2\x81\xA6", 100), "\\u{2066}");
	assert_string_equal(shown("\xD8\x9C", 100), "\\u{61C}");
	assert_string_equal(shown("a\xE2\x80\x8B"
							  "b",
							  100),
						"a\\u{200B}b"); /* without a width */
	assert_string_equal(shown("\xEF\xBB\xBF", 100), "\\u{FEFF}");
	assert_string_equal(shown("\xF3\xA0\x81\x81", 100), "\\u{E0041}"); /* a tag */
	assert_string_equal(shown("\xF0\x9F\xBF\xBF", 100), "\\u{1FFFF}"); /* no character */
	assert_string_equal(shown("one\ntwo\tthree\r", 100), "one two three ");
}

static void
no_utf8_is_shown_as_bytes(void **state)
{
	assert_string_equal(shown("\xFF<\xC3", 100), "\\x{FF}&#60;\\x{C3}");
	assert_string_equal(shown("\xC0\xBC", 100), "\\x{C0}\\x{BC}");            /* an overlong < */
	assert_string_equal(shown("\xE0\x80\xBC", 100), "\\x{E0}\\x{80}\\x{BC}"); /* and a longer one */
	assert_string_equal(shown("\xED\xA0\x80", 100), "\\x{ED}\\x{A0}\\x{80}"); /* a surrogate */
	assert_string_equal(shown("\xF4\x90\x80\x80", 100), "\\x{F4}\\x{90}\\x{80}\\x{80}");
	assert_string_equal(shown("\xE2\x82", 100), "\\x{E2}\\x{82}"); /* ends too early */
}

static void
long_texts_end(void **state)
{
	char text[10001];

	assert_string_equal(shown("abc", 3), "abc");
	assert_string_equal(shown("abcd", 3), "abc&#8230;");
	assert_string_equal(shown("\xE2\x82\xAC\xE2\x82\xAC", 1), "&#8364;&#8230;");
	memset(text, '<', 10000);
	text[10000] = '\0';
	assert_int_equal(strlen(shown(text, 400)), 400 * 5 + 7);
}

/* Of whatever bytes nothing comes out but printable ASCII without <, >, and quotes. */
static void
any_bytes(void **state)
{
	seed = 20261128;
	for (int i = 0; i < 20000; i++)
	{
		char text[33];

		for (int n = 0; n < 32; n++)
			text[n] = (char) any(256);
		text[32] = '\0';
		for (const char *s = shown(text, 100); *s != '\0'; s++)
		{
			assert_true(*s >= ' ' && *s <= '~');
			assert_null(strchr("<>\"'", *s));
			assert_true(*s != '&' || s[1] == '#');
		}
	}
}

static const char *
page_of(void (*put)(PgwBuf *b))
{
	static char copy[65536];
	PgwBuf b;

	pgw_buf_init(&b, sizeof(copy) - 1);
	put(&b);
	assert_false(b.failed);
	strcpy(copy, b.data);
	pgw_buf_free(&b);
	return copy;
}

static void
put_table(PgwBuf *b)
{
	static const PgwHtmlColumn columns[] = {{"Bank <1>", PGW_HTML_TEXT},
											{"Status", PGW_HTML_STATUS},
											{"Number", PGW_HTML_NUMBER},
											{"Details", PGW_HTML_CODE}};
	static const char *const first[] = {"a", "error", "1", "{}"};
	static const char *const second[] = {"b", "\"onload=", NULL, NULL};

	pgw_html_begin_table(b, "t", "Rows", columns, 4);
	pgw_html_row(b, columns, 4, first);
	pgw_html_row(b, columns, 4, second);
	pgw_html_end_table(b);
}

static void
tables(void **state)
{
	const char *html = page_of(put_table);

	assert_non_null(strstr(html,
						   "<table id=\"t\">\n<caption>Rows</caption>\n<thead><tr>"
						   "<th scope=\"col\">Bank &#60;1&#62;</th><th scope=\"col\">Status</th>"
						   "<th scope=\"col\" class=\"number\">Number</th>"));
	assert_non_null(strstr(html, "<tr><th scope=\"row\">a</th><td class=\"error\">error</td>"
								 "<td class=\"number\">1</td><td><code>{}</code></td></tr>"));
	/* a status that is none of ours is no class */
	assert_non_null(strstr(html, "<tr><th scope=\"row\">b</th><td>&#34;onload=</td>"
								 "<td class=\"number\"></td><td></td></tr>"));
}

static double
top_of(double a, double b)
{
	const double values[] = {a, b};
	const PgwPlotSeries series = {"s", PGW_PLOT_LINE, values};
	const PgwPlot plot = {.n_points = 2, .n_series = 1, .series = &series};

	return pgw_plot_top(&plot);
}

static void
the_scale_ends_at_a_round_number(void **state)
{
	assert_true(fabs(top_of(0, 3) - 5) < 1e-9);
	assert_true(fabs(top_of(5, 3) - 5) < 1e-9);
	assert_true(fabs(top_of(5.01, NAN) - 10) < 1e-9);
	assert_true(fabs(top_of(1, NAN) - 1) < 1e-9);
	assert_true(fabs(top_of(123456, 1) - 200000) < 1e-3);
	assert_true(fabs(top_of(0.0123, 0) - 0.02) < 1e-9);
	assert_true(fabs(top_of(0, 0) - 1) < 1e-9);
	assert_true(fabs(top_of(NAN, NAN) - 1) < 1e-9);
	for (double v = 1e-5; v < 1e12; v *= 1.37)
		assert_true(top_of(v, 0) >= v * (1 - 1e-9) && top_of(v, 0) <= v * 2.5 + 1e-6);
}

static void
put_plot(PgwBuf *b)
{
	static const double bars[] = {0, 10, 5, 0.001};
	static const double line[] = {NAN, 5, NAN, 10};
	static const PgwPlotSeries series[] = {{"n <1>", PGW_PLOT_BARS, bars},
										   {"t", PGW_PLOT_DASHES, line}};
	static const PgwPlot plot = {.id = "p",
								 .title = "A & B",
								 .unit = "s",
								 .from = "then",
								 .to = "now",
								 .n_points = 4,
								 .n_series = 2,
								 .series = series};

	pgw_html_plot(b, &plot);
}

/* The field is 1200 wide and 240 high, with 0 at its foot. */
static void
plots(void **state)
{
	const char *html = page_of(put_plot);

	/* nothing for 0, all of it for the top, half of it for half, and what is hardly anything is
	 * seen */
	assert_non_null(strstr(html, "<path class=\"bars\" d=\"M300 240V0H598V240ZM600 240V120H898V240Z"
								 "M900 240V239H1198V240Z\"/>"));
	/* no line over a gap */
	assert_non_null(strstr(html, "<path class=\"dashes\" d=\"M450 120h6M1050 0h6\"/>"));
	assert_non_null(strstr(html, "<svg role=\"img\" aria-labelledby=\"p-title p-desc\""));
	assert_non_null(strstr(html, "<title id=\"p-title\">A &#38; B</title>"));
	assert_non_null(strstr(html, "<desc id=\"p-desc\">4 intervals from then to now; the highest "
								 "value is 10 s."));
	assert_non_null(strstr(html, "n &#60;1&#62;"));
	assert_non_null(strstr(html, "<span>10 s</span>"));
}

static void
put_whole_page(PgwBuf *b)
{
	pgw_html_begin_page(b, "pgw: <shop>");
	pgw_html_begin_section(b, "s", "One");
	pgw_html_end_section(b);
	pgw_html_end_page(b);
}

static void
pages_load_nothing(void **state)
{
	const char *html = page_of(put_whole_page);

	assert_int_equal(strncmp(html, "<!DOCTYPE html>\n", 16), 0);
	assert_non_null(strstr(html, "default-src 'none'; style-src 'unsafe-inline'"));
	assert_non_null(strstr(html, "<title>pgw: &#60;shop&#62;</title>"));
	assert_null(strstr(html, "http:"));
	assert_null(strstr(html, "https:"));
	assert_null(strstr(html, "url("));
	assert_null(strstr(html, "@import"));
	assert_null(strstr(html, "<link"));
	assert_null(strstr(html, "<script"));
	assert_null(strstr(html, " src="));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(markup_is_text),
		cmocka_unit_test(other_characters_are_ascii),
		cmocka_unit_test(what_cannot_be_seen_is_told),
		cmocka_unit_test(no_utf8_is_shown_as_bytes),
		cmocka_unit_test(long_texts_end),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(tables),
		cmocka_unit_test(the_scale_ends_at_a_round_number),
		cmocka_unit_test(plots),
		cmocka_unit_test(pages_load_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
