/*
 * answer_echo.c - what an answer repeats of the request's card and of our key is left out of it
 *
 * Invariants: nothing that repeats them stays in the answer, nor a part of a text that does as a
 * whole; what would not be seen to in a later answer is looked for in the whole body and the
 * headers that are read, and noted (echo_memory.c).  Each copy is wiped.
 */
#include "core/bank_message/answer_echo.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/bank_message/answer_fields.h"
#include "core/bank_message/echo_memory.h"
#include "core/base/mutant.h"

#define ECHO_BYTES \
	4096 /* of a text that is kept in part: what is further on does not reach into the part */
#define BODY_BYTES 32768 /* of an answer that are searched for what must be remembered */

/* What an answer must not repeat. */
typedef struct Echo
{
	PgwSought of_id;
	PgwSought of_text;
	PgwEchoMemory memory;
	const PgwQuestion *question;
} Echo;

/*
 * Banks' ids are often long numbers, of which some look like a card's; so a look-alike counts in an
 * id only if it ends like the card that was charged.
 */
static void
begin(const PgwQuestion *q, const char *last4, bool unchecked, Echo *echo)
{
	echo->question = q;
	echo->of_text = q->sought != NULL ? *q->sought : (PgwSought){0};
	echo->of_id = echo->of_text;
	if (echo->of_id.last4 == NULL || echo->of_id.last4[0] == '\0')
		echo->of_id.last4 = last4;
	echo->of_text.last4 = NULL;
	echo->of_text.unchecked = unchecked;
	pgw_echo_memory_begin(&echo->memory, q->sought, q->sought_later, echo->of_id.last4);
}

/* Does the text repeat anything?  Notes whether that would be seen in a later answer, too. */
static bool
repeats(const Echo *echo, const PgwSought *sought, PgwTextKind kind, const char *text, size_t len,
		PgwAnswer *a)
{
	if (pgw_card_in_text(sought, kind, text, len) == PGW_FOUND_NOTHING)
		return false;
	a->echoed = true;
	a->card_echoed |= pgw_echo_memory_in_text(&echo->memory, kind, text, len);
	return true;
}

/* ---- in the connector's fields ---- */

/* What is kept of a field as a text; NULL: nothing. */
static char *
kept_text(PgwAnswer *a, PgwAnswerField field, size_t *size)
{
	switch (field)
	{
		case PGW_FIELD_BANK_REFERENCE:
			*size = sizeof(a->bank_reference);
			return a->bank_reference;
		case PGW_FIELD_CAPTURE_REFERENCE:
			*size = sizeof(a->capture_reference);
			return a->capture_reference;
		case PGW_FIELD_AUTHORIZATION_CODE:
			*size = sizeof(a->authorization_code);
			return a->authorization_code;
		case PGW_FIELD_BANK_CODE:
			*size = sizeof(a->bank_code);
			return a->bank_code;
		case PGW_FIELD_CARD_BRAND:
			*size = sizeof(a->card_brand);
			return a->card_brand;
		case PGW_FIELD_CARD_LAST4:
			*size = sizeof(a->card_last4);
			return a->card_last4;
		default:
			return NULL;
	}
}

/*
 * The whole text as the bank sent it, because the part of it that is kept may hold all digits of a
 * number but the last.  An id that repeats what it must not is none: the approval is found out,
 * given back or reviewed as one without an id.
 */
static void
hide_text(const Echo *echo, PgwAnswerField field, const char *text, size_t len, PgwAnswer *a)
{
	size_t size;
	char *kept = kept_text(a, field, &size);

	if (kept == NULL || kept[0] == '\0' ||
		!repeats(echo,
				 field == PGW_FIELD_BANK_REFERENCE || field == PGW_FIELD_CAPTURE_REFERENCE
					 ? &echo->of_id
					 : &echo->of_text,
				 PGW_TEXT_VALUE, text, len, a))
		return;
	explicit_bzero(kept, size);
	a->bank_reference_invalid |= field == PGW_FIELD_BANK_REFERENCE;
}

static bool
must_be_remembered(const Echo *echo, const PgwAnswer *a)
{
	return echo->memory.needed && !a->card_echoed && !PGW_MUTATED(ECHO_UNKEPT);
}

static void
blank_out(char *text, const char *reference)
{
	char *at = reference != NULL && *reference != '\0' ? strcasestr(text, reference) : NULL;

	if (at != NULL)
		memset(at, ' ', strlen(reference));
}

/* In an amount the digits of the security code are an amount. */
static PgwTextKind
kind_of(PgwAnswerField field)
{
	return field == PGW_FIELD_AMOUNT || field == PGW_FIELD_CAPTURED || field == PGW_FIELD_REFUNDED
			   ? PGW_TEXT_ID
			   : PGW_TEXT_VALUE;
}

/*
 * What is kept of it is looked at, and whatever stands there for what must be remembered: too long,
 * of another type, or not kept at all.  Around our reference the digits of the security code are
 * not an amount.
 */
static void
look_at_field(const Echo *echo, PgwAnswerField field, const PgwJson *v, PgwAnswer *a)
{
	char text[ECHO_BYTES + 1];
	size_t len = pgw_json_text(v, text, ECHO_BYTES);

	if (len > ECHO_BYTES)
		len = ECHO_BYTES;
	hide_text(echo, field, text, len, a);
	if (must_be_remembered(echo, a) && pgw_json_type(v) == PGW_JSON_STRING)
	{
		text[len] = '\0';
		blank_out(text, echo->question->transaction_ref);
		blank_out(text, echo->question->original_ref);
		a->card_echoed = pgw_echo_memory_in_text(&echo->memory, kind_of(field), text, len);
	}
	else if (must_be_remembered(echo, a))
		a->card_echoed = pgw_echo_memory_in_json(&echo->memory, kind_of(field), v->text,
												 v->len < ECHO_BYTES ? v->len : ECHO_BYTES);
	explicit_bzero(text, len);
}

