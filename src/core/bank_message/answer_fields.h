/*
 * answer_fields.h - the fields of an answer, and the element of a list that is the answer
 */
#ifndef PGW_CORE_BANK_MESSAGE_ANSWER_FIELDS_H
#define PGW_CORE_BANK_MESSAGE_ANSWER_FIELDS_H

#include "core/bank_message/answer_body.h"
#include "core/bank_message/judge_answer.h"

/*
 * Where the field's value comes from in this answer, and what stands there: of a sum, the list.
 * NULL: the connector names none, it is not there, or it is null.  *v may point into the connector.
 */
extern const PgwFieldSource *pgw_answer_field(const PgwAnswerSpec *spec, const PgwQuestion *q,
											  const PgwAnswerBody *body, PgwAnswerField field,
											  PgwJson *v);

/*
 * Each of the field's sources is for answers of some kind, and this one is of none of them: what it
 * has to say of the field nobody has foreseen.
 */
extern bool pgw_answer_field_is_unforeseen(const PgwAnswerSpec *spec, const PgwQuestion *q,
										   const PgwAnswerBody *body, PgwAnswerField field);

/*
 * Something else stands where the field's place would have to be (pgw_answer_body_is_cut_off()):
 * the bank says something of it, and nobody can read what.
 */
extern bool pgw_answer_field_is_cut_off(const PgwAnswerSpec *spec, const PgwQuestion *q,
										const PgwAnswerBody *body, PgwAnswerField field);

/* Does anything stand at one of the field's places, null included? */
extern bool pgw_answer_stands_there(const PgwAnswerSpec *spec, const PgwQuestion *q,
									const PgwAnswerBody *body, PgwAnswerField field);

/*
 * What it says of its own mode: real money, a test, or a value that is neither.  false: nothing.
 */
extern bool pgw_answer_says_mode(const PgwAnswerSpec *spec, const PgwQuestion *q,
								 const PgwAnswerBody *body, bool *live, bool *test);

/*
 * Amount and currency of a text that answers no question: how the amount is written follows from
 * the currency beside it, and without that it is none.  Sets those members of *a, which was zero.
 * below_zero: set where it is, and then the amount is that without its sign; NULL: none may be.
 */
extern void pgw_answer_own_amount(const PgwConnector *c, const PgwAnswerSpec *spec,
								  const PgwQuestion *q, const PgwAnswerBody *body, bool *below_zero,
								  PgwAnswer *a);

/* A list whose elements have ids is no longer than that, and these no longer than this. */
#define PGW_SUM_IDS 256
#define PGW_SUM_ID_BYTES 256

/*
 * What stands there as an id: all of it, or what the source says is one in it.  False, and empty:
 * none that could be taken whole.
 */
extern bool pgw_answer_id(const PgwFieldSource *source, const PgwJson *v, char *dst, size_t size);

/*
 * One element of a sum: true, and whether it counts and what stands there as its amount.  At the
 * end, or where the sum cannot be known, false; *known says which.
 */
typedef struct PgwSumElements
{
	const PgwFieldSource *source;
	const PgwQuestion *question;
	const PgwAnswerBody *body;
	const PgwJson *list;
	const char *at; /* NULL: not begun */
	int nids;       /* of the elements so far, where they have some */
	PgwJson ids[PGW_SUM_IDS];
	bool known; /* at the end: were all elements seen, and could be told apart? */
} PgwSumElements;

extern bool pgw_answer_next_of_sum(PgwSumElements *sum, PgwJson *amount);

typedef enum PgwPicked
{
	PGW_PICKED_ONE = 0, /* *one is what was asked for; or the connector selects nothing */
	PGW_PICKED_NONE,    /* the whole list is here, and it is not in it */
	PGW_PICKED_DOUBT    /* no list, two that could be it, or more of it nobody knows where */
} PgwPicked;

/*
 * The element of the list that was asked for.  *one may be the same as *whole; unchanged unless
 * PGW_PICKED_ONE.  next_page: where the list goes on, if the connector can ask for that; else
 * empty.
 */
extern PgwPicked pgw_answer_pick(const PgwSelect *select, const PgwQuestion *q,
								 const PgwAnswerBody *whole, PgwAnswerBody *one,
								 char next_page[PGW_CURSOR_SIZE]);

#endif
