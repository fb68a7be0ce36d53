/*
 * said_text.c - texts of a notification that are kept: whole, and none that holds a card's number
 */
#include "core/notification/said_text.h"

#include <string.h>

#include "core/bank_message/answer_fields.h"
#include "core/card/card_text.h"

void
pgw_said_keep(char *text)
{
	if (pgw_text_has_card_number(text, strlen(text)))
		text[0] = '\0';
}

void
pgw_said_place(const PgwAnswerBody *body, const PgwPointer *place, char *dst, size_t size)
{
	PgwJson v;

	dst[0] = '\0';
	if (pgw_answer_body_follow(body, place, &v) && pgw_answer_body_text(&v, dst, size, false))
		pgw_said_keep(dst);
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
	if (source != NULL && pgw_answer_id(source, &v, dst, size))
		pgw_said_keep(dst);
}
