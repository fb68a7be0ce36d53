/*
 * histogram.h - durations in buckets with the bounds that a reader of metrics can use
 *
 * The bounds are few and round, as each is a series of its own wherever metrics are kept.  Pure:
 * where the counts are kept is the caller's business.
 */
#ifndef PGW_CORE_BASE_HISTOGRAM_H
#define PGW_CORE_BASE_HISTOGRAM_H

#include <stdint.h>

/* The last one has no bound. */
#define PGW_HISTOGRAM_BUCKETS 23

/* The first bucket whose bound is not less. */
extern int pgw_histogram_bucket(int64_t us);

/* Its bound in seconds, as the label `le` has it: "0.005" ... "+Inf". */
extern const char *pgw_histogram_bound(int bucket);

#endif
