/*
 * slot_order.h - what somebody asks for of slots, and the statements that carry it out
 */
#ifndef PGW_OPERATOR_API_SLOT_ORDER_H
#define PGW_OPERATOR_API_SLOT_ORDER_H

#include "postgres.h"
#include "fmgr.h"

#include "core/request/actor.h"

typedef struct PgwSlotOrder
{
	Datum slots; /* int4multirange */
	bool has_slots;
	const char *shard; /* this one */
	const char *other; /* the other one, or whatever else a statement is about; NULL: none */
	char *note;        /* NULL: none */
	int64 system;      /* the system_identifier of the server that it is about */
	PgwActor actor;
} PgwSlotOrder;

/*
 * Checked arguments slots (where the function has it), note and options; faults: those of further
 * ones, found before, or NULL.  PW422 where this server has no name.
 */
extern void pgw_slot_order_begin(PgwSlotOrder *o, FunctionCallInfo fcinfo, const char *function,
								 char *faults);

/*
 * A statement, within SPI.  Its parameters: $1 the slots, $2 this shard, $3 the other one, $4 the
 * note, $5 who asks, $6 the system.
 */
extern void pgw_slot_order_run(const PgwSlotOrder *o, const char *sql, int expected);

/* PW422: what was asked for cannot be, and why. */
_Noreturn extern void pgw_slot_order_refuse(const char *members, const char *hint);

/* PW400 unless they are some of those that there are. */
extern void pgw_slot_order_require_slots(const PgwSlotOrder *o);

/* A row of pgw.slot_changes, which says from where to where; away: to the other one. */
extern void pgw_slot_order_record(const PgwSlotOrder *o, const char *action, bool away);

#endif
