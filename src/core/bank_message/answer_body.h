/*
 * answer_body.h - the body of an answer, and what stands at a place of it
 */
#ifndef PGW_CORE_BANK_MESSAGE_ANSWER_BODY_H
#define PGW_CORE_BANK_MESSAGE_ANSWER_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/bank_message/answer_headers.h"
#include "core/base/buf.h"
#include "core/connector/compiled.h"
#include "core/json/json_text.h"

/*
 * The whole body as one JSON object or array, and its members, if it is an object; without a value:
 * not readable.
 */
typedef struct PgwAnswerBody
{
	PgwJson value;
	PgwJsonMembers members;
	const char *text; /* as it came, or of a form as JSON; NULL: nothing came */
	size_t len;
	PgwBuf form; /* where text is of a form */
	/* those that came with it; NULL: none, or they cannot be read, and so the body counts for none
	 */
	const PgwAnswerHeaders *headers;
} PgwAnswerBody;

/* The text stays the caller's, and is pointed to; pgw_answer_body_end() ends that. */
extern void pgw_answer_body_read(const char *text, size_t len, bool form, PgwAnswerBody *body);
extern void pgw_answer_body_end(PgwAnswerBody *body);

/* An answer that came without a body, and with headers that could be read: they are all it says. */
extern bool pgw_answer_body_is_empty(const PgwAnswerBody *body);

/* Nothing is said by it: it could not be read, or must not be. */
extern void pgw_answer_body_make_unreadable(PgwAnswerBody *body);

/* A part of another body as one of its own. */
extern void pgw_answer_body_part(const PgwAnswerBody *whole, const PgwJson *part,
								 PgwAnswerBody *body);

/* False: there is no such place. */
extern bool pgw_answer_body_follow(const PgwAnswerBody *body, const PgwPointer *pointer,
								   PgwJson *v);

/*
 * There is no such place, and not because nothing is there: in front of its end stands something
 * that has no places, such as the text "4990" where an object with "value" is looked for.  What
 * banks write instead of an empty object (null, false, "" and []) is nothing.
 */
extern bool pgw_answer_body_is_cut_off(const PgwAnswerBody *body, const PgwPointer *pointer);

/*
 * A text value, whole numbers included, as a string that is fit to be kept; false, and empty:
 * another value, with control characters, or too long for size, unless it may be cut.
 */
extern bool pgw_answer_body_text(const PgwJson *v, char *dst, size_t size, bool cut);

#endif
