/*
 * said_text.h - texts of a notification that are kept: whole, and none that holds a card's number
 */
#ifndef PGW_CORE_NOTIFICATION_SAID_TEXT_H
#define PGW_CORE_NOTIFICATION_SAID_TEXT_H

#include <stddef.h>

#include "core/bank_message/answer_body.h"
#include "core/connector/compiled.h"

/* What stands at this place; empty: nothing that could be kept. */
extern void pgw_said_place(const PgwAnswerBody *body, const PgwPointer *place, char *dst,
						   size_t size);

/* ... as an id, which may look like a card's number: kept_ids.h says whether it is kept */
extern void pgw_said_id(const PgwAnswerBody *body, const PgwPointer *place, char *dst, size_t size);

/* ... in this field, as an id or reference: the same */
extern void pgw_said_field(const PgwAnswerSpec *said, const PgwAnswerBody *body,
						   PgwAnswerField field, char *dst, size_t size);

#endif
