/*
 * slots_internal.h - what may be done with a slot, whoever does it; for exchange/ alone
 */
#ifndef PGW_EXCHANGE_SLOTS_INTERNAL_H
#define PGW_EXCHANGE_SLOTS_INTERNAL_H

#include "postgres.h"

#include "exchange/slots.h"

extern void pgw_slots_init(void); /* when shared memory is created */

/* Its body is all zero then: nobody must hold the slot any more. */
extern void pgw_slot_wipe_and_free(int slot);

/* --- with pgw_lock held for writing --- */

/* Onto its entry's queue, in order of seq: a slot given back goes before later ones. */
extern void pgw_slot_enqueue(int slot);
/* Off the queue; the caller sets the new state. */
extern void pgw_slot_dequeue(int slot);
/*
 * The waiting backend has the answer; returns whom to wake: that backend, when all slots of its
 * call are answered, else PGW_NO_PROC. The body keeps nothing but the answer.
 */
extern int pgw_slot_set_answer(int slot, const PgwSlotAnswer *answer);

/*
 * What becomes of a TAKEN slot that its worker gives up: recorded -> answered BankUnknown, not
 * recorded -> REQUESTED, abandoned -> FREE.
 */
extern void pgw_slot_release_taken(int slot);
/* ... and of all of them, when the worker leaves. */
extern void pgw_slots_release_taken(int entry);

/*
 * Answers every REQUESTED slot of the entry with an error; with taken also the TAKEN ones (the
 * worker only).
 */
extern void pgw_slots_fail(int entry, const char *error_code, bool taken);
/* the REQUESTED ones whose seq is not above this */
extern void pgw_slots_fail_requested(int entry, const char *error_code, uint64 last);

#endif
