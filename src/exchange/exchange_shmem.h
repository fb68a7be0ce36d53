/*
 * exchange_shmem.h - shared memory between the callers' backends and the workers: its layout
 *
 * Owns: the slots by which process_payment() hands a request (card included) to its database's
 * worker, one PgwWorkerEntry per database, and each entry's ring of signals.  Only exchange/,
 * launcher.c, extension_created.c and the locks on tables (database/) look into it; others call
 * what the other headers of this room declare.  Nothing depends on a signal arriving: the recovery
 * scan finds the same things later.
 *
 * pgw_lock (one LWLock) protects pgw_ask_first and every field of PgwShared, PgwWorkerEntry and
 * PgwSlotHeader except `generation`, `changing`, `failing`, `event_fence` and those of
 * fencing_delay.c and unreplicated.c, which are atomic. A slot's body is not locked: it belongs to
 * the backend in CLAIMED and ANSWERED, to the worker in TAKEN, to nobody in REQUESTED and FREE.
 *
 * Invariants (whenever the lock is free):
 *     - a FREE slot's body is all zero, and the slot is on the free list;
 *     - a slot is on its entry's queue exactly while REQUESTED; the queue is sorted by seq;
 *     - transaction_id is of this use of the slot, never of an earlier one: it is zero from the
 *       claim until the worker sets it;
 *     - seq is new at every submit, so a worker that remembers (slot, seq) cannot touch another
 *       caller's request by mistake;
 *     - entry->procno is a live process exactly while the entry is RUNNING;
 *     - no pointer, descriptor or handle lies in shared memory.
 */
#ifndef PGW_EXCHANGE_EXCHANGE_SHMEM_H
#define PGW_EXCHANGE_EXCHANGE_SHMEM_H

#include "postgres.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "core/pacing/line_rate.h"
#include "exchange/ask_first.h"
#include "exchange/write_failures.h"
#include "exchange/event_fence.h"
#include "exchange/exchange.h"
#include "exchange/process_latch.h"
#include "exchange/signal_ring.h"
#include "exchange/slots.h"
#include "exchange/told_pause.h"
#include "exchange/worker_entries.h"
#include "exchange/worker_progress.h"

#define PGW_MAX_DATABASES 64
#define PGW_RING_SIZE 4096
#define PGW_NO_SLOT (-1)
#define PGW_MAX_COVERS \
	8 /* tables that callers in flight have locked: three, and a partition for each month they \
		 began in */
#define PGW_SHARES 1024

/* A table that callers have locked, and the worker for them: caller_locks.c, worker_locks.c. */
typedef struct PgwCover
{
	Oid relid;
	int callers;            /* transactions that are counted on it */
	bool held;              /* the worker has its locks, for its session */
	TimestampTz idle_since; /* callers became 0 */
} PgwCover;

/* What a notification says is the bank's id of an attempt's charge. */
typedef struct PgwHint
{
	pg_uuid_t transaction_id;
	char bank_reference[PGW_HINT_SIZE];
} PgwHint;

#define PGW_HINTS 256 /* by a byte of the attempt's id that is as good as random */

typedef struct PgwWorkerEntry
{
	Oid dboid; /* InvalidOid: unused */
	PgwEntryState state;
	/* the present worker's, or the last one's, which may still be leaving; 0: none */
	int pid;
	int procno;             /* the worker's, while RUNNING */
	TimestampTz since;      /* of the present state */
	TimestampTz next_start; /* while DOWN: not before */
	int failures;           /* ends in a row, for the back-off */
	PgwWorkerEnd end;       /* the last one */
	int holds;              /* sessions that want the database empty */
	int dropping;           /* sessions inside DROP EXTENSION pgw */
	bool check;             /* CREATE EXTENSION was committed: look, whatever the state */
	bool rescan;            /* signals were lost: scan */
	PgwPause paused;        /* as the worker said last, also while none runs */
	int slots;              /* slots not FREE that belong to this entry */
	int queue_head;         /* REQUESTED slots, oldest first */
	int queue_tail;
	PgwCover covers[PGW_MAX_COVERS];
	uint64 cover_refusals; /* times that the worker could not have one */
	/* the worker has let work pass because of a lock; 0: never */
	TimestampTz refused_at;
	TimestampTz refused_since; /* ... and did so since then */
	Oid refused_table;         /* InvalidOid: not known which */
	/* calls cannot have a table that each of them needs, as the worker sees it; 0: they can */
	TimestampTz kept_out_since;
	Oid kept_out_of;
	PgwWriteFailures write_failures[PGW_WRITE_KINDS];
	TimestampTz limited_at; /* its work has run into a time limit; 0: never */
	uint32 ring_head;       /* oldest signal */
	uint32 ring_count;
	PgwSignal ring[PGW_RING_SIZE];
	PgwHint hints[PGW_HINTS];
	/* callers wait for held; beyond what is wiped when an entry is forgotten */
	ConditionVariable covered;
	/* begun anew with each use of the entry */
	PgwWorkerProgress progress;
	/* void by itself */
	PgwSubmitPause submit_pause;
	/* begun anew with each use of the entry; atomic */
	pg_atomic_uint64 event_fence;
} PgwWorkerEntry;

