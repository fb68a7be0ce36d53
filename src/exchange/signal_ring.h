/*
 * signal_ring.h - how backends tell a worker of attempts that it should look at
 */
#ifndef PGW_EXCHANGE_SIGNAL_RING_H
#define PGW_EXCHANGE_SIGNAL_RING_H

#include "postgres.h"
#include "utils/uuid.h"

typedef enum PgwSignalKind
{
	PGW_SIGNAL_SUBMITTED = 1, /* a submitted attempt is committed and due */
	PGW_SIGNAL_COMMITTED,     /* a caller that had its answer has committed */
	PGW_SIGNAL_ABORTED        /* a caller of that attempt has rolled back (also a subtransaction) */
} PgwSignalKind;

typedef struct PgwSignal
{
	PgwSignalKind kind;
	pg_uuid_t transaction_id;
	/* SUBMITTED only: where it has to wait, so that nobody has to look at the row for that */
	bool new_charge; /* else an operation on a payment */
	uint32 bank;     /* pgw_turns_key() of the names; 0: not known */
	uint32 merchant;
} PgwSignal;

/* Push signals for dboid's worker and wake it; a full ring sets the entry's rescan flag instead. */
extern void pgw_exchange_signal(Oid dboid, const PgwSignal *signals, int n);

/*
 * Have dboid's worker scan now (COMMIT PREPARED, pgw.run_recovery()). false: no worker is running.
 */
extern bool pgw_exchange_rescan(Oid dboid);

/* The worker: drain the ring. */
extern int pgw_exchange_signals(PgwSignal *out, int max, bool *rescan);

#endif
