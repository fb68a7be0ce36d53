/*
 * shown_by_bank.h - what a bank shows that it holds of a charge, against what was asked of it
 */
#ifndef PGW_CORE_PAYMENT_SHOWN_BY_BANK_H
#define PGW_CORE_PAYMENT_SHOWN_BY_BANK_H

#include "core/bank_message/judge_answer.h"

typedef enum PgwShown
{
	PGW_SHOWN_NOTHING = 0, /* of use */
	PGW_SHOWN_AS_ASKED,    /* it is, or was done */
	/* the bank holds another amount, another currency, or not in the way that was asked for */
	PGW_SHOWN_OTHERWISE,
	PGW_SHOWN_NOT_DONE,
	/* less than was asked for, but something that pgw knows nothing of */
	PGW_SHOWN_PART,
	PGW_SHOWN_IMPOSSIBLE, /* not done, and never will be */
	PGW_SHOWN_UNREADABLE  /* it says something of what it holds that cannot be read */
} PgwShown;

/* What was asked for. */
typedef struct PgwAsked
{
	PgwBankOp op; /* charge, authorize, capture, void, refund, cancel */
	/* authorize: pgw captures all of it by itself, after the commit */
	bool capture_follows;
	int64_t amount; /* in minor units */
	const char *currency;
	int64_t before; /* captured, or refunded, without it */
	int64_t others; /* refunds besides it that are under way or in doubt */
	/*
	 * what was authorized, and what of that is known to be captured; 0: what is voided is the whole
	 * charge
	 */
	int64_t charged;
	int64_t taken;
} PgwAsked;

/* The bank names another currency than that, or what may be one; asked: NULL: any is right. */
extern bool pgw_shown_other_currency(const char *asked, const PgwAnswer *a);

/*
 * The amount and currency that the bank names are what was asked for; what it does not name is
 * taken so.
 */
extern bool pgw_shown_amount_is(const PgwAsked *asked, const PgwAnswer *a);

/*
 * The same of what a void or reversal has undone, of which banks name as they like:
 * what was authorized, what of that was taken, or the rest; 0 is none.
 */
extern bool pgw_shown_undo_is(const PgwAsked *asked, const PgwAnswer *a);

/*
 * A charge or authorization that the bank approves or shows as approved: AS_ASKED, OTHERWISE or
 * UNREADABLE.
 */
extern PgwShown pgw_shown_charge(const PgwAsked *asked, const PgwAnswer *a);

/* The charge as a look-up shows it: is this capture, void or refund in it? Any but UNREADABLE. */
extern PgwShown pgw_shown_operation(const PgwAsked *asked, const PgwAnswer *a);

/*
 * A void has left nothing of the charge, also of a captured one: there was no rest of it that alone
 * could be meant.
 */
extern bool pgw_shown_undone_by_void(const PgwAsked *asked, const PgwAnswer *a);

/* Does it show more captured than this order and those before it can have come to? */
extern bool pgw_shown_too_much(const PgwAsked *asked, const PgwAnswer *a);

/*
 * The bank says yes to a capture, void, refund or cancellation, and in the same answer shows that
 * it was not done: a refund answered with the document of the charge, say, which it leaves as it
 * was.  What an answer does not name it does not show.
 */
extern bool pgw_shown_belied(const PgwAsked *asked, const PgwAnswer *a);

/*
 * The bank shows money that it has taken of the card and not given back, at least not all of it; or
 * that it has taken some, and nobody can read how much.
 */
extern bool pgw_shown_money(const PgwAnswer *a);

/* Something stands there of what it has taken or given back that nobody can read. */
extern bool pgw_shown_unreadable_money(const PgwAnswer *a);

/*
 * The bank says that nothing was done, and in the same answer shows that it was: a charge that is
 * declined, or "not processed", with its document that says captured.  Which of the two is true
 * only a look-up or a person can tell.
 */
extern bool pgw_shown_refusal_belied(const PgwAsked *asked, const PgwAnswer *a);

/*
 * More was given back than was asked for, all refunds that pgw knows of together, or than was ever
 * captured.
 */
extern bool pgw_shown_excess(const PgwAsked *asked, const PgwAnswer *a);

/* What a look-up shows of an authorization whose lifetime is over. */
typedef enum PgwShownEnd
{
	PGW_END_UNTOLD = 0, /* it may have been captured, for all one can read */
	PGW_END_LAPSED,     /* no more was taken than is known */
	PGW_END_TAKEN       /* more was captured than is known, whatever the bank calls the charge */
} PgwShownEnd;

/* captured: of it, as far as is known, by whomever. */
extern PgwShownEnd pgw_shown_end(const PgwAnswer *a, int64_t captured);

/*
 * The amount that is left to give back of a charge, 0 when the answer does not say it. *captured:
 * on entry whether the charge was asked for as a captured one; set to what the answer shows, where
 * it shows that.  asked: for how much, 0: of another currency than the answer's.
 */
extern int64_t pgw_shown_left(const PgwAnswer *a, int64_t asked, bool *captured);

/*
 * What is left of it the answer says, and nobody can read: a refund, which names an amount, would
 * give back too much, or leave a part that nobody looks for.  captured: it was asked for so.
 */
extern bool pgw_shown_left_unreadable(const PgwAnswer *a, bool captured);

#endif
