/*
 * metrics.c - what pgw counts, per database, in shared memory since the server's start
 *
 * Owns: the counters, pgw.refund_stuck_after.
 *
 * What a transaction writes is kept in a list of this process until the transaction is over: at its
 * commit the list is added to the counters (atomic additions, no lock), at a rollback it is
 * dropped, at a rollback to a savepoint its tail is.  PREPARE TRANSACTION counts as a commit,
 * because COMMIT PREPARED may come from any process: what is rolled back after that stays counted.
 *
 * Invariants
 *     - A block belongs to one database; a process looks at the block's owner before each use,
 *       because a block whose database has gone is given to another when there is no free one.
 *     - Claims of blocks and of banks in them are made under the lock, in the transaction that
 *       first needs them; nothing at commit can fail.
 *     - A bank's name is complete before the number of banks covers it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/shared_memory.h"
#include "core/base/error_codes.h"
#include "exchange/exchange_status.h"
#include "observe/metrics_shmem.h"
#include "store/events.h"
#include "store/tables.h"

#define FIRST_RECORDS 64
#define KEEP_RECORDS 4096

/* One event (counted `count` times), or one end. */
typedef struct Record
{
	SubTransactionId subid;
	uint32 count;
	bool is_end;
	bool resolved;
	bool livemode;
	uint8 event;
	uint8 kind;
	uint8 end;
	uint8 bank;
	uint8 error; /* end: declined or failed */
	int64 us;    /* is_end: since the call */
} Record;

int pgw_refund_stuck_after = 30 * 60;

static PgwCounters *blocks = NULL;
static LWLock *claim_lock = NULL;
static PgwCounters *mine = NULL;

static Record *records = NULL;
static size_t nrecords = 0;
static size_t records_room = 0;

/* ---------------------------------------------------------------- memory */

static Size
blocks_size(void)
{
	return mul_size(PGW_METRICS_BLOCKS, sizeof(PgwCounters));
}

/* Only the owners: a block is zeroed when it is claimed, so that unused ones take no memory. */
static void
attach(void *area, bool created, LWLock *lock)
{
	blocks = area;
	claim_lock = lock;
	for (int i = 0; created && i < PGW_METRICS_BLOCKS; i++)
		pg_atomic_init_u32(&blocks[i].dboid, InvalidOid);
}

static const PgwSharedArea blocks_area = {"pgw metrics", blocks_size, attach};

static PgwCounters *
find_block(Oid dboid)
{
	for (int i = 0; i < PGW_METRICS_BLOCKS; i++)
	{
		if (pg_atomic_read_u32(&blocks[i].dboid) == dboid)
			return &blocks[i];
	}
	return NULL;
}

/* One that is free, or whose database has gone. */
static PgwCounters *
block_to_claim(void)
{
	PgwCounters *block = find_block(InvalidOid);
	/* an analyser cannot know that no call below changes it */
	PgwCounters *const all = blocks;

	Assert(LWLockHeldByMeInMode(claim_lock, LW_EXCLUSIVE));
	for (int i = 0; block == NULL && i < PGW_METRICS_BLOCKS; i++)
	{
		PgwExchangeStatus status;

		pgw_exchange_status(pg_atomic_read_u32(&all[i].dboid), &status);
		if (strcmp(status.worker_state, "none") == 0)
			block = &all[i];
	}
	return block;
}

PgwCounters *
pgw_metrics_my_counters(void)
{
	if (blocks == NULL)
		return NULL;
	if (mine != NULL && pg_atomic_read_u32(&mine->dboid) == MyDatabaseId)
		return mine;
	mine = find_block(MyDatabaseId);
	if (mine != NULL)
		return mine;

	LWLockAcquire(claim_lock, LW_EXCLUSIVE);
	mine = find_block(MyDatabaseId);
	if (mine == NULL && (mine = block_to_claim()) != NULL)
	{
		pg_atomic_write_u32(&mine->dboid, InvalidOid);
		memset((char *) mine + sizeof(mine->dboid), 0, sizeof(PgwCounters) - sizeof(mine->dboid));
		pg_atomic_write_u32(&mine->nbanks, PGW_NMODES);
		mine->banks[true].livemode = true;
		mine->since = GetCurrentTimestamp();
		pg_write_barrier();
		pg_atomic_write_u32(&mine->dboid, MyDatabaseId);
	}
	LWLockRelease(claim_lock);
	return mine;
}

