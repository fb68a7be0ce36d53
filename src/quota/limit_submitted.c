/*
 * limit_submitted.c - how many payments of one merchant, and of one role, may wait to be sent
 *
 * A client that submits without end fills the tables and takes everybody's disk.  The table itself
 * says how many wait, and it alone is right after a crash, a restart, a rollback, a COMMIT
 * PREPARED; but to count for each payment would cost what is stored.  So a count says how many more
 * may come until the next one: as many as are left, or one percent of the quota, whichever is more.
 * A merchant far from its quota is counted once in a hundred thousand payments; one that is at it
 * is exceeded by no more than that percent (and what sessions insert just then).  While one session
 * counts, others do not count the same rows beside it: another percent of the quota is let pass.
 *
 * Nothing is ever given back: a payment that is sent, rolled back or fails is missing in the next
 * count.  After the server's start nothing is known, and the first payment counts.  What is refused
 * is refused without a count for a second, or for ten times as long as the count took, and one
 * session counts anew: so the one who is at his quota can take no more than a tenth of one CPU with
 * counting, however many of his sessions ask.
 *
 * A session takes several at once where many are left, so that it asks the shared entry, and its
 * lock, once for all of them.  What it has taken ends with the count that it was taken from.
 *
 * Owns: the entries in shared memory, each for a merchant or a role of a database; when there is no
 * room, the one that was counted longest ago goes, which costs a count.  What this session has
 * taken of them.
 * Locks: quota_lock for all of it, never while counting; but a session reads an entry's version
 * without it: the count may end at that moment, and then it would have been the same to have come a
 * moment earlier.
 * Invariant: `left` comes from one count, made while nobody else's was put in its place (version;
 * no two counts have the same one).
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "bank/bank_config.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/shared_memory.h"
#include "core/base/mutant.h"
#include "quota/count_submitted.h"
#include "quota/limit_submitted.h"

#define ENTRIES 2048
#define PROBES 16           /* places of one name */
#define TAKE_PART 256       /* a session takes this part of what is left at once, */
#define TAKE_MOST 100       /* and no more than so many */
#define REPORT_MOST 1000000 /* of those that wait, a report counts no more */
#define REFUSE_MS 1000      /* what was counted full is full for so long, */
#define REFUSE_COUNTS 10    /* and for as many times as long as the count took */

typedef struct QuotaEntry
{
	Oid dboid; /* InvalidOid: unused */
	/* of the last count, unlike all others' since the server's start */
	uint32 version;
	uint32 limit;   /* of the last count; another one needs another count */
	uint32 left;    /* so many more, until the next count */
	bool counting;  /* somebody counts, or failed to */
	uint32 credit;  /* while somebody does: so many more are let pass without a count */
	bool full;      /* at the last count */
	long refuse_ms; /* full: for so long after it */
	PgwQuotaReport report;
} QuotaEntry;

typedef struct QuotaShared
{
	uint32 last_version; /* of any entry */
	QuotaEntry entries[ENTRIES];
} QuotaShared;

/* What this session may still use of one count, without asking. */
typedef struct Taken
{
	const volatile QuotaEntry *entry;
	uint32 version;
	uint32 limit;
	uint32 n;
	char name[NAMEDATALEN];
} Taken;

static QuotaShared *shared; /* NULL: not preloaded */
static LWLock *quota_lock;
/* for the merchant and the role that this session last paid for */
static Taken taken[PGW_NQUOTAS];

static int limits[PGW_NQUOTAS] = {1000000, 1000000};
static const char *const settings[PGW_NQUOTAS] = {"pgw.merchant_max_submitted",
												  "pgw.role_max_submitted"};

static Size
shared_size(void)
{
	return sizeof(QuotaShared);
}

static void
attach(void *area, bool created, LWLock *lock)
{
	shared = area;
	quota_lock = lock;
	if (created)
		memset(shared, 0, sizeof(QuotaShared));
}

static const PgwSharedArea shared_area = {"pgw quotas", shared_size, attach};

