/*
 * kept_ids.c - which ids of a notification may be stored: none that may be a card's number
 *
 * Banks' ids are often long numbers: of those of sixteen digits one in thirty looks like a card's.
 * So the rule is that of ids in an answer (core/bank_message/answer_echo.c): a look-alike counts
 * only if it ends like the card that was charged, or if that is not known.  The payment is found by
 * ids as they came, for a look-up stores nothing; and what is stored already may be stored again.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "core/notification/kept_ids.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/card/card_text.h"

/* Wiped, not cut short: what stands behind a text's end goes where the structure is copied. */
static void
keep(char *id, size_t size, const PgwIdsKnown *known, const PgwSought *sought)
{
	if (id[0] == '\0' || (known->charge_id != NULL && strcmp(known->charge_id, id) == 0) ||
		pgw_card_in_text(sought, PGW_TEXT_ID, id, strlen(id)) == PGW_FOUND_NOTHING)
		return;
	explicit_bzero(id, size);
}

void
pgw_notification_keep_ids(PgwNotification *said, const PgwIdsKnown *known)
{
	bool known_end =
		known->card_last4 != NULL && known->card_last4[0] != '\0' && !PGW_MUTATED(SAID_ID_DROPPED);
	PgwSought sought = {.last4 = known_end ? known->card_last4 : NULL};

	if (PGW_MUTATED(SAID_ID_KEPT))
		return;
	keep(said->event_id, sizeof(said->event_id), known, &sought);
	keep(said->bank_reference, sizeof(said->bank_reference), known, &sought);
	keep(said->reference, sizeof(said->reference), known, &sought);
	keep(said->operation_reference, sizeof(said->operation_reference), known, &sought);
	keep(said->dispute.id, sizeof(said->dispute.id), known, &sought);
}
