/*
 * bank_op.h - what a bank can be asked, whether the question reached it, and what it can say
 */
#ifndef PGW_CORE_CONNECTOR_BANK_OP_H
#define PGW_CORE_CONNECTOR_BANK_OP_H

#include <stdbool.h>

typedef enum PgwBankOp
{
	PGW_OP_CHARGE = 0,
	PGW_OP_AUTHORIZE,
	PGW_OP_CAPTURE,
	PGW_OP_VOID,
	PGW_OP_REFUND,
	PGW_OP_LOOKUP_CHARGE, /* by our reference */
	PGW_OP_LOOKUP_REFUND,
	PGW_OP_CANCEL,  /* by our reference, whatever state it is in */
	PGW_OP_REVERSE, /* a charge as a whole, captured or not, settled or not */
	PGW_OP_PING,
	PGW_OP_VERIFY_NOTIFICATION, /* one of its notifications, by that's own id */
	PGW_NOPS
} PgwBankOp;

typedef enum PgwOutcome
{
	PGW_OUT_UNKNOWN = 0, /* no rule matched, or not parsable: never "failed" */
	PGW_OUT_APPROVED,
	PGW_OUT_DECLINED,        /* the issuer or the bank's rules said no, finally */
	PGW_OUT_REQUIRES_ACTION, /* 3-D Secure and the like */
	PGW_OUT_PENDING,         /* accepted, not final */
	/* our request itself was refused (credentials, format); nothing happened */
	PGW_OUT_REJECTED,
	PGW_OUT_NOT_PROCESSED, /* the bank says it did nothing; another try is safe */
	PGW_OUT_NOT_FOUND,     /* look-ups only */
	/* the bank has taken the order for what follows a charge, and may still fail it */
	PGW_OUT_ACCEPTED
} PgwOutcome;

/* UNKNOWN, because the bank speaks of nothing but the request's key. */
typedef enum PgwKeyWord
{
	PGW_KEY_UNSAID = 0,
	PGW_KEY_IN_PROGRESS, /* a request with it is still being worked on */
	PGW_KEY_MISMATCH     /* another request had it before */
} PgwKeyWord;

/* Did the request reach the bank? */
typedef enum PgwTransport
{
	PGW_TRANSPORT_ANSWERED = 0, /* the bank's answer is there, whole */
	PGW_TRANSPORT_NEVER_SENT,   /* provably not one byte left */
	PGW_TRANSPORT_MAYBE_SENT    /* anything else */
} PgwTransport;

extern const char *pgw_op_name(PgwBankOp op); /* "lookup_charge" */
extern int pgw_op_parse(const char *name);    /* -1 when unknown */
extern bool pgw_op_is_lookup(PgwBankOp op);   /* changes nothing at the bank */
extern bool pgw_op_moves_money(PgwBankOp op); /* ... or could: has a key, if the bank takes one */
extern const char *pgw_outcome_name(PgwOutcome o);
extern int pgw_outcome_parse(const char *name); /* -1 when unknown */
/* As a connector's rule has it, "in_progress"; NULL: unsaid. */
extern const char *pgw_key_word_name(PgwKeyWord word);

#endif
