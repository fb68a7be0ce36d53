/*
 * metrics_shmem.h - layout of the counters in shared memory; private to metrics*.c
 */
#ifndef PGW_OBSERVE_METRICS_SHMEM_H
#define PGW_OBSERVE_METRICS_SHMEM_H

#include "postgres.h"
#include "port/atomics.h"

#include "core/base/histogram.h"
#include "core/state/state_machine.h"
#include "observe/metrics.h"
#include "observe/webhook_counters.h"

#define PGW_METRICS_BLOCKS 64
/*
 * The first two have no name, by livemode: attempts without a bank, and banks beyond the table.
 * Real money and tests are never counted together, so whatever is counted of payments and banks is
 * counted for each: an array of PGW_NMODES has the index livemode.
 */
#define PGW_NMODES 2
#define PGW_METRICS_BANKS (PGW_NMODES + 15)

/* How an attempt ended. */
typedef enum PgwAttemptEnd
{
	PGW_ATTEMPT_END_CAPTURED = 0,
	PGW_ATTEMPT_END_AUTHORIZED,
	PGW_ATTEMPT_END_COMPLETED,
	PGW_ATTEMPT_END_DECLINED,
	PGW_ATTEMPT_END_FAILED,
	PGW_ATTEMPT_END_GIVEN_BACK,
	PGW_ATTEMPT_END_IN_REVIEW,
	PGW_NATTEMPT_ENDS,
	PGW_ATTEMPT_NOT_ENDED
} PgwAttemptEnd;

/* How a bank call ended: PgwOutcome, then those without an answer. */
#define PGW_NOUTCOMES (PGW_OUT_NOT_FOUND + 1)
#define PGW_RESULT_NEVER_SENT PGW_NOUTCOMES
#define PGW_RESULT_NO_ANSWER (PGW_NOUTCOMES + 1)
#define PGW_NRESULTS (PGW_NOUTCOMES + 2)

/* A code's place in pgw_error_table(); the last: one that is not there. */
#define PGW_METRICS_ERRORS 128

typedef struct PgwTimes
{
	pg_atomic_uint64 sum_us;
	pg_atomic_uint64 counts[PGW_HISTOGRAM_BUCKETS];
} PgwTimes;

typedef struct PgwBankCounters
{
	char name[64];
	bool livemode; /* as long as there is a bank of that name */
	pg_atomic_uint64 ends[PGW_NKINDS][PGW_NATTEMPT_ENDS];
	pg_atomic_uint64 errors[PGW_METRICS_ERRORS]; /* of payments that were declined or failed */
	pg_atomic_uint64 calls[PGW_NOPS][PGW_NRESULTS];
	PgwTimes call_times[PGW_NOPS];
	pg_atomic_uint64 last_success; /* TimestampTz */
	pg_atomic_uint64 last_failure;
	pg_atomic_uint64 failures;             /* since the last success */
	pg_atomic_uint64 credentials_rejected; /* TimestampTz; 0: not since the last success */
	pg_atomic_uint32 secret_fault;
	pg_atomic_uint32 clock_seen;  /* 0: never */
	pg_atomic_uint64 clock_ahead; /* seconds, an int64 */
	pg_atomic_uint64 notifications[PGW_NNOTIFICATION_VERDICTS];
} PgwBankCounters;

/* The first has no name: endpoints of webhooks beyond the table. */
#define PGW_METRICS_ENDPOINTS (1 + 32)

typedef struct PgwEndpointCounters
{
	char name[64];
	pg_atomic_uint64 results[PGW_NWEBHOOK_RESULTS];
} PgwEndpointCounters;

/* All that follows the owner is zero when claimed. */
typedef struct PgwCounters
{
	pg_atomic_uint32 dboid;
	pg_atomic_uint32 nbanks;
	TimestampTz since;
	pg_atomic_uint64 events[PGW_NMODES][PGW_NEVENTS];
	pg_atomic_uint64 resolved;
	pg_atomic_uint64 asked;
	pg_atomic_uint64 done;
	pg_atomic_uint64 scans;
	pg_atomic_uint64 looked_at;
	pg_atomic_uint64 all_calls;
	PgwTimes times[PGW_NMODES][PGW_NKINDS][PGW_NATTEMPT_ENDS];
	PgwBankCounters banks[PGW_METRICS_BANKS];
	pg_atomic_uint64 webhooks_turned_at; /* TimestampTz; 0: never */
	pg_atomic_uint32 nendpoints;         /* that have a name */
	PgwEndpointCounters endpoints[PGW_METRICS_ENDPOINTS];
} PgwCounters;

/* My database's counters, claimed if need be; NULL: there are none for it. */
extern PgwCounters *pgw_metrics_my_counters(void);

/* Index of that bank, 0: none of that name is counted. */
extern int pgw_metrics_find_bank(PgwCounters *b, const char *name);

#endif
