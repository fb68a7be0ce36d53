/*
 * kept_ids.c - which ids of a notification may be stored: none that may be a card's number
 *
 * Banks' ids are often long numbers: of those of sixteen digits one in thirty looks like a card's.
 * So what is the bank's word is treated as ids in its answers are
 * (core/bank_message/answer_echo.c): a look-alike counts only if it ends like the card that was
 * charged.  What nobody has signed may hold anybody's number.  The payment is found by ids as they
 * came, for a look-up stores nothing.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "core/notification/kept_ids.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/card/card_text.h"

/* Wiped, not cut short: what stands behind a text's end goes where the structure is copied. */
static void
keep(char *id, size_t size, const PgwSought *sought)
{
	if (pgw_card_in_text(sought, PGW_TEXT_ID, id, strlen(id)) != PGW_FOUND_NOTHING)
		explicit_bzero(id, size);
}

void
pgw_notification_keep_ids(PgwNotification *said, const char *card_last4)
{
	PgwSought sought = {.last4 = PGW_MUTATED(SAID_ID_DROPPED) ? NULL : card_last4};

	if (PGW_MUTATED(SAID_ID_KEPT))
		return;
	keep(said->event_id, sizeof(said->event_id), &sought);
	keep(said->bank_reference, sizeof(said->bank_reference), &sought);
	keep(said->reference, sizeof(said->reference), &sought);
	keep(said->operation_reference, sizeof(said->operation_reference), &sought);
	keep(said->dispute.id, sizeof(said->dispute.id), &sought);
}

bool
pgw_notification_id_may_be_kept(const char *id)
{
	PgwSought anybodys = {.last4 = NULL};

	return pgw_card_in_text(&anybodys, PGW_TEXT_ID, id, strlen(id)) == PGW_FOUND_NOTHING;
}
