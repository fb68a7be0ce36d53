/*
 * read_notification.h - what a notification says: which payment it is about, which it is of those
 * that came, its type, time and mode
 */
#ifndef PGW_CORE_NOTIFICATION_READ_NOTIFICATION_H
#define PGW_CORE_NOTIFICATION_READ_NOTIFICATION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/connector/said_dispute.h"
#include "core/notification/verify_signature.h"

/*
 * Bounded copies; empty: it does not say, or what stands there is not to be kept.  Ids may look
 * like a card's number, and are for finding the payment by, until kept_ids.h has seen to them.
 */
typedef struct PgwNotification
{
	bool readable;     /* a JSON document, whole and unambiguous */
	char digest[65];   /* SHA-256 of it as it came, in hexadecimal digits */
	char identity[65]; /* ... of what two deliveries of it have in common; empty: nothing does */
	/* the same for people, where it is one text that may be kept */
	char event_id[256];
	char type[128];
	char time[64];            /* as the bank writes it */
	char bank_reference[256]; /* its id of the charge */
	char reference[256];      /* ours */
	bool has_amount;
	bool amount_unreadable; /* one stands there, and it or its currency is none */
	int64_t amount;         /* minor units of the currency */
	char currency[4];
	/* it is the bank's word on an operation: about this one, approved or declined */
	bool is_evidence;
	PgwBankOp about;
	PgwOutcome says;
	char operation_reference[256]; /* its id of that operation */
	PgwSaidDispute dispute;        /* .steps is 0: it tells of none; else of nothing but that */
	unsigned changes; /* PGW_CHANGE_...: it may tell of what was done at the bank without pgw */
	bool other_mode;  /* of tests, and it came for real money; or the reverse; or neither */
} PgwNotification;

/*
 * livemode: does the bank move real money?  Of a body that has several the mode stands beside them,
 * and is not read here.
 */
extern void pgw_notification_read(const PgwConnector *c, const PgwArrived *n, bool livemode,
								  PgwNotification *out);

/* Its identity is this text alone, however it was written in what came. */
extern void pgw_notification_identity_is(PgwNotification *said, const char *id);

/* Does the body say that it is of the other mode? */
extern bool pgw_notification_other_mode(const PgwConnector *c, const PgwArrived *n, bool livemode);

/*
 * Does it name this reference of ours (32 hex digits), as the connector has the bank told it,
 * perhaps with something around it?  As an answer may (core/bank_message/judge_answer.c).
 */
extern bool pgw_notification_names(const PgwConnector *c, const PgwNotification *said,
								   const char *reference);

/*
 * Is it about this very reference, and no other?  What is decided by it may have nothing around it,
 * nor be a part of another one.
 */
extern bool pgw_notification_is_about(const PgwConnector *c, const PgwNotification *said,
									  const char *reference);

/* Is the amount that it says what was asked for, as an answer's would have to be? */
typedef enum PgwSaidAmount
{
	PGW_SAID_NOTHING = 0,
	PGW_SAID_EQUAL,
	PGW_SAID_UNEQUAL, /* another one, or of another currency */
	PGW_SAID_UNREADABLE
} PgwSaidAmount;
extern PgwSaidAmount pgw_notification_compare_amount(const PgwNotification *said, int64_t amount,
													 const char *currency);
extern const char *pgw_said_amount_name(PgwSaidAmount s); /* "unequal"; nothing: NULL */

#endif
