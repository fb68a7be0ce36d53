/*
 * commit_signal.c - how the worker hears of the commit or rollback of a caller
 *
 * Owns: the list of this transaction's attempts, with the subtransaction that decides on each.
 * Locks: none; the signals go through the exchange, which also takes care of a slot whose
 * (sub)transaction ends.
 * Invariants: signals only make things fast.  What the worker decides it reads from the xid and the
 * payments row, so a lost signal, a crash or PREPARE TRANSACTION (which drops the list: the
 * transaction is nobody's now) changes nothing but the moment. Entries of an open subtransaction
 * stand at the end of the list: an inner one's entries were handed up or dropped when it ended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/pacing/fair_turns.h"
#include "exchange/commit_signal.h"
#include "exchange/signal_ring.h"
#include "exchange/unreplicated.h"

#define BATCH 64

typedef struct PendingSignal
{
	pg_uuid_t transaction_id;
	SubTransactionId subid;
	PgwCommitSignalKind kind;
	bool new_charge; /* of a submitted one: see PgwSignal */
	uint32 bank;
	uint32 merchant;
	char bank_reference[PGW_HINT_SIZE]; /* of a notified one */
} PendingSignal;

static PendingSignal *pending = NULL; /* in TopTransactionContext */
static int npending = 0;
static int cap = 0;

static PgwSignalKind
signal_kind(const PendingSignal *p, bool committed)
{
	if (!committed)
		return PGW_SIGNAL_ABORTED;
	switch (p->kind)
	{
		case PGW_COMMIT_SIGNAL_SUBMIT:
			return PGW_SIGNAL_SUBMITTED;
		case PGW_COMMIT_SIGNAL_NOTIFY:
			return PGW_SIGNAL_NOTIFIED;
		case PGW_COMMIT_SIGNAL_PROCESS:
			break;
	}
	return PGW_SIGNAL_COMMITTED;
}

/* No allocation: this runs after commit and during abort. */
static void
signal_from(int first, bool committed)
{
	PgwSignal signals[BATCH];
	int n = 0;

	for (int i = first; i < npending; i++)
	{
		if (!committed && pending[i].kind != PGW_COMMIT_SIGNAL_PROCESS)
			continue;
		signals[n].kind = signal_kind(&pending[i], committed);
		signals[n].transaction_id = pending[i].transaction_id;
		signals[n].new_charge = pending[i].new_charge;
		signals[n].bank = pending[i].bank;
		signals[n].merchant = pending[i].merchant;
		if (pending[i].bank_reference[0] != '\0')
			pgw_exchange_put_hint(MyDatabaseId, &pending[i].transaction_id,
								  pending[i].bank_reference);
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
	pending = NULL; /* the context goes with the transaction */
	npending = cap = 0;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			/* The rows are visible by now, so whoever is woken finds them. */
			if (npending > 0)
			{
				pgw_unreplicated_note(XactLastCommitEnd);
				signal_from(0, true);
			}
			forget();
			break;
		case XACT_EVENT_ABORT:
			if (npending > 0)
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
			break; /* payments run in the leader only */
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int first = npending;

	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			while (first > 0 && pending[first - 1].subid == mine)
				pending[--first].subid = parent;
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			/* The subxid is marked aborted already: the worker, once woken, sees it so. */
			while (first > 0 && pending[first - 1].subid == mine)
				first--;
			if (first < npending)
				signal_from(first, false);
			npending = first;
			break;
		case SUBXACT_EVENT_START_SUB:
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

void
pgw_commit_signal_add(const pg_uuid_t *transaction_id, PgwCommitSignalKind kind)
{
	static bool registered = false;

	/* Once per process: a registration per transaction would never go away. */
	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}
	if (npending == cap)
	{
		int grown = cap == 0 ? 16 : cap * 2;

		if (pending == NULL)
			pending = MemoryContextAlloc(TopTransactionContext, grown * sizeof(PendingSignal));
		else
			pending = repalloc_huge(pending, (Size) grown * sizeof(PendingSignal));
		cap = grown;
	}
	memset(&pending[npending], 0, sizeof(PendingSignal));
	pending[npending].transaction_id = *transaction_id;
	pending[npending].subid = GetCurrentSubTransactionId();
	pending[npending].kind = kind;
	npending++;
}

void
pgw_commit_signal_add_submitted(const pg_uuid_t *transaction_id, bool new_charge, const char *bank,
								const char *merchant)
{
	PendingSignal *entry;

	pgw_commit_signal_add(transaction_id, PGW_COMMIT_SIGNAL_SUBMIT);
	entry = &pending[npending - 1];
	entry->new_charge = new_charge;
	entry->bank = pgw_turns_key(bank);
	entry->merchant = pgw_turns_key(merchant);
}

void
pgw_commit_signal_add_notified(const pg_uuid_t *transaction_id, const char *bank_reference)
{
	pgw_commit_signal_add(transaction_id, PGW_COMMIT_SIGNAL_NOTIFY);
	/* half an id would be another one's */
	if (strlen(bank_reference) < PGW_HINT_SIZE)
		strlcpy(pending[npending - 1].bank_reference, bank_reference, PGW_HINT_SIZE);
}

/* By a caller; what a bank says of it does not make it this transaction's. */
static const PendingSignal *
find(const pg_uuid_t *transaction_id)
{
	for (int i = 0; i < npending; i++)
	{
		if (pending[i].kind != PGW_COMMIT_SIGNAL_NOTIFY &&
			memcmp(&pending[i].transaction_id, transaction_id, sizeof(pg_uuid_t)) == 0)
			return &pending[i];
	}
	return NULL;
}

bool
pgw_commit_signal_is_pending(const pg_uuid_t *transaction_id)
{
	return find(transaction_id) != NULL;
}

bool
pgw_commit_signal_is_pending_submit(const pg_uuid_t *transaction_id)
{
	const PendingSignal *entry = find(transaction_id);

	return entry != NULL && entry->kind == PGW_COMMIT_SIGNAL_SUBMIT;
}
