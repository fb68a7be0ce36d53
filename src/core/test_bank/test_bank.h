/*
 * test_bank.h - the bank inside the worker: what it is asked for, what it has in its ledger, what
 * it answers
 *
 * It speaks the reference protocol of docs/bank-protocol.md, as the simulator does.  Pure
 * decisions: the ledger is a table (test_bank/ledger_table.c), the wire is missing
 * (test_bank/test_wire.c).
 */
#ifndef PGW_CORE_TEST_BANK_TEST_BANK_H
#define PGW_CORE_TEST_BANK_TEST_BANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/test_bank/test_tokens.h"

/* The base_url of banks that are answered inside the worker: no request for it leaves the server.
 */
#define PGW_TEST_BANK_URL "test:"
/* the one connector that they may have, and the bank that comes with the extension */
#define PGW_TEST_CONNECTOR "test"
#define PGW_TEST_BANK_NAME "test"

#define PGW_TEST_REFERENCE 65 /* a reference or key, with its end */
#define PGW_TEST_ID (PGW_TEST_REFERENCE + 8)
#define PGW_TEST_FAULT 48
#define PGW_TEST_CODE 32

/* What stands in one row of the ledger. */
typedef enum PgwTestKind
{
	PGW_TEST_CHARGE = 0,
	PGW_TEST_AUTHORIZATION,
	PGW_TEST_CAPTURE,
	PGW_TEST_VOID,
	PGW_TEST_REFUND,
	PGW_TEST_CANCELLATION, /* of a reference: nothing is charged by it any more */
	PGW_TEST_REFUSAL,      /* nothing was done; the key has its answer */
	PGW_TEST_TRY           /* nothing was done, and the next try may go better */
} PgwTestKind;

typedef enum PgwTestStatus
{
	PGW_TEST_APPROVED = 0,
	PGW_TEST_DECLINED,
	PGW_TEST_PENDING,
	PGW_TEST_REQUIRES_ACTION,
	PGW_TEST_SUCCEEDED, /* these three are of captures, voids, refunds and what has no outcome */
	PGW_TEST_FAILED
} PgwTestStatus;

typedef struct PgwTestEntry
{
	char id[PGW_TEST_ID];
	PgwTestKind kind;
	PgwTestStatus status;
	char reference[PGW_TEST_REFERENCE]; /* empty: none was given */
	char key[PGW_TEST_REFERENCE];       /* empty: none was given */
	int64_t fingerprint;                /* of the request, without the card's number */
	char charge_id[PGW_TEST_ID];        /* of what follows a charge */
	int64_t amount;
	char currency[4];
	char code[PGW_TEST_CODE];   /* why not; empty: there is no why */
	char fault[PGW_TEST_FAULT]; /* the token of the charge, which steers what follows, too */
	int64_t captured;
	int64_t refunded;
	bool voided;
	int refusals;             /* how often a refund of it was refused */
	int64_t created_at;       /* all times in milliseconds since 1970 */
	int64_t decided_at;       /* 0: nothing is to come */
	PgwTestStatus decided_as; /* what it becomes then */
	int64_t expires_at;       /* of an authorization; 0: never */
	char authorization_code[8];
	char brand[16];
	char last4[5];
	/* as it was answered, for a repetition with the same key; status 0: not kept */
	int answer_status;
	char *answer;
	bool is_new;
	bool changed;
} PgwTestEntry;

/*
 * All that a request can concern: what has its key or reference, the charge of each, and what
 * follows the charge that it names; with room for what it adds.
 */
typedef struct PgwTestLedger
{
	PgwTestEntry *entries;
	int n;
	PgwBuf kept; /* the answer that an added row keeps */
} PgwTestLedger;

#define PGW_TEST_MOST_NEW 3

typedef enum PgwTestOp
{
	PGW_TEST_OP_CHARGE,
	PGW_TEST_OP_AUTHORIZE,
	PGW_TEST_OP_CAPTURE,
	PGW_TEST_OP_VOID,
	PGW_TEST_OP_REFUND,
	PGW_TEST_OP_CANCEL,
	PGW_TEST_OP_LOOKUP_CHARGE, /* by its reference, or its id */
	PGW_TEST_OP_LOOKUP_CAPTURE,
	PGW_TEST_OP_LOOKUP_REFUND,
	PGW_TEST_OP_PING
} PgwTestOp;

/* What a request asks for.  Nothing of a card's number is in it, but the last four digits. */
typedef struct PgwTestOrder
{
	PgwTestOp op;
	char charge_id[PGW_TEST_ID]; /* of the path; or that which a charge of the reference has */
	char reference[PGW_TEST_REFERENCE];
	char key[PGW_TEST_REFERENCE];
	int64_t fingerprint;
	int64_t amount; /* -1: not given */
	char currency[4];
	char fault_name[PGW_TEST_FAULT];
	PgwFault fault;
	char brand[16];
	char last4[5];
} PgwTestOrder;

typedef enum PgwTestDelivery
{
	PGW_TEST_ANSWERED,
	PGW_TEST_SILENT,   /* never: the request's time runs out */
	PGW_TEST_BROKEN,   /* the connection breaks before a whole answer has come */
	PGW_TEST_TOO_LARGE /* more than anybody reads */
} PgwTestDelivery;

typedef struct PgwTestAnswer
{
	PgwTestDelivery delivery;
	int status;
	PgwBuf body;
	int retry_after; /* seconds; 0: not said */
} PgwTestAnswer;

/* A request as it would go over the wire. */
typedef struct PgwTestRequest
{
	const char *method;
	const char *path; /* with the query */
	const char *key;  /* the Idempotency-Key; NULL: none */
	const char *body; /* NULL: none */
	size_t body_len;
	int64_t now; /* milliseconds since 1970 */
} PgwTestRequest;

extern void pgw_test_answer_init(PgwTestAnswer *a);
extern void pgw_test_answer_free(PgwTestAnswer *a);

/* --- test_request.c --- */

/* false: it was refused, and *answer says so; the ledger need not be asked. */
extern bool pgw_test_order_read(PgwTestOrder *order, const PgwTestRequest *req,
								PgwTestAnswer *answer);

/* --- test_decisions.c --- */

/* What the ledger does with an order, and what it answers. */
extern void pgw_test_bank_decide(const PgwTestOrder *order, PgwTestLedger *ledger, int64_t now,
								 PgwTestAnswer *answer);

/* How long until the answer; with *work_too it works only then. */
extern int64_t pgw_test_bank_delay(const PgwTestOrder *order, bool *work_too);

/* --- test_document.c --- */
extern void pgw_test_refuse(PgwTestAnswer *a, int status, const char *code, const char *message);
extern void pgw_test_put_charge(PgwBuf *b, const PgwTestEntry *charge, PgwFaultKind fault);
extern void pgw_test_put_step(PgwBuf *b, const PgwTestEntry *step, PgwFaultKind fault);
extern const char *pgw_test_kind_name(PgwTestKind kind);
extern const char *pgw_test_status_name(PgwTestStatus status);
extern bool pgw_test_kind_of(const char *name, PgwTestKind *kind);
extern bool pgw_test_status_of(const char *name, PgwTestStatus *status);

/* "ch_" and the reference without digits: no such id can be taken for a card's number. */
extern void pgw_test_id(char *id, const char *prefix, const char *reference);

#endif
