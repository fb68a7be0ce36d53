/*
 * judge_answer.h - what a bank's answer says
 */
#ifndef PGW_CORE_BANK_MESSAGE_JUDGE_ANSWER_H
#define PGW_CORE_BANK_MESSAGE_JUDGE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/card/card_text.h"
#include "core/connector/connector.h"

#define PGW_CURSOR_SIZE 256

/* A bank's answer, judged. Strings are bounded copies; empty when absent. */
typedef struct PgwAnswer
{
	PgwOutcome outcome;  /* of a look-up: how what was looked up stands */
	PgwKeyWord key_word; /* UNKNOWN: does the bank speak of the request's key alone? */
	int http_status;     /* for people; 0: nothing was judged */
	char bank_reference[256];
	/*
	 * something stands there, but it is no id: empty, null, too long, of the wrong kind, or one of
	 * "not_ids"
	 */
	bool bank_reference_invalid;
	char authorization_code[64];
	char bank_code[128]; /* the bank's own reason, for operators */
	char error_code[64]; /* mapped to our stable list; empty: none */
	char card_brand[32];
	char card_last4[5];
	bool has_amount;
	int64_t amount;   /* converted back to ISO minor units */
	char currency[4]; /* upper-cased; empty when absent */
	/* one stands there, and is none, or nobody foresaw of what its amounts are */
	bool currency_unreadable;
	/* the answer had an amount that could not be read exactly: treat as unacceptable */
	bool amount_unreadable;
	int64_t captured; /* look-ups, -1 when absent */
	int64_t refunded; /* look-ups, -1 when absent */
	bool has_voided;  /* the answer says whether it was */
	bool voided;      /* look-ups: was cancelled */
	/*
	 * captured, refunded or voided stands there, and cannot be read: it is neither nothing nor all
	 */
	bool charge_state_unreadable;
	/* ... captured, and by its digits it is not nothing: "49,90", -5, 5000.5 */
	bool captured_garbled;
	/* UNKNOWN: it is about another payment, or a look-up's does not say that it is about ours */
	bool other_reference;
	/*
	 * it says that it is about real money where a test was asked for, or the reverse.  But for a
	 * charge or authorization that makes it one about another payment, too
	 */
	bool other_mode;
	int retry_after_s; /* -1 when absent */
	/* it repeats card data or a key of ours; what does is left out */
	bool echoed;
	/*
	 * ... somewhere, kept or not, and would not be seen to in a later answer, when the card is not
	 * known any more: see PgwQuestion.card_echoed
	 */
	bool card_echoed;
	/* of a list: it could be read, and the element that was asked for is in it */
	bool of_list;
	bool element;
	/*
	 * where the list goes on, in the bank's word; then this is of one page of it, and says nothing
	 * alone: list_pages.c.  Empty: this is all of it, or there is no list
	 */
	char next_page[PGW_CURSOR_SIZE];
	/* an id that must not be kept: only for comparing it with those that are; empty: none */
	char compared_reference[256];
	char capture_reference[256]; /* the bank's id of what took the money; empty: not named */
} PgwAnswer;

/* What was asked, and with which references.  NULL: the request had none. */
typedef struct PgwQuestion
{
	PgwBankOp op;
	const char *transaction_ref;
	const char *original_ref;
	const char *bank_reference;
	const char *operation_reference;
	bool livemode;        /* of what is asked about: does real money move? */
	const char *currency; /* asked for */
	int iso_exponent;
	/*
	 * what must not be kept of an answer; last4: the card's.  NULL: only what looks like a card
	 * number anyway
	 */
	const PgwSought *sought;
	/*
	 * what will be left of it when the card is not known any more, nor a key before a change; NULL:
	 * nothing of that kind is known now
	 */
	const PgwSought *sought_later;
	/*
	 * an earlier answer was card_echoed, and the card is not known any more: whatever text this one
	 * has may be the card's
	 */
	bool card_echoed;
} PgwQuestion;

/* What has decided what an answer says. */
typedef enum PgwDecidedBy
{
	PGW_DECIDED_BY_RULE = 0,  /* the first that fits */
	PGW_DECIDED_BY_NO_RULE,   /* none fits */
	PGW_DECIDED_BY_ABSENCE,   /* a whole list in which it is not */
	PGW_DECIDED_BY_DOUBT,     /* a list in which it may be, or two */
	PGW_DECIDED_BY_ERROR,     /* a rule shows a charge in what is no list */
	PGW_DECIDED_BY_REFERENCE, /* it is about another payment, or does not say about which */
	/* a look-up without an id, where two payments may have one reference */
	PGW_DECIDED_BY_NO_ID,
	PGW_DECIDED_BY_MODE,        /* it is of the other mode */
	PGW_DECIDED_BY_NO_OPERATION /* the connector has no such operation */
} PgwDecidedBy;

/* Why an answer says what it says, for a person. */
typedef struct PgwWhy
{
	PgwDecidedBy by;
	bool readable;         /* the body could be read whole */
	bool headers_readable; /* and so could those that the connector reads */
	char pointer[512];     /* what has decided, in the connector's document; empty: nothing there */
	char reference[256];   /* PGW_DECIDED_BY_REFERENCE: the one that it names; empty: none */
	PgwBuf passed_over; /* JSON strings, without brackets: what did not fit of each rule before */
} PgwWhy;

/* Why an answer that is none is none, in a word for event_data: other_mode, or the other one. */
static inline const char *
pgw_answer_none_because(const PgwAnswer *a, const char *otherwise)
{
	return a->other_mode ? "other_mode" : otherwise;
}

/* A whole answer as it came.  The texts stay the caller's. */
typedef struct PgwGivenAnswer
{
	long status;
	const char *retry_after; /* the header's text; NULL: none */
	const char *headers; /* lines "Name: value\n", of those that the connector reads; NULL: none */
	const char *body;    /* NULL: none */
	size_t len;
} PgwGivenAnswer;

/*
 * Judge it.  Never fails: what cannot be read, and what answers another question, is
 * PGW_OUT_UNKNOWN.
 */
extern void pgw_connector_judge(const PgwConnector *c, const PgwQuestion *q,
								const PgwGivenAnswer *given, PgwAnswer *a);

/* The same, and why; pgw_buf_free() why->passed_over. */
extern void pgw_connector_explain(const PgwConnector *c, const PgwQuestion *q,
								  const PgwGivenAnswer *given, PgwAnswer *a, PgwWhy *why);

#endif
