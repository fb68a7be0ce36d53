/*
 * home_slots.h - which slots are at home in this database (pgw.shard_slots)
 *
 * A slot is in one shard, and the others know nothing of its payments: a request that is made in
 * two of them is charged twice.  So nothing is done for a slot that is not at home, and where
 * pgw.shard_slots is empty every slot is.  All functions need a transaction.
 */
#ifndef PGW_SHARD_HOME_SLOTS_H
#define PGW_SHARD_HOME_SLOTS_H

#include "postgres.h"
#include "utils/uuid.h"

/* The slots are being changed by a function that may (operator_api/shard_slots.c). */
extern bool pgw_changing_slots;

/* The slot of a request, by its id in the database's encoding. */
extern int pgw_slot_of_request(const char *client_request_id);

/* May calls be taken for this slot? */
extern bool pgw_slot_is_home(int slot);

/*
 * May the worker go on with this attempt, by its payment's id or its own?  Also while the slot is
 * about to leave.
 */
extern bool pgw_slot_is_worked(const pg_uuid_t *id);

/*
 * The slot stays where it is until this transaction ends.  Waits for who is just moving it: so look
 * again afterwards.
 */
extern void pgw_slot_hold(int slot);

/*
 * The worker's: both in one, without waiting.  *busy: it is just being moved, and nothing is known.
 */
extern bool pgw_slot_hold_worked(const pg_uuid_t *id, bool *busy);

/* Does another transaction hold it?  It takes no lock to know, so that may be past already. */
extern bool pgw_slot_is_held(int slot);

/*
 * For who moves it: until this transaction ends nobody else holds it.  false: somebody does; never
 * waits.
 */
extern bool pgw_slot_try_change(int slot);

/*
 * Who is told of a change by exchange/config_generation.h is told before what this process knows is
 * void: so it is read anew when it is asked next.
 */
extern void pgw_slots_forget(void);

/* Is there any slot that is? */
extern bool pgw_any_slot_is_worked(void);

/* Or none that is not? */
extern bool pgw_every_slot_is_worked(void);

/* Are there slots at all? */
extern bool pgw_slots_in_use(void);

/* Where the slot is, by its row; NULL: no row, or it is here. */
extern char *pgw_slot_other_shard(int slot);

#endif
