/*
 * line_rate.h - how many lines of one cause a log gets: a bank that is down for an hour must not
 * fill a disk
 *
 * Of each cause PGW_LINES_A_MINUTE in a minute, which begins with the first of them; the next line
 * after that says how many were left out.  What has no place of its own shares the last one.
 *
 * Pure; plain data, because all processes share it.
 */
#ifndef PGW_CORE_PACING_LINE_RATE_H
#define PGW_CORE_PACING_LINE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define PGW_LINES_A_MINUTE 10
#define PGW_LINE_CAUSES 128

typedef struct PgwLineCause
{
	uint64_t key; /* 0: free */
	int64_t since_us;
	uint32_t written;  /* since then */
	uint64_t left_out; /* ... and not told of yet */
} PgwLineCause;

/* Zeroed: nothing was written yet. */
typedef struct PgwLineRates
{
	PgwLineCause causes[PGW_LINE_CAUSES];
} PgwLineRates;

/* May this line be written?  If so, *left_out others of its cause were not before it. */
extern bool pgw_line_due(PgwLineRates *r, uint64_t key, int64_t now_us, uint64_t *left_out);

#endif
