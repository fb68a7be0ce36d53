/*
 * histogram.h - durations in buckets that grow by a constant factor, and quantiles read from them
 *
 * Bucket 0 holds what is shorter than 0.1 ms; the n-th after it reaches from 0.1 ms * 2^((n-1)/4)
 * to the next, the last one to the end of time (0.1 ms * 2^31.5 is about three and a half days).  A
 * quantile is told as the geometric middle of its bucket: at most 9.1 % off. Pure: where the counts
 * are kept is the caller's business.
 */
#ifndef PGW_CORE_BASE_HISTOGRAM_H
#define PGW_CORE_BASE_HISTOGRAM_H

#include <stdint.h>

#define PGW_HISTOGRAM_BUCKETS 128

extern int pgw_histogram_bucket(int64_t us);

/* The q-quantile (0 < q <= 1) in seconds; -1: nothing was counted. */
extern double pgw_histogram_quantile(const uint64_t counts[PGW_HISTOGRAM_BUCKETS], double q);

#endif
