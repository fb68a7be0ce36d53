/*
 * plot.h - values over time as an SVG within a page
 *
 * The drawing holds no text: what is written at its edges is HTML beside it, which keeps its size
 * on a phone.  A table with the same values belongs to each plot, for who cannot see it.
 */
#ifndef PGW_CORE_HTML_PLOT_H
#define PGW_CORE_HTML_PLOT_H

#include "core/base/buf.h"

typedef enum PgwPlotStyle
{
	PGW_PLOT_BARS,
	PGW_PLOT_LINE,
	PGW_PLOT_DASHES
} PgwPlotStyle;

typedef struct PgwPlotSeries
{
	const char *name;
	PgwPlotStyle style;
	const double *values; /* none is negative; NAN: there is none */
} PgwPlotSeries;

typedef struct PgwPlot
{
	const char *id;    /* our own word */
	const char *title; /* what is plotted */
	const char *unit;  /* "" or "s" */
	const char *from;  /* the times at the edges */
	const char *to;
	size_t n_points;
	size_t n_series;
	const PgwPlotSeries *series;
} PgwPlot;

extern void pgw_html_plot(PgwBuf *b, const PgwPlot *plot);

/* 1, 2 or 5 times a power of ten that no value exceeds; 1 where there is nothing to show. */
extern double pgw_plot_top(const PgwPlot *plot);

#endif