int
pgw_metrics_find_bank(PgwCounters *b, const char *name)
{
	uint32 n = pg_atomic_read_u32(&b->nbanks);

	pg_read_barrier();
	for (uint32 i = PGW_NMODES; i < n; i++)
	{
		if (strcmp(b->banks[i].name, name) == 0)
			return (int) i;
	}
	return 0;
}

/* livemode: the bank's, which never changes while there is one of that name. */
static int
bank_index(PgwCounters *b, const char *name, bool livemode)
{
	int i;

	if (name == NULL || name[0] == '\0')
		return livemode;
	i = pgw_metrics_find_bank(b, name);
	if (i > 0)
		return i;
	if (pg_atomic_read_u32(&b->nbanks) == PGW_METRICS_BANKS)
		return livemode;
	LWLockAcquire(claim_lock, LW_EXCLUSIVE);
	i = pgw_metrics_find_bank(b, name);
	if (i == 0 && pg_atomic_read_u32(&b->nbanks) < PGW_METRICS_BANKS)
	{
		i = (int) pg_atomic_read_u32(&b->nbanks);
		strlcpy(b->banks[i].name, name, sizeof(b->banks[i].name));
		b->banks[i].livemode = livemode;
		pg_write_barrier();
		pg_atomic_write_u32(&b->nbanks, i + 1);
	}
	LWLockRelease(claim_lock);
	return i > 0 ? i : livemode;
}

static void
count(pg_atomic_uint64 *counter, uint64 n)
{
	(void) pg_atomic_fetch_add_u64(counter, (int64) n);
}

static void
count_time(PgwTimes *h, int64 us)
{
	count(&h->sum_us, (uint64) us);
	count(&h->counts[pgw_histogram_bucket(us)], 1);
}

/* ---------------------------------------------------------------- what a transaction writes */

static void
forget_records(void)
{
	nrecords = 0;
	if (records_room > KEEP_RECORDS)
	{
		pfree(records);
		records = NULL;
		records_room = 0;
	}
}

/* Those whose code is counted. */
static bool
is_error(int kind, int end)
{
	return kind == PGW_KIND_PAYMENT &&
		   (end == PGW_ATTEMPT_END_DECLINED || end == PGW_ATTEMPT_END_FAILED);
}

static void
count_records(void)
{
	PgwCounters *b = mine;

	/* claimed when the first record was made; another database's by now only if this one is gone */
	if (b == NULL || pg_atomic_read_u32(&b->dboid) != MyDatabaseId)
		return;
	for (size_t i = 0; i < nrecords; i++)
	{
		const Record *r = &records[i];

		if (r->is_end)
		{
			count(&b->banks[r->bank].ends[r->kind][r->end], 1);
			if (is_error(r->kind, r->end))
				count(&b->banks[r->bank].errors[r->error], 1);
			count_time(&b->times[r->livemode][r->kind][r->end], r->us);
		}
		else
			count(&b->events[r->livemode][r->event], r->count);
		if (r->resolved)
			count(&b->resolved, 1);
	}
}

static void
at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			if (nrecords > 0)
				count_records();
			forget_records();
			break;
		case XACT_EVENT_ABORT:
			forget_records();
			break;
		default:
			break;
	}
}

/*
 * Subtransaction ids only grow: all that was recorded since this one began, by itself or below it,
 * stands at the end and has no lower id.
 */
static void
at_subxact_end(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
			   void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (nrecords > 0 && records[nrecords - 1].subid >= mySubid)
		nrecords--;
}

static Record *
new_record(bool livemode)
{
	Record *r;

	if (records == NULL)
	{
		static bool registered = false;

		if (!registered)
		{
			RegisterXactCallback(at_xact_end, NULL);
			RegisterSubXactCallback(at_subxact_end, NULL);
			registered = true;
		}
		records = MemoryContextAlloc(TopMemoryContext, FIRST_RECORDS * sizeof(Record));
		records_room = FIRST_RECORDS;
	}
	else if (nrecords == records_room)
	{
		records = repalloc_huge(records, 2 * records_room * sizeof(Record));
		records_room *= 2;
	}
	r = &records[nrecords++];
	memset(r, 0, sizeof(*r));
	r->subid = GetCurrentSubTransactionId();
	r->count = 1;
	r->livemode = livemode;
	return r;
}