/* ---- in amounts, and elsewhere ---- */

/* No amount has so many digits; a card number has. */
static bool
is_card(const Echo *echo, int64_t amount, PgwAnswer *a)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRId64, amount);
	return repeats(echo, &echo->of_text, PGW_TEXT_ID, digits, strlen(digits), a);
}

static void
drop_amount(PgwAnswer *a)
{
	a->has_amount = false;
	a->amount_unreadable = true;
	a->amount = 0;
}

/* Something was shown: that it is not kept makes it unreadable, not absent. */
static void
drop_shown(int64_t *amount, PgwAnswer *a)
{
	*amount = -1;
	a->charge_state_unreadable = true;
}

static void
hide_amounts(const Echo *echo, PgwAnswer *a)
{
	if (a->has_amount && is_card(echo, a->amount, a))
		drop_amount(a);
	if (is_card(echo, a->captured, a))
		drop_shown(&a->captured, a);
	if (is_card(echo, a->refunded, a))
		drop_shown(&a->refunded, a);
}

/*
 * Anywhere in the answer, also where nothing is kept of it.  Outside of the connector's fields the
 * security code counts only beside a word for it, because other codes have three digits, too, and
 * names do not count: many banks show the holder of a payment in a place of its own.
 */
static bool
body_says_it(const PgwEchoMemory *memory, const PgwAnswerBody *body)
{
	size_t len = body->len < BODY_BYTES ? body->len : BODY_BYTES;
	PgwEchoMemory no_names = pgw_echo_memory_without_words(memory);

	for (int i = 0; body->headers != NULL && i < PGW_MAX_ANSWER_HEADERS; i++)
	{
		const PgwJson *v = &body->headers->values[i];

		if (v->text != NULL && pgw_echo_memory_in_json(memory, PGW_TEXT_ID, v->text, v->len))
			return true;
	}
	if (body->text == NULL)
		return false;
	return pgw_echo_memory_in_json(&no_names, PGW_TEXT_ID, body->text, len) ||
		   (pgw_json_type(&body->value) == PGW_JSON_NONE &&
			pgw_echo_memory_in_text(memory, PGW_TEXT_ID, body->text, len));
}

/* ---- where the list goes on ---- */

/* It would stand in the path of our next request: then that page stays unread, and nothing is
 * known. */
static void
drop_cursor(PgwAnswer *a)
{
	if (a->next_page[0] == '\0')
		return;
	explicit_bzero(a->next_page, sizeof(a->next_page));
	a->of_list = a->element = false;
	a->outcome = PGW_OUT_UNKNOWN;
}

static void
hide_cursor(const Echo *echo, PgwAnswer *a)
{
	if (a->next_page[0] != '\0' &&
		repeats(echo, &echo->of_id, PGW_TEXT_VALUE, a->next_page, strlen(a->next_page), a))
		drop_cursor(a);
}

/* ---- the whole ---- */

#define CARD_AMOUNT INT64_C(1000000000000) /* thirteen digits: no card number has fewer */

/*
 * An earlier answer about this charge repeated the card, in a way that cannot be seen any more: no
 * text of this one is kept, nor an amount that could be a card number.  Its id serves only to see
 * whose charge it is about.
 */
static void
keep_no_texts(PgwAnswer *a)
{
	if (PGW_MUTATED(CARD_ECHOED))
		return;
	if (a->bank_reference[0] != '\0')
	{
		memcpy(a->compared_reference, a->bank_reference, sizeof(a->compared_reference));
		a->bank_reference_invalid = true;
	}
	for (int i = 0; i < PGW_NFIELDS; i++)
	{
		size_t size;
		char *kept = kept_text(a, (PgwAnswerField) i, &size);

		if (kept != NULL)
			explicit_bzero(kept, size);
	}
	drop_cursor(a);
	if (a->has_amount && a->amount >= CARD_AMOUNT)
		drop_amount(a);
	if (a->captured >= CARD_AMOUNT)
		drop_shown(&a->captured, a);
	if (a->refunded >= CARD_AMOUNT)
		drop_shown(&a->refunded, a);
}

static void
leave_out(const PgwQuestion *q, const PgwAnswerSpec *spec, bool unchecked,
		  const PgwAnswerBody *body, PgwAnswer *a)
{
	char last4[sizeof(a->card_last4)];
	Echo echo;
	PgwJson v;

	memcpy(last4, a->card_last4, sizeof(last4)); /* may be hidden itself */
	begin(q, last4, unchecked, &echo);
	for (int i = 0; i < PGW_NFIELDS; i++)
	{
		if (pgw_answer_field(spec, q, body, (PgwAnswerField) i, &v) != NULL)
			look_at_field(&echo, (PgwAnswerField) i, &v, a);
	}
	hide_amounts(&echo, a);
	hide_cursor(&echo, a);
	if (must_be_remembered(&echo, a))
		a->card_echoed = body_says_it(&echo.memory, body);
	a->echoed |= a->card_echoed;
}

void
pgw_answer_leave_out_echo(const PgwQuestion *q, const PgwAnswerSpec *spec, bool unchecked,
						  const PgwAnswerBody *body, PgwAnswer *a)
{
	if (!PGW_MUTATED(ECHO))
		leave_out(q, spec, unchecked, body, a);
	if (q->card_echoed)
		keep_no_texts(a);
}
