/*
 * bundle_errors.h - the payments of one pgw.process_payments(), and what becomes of one that fails
 */
#ifndef PGW_CLIENT_API_BUNDLE_ERRORS_H
#define PGW_CLIENT_API_BUNDLE_ERRORS_H

#include "postgres.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "client_api/pay_common.h"
#include "exchange/caller_slot.h"

typedef enum PgwMemberState
{
	PGW_MEMBER_NEW = 0, /* its id is not claimed */
	PGW_MEMBER_TO_ASK,  /* claimed, and the worker has to be asked */
	PGW_MEMBER_BLOCKED, /* ... again, when an earlier attempt has been given back */
	PGW_MEMBER_ASKED,   /* answered, or the wait is over */
	PGW_MEMBER_DONE,    /* it was recorded before this call */
	PGW_MEMBER_FAILED   /* not atomic: refused, with an error; nothing of it is left */
} PgwMemberState;

/* One payment of the call. */
typedef struct PgwMember
{
	PgwPay *pay;
	PgwMemberState state;
	bool begun_before; /* the worker had it before the call began again */
	PgwClaimSlot no_slot;
	PgwWaited waited;
	PgwAttempt attempt; /* have_t: it is known */
	bool have_t;
	PgwAudience audience;
	ErrorData *error; /* FAILED */
	const char *error_code;
} PgwMember;

typedef struct PgwBundle
{
	bool atomic;
	bool has_asked; /* the worker, since it began (again) */
	TimestampTz deadline;
	MemoryContext context; /* of the call */
	ResourceOwner owner;
	int n;
	PgwMember *members; /* in the order of the requests */
	PgwMember **order;  /* in that of merchant and id */
	PgwMember **asked;  /* at present, in the order of their slots */
	PgwWaited *waited;
} PgwBundle;

typedef void (*PgwBundleStep)(PgwBundle *b, PgwMember *m);
typedef bool (*PgwBundleWork)(PgwBundle *b, PgwMember *m, PgwBundleStep step);

/*
 * step(b, m).  false: an error of pgw's own, now m's; then the subtransaction is to be rolled back.
 * An atomic call has the error raised, with the place of the request in its DETAIL, and so has one
 * that would leave a payment behind which it has begun before.
 */
extern bool pgw_bundle_try(PgwBundle *b, PgwMember *m, PgwBundleStep step);

/*
 * work(b, m, step); not atomic: in a subtransaction, of which nothing stays when it returns false
 * or raises.
 */
extern bool pgw_bundle_run(PgwBundle *b, PgwBundleWork work, PgwMember *m, PgwBundleStep step);

/* Raises when one of them was not taken, and names all of which that is so. */
extern void pgw_bundle_require_taken(const PgwBundle *b);

/* Its row of the result. */
extern void pgw_bundle_put(const PgwMember *m, Tuplestorestate *store, TupleDesc desc);

#endif