typedef struct PgwSlotHeader
{
	PgwSlotState state;
	int entry;      /* index of the database's entry */
	int procno;     /* the waiting backend's; PGW_NO_PROC: nobody waits */
	int prev;       /* on the entry's queue */
	int next;       /* on the entry's queue, or on the free list */
	bool abandoned; /* TAKEN, and its caller is gone */
	/* TAKEN: its intent is committed, or its card wiped: it must not be given back */
	bool recorded;
	/*
	 * with recorded: the request is being sent, or an earlier attempt is waited for: its caller
	 * cannot withdraw it
	 */
	bool bound;
	/* with recorded: the attempt that tells the outcome; else all zero */
	pg_uuid_t transaction_id;
	uint64 seq;
	/* while not FREE: the first slot of its call, which the call leaves last, and there: how many
	 * of the call's slots are to be answered until its backend is woken */
	int lead;
	int unanswered;
	/* while not FREE: where PgwShared counts it, as one of its bank's and of its merchant's */
	int bank_share;
	int merchant_share;
	int role_share; /* ... and as one of its role's, -1: of none */
} PgwSlotHeader;

/* On pages of its own, as pgw_ask_first is: kept out of core dumps and of swap. */
typedef struct PgwSlotBody
{
	PgwSlotRequest request;
	PgwSlotAnswer answer;
} PgwSlotBody;

typedef struct PgwShared
{
	pg_atomic_uint64 generation;
	/* commits that will raise it, and may be visible already */
	pg_atomic_uint32 changing;
	/* which standbys are waited for, and when fewer were for the last time; 0: never */
	pg_atomic_uint32 fence;
	pg_atomic_uint64 unfenced_at;
	/* up to where in the log commits may be seen that no standby has */
	pg_atomic_uint64 unreplicated;
	pg_atomic_uint32 failing; /* a bit for each PgwWriteKind of which an entry has failures */
	TimestampTz created_at;   /* start, or restart after a crash */
	int launcher_procno;      /* PGW_NO_PROC: none */
	int launcher_pid;
	bool launcher_poked;            /* look at pg_database now */
	bool launcher_scanned;          /* it has looked since then */
	TimestampTz register_failed_at; /* last time no worker slot was free; 0: never */
	uint64 last_seq;
	int free_head;
	int nfree;
	int nentries; /* not UNUSED */
	/* slots by the key of database and bank; two that share a key share their part */
	int bank_slots[PGW_SHARES];
	int merchant_slots[PGW_SHARES];
	int role_slots[PGW_SHARES]; /* by the key of the role's oid */
	bool merchant_seen[PGW_SHARES];
	int nmerchants;     /* seen since the server's start */
	slock_t lines_lock; /* of lines alone: log_rate.c */
	PgwLineRates lines;
	PgwWorkerEntry entries[PGW_MAX_DATABASES];
	PgwSlotHeader slots[FLEXIBLE_ARRAY_MEMBER];
} PgwShared;

/* Process-local addresses; NULL when pgw is not preloaded. */
extern PgwShared *pgw_shared;
extern PgwSlotBody *pgw_bodies;
extern PgwAskFirstPlaces *pgw_ask_first; /* of each entry */
extern LWLock *pgw_lock;

/* Held by me?  For the functions that are called with it. */
#define PGW_ASSERT_LOCKED() Assert(LWLockHeldByMe(pgw_lock))
#define PGW_ASSERT_LOCKED_FOR_WRITING() Assert(LWLockHeldByMeInMode(pgw_lock, LW_EXCLUSIVE))

#endif
