/*
 * histogram.c - see histogram.h
 */
#include "core/base/histogram.h"

#define SHORTEST_US 100
#define BUCKETS_PER_DOUBLING 4

/* 2^(n/4), and 2^((n + 1/2)/4) */
static const double lower[BUCKETS_PER_DOUBLING] = {1.0, 1.189207115002721, 1.414213562373095,
												   1.681792830507429};
static const double middle[BUCKETS_PER_DOUBLING] = {1.090507732665258, 1.296839554651010,
													1.542210825407941, 1.834008086409342};

int
pgw_histogram_bucket(int64_t us)
{
	int doublings;
	int n;
	double rest;

	if (us < SHORTEST_US)
		return 0;
	doublings = 63 - __builtin_clzll((unsigned long long) (us / SHORTEST_US));
	rest = (double) us / SHORTEST_US / (double) (UINT64_C(1) << doublings);
	n = 1 + doublings * BUCKETS_PER_DOUBLING;
	for (int i = 1; i < BUCKETS_PER_DOUBLING && rest >= lower[i]; i++)
		n++;
	return n < PGW_HISTOGRAM_BUCKETS ? n : PGW_HISTOGRAM_BUCKETS - 1;
}

/* Of bucket 0 half its width: it has no lower end to take a geometric middle with. */
static double
middle_s(int bucket)
{
	if (bucket == 0)
		return SHORTEST_US / 2e6;
	return SHORTEST_US / 1e6 * (double) (UINT64_C(1) << ((bucket - 1) / BUCKETS_PER_DOUBLING)) *
		   middle[(bucket - 1) % BUCKETS_PER_DOUBLING];
}

double
pgw_histogram_quantile(const uint64_t counts[PGW_HISTOGRAM_BUCKETS], double q)
{
	uint64_t total = 0;
	uint64_t seen = 0;

	for (int i = 0; i < PGW_HISTOGRAM_BUCKETS; i++)
		total += counts[i];
	if (total == 0)
		return -1;
	for (int i = 0; i < PGW_HISTOGRAM_BUCKETS; i++)
	{
		seen += counts[i];
		if (seen > 0 && (double) seen >= q * (double) total)
			return middle_s(i);
	}
	return middle_s(PGW_HISTOGRAM_BUCKETS - 1);
}
