/*
 * bank_share.c - what of a bank's limits is this shard's, where several share the bank
 *
 * Owns nothing.
 */
#include "core/pacing/bank_share.h"

#include "core/base/clamp.h"
#include "core/base/mutant.h"

static int64_t
number_of(int shards)
{
	return PGW_MUTATED(SHARD_SHARE) ? 1 : pgw_clamp(shards, 1, PGW_BANK_SHARDS_MAX);
}

int
pgw_bank_share_in_flight(int limit, int shards)
{
	return limit <= 0 ? limit : (int) pgw_clamp(limit / number_of(shards), 1, limit);
}

int
pgw_bank_share_failures(int limit, int shards)
{
	int64_t n = PGW_MUTATED(SHARD_FAILURES) ? 1 : number_of(shards);

	return (int) pgw_clamp((limit + n - 1) / n, limit < 2 ? limit : 2, limit);
}
