/*
 * slots.h - what a slot carries from a caller to its worker, and back
 *
 * The life of a slot is drawn in slots.c.
 */
#ifndef PGW_EXCHANGE_SLOTS_H
#define PGW_EXCHANGE_SLOTS_H

#include "postgres.h"
#include "access/transam.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/uuid.h"

#include "core/request/actor.h"
#include "core/request/validate.h"

typedef enum PgwSlotState
{
	PGW_SLOT_FREE = 0,
	PGW_SLOT_CLAIMED, /* a backend is filling it */
	/* waits for the worker; a backend that leaves withdraws it: nothing happened */
	PGW_SLOT_REQUESTED,
	/* the worker has it; a backend that leaves only marks it abandoned */
	PGW_SLOT_TAKEN,
	PGW_SLOT_ANSWERED /* answer filled, the backend's to free */
} PgwSlotState;

/*
 * What the backend asks. Strings NUL terminated, "" = none. Lives in the slot's body: on pages of
 * its own, DONTDUMP, mlocked.
 */
typedef struct PgwSlotRequest
{
	pg_uuid_t payment_id;
	pg_uuid_t transaction_id; /* of the new attempt */
	pg_uuid_t correlation_id;
	FullTransactionId caller_xid;    /* top level */
	FullTransactionId caller_subxid; /* = caller_xid outside subtransactions */
	TimestampTz deadline;            /* of the caller's wait; 0: none */
	uint64 generation;               /* of the configuration that the caller could see */
	bool config_changing;            /* ... and perhaps a newer one */
	int64 amount;
	char currency[4];
	int capture; /* PgwCaptureMode */
	int card_expiry_month;
	int card_expiry_year;
	char client_request_id[1021];
	char merchant[64];
	char bank[64];           /* the bank chosen by the backend's rules */
	char bank_requested[64]; /* named by the caller, or "" */
	char reference[1021];
	/* the token, and behind its end what is told of the customer: pgw_slot_customer() */
	char token[PGW_MAX_TOKEN_AND_CUSTOMER_BYTES + 2];
	char card_number[20];
	char card_cvv[5];
	char card_holder[256];
	char card_last4[5];
	char card_brand[16];
	char bank_fields[4097];
	PgwActor actor; /* who asks: the worker writes the first event */
} PgwSlotRequest;

typedef enum PgwAnswerKind
{
	PGW_ANSWER_OUTCOME = 0, /* the attempt's row says it; status tells which */
	PGW_ANSWER_ERROR,       /* nothing was sent, nothing charged: raise error_code */
	PGW_ANSWER_BLOCKED /* nothing was sent: an earlier attempt with this id is being given back; ask
						  again when that is over */
} PgwAnswerKind;

typedef struct PgwSlotAnswer
{
	PgwAnswerKind kind;
	/* the attempt that it tells of: an earlier one where that was taken over or is in the way */
	pg_uuid_t transaction_id;
	bool replayed; /* the outcome was recorded before this request */
	int status;    /* PgwState after the worker's commit */
	/* where its row lay then; a hint, and not valid where nobody knows */
	ItemPointerData place;
	char error_code[64];
	char detail[256]; /* sanitized */
} PgwSlotAnswer;

/*
 * options.customer as JSON, "": none.  It shares the token's place, because the one is large where
 * the other is small: a slot with room for both at their largest could not be locked in 8 MiB.
 */
extern char *pgw_slot_customer(PgwSlotRequest *r, size_t *room); /* room: its NUL included */

/* The body: the backend's while CLAIMED, the worker's while TAKEN. */
extern PgwSlotRequest *pgw_exchange_request(int slot);

#endif
