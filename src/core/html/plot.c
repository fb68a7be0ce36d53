/*
 * plot.c - values over time as an SVG within a page
 *
 * Owns nothing.  Coordinates are whole numbers on a field of WIDTH by HEIGHT, which is stretched to
 * where it stands; lines keep their width.
 */
#include "core/html/plot.h"

#include <math.h>
#include <stdbool.h>

#include "core/html/html.h"

#define WIDTH 1200
#define HEIGHT 240

static double
largest(const PgwPlot *plot)
{
	double max = 0;

	for (size_t s = 0; s < plot->n_series; s++)
	{
		for (size_t i = 0; i < plot->n_points; i++)
		{
			/* a NAN is not greater */
			if (plot->series[s].values[i] > max)
				max = plot->series[s].values[i];
		}
	}
	return max;
}

double
pgw_plot_top(const PgwPlot *plot)
{
	double max = largest(plot);
	double top = 1;

	if (max <= 0 || !isfinite(max))
		return 1;
	while (top < max)
		top *= 10;
	while (top / 10 >= max && top > 1e-6)
		top /= 10;
	return top / 5 >= max ? top / 5 : top / 2 >= max ? top / 2 : top;
}

static int
y_of(double value, double top)
{
	double y = HEIGHT - value / top * HEIGHT;

	return y < 0 ? 0 : (int) (y + 0.5);
}

/* Where nothing was there is no bar; what is not nothing is seen. */
static void
put_bars(PgwBuf *b, const PgwPlot *plot, const double *values, double top)
{
	for (size_t i = 0; i < plot->n_points; i++)
	{
		int left = (int) (i * WIDTH / plot->n_points);
		int right = (int) ((i + 1) * WIDTH / plot->n_points);
		int y;

		if (!(values[i] > 0))
			continue;
		y = y_of(values[i], top);
		pgw_buf_printf(b, "M%d %dV%dH%dV%dZ", left, HEIGHT, y < HEIGHT ? y : HEIGHT - 1,
					   right - left > 2 ? right - 2 : right, HEIGHT);
	}
}

/* Through the middles of the intervals, with a gap where nothing was, and a dot between two gaps.
 */
static void
put_line(PgwBuf *b, const PgwPlot *plot, const double *values, double top)
{
	bool drawing = false;

	for (size_t i = 0; i < plot->n_points; i++)
	{
		if (!isfinite(values[i]))
		{
			drawing = false;
			continue;
		}
		pgw_buf_printf(b, "%c%d %d", drawing ? 'L' : 'M',
					   (int) ((2 * i + 1) * WIDTH / (2 * plot->n_points)), y_of(values[i], top));
		if (!drawing)
			pgw_buf_puts(b, "h6");
		drawing = true;
	}
}

static const char *
class_of(PgwPlotStyle style)
{
	return style == PGW_PLOT_BARS ? "bars" : style == PGW_PLOT_LINE ? "line" : "dashes";
}

/* Which line is which: a piece of it before its name. */
static void
put_caption(PgwBuf *b, const PgwPlot *plot)
{
	pgw_buf_puts(b, "<figcaption>");
	pgw_html_text(b, plot->title, PGW_HTML_CELL_CHARS);
	for (size_t s = 0; s < plot->n_series && plot->n_series > 1; s++)
	{
		pgw_buf_printf(b,
					   "%s <svg class=\"key\" aria-hidden=\"true\" viewBox=\"0 0 40 12\">"
					   "<path class=\"%s\" d=\"M2 6H38\"/></svg> ",
					   s == 0 ? ":" : ",", class_of(plot->series[s].style));
		pgw_html_text(b, plot->series[s].name, PGW_HTML_CELL_CHARS);
	}
	pgw_buf_puts(b, "</figcaption>\n");
}

void
pgw_html_plot(PgwBuf *b, const PgwPlot *plot)
{
	double top = pgw_plot_top(plot);

	pgw_buf_puts(b, "<figure>\n");
	put_caption(b, plot);
	pgw_buf_printf(b, "<div><span>%.6g%s%s</span></div>\n", top, plot->unit[0] != '\0' ? " " : "",
				   plot->unit);
	pgw_buf_printf(b,
				   "<svg role=\"img\" aria-labelledby=\"%s-title %s-desc\" viewBox=\"0 0 %d %d\" "
				   "preserveAspectRatio=\"none\">\n<title id=\"%s-title\">",
				   plot->id, plot->id, WIDTH, HEIGHT, plot->id);
	pgw_html_text(b, plot->title, PGW_HTML_CELL_CHARS);
	pgw_buf_printf(b, "</title>\n<desc id=\"%s-desc\">", plot->id);
	pgw_buf_printf(b, "%zu intervals from ", plot->n_points);
	pgw_html_text(b, plot->from, PGW_HTML_CELL_CHARS);
	pgw_buf_puts(b, " to ");
	pgw_html_text(b, plot->to, PGW_HTML_CELL_CHARS);
	pgw_buf_printf(b, "; the highest value is %.6g%s%s. The table below has them all.</desc>\n",
				   largest(plot), plot->unit[0] != '\0' ? " " : "", plot->unit);
	for (size_t s = 0; s < plot->n_series; s++)
	{
		const PgwPlotSeries *series = &plot->series[s];

		pgw_buf_printf(b, "<path class=\"%s\" d=\"", class_of(series->style));
		if (series->style == PGW_PLOT_BARS)
			put_bars(b, plot, series->values, top);
		else
			put_line(b, plot, series->values, top);
		pgw_buf_puts(b, "\"/>\n");
	}
	pgw_buf_puts(b, "</svg>\n<div><span>");
	pgw_html_text(b, plot->from, PGW_HTML_CELL_CHARS);
	pgw_buf_puts(b, "</span><span>");
	pgw_html_text(b, plot->to, PGW_HTML_CELL_CHARS);
	pgw_buf_puts(b, "</span></div>\n</figure>\n");
}