static void
record_event(PgwEventType type, bool livemode)
{
	Record *last = nrecords > 0 ? &records[nrecords - 1] : NULL;

	/* thousands of submits in one transaction take one record */
	if (last != NULL && !last->is_end && last->event == type && last->livemode == livemode &&
		last->subid == GetCurrentSubTransactionId())
		last->count++;
	else
		new_record(livemode)->event = (uint8) type;
}

static PgwAttemptEnd
end_of(const PgwAttempt *attempt)
{
	switch (attempt->status)
	{
		case PGW_COMPLETED:
			if (attempt->kind != PGW_KIND_PAYMENT)
				return PGW_ATTEMPT_END_COMPLETED;
			return attempt->capture == PGW_CAPTURE_MANUAL ? PGW_ATTEMPT_END_AUTHORIZED
														  : PGW_ATTEMPT_END_CAPTURED;
		case PGW_FAILED:
			return pgw_error_is_decline(attempt->error_code) ? PGW_ATTEMPT_END_DECLINED
															 : PGW_ATTEMPT_END_FAILED;
		case PGW_REFUNDED:
			return PGW_ATTEMPT_END_GIVEN_BACK;
		case PGW_REQUIRES_MANUAL_REVIEW:
			return PGW_ATTEMPT_END_IN_REVIEW;
		default:
			return PGW_ATTEMPT_NOT_ENDED;
	}
}

static uint8
error_index(const char *code)
{
	size_t n;
	const PgwErrorInfo *table = pgw_error_table(&n);
	const PgwErrorInfo *info = pgw_error_find(code);

	Assert(n < PGW_METRICS_ERRORS);
	return (uint8) (info != NULL ? Min(info - table, PGW_METRICS_ERRORS - 1)
								 : PGW_METRICS_ERRORS - 1);
}

static void
advanced(const PgwAttempt *attempt, PgwState from, const PgwEvent *events, int n)
{
	PgwCounters *b = pgw_metrics_my_counters();
	PgwAttemptEnd end = attempt->status != from ? end_of(attempt) : PGW_ATTEMPT_NOT_ENDED;

	if (b == NULL)
		return;
	for (int i = 0; i < n; i++)
		record_event(events[i].type, attempt->livemode);
	if (from == PGW_BANK_UNKNOWN && attempt->status != PGW_BANK_UNKNOWN)
	{
		Record *last = &records[nrecords - 1];

		/* of its own, so that it can stand for one attempt */
		if (last->count > 1)
		{
			last->count--;
			last = new_record(attempt->livemode);
			last->event = (uint8) events[n - 1].type;
		}
		last->resolved = true;
	}
	if (end != PGW_ATTEMPT_NOT_ENDED)
	{
		TimestampTz now = GetCurrentTimestamp();
		Record *r = new_record(attempt->livemode);

		r->is_end = true;
		r->kind = (uint8) attempt->kind;
		r->end = (uint8) end;
		r->bank = (uint8) bank_index(b, attempt->bank, attempt->livemode);
		r->error = error_index(attempt->error_code);
		r->us = now > attempt->created_at ? now - attempt->created_at : 0;
	}
}

