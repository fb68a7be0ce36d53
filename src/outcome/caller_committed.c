/*
 * caller_committed.c - did the caller's transaction commit, and with it the payments row that names
 * the attempt?
 *
 * Owns the order of checks that decides whether a caller kept its payment (contract section 6),
 * each step only after the one before:
 *     1. the attempt's row is locked (by our caller, without waiting);
 *     2. the subtransaction aborted: rolled back, whatever the top level does;
 *     3. the top level is in progress, or prepared: undecided;
 *     4. only now look for a payments row that names this attempt.
 * If 4 came before 3, a commit in between would look like "over, and no row", and money would be
 * given back for a committed payment.
 */
#include "postgres.h"

#include "access/clog.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"

#include "base/compat.h"
#include "core/base/mutant.h"
#include "outcome/caller_committed.h"
#include "store/tables.h"

typedef enum XidState
{
	XID_IN_PROGRESS,
	XID_ABORTED, /* also: crashed */
	XID_OVER     /* committed, or so long ago that the log has forgotten: the payments row tells */
} XidState;

static XidState
xid_state(FullTransactionId fxid)
{
	TransactionId xid = XidFromFullTransactionId(fxid);
	FullTransactionId next = ReadNextFullTransactionId();
	XidState state;

	if (!FullTransactionIdIsValid(fxid))
		return XID_OVER;
	if (!FullTransactionIdPrecedes(fxid, next))
		/* lies in the future: cannot be, and nothing may be concluded */
		return XID_IN_PROGRESS;

	/*
	 * In progress (prepared ones are) before did-commit: in the other order, one that ends in
	 * between looks like neither.
	 */
	if (TransactionIdIsInProgress(xid) &&
		U64FromFullTransactionId(next) - U64FromFullTransactionId(fxid) < UINT32_MAX / 2)
		return XID_IN_PROGRESS;

	/* The lock keeps the commit log from being cut off between the test and the look. */
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	if (U64FromFullTransactionId(next) - U64FromFullTransactionId(fxid) >= UINT32_MAX / 2 ||
		TransactionIdPrecedes(xid, pgw_oldest_clog_xid()))
		state = XID_OVER;
	else
		state = TransactionIdDidCommit(xid) ? XID_OVER : XID_ABORTED;
	LWLockRelease(XactTruncationLock);
	return state;
}

bool
pgw_attempt_of_other_database(const PgwAttempt *attempt)
{
	if (PGW_MUTATED(RESTORED_PAUSE))
		return false;
	return attempt->system_identifier != (int64) GetSystemIdentifier() ||
		   attempt->database_oid != MyDatabaseId;
}

PgwCallerState
pgw_caller_state(const PgwAttempt *attempt)
{
	XidState top;
	XidState sub;

	if (attempt->submitted)
		return PGW_CALLER_OVER; /* its row was written in the caller's own commit */

	/*
	 * The subtransaction first: aborted under a top level that still runs or commits is rolled back
	 * all the same.  A subtransaction that was released is in progress until its top level ends.
	 */
	sub = PGW_MUTATED(SUBXID) ? XID_OVER : xid_state(attempt->caller_subxid);
	if (sub == XID_ABORTED)
		return PGW_CALLER_ROLLED_BACK;
	top = xid_state(attempt->caller_xid);
	if (sub == XID_IN_PROGRESS || top == XID_IN_PROGRESS)
		return PGW_CALLER_UNDECIDED;
	return top == XID_ABORTED ? PGW_CALLER_ROLLED_BACK : PGW_CALLER_OVER;
}

bool
pgw_payment_names_attempt(const PgwAttempt *attempt, PgwPayment *p)
{
	return pgw_store_payment_by_id(&attempt->payment_id, p) &&
		   memcmp(&p->transaction_id, &attempt->transaction_id, sizeof(pg_uuid_t)) == 0;
}

bool
pgw_caller_rolled_back(const PgwAttempt *attempt)
{
	PgwPayment p;
	PgwCallerState state = pgw_caller_state(attempt);

	return state == PGW_CALLER_ROLLED_BACK ||
		   (state == PGW_CALLER_OVER && !pgw_payment_names_attempt(attempt, &p));
}
