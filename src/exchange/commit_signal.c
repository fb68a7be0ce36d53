/*
 * commit_signal.c - how the worker hears of the commit or rollback of a caller
 *
 * Owns: the list of this transaction's attempts, with the subtransaction that decides on each.
 * Locks: none; the signals go through the exchange, which also takes care of a slot whose (sub)transaction ends.
 * Invariants: signals only make things fast.  What the worker decides it reads from the xid and the payments row, so a lost signal, a crash or
 * PREPARE TRANSACTION (which drops the list: the transaction is nobody's now) changes nothing but the moment.
 * Entries of an open subtransaction stand at the end of the list: an inner one's entries were handed up or dropped when it ended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/pacing/fair_turns.h"
#include "exchange/commit_signal.h"
#include "exchange/exchange.h"

#define BATCH 64

typedef struct Fate
{
	pg_uuid_t	transaction_id;
	SubTransactionId subid;
	PgwFateKind kind;
	bool		new_charge;		/* of a submitted one: see PgwSignal */
	uint32		bank;
	uint32		merchant;
} Fate;

static Fate *fates = NULL;		/* in TopTransactionContext */
static int	nfates = 0;
static int	cap = 0;

/* No allocation: this runs after commit and during abort. */
static void
signal_from(int first, bool committed)
{
	PgwSignal	signals[BATCH];
	int			n = 0;

	for (int i = first; i < nfates; i++)
	{
		if (!committed && fates[i].kind == PGW_FATE_SUBMIT)
			continue;
		signals[n].kind = !committed ? PGW_SIGNAL_ABORTED : fates[i].kind == PGW_FATE_SUBMIT ? PGW_SIGNAL_SUBMITTED : PGW_SIGNAL_COMMITTED;
		signals[n].transaction_id = fates[i].transaction_id;
		signals[n].new_charge = fates[i].new_charge;
		signals[n].bank = fates[i].bank;
		signals[n].merchant = fates[i].merchant;
		if (++n == BATCH)
		{
			pgw_exchange_signal(MyDatabaseId, signals, n);
			n = 0;
		}
	}
	if (n > 0)
		pgw_exchange_signal(MyDatabaseId, signals, n);
}

static void
forget(void)
{
	fates = NULL;				/* the context goes with the transaction */
	nfates = cap = 0;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			/* The rows are visible by now, so whoever is woken finds them. */
			if (nfates > 0)
				signal_from(0, true);
			forget();
			break;
		case XACT_EVENT_ABORT:
			if (nfates > 0)
				signal_from(0, false);
			forget();
			break;
		case XACT_EVENT_PREPARE:
			forget();
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;				/* payments run in the leader only */
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			first = nfates;

	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			while (first > 0 && fates[first - 1].subid == mine)
				fates[--first].subid = parent;
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			/* The subxid is marked aborted already: the worker, once woken, sees it so. */
			while (first > 0 && fates[first - 1].subid == mine)
				first--;
			if (first < nfates)
				signal_from(first, false);
			nfates = first;
			break;
		case SUBXACT_EVENT_START_SUB:
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

void
pgw_fate_add(const pg_uuid_t *transaction_id, PgwFateKind kind)
{
	static bool registered = false;

	/* Once per process: a registration per transaction would never go away. */
	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}
	if (nfates == cap)
	{
		int			grown = cap == 0 ? 16 : cap * 2;

		if (fates == NULL)
			fates = MemoryContextAlloc(TopTransactionContext, grown * sizeof(Fate));
		else
			fates = repalloc_huge(fates, (Size) grown * sizeof(Fate));
		cap = grown;
	}
	memset(&fates[nfates], 0, sizeof(Fate));
	fates[nfates].transaction_id = *transaction_id;
	fates[nfates].subid = GetCurrentSubTransactionId();
	fates[nfates].kind = kind;
	nfates++;
}

void
pgw_fate_add_submitted(const PgwTransaction *t)
{
	Fate	   *fate;

	pgw_fate_add(&t->transaction_id, PGW_FATE_SUBMIT);
	fate = &fates[nfates - 1];
	fate->new_charge = t->kind == PGW_KIND_PAYMENT;
	fate->bank = pgw_turns_key(t->bank);
	fate->merchant = pgw_turns_key(t->merchant);
}

static const Fate *
find(const pg_uuid_t *transaction_id)
{
	for (int i = 0; i < nfates; i++)
	{
		if (memcmp(&fates[i].transaction_id, transaction_id, sizeof(pg_uuid_t)) == 0)
			return &fates[i];
	}
	return NULL;
}

bool
pgw_fate_is_open(const pg_uuid_t *transaction_id)
{
	return find(transaction_id) != NULL;
}

bool
pgw_fate_is_open_submit(const pg_uuid_t *transaction_id)
{
	const Fate *fate = find(transaction_id);

	return fate != NULL && fate->kind == PGW_FATE_SUBMIT;
}
