/*
 * histogram.c - see histogram.h
 */
#include "core/base/histogram.h"

/* Narrow where calls of banks end, and where somebody may have promised a time. */
static const struct
{
	int64_t us;
	const char *seconds;
} bounds[PGW_HISTOGRAM_BUCKETS] = {
	{1000, "0.001"},    {2000, "0.002"},      {5000, "0.005"},     {10000, "0.01"},
	{20000, "0.02"},    {50000, "0.05"},      {100000, "0.1"},     {200000, "0.2"},
	{300000, "0.3"},    {500000, "0.5"},      {750000, "0.75"},    {1000000, "1"},
	{1500000, "1.5"},   {2000000, "2"},       {3000000, "3"},      {5000000, "5"},
	{10000000, "10"},   {20000000, "20"},     {30000000, "30"},    {60000000, "60"},
	{300000000, "300"}, {3600000000, "3600"}, {INT64_MAX, "+Inf"},
};

int
pgw_histogram_bucket(int64_t us)
{
	int n = 0;

	while (us > bounds[n].us)
		n++;
	return n;
}

const char *
pgw_histogram_bound(int bucket)
{
	return bounds[bucket].seconds;
}