void
pgw_metrics_init(void)
{
	DefineCustomIntVariable("pgw.refund_stuck_after",
							"How long giving a charge back may take before it counts as stuck.",
							NULL, &pgw_refund_stuck_after, 30 * 60, 1, 30 * 24 * 60 * 60,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	pgw_store_advanced_hook = advanced;
	pgw_shared_memory_add(&blocks_area);
}

/* ---------------------------------------------------------------- bank calls */

void
pgw_metrics_bank_call(const char *bank, bool livemode, PgwBankOp op, PgwTransport transport,
					  PgwOutcome outcome, PgwBankHealth health, const instr_time *began)
{
	PgwCounters *b = pgw_metrics_my_counters();
	PgwBankCounters *k;
	instr_time took;
	int result = (int) outcome;

	if (b == NULL)
		return;
	k = &b->banks[bank_index(b, bank, livemode)];
	if (transport != PGW_TRANSPORT_ANSWERED)
		result =
			transport == PGW_TRANSPORT_NEVER_SENT ? PGW_RESULT_NEVER_SENT : PGW_RESULT_NO_ANSWER;
	count(&k->calls[op][result], 1);
	count(&b->all_calls, 1);
	if (transport != PGW_TRANSPORT_NEVER_SENT)
	{
		INSTR_TIME_SET_CURRENT(took);
		INSTR_TIME_SUBTRACT(took, *began);
		count_time(&k->call_times[op], (int64) INSTR_TIME_GET_MICROSEC(took));
	}
	if (health == PGW_BANK_HEALTHY)
	{
		pg_atomic_write_u64(&k->last_success, (uint64) GetCurrentTimestamp());
		pg_atomic_write_u64(&k->failures, 0);
		pg_atomic_write_u64(&k->credentials_rejected, 0);
	}
	else if (health == PGW_BANK_FAILING)
	{
		pg_atomic_write_u64(&k->last_failure, (uint64) GetCurrentTimestamp());
		count(&k->failures, 1);
	}
}

void
pgw_metrics_bank_secret(const char *bank, bool livemode, int fault, bool renewed)
{
	PgwCounters *b = pgw_metrics_my_counters();
	int i;

	if (b == NULL)
		return;
	/* a bank about which there is nothing to say takes no place */
	i = fault != 0 ? bank_index(b, bank, livemode) : pgw_metrics_find_bank(b, bank);
	if (i < PGW_NMODES)
		return;
	pg_atomic_write_u32(&b->banks[i].secret_fault, (uint32) fault);
	if (renewed)
		pg_atomic_write_u64(&b->banks[i].credentials_rejected, 0);
}

void
pgw_metrics_bank_credentials_rejected(const char *bank, bool livemode)
{
	PgwCounters *b = pgw_metrics_my_counters();

	if (b != NULL)
		pg_atomic_write_u64(&b->banks[bank_index(b, bank, livemode)].credentials_rejected,
							(uint64) GetCurrentTimestamp());
}

void
pgw_metrics_bank_clock(const char *bank, bool livemode, int64 ahead_s)
{
	PgwCounters *b = pgw_metrics_my_counters();
	PgwBankCounters *k;

	if (b == NULL)
		return;
	k = &b->banks[bank_index(b, bank, livemode)];
	pg_atomic_write_u64(&k->clock_ahead, (uint64) ahead_s);
	pg_atomic_write_u32(&k->clock_seen, 1);
}

void
pgw_metrics_notification(const char *bank, bool livemode, PgwNotificationVerdict verdict)
{
	PgwCounters *b = pgw_metrics_my_counters();

	if (b != NULL)
		count(&b->banks[bank_index(b, bank, livemode)].notifications[verdict], 1);
}

void
pgw_metrics_each_refused(void (*found)(const char *bank, uint64 n, void *arg), void *arg)
{
	/* the bank's doing, or ours; what is not signed at all anybody sends */
	static const PgwNotificationVerdict verdicts[] = {
		PGW_NOTIFICATION_WRONG_SIGNATURE, PGW_NOTIFICATION_OUT_OF_TIME, PGW_NOTIFICATION_NO_SECRET,
		PGW_NOTIFICATION_BAD_SECRET, PGW_NOTIFICATION_NOT_CONFIRMED};
	PgwCounters *b = pgw_metrics_my_counters();
	uint32 n = b != NULL ? pg_atomic_read_u32(&b->nbanks) : 0;

	pg_read_barrier();
	for (uint32 i = 0; i < n; i++)
	{
		uint64 refused = 0;

		for (int v = 0; v < lengthof(verdicts); v++)
			refused += pg_atomic_read_u64(&b->banks[i].notifications[verdicts[v]]);
		/* the first places are for all banks that have none of their own */
		if (refused > 0)
			found(i < PGW_NMODES ? "others" : b->banks[i].name, refused, arg);
	}
}

/* ---------------------------------------------------------------- recovery scans */

uint64
pgw_recovery_ask(void)
{
	PgwCounters *b = pgw_metrics_my_counters();

	return b != NULL ? pg_atomic_fetch_add_u64(&b->asked, 1) + 1 : 0;
}

uint64
pgw_recovery_asked(void)
{
	PgwCounters *b = pgw_metrics_my_counters();

	return b != NULL ? pg_atomic_read_u64(&b->asked) : 0;
}

uint64
pgw_recovery_done(void)
{
	PgwCounters *b = pgw_metrics_my_counters();

	return b != NULL ? pg_atomic_read_u64(&b->done) : 0;
}

void
pgw_recovery_found(int n, bool last)
{
	PgwCounters *b = pgw_metrics_my_counters();

	if (b == NULL)
		return;
	count(&b->looked_at, (uint64) n);
	count(&b->scans, last ? 1 : 0);
}

void
pgw_recovery_finish(uint64 asked)
{
	PgwCounters *b = pgw_metrics_my_counters();

	if (b != NULL)
		pg_atomic_write_u64(&b->done, asked);
}
