/*
 * worker_entries.h - one entry per database: its worker, and what others wish of it
 */
#ifndef PGW_EXCHANGE_WORKER_ENTRIES_H
#define PGW_EXCHANGE_WORKER_ENTRIES_H

#include "postgres.h"

#include "exchange/why_paused.h"

/*
 *                 launcher starts            attach
 *      DOWN ------------------> STARTING ------------> RUNNING
 *       ^  ^                     |     |                 |  |
 *       |  +-- gone, or refused -+     +-> NO_EXTENSION <-+  |
 *       +------------------- detach -------------------------+
 *      NO_EXTENSION -> UNUSED (the launcher forgets it) or DOWN (CREATE EXTENSION asks for another
 *      look)
 */
typedef enum PgwEntryState
{
	PGW_ENTRY_UNUSED = 0,
	PGW_ENTRY_DOWN,        /* no worker; to be started at next_start */
	PGW_ENTRY_STARTING,    /* registered, has not attached yet */
	PGW_ENTRY_RUNNING,     /* pid and procno are its worker's */
	PGW_ENTRY_NO_EXTENSION /* a worker looked and found none */
} PgwEntryState;

/* How the last worker has ended. */
typedef enum PgwWorkerEnd
{
	PGW_WORKER_END_NONE = 0,   /* there was none */
	PGW_WORKER_END_TERMINATED, /* by SIGTERM */
	PGW_WORKER_END_BY_ITSELF,  /* it was asked to step aside */
	PGW_WORKER_END_FAILED      /* an error, or it did not get as far as to attach */
} PgwWorkerEnd;

/*
 * A worker serves this database or is about to: it is starting, coming back within seconds, or
 * standing aside for DROP/ALTER/CREATE DATABASE.
 */
extern bool pgw_exchange_worker_running(Oid dboid);

/* Within the last minute no background worker slot was free for the worker of some database. */
extern bool pgw_exchange_lacks_slots(void);

extern void pgw_entries_init(void); /* when shared memory is created */

/* --- the worker, about itself --- */

extern void pgw_exchange_told_to_end(void); /* SIGTERM; in its handler */
/*
 * Registers MyProc as MyDatabaseId's worker, and sets rescan. false: there is one already, or it
 * must step aside: exit 0.
 */
extern bool pgw_exchange_attach(void);

/* The worker found no extension in its database (attached or not) and is about to exit 0. */
extern void pgw_exchange_mark_no_extension(void);

/*
 * Why nothing new is begun. Callers that wait for the worker to take their request, and those to
 * come, get PW500 worker_paused if that refuses them (pgw_pause_refuses).
 */
extern void pgw_exchange_set_paused(PgwPause pause); /* worker */
extern PgwPause pgw_exchange_paused(Oid dboid);      /* as its worker said last */

typedef enum PgwEntryWish
{
	PGW_WISH_RUN = 0,
	PGW_WISH_STEP_ASIDE /* DROP/ALTER/CREATE ... TEMPLATE DATABASE wants the database empty */
} PgwEntryWish;
extern PgwEntryWish pgw_exchange_wish(void); /* polled by the worker at every wake */

/*
 * DROP EXTENSION pgw is running here: pgw_exchange_fail_all("extension_dropped"), then no
 * transaction until this is false again.
 */
extern bool pgw_exchange_dropping(void);

/* Index of my entry; -1: this process is no worker that has attached. */
extern int pgw_entry_attached(void);

/* Index of my database's entry, looked for without pgw_lock held; -1: there is none. */
extern int pgw_entry_mine(void);

/* --- utility_hook.c --- */

/* One wish counted on a database's entry. false: there is no entry, nothing to wish. */
extern bool pgw_entry_hold(Oid dboid);
extern void pgw_entry_unhold(Oid dboid, bool gone);
extern bool pgw_entry_empty(Oid dboid); /* is its worker out of the ProcArray? */
extern bool pgw_entry_drop_begin(Oid dboid);
extern void pgw_entry_drop_end(Oid dboid);

/* --- with pgw_lock held; "writes": for writing.  The entry is laid out in exchange_shmem.h --- */
struct PgwWorkerEntry;

extern int pgw_entry_find(Oid dboid, bool create); /* create: writes; -1: none, or no room */
extern void pgw_entry_set_state(struct PgwWorkerEntry *entry, PgwEntryState state); /* writes */
extern void pgw_entry_died(struct PgwWorkerEntry *entry); /* writes: -> DOWN, with the back-off */
extern bool pgw_entry_forget(int entry); /* writes: -> UNUSED, unless somebody needs it */
extern int pgw_entry_worker(int entry);  /* whom to wake */
extern void pgw_wake_worker(int entry);
extern void pgw_wake_launcher(void); /* writes: poke */

#endif
