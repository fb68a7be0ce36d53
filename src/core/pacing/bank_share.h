/*
 * bank_share.h - what of a bank's limits is this shard's, where several share the bank
 *
 * None knows what the others do, so each keeps to its part.  Of anything there is always one.
 */
#ifndef PGW_CORE_PACING_BANK_SHARE_H
#define PGW_CORE_PACING_BANK_SHARE_H

#define PGW_BANK_SHARDS_MAX 1024

/*
 * Of so many requests that may be under way: rounded down, so that all shards together have no more
 * than the limit, unless there are more shards than requests.  0: no limit.
 */
extern int pgw_bank_share_in_flight(int limit, int shards);

/*
 * After so many failures in a row the bank is left alone: rounded up, and a single failure is still
 * no outage where it would not be without shards.
 */
extern int pgw_bank_share_failures(int limit, int shards);

#endif
