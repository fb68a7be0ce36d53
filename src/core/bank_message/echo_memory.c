/*
 * echo_memory.c - what an answer repeats, and would not be seen to repeat in a later one
 *
 * A bank that has once written the security code, the holder or a disguised number somewhere into
 * an answer may write it into an id of the next one, which is judged without the card.  So it does
 * not matter here whether a text is kept, nor what else stands in it.
 *
 * Looked at one by one, because the first thing found ends a search: a number that is refused by
 * its look in later answers, too, must not hide the security code beside it.  A later text may be
 * an id, where a number counts by its look only if it ends like the card; so that rule is the one
 * that decides whether it would be seen.
 */
#include "core/bank_message/echo_memory.h"

#include <string.h>

static bool
is_one_of(const char *word, const PgwSought *sought)
{
	for (int i = 0; i < PGW_SOUGHT_WORDS; i++)
	{
		if (sought->words[i] != NULL && strcmp(sought->words[i], word) == 0)
			return true;
	}
	return false;
}

void
pgw_echo_memory_begin(PgwEchoMemory *m, const PgwSought *now, const PgwSought *later,
					  const char *last4)
{
	memset(m, 0, sizeof(*m));
	m->needed = now != NULL && later != NULL;
	if (!m->needed)
		return;
	m->number = (PgwSought){
		.card_number = now->card_number, .parts = now->parts, .last4 = PGW_NO_STRANGERS};
	m->gone = (PgwSought){.card_cvv = now->card_cvv, .last4 = PGW_NO_STRANGERS, .parts = true};
	for (int i = 0; i < PGW_SOUGHT_WORDS; i++)
	{
		if (now->words[i] != NULL && !is_one_of(now->words[i], later))
			m->gone.words[i] = now->words[i];
	}
	m->any = m->gone;
	m->any.card_number = m->number.card_number;
	m->later = *later;
	m->later.last4 = last4 != NULL && *last4 != '\0' ? last4 : PGW_NO_STRANGERS;
}

PgwEchoMemory
pgw_echo_memory_without_words(const PgwEchoMemory *m)
{
	PgwEchoMemory without = *m;

	memset(without.gone.words, 0, sizeof(without.gone.words));
	memset(without.any.words, 0, sizeof(without.any.words));
	return without;
}

bool
pgw_echo_memory_in_text(const PgwEchoMemory *m, PgwTextKind kind, const char *text, size_t len)
{
	PgwFound found;

	if (!m->needed || pgw_card_in_text(&m->any, kind, text, len) == PGW_FOUND_NOTHING)
		return false;
	if (pgw_card_in_text(&m->gone, kind, text, len) != PGW_FOUND_NOTHING)
		return true;
	if (pgw_card_in_text(&m->number, kind, text, len) == PGW_FOUND_NOTHING)
		return false;
	found = pgw_card_in_text(&m->later, kind, text, len);
	return found == PGW_FOUND_NOTHING || found == PGW_FOUND_NO_MEMORY;
}

bool
pgw_echo_memory_in_json(const PgwEchoMemory *m, PgwTextKind kind, const char *json, size_t len)
{
	return m->needed && pgw_card_only_now_in_json(&m->any, NULL, kind, json, len) &&
		   (pgw_card_only_now_in_json(&m->gone, NULL, kind, json, len) ||
			pgw_card_only_now_in_json(&m->number, &m->later, kind, json, len));
}
