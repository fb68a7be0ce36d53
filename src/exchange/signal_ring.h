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
	PGW_SIGNAL_ABORTED,       /* a caller of that attempt has rolled back (also a subtransaction) */
	PGW_SIGNAL_NOTIFIED       /* the bank has said that something became of it: ask it now */
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

/*
 * The bank's id of the charge of an attempt, as a notification names it, for the signal that comes
 * with it.  Few have a place, and another one's may take it: then it is not known.
 */
#define PGW_HINT_SIZE 64
extern void pgw_exchange_put_hint(Oid dboid, const pg_uuid_t *transaction_id,
								  const char *bank_reference);
/* The worker; false, and empty: none. */
extern bool pgw_exchange_hint(const pg_uuid_t *transaction_id, char bank_reference[PGW_HINT_SIZE]);

/* The worker: drain the ring. */
extern int pgw_exchange_signals(PgwSignal *out, int max, bool *rescan);

#endif