void
pgw_quota_init(void)
{
	DefineCustomIntVariable(settings[PGW_QUOTA_MERCHANT],
							"How many submitted payments of one merchant may wait to be sent.",
							"One more is refused with PW429; 0: no limit.",
							&limits[PGW_QUOTA_MERCHANT], 1000000, 0, 100000000, PGC_SIGHUP, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable(settings[PGW_QUOTA_ROLE],
							"How many submitted payments of one role may wait to be sent.",
							"One more is refused with PW429; 0: no limit.", &limits[PGW_QUOTA_ROLE],
							1000000, 0, 100000000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	pgw_shared_memory_add(&shared_area);
}

const char *
pgw_quota_setting(PgwQuotaOf of)
{
	return settings[of];
}

/* The name's entry; a new one has never been counted. */
static QuotaEntry *
entry_of(PgwQuotaOf of, const char *name)
{
	uint32 place = hash_bytes((const unsigned char *) name, (int) strlen(name)) ^
				   hash_bytes_uint32(MyDatabaseId + of);
	QuotaEntry *oldest = NULL;

	Assert(LWLockHeldByMeInMode(quota_lock, LW_EXCLUSIVE));
	for (int i = 0; i < PROBES; i++)
	{
		QuotaEntry *e = &shared->entries[(place + i) % ENTRIES];

		if (e->dboid == MyDatabaseId && e->report.of == of && strcmp(e->report.name, name) == 0)
			return e;
		if (oldest == NULL || e->report.counted_at < oldest->report.counted_at)
			oldest = e;
	}
	memset(oldest, 0, sizeof(*oldest));
	oldest->version = ++shared->last_version;
	oldest->dboid = MyDatabaseId;
	oldest->report.of = of;
	/* as if it had just been counted: or the next new name that comes here would take its place */
	oldest->report.counted_at = GetCurrentTimestamp();
	strlcpy(oldest->report.name, name, sizeof(oldest->report.name));
	return oldest;
}

/* One from the entry, and for this session's next ones a few more. */
static bool
take_one(PgwQuotaOf of, QuotaEntry *e, TimestampTz now)
{
	uint32 n = Min(e->left, Max(1, Min(e->left / TAKE_PART, TAKE_MOST)));

	Assert(LWLockHeldByMeInMode(quota_lock, LW_EXCLUSIVE));
	if (n == 0)
	{
		e->report.refused++;
		e->report.refused_at = now;
		return false;
	}
	e->left -= n;
	taken[of] = (Taken){.entry = e, .version = e->version, .limit = e->limit, .n = n - 1};
	strlcpy(taken[of].name, e->report.name, NAMEDATALEN);
	return true;
}

/* One of those that this session has taken before? */
static bool
have_one(PgwQuotaOf of, const char *name)
{
	Taken *t = &taken[of];

	if (t->n == 0 || t->entry->version != t->version || t->limit != (uint32) limits[of] ||
		strcmp(t->name, name) != 0)
		return false;
	t->n--;
	return true;
}

/* Without a count, where that is possible; false: this session is to count. */
static bool
decide(PgwQuotaOf of, QuotaEntry *e, uint32 limit, TimestampTz now, bool *allowed)
{
	bool counted = e->limit == limit;

	Assert(LWLockHeldByMeInMode(quota_lock, LW_EXCLUSIVE));
	if (counted && (e->left > 0 ||
					(e->full && !pgw_is_due(e->report.counted_at + e->refuse_ms * INT64CONST(1000),
											now, e->refuse_ms))))
	{
		*allowed = take_one(of, e, now);
		return true;
	}
	if (counted && e->full)
		/* we count; the others are refused meanwhile, and go on if we fail */
		e->report.counted_at = now;
	else if (!e->counting)
	{
		/* we count; the others go on meanwhile, or each of them would read the same rows */
		e->counting = true;
		e->credit = limit / 100;
	}
	else if (e->credit > 0)
	{
		e->credit--;
		*allowed = true;
		return true;
	}
	return false;
}

static void
note_count(QuotaEntry *e, uint32 limit, uint32 n, TimestampTz begun, TimestampTz ended)
{
	e->version = ++shared->last_version;
	e->counting = false;
	e->limit = limit;
	e->full = n >= limit;
	e->left = e->full ? 0 : Max(limit - n, limit / 100);
	e->refuse_ms = Max(REFUSE_MS, TimestampDifferenceMilliseconds(begun, ended) * REFUSE_COUNTS);
	e->report.counted_at = ended;
}

bool
pgw_quota_take(PgwQuotaOf of, const char *name, int *limit)
{
	bool allowed = false;
	bool decided = false;

	*limit = limits[of];
	if (shared == NULL || *limit == 0 || have_one(of, name) || PGW_MUTATED(QUOTA))
		return true;
	while (!decided)
	{
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz end;
		QuotaEntry *e;
		uint32 version;
		uint32 n;

		LWLockAcquire(quota_lock, LW_EXCLUSIVE);
		e = entry_of(of, name);
		version = e->version;
		decided = decide(of, e, (uint32) *limit, now, &allowed);
		LWLockRelease(quota_lock);
		if (decided)
			break;

		PGW_DEBUG_POINT("quota_count");
		n = pgw_count_submitted(of == PGW_QUOTA_MERCHANT ? name : NULL,
								of == PGW_QUOTA_ROLE ? name : NULL, (uint32) *limit);
		end = GetCurrentTimestamp();

		LWLockAcquire(quota_lock, LW_EXCLUSIVE);
		e = entry_of(of, name);
		decided = e->version == version; /* else another count was put in its place meanwhile */
		if (decided)
		{
			note_count(e, (uint32) *limit, n, now, end);
			allowed = take_one(of, e, end);
		}
		LWLockRelease(quota_lock);
	}
	return allowed;
}

int
pgw_quota_refused(TimestampTz since, PgwQuotaReport *out, int max)
{
	int n = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(quota_lock, LW_SHARED);
	for (int i = 0; i < ENTRIES && n < max; i++)
	{
		if (shared->entries[i].dboid == MyDatabaseId && shared->entries[i].report.refused > 0 &&
			shared->entries[i].report.refused_at >= since)
			out[n++] = shared->entries[i].report;
	}
	LWLockRelease(quota_lock);
	if (n > 0)
		pgw_config_refresh(false); /* what waits is counted bank by bank */
	for (int i = 0; i < n; i++)
		out[i].waiting =
			pgw_count_submitted(out[i].of == PGW_QUOTA_MERCHANT ? out[i].name : NULL,
								out[i].of == PGW_QUOTA_ROLE ? out[i].name : NULL, REPORT_MOST);
	return n;
}
