/*
 * said_text.c - texts of a notification that are kept: whole, and none that holds a card's number
 *
 * Ids are read as they are, for one in thirty of sixteen digits looks like a card's number: what is
 * kept of them is decided when it is known whose they are (kept_ids.c).
 */
#include "core/notification/said_text.h"

#include <string.h>

#include "core/bank_message/answer_fields.h"
#include "core/card/card_text.h"

void
pgw_said_place(const PgwAnswerBody *body, const PgwPointer *place, char *dst, size_t size)
{
	pgw_said_id(body, place, dst, size);
	if (pgw_text_has_card_number(dst, strlen(dst)))
		dst[0] = '\0';
}

void
pgw_said_id(const PgwAnswerBody *body, const PgwPointer *place, char *dst, size_t size)
{
	PgwJson v;

	dst[0] = '\0';
	if (pgw_answer_body_follow(body, place, &v))
		(void) pgw_answer_body_text(&v, dst, size, false);
}

void
pgw_said_field(const PgwAnswerSpec *said, const PgwAnswerBody *body, PgwAnswerField field,
			   char *dst, size_t size)
{
	PgwQuestion nothing = {.op = PGW_OP_LOOKUP_CHARGE};
	const PgwFieldSource *source;
	PgwJson v;

	dst[0] = '\0';
	source = pgw_answer_field(said, &nothing, body, field, &v);
	if (source != NULL)
		(void) pgw_answer_id(source, &v, dst, size);
}
