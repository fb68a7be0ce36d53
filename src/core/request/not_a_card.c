/*
 * not_a_card.c - the fields of which a caller states that they hold no card: options.not_a_card
 *
 * One number in thirty of sixteen random digits looks like a card's, and nobody but the caller can
 * know that it is an order's.  What he states is believed of strangers' numbers alone: this call's
 * own card number and CVV are looked for in each field as before, in any disguise.
 *
 * Invariants: a statement that lets nothing pass is not used, and so not recorded; of a document
 * only members that are named are left out, so a card in another one is found; no name is kept that
 * holds card data itself.  The copy of a document is wiped.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "core/request/not_a_card.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf_json.h"
#include "core/base/characters.h"
#include "core/base/mutant.h"
#include "core/json/json_text.h"

/* ---- the list ---- */

static bool
is_document(const char *stateable)
{
	return stateable[strlen(stateable) - 1] == '.';
}

static bool
is_stateable(PgwStateable stateable, const char *name)
{
	for (; *stateable != NULL; stateable++)
	{
		size_t len = strlen(*stateable);

		if (is_document(*stateable) ? strncmp(name, *stateable, len) == 0 && name[len] != '\0'
									: strcmp(name, *stateable) == 0)
			return true;
	}
	return false;
}

bool
pgw_can_be_stated(PgwStateable stateable, const char *field)
{
	for (; *stateable != NULL; stateable++)
	{
		size_t len = strlen(*stateable) - is_document(*stateable);

		if (strncmp(field, *stateable, len) == 0 && field[len] == '\0')
			return true;
	}
	return false;
}

/* One name of the list into its place. */
static bool
read_name(const PgwJson *value, PgwStateable stateable, const PgwSought *sought, char *name,
		  PgwStatedFault *f)
{
	size_t len;

	if (pgw_json_type(value) != PGW_JSON_STRING)
	{
		*f = (PgwStatedFault){"invalid_format", "must be an array of strings"};
		return false;
	}
	len = pgw_json_text(value, name, PGW_MAX_STATED_BYTES);
	name[len <= PGW_MAX_STATED_BYTES ? len : 0] = '\0';
	if (len > PGW_MAX_STATED_BYTES)
		*f = (PgwStatedFault){"too_long", "must hold names of at most 64 bytes"};
	else if (strlen(name) != len || pgw_has_control(name, ""))
		*f = (PgwStatedFault){"control_characters", "must not contain control characters"};
	else if (pgw_card_in_text(sought, PGW_TEXT_ID, name, len) != PGW_FOUND_NOTHING)
		*f = (PgwStatedFault){"card_number_in_stored_field", "must not contain a card number"};
	else if (!is_stateable(stateable, name))
		*f = (PgwStatedFault){
			"unknown_value",
			"must name fields that can hold an id: client_request_id, options.actor; reference, metadata.NAME, bank_fields.NAME of a payment; reason of a refund"};
	else
		return true;
	return false;
}

bool
pgw_stated_read(const PgwJson *list, PgwStateable stateable, const PgwSought *sought, PgwStated *s,
				PgwStatedFault *f)
{
	PgwJson value;

	memset(s, 0, sizeof(*s));
	if (pgw_json_type(list) != PGW_JSON_ARRAY)
	{
		*f = (PgwStatedFault){"invalid_format", "must be an array of strings"};
		return false;
	}
	for (int n = 0; pgw_json_element(list, (size_t) n, &value); n++)
	{
		if (n == PGW_MAX_STATED)
			*f = (PgwStatedFault){"too_long", "must hold at most 8 names"};
		if (n == PGW_MAX_STATED || !read_name(&value, stateable, sought, s->names[n], f))
		{
			explicit_bzero(s, sizeof(*s));
			return false;
		}
		s->n = n + 1;
	}
	return true;
}

/* ---- what is found all the same ---- */

/* This call's own card, which no statement can make an order's number. */
static PgwSought
own_card(const PgwSought *sought)
{
	PgwSought own = *sought;

	own.last4 = PGW_NO_STRANGERS;
	if (PGW_MUTATED(STATED_OWN_CARD))
		own.card_number = own.card_cvv = NULL;
	return own;
}

PgwFound
pgw_stated_in_text(PgwStated *s, const PgwSought *sought, const char *field, PgwTextKind kind,
				   const char *text)
{
	PgwFound found = pgw_card_in_text(sought, kind, text, strlen(text));

	for (int i = 0; found == PGW_FOUND_LOOK_ALIKE && i < s->n; i++)
	{
		PgwSought own = own_card(sought);

		if (strcmp(s->names[i], field) != 0)
			continue;
		found = pgw_card_in_text(&own, kind, text, strlen(text));
		s->used[i] = found == PGW_FOUND_NOTHING;
		break;
	}
	return found;
}

/* Which name says this of a member of the document?  -1: none. */
static int
stated_member(const PgwStated *s, const char *field, const PgwJson *name)
{
	size_t prefix = strlen(field);
	char text[PGW_MAX_STATED_BYTES];
	size_t len = pgw_json_text(name, text, sizeof(text));
	int found = -1;

	for (int i = 0; len <= sizeof(text) && found < 0 && i < s->n; i++)
	{
		const char *stated = s->names[i];

		if (strncmp(stated, field, prefix) == 0 && stated[prefix] == '.' &&
			strlen(stated + prefix + 1) == len && memcmp(stated + prefix + 1, text, len) == 0)
			found = i;
	}
	explicit_bzero(text, sizeof(text));
	return found;
}

/*
 * The document without the members that are stated.  In the place of each is an empty string, so
 * that what stands before and behind it does not become neighbours.
 */
static void
leave_out_stated(PgwStated *s, const char *field, const char *json, const PgwJson *object,
				 char *copy, bool present[PGW_MAX_STATED])
{
	PgwJson name;
	PgwJson value;
	const char *at = NULL;

	while (pgw_json_next_member(object, &at, &name, &value))
	{
		int i = stated_member(s, field, &name);
		char *place = copy + (value.text - json);

		if (i < 0 || value.len < 2)
			continue;
		memset(place, ' ', value.len);
		place[0] = place[value.len - 1] = '"';
		present[i] = true;
	}
}

PgwFound
pgw_stated_in_json(PgwStated *s, const PgwSought *sought, const char *field, const char *json,
				   const PgwJson *object)
{
	size_t len = strlen(json);
	PgwFound found = pgw_card_in_json(sought, json, len);
	bool present[PGW_MAX_STATED] = {false};
	PgwSought own;
	char *copy;

	if (found != PGW_FOUND_LOOK_ALIKE || s->n == 0)
		return found;
	own = own_card(sought);
	if ((found = pgw_card_in_json(&own, json, len)) != PGW_FOUND_NOTHING)
		return found;
	if ((copy = malloc(len)) == NULL)
		return PGW_FOUND_NO_MEMORY;
	memcpy(copy, json, len);
	leave_out_stated(s, field, json, object, copy, present);
	found = pgw_card_in_json(sought, copy, len);
	explicit_bzero(copy, len);
	free(copy);
	for (int i = 0; found == PGW_FOUND_NOTHING && i < s->n; i++)
		s->used[i] |= present[i];
	return found;
}

void
pgw_stated_used(const PgwStated *s, PgwBuf *out)
{
	bool any = false;

	for (int i = 0; i < s->n; i++)
	{
		if (!s->used[i])
			continue;
		if (!any)
			pgw_buf_json_open(out, '[');
		any = true;
		pgw_buf_json_comma(out, ", ");
		pgw_buf_json_string(out, s->names[i]);
	}
	if (any)
		pgw_buf_json_close(out, ']');
}
