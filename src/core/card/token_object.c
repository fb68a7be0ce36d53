/*
 * token_object.c - a token that is a JSON object
 *
 * Owns the mark that stands for one in the tables.  Two objects are told apart by four digits of a
 * digest of what they say, however it is written, as two cards are by their last four: an object
 * may be little more than a number that follows from fewer guesses than there are digests, so a
 * whole digest would be as good as the number (docs/security.md).  No token has a blank in it, so
 * no token is a mark.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "core/card/token_object.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mutant.h"
#include "core/base/sha2.h"
#include "core/json/json_text.h"

#define MARK "(object "
#define MIN_WORD 16 /* names of brands, versions and kinds are shorter */

static const char *
skip_blanks(const char *s)
{
	return s + strspn(s, " \t\r\n");
}

bool
pgw_token_is_object(const char *token)
{
	if (token == NULL)
		return false;
	token = skip_blanks(token);
	if (*token != '{')
		return false;
	token = skip_blanks(token + 1);
	return *token == '"' || *token == '}';
}

/* ---- the mark ---- */

typedef struct Place
{
	unsigned char digest[PGW_SHA2_MAX]; /* of the names on the way to it */
	size_t len;
} Place;

/* What stands behind it: a name, or what a leaf says. */
static void
go_on(const Place *from, char kind, const char *text, size_t len, Place *to)
{
	PgwBuf b;

	pgw_buf_init(&b, 0);
	pgw_buf_append(&b, (const char *) from->digest, from->len);
	pgw_buf_append(&b, &kind, 1);
	pgw_buf_append(&b, text, len);
	to->len = pgw_sha2(PGW_SHA256, b.data, b.len, to->digest);
	pgw_buf_free(&b);
}

/* A string without its escapes, which each writer sets in his own way; all else as it stands. */
static void
go_on_by(const Place *from, char kind, const PgwJson *v, Place *to)
{
	PgwBuf text;
	size_t len = v->len;

	pgw_buf_init(&text, 0);
	pgw_buf_append(&text, v->text, v->len);
	if (!text.failed && pgw_json_type(v) == PGW_JSON_STRING)
		len = pgw_json_text(v, text.data, v->len);
	go_on(from, kind, text.failed ? "" : text.data, text.failed ? 0 : len, to);
	pgw_buf_free(&text);
}

/* Of all its leaves together, so that neither blanks nor the order of members tell. */
static uint64_t
sum_of(const Place *place, const PgwJson *v)
{
	uint64_t sum = 0;
	uint64_t index = 0;
	const char *at = NULL;
	PgwJson name;
	PgwJson inner;
	Place next;

	switch (pgw_json_type(v))
	{
		case PGW_JSON_OBJECT:
			while (pgw_json_next_member(v, &at, &name, &inner))
			{
				go_on_by(place, 'm', &name, &next);
				sum += sum_of(&next, &inner);
			}
			go_on(place, 'o', "", 0, &next);
			break;
		case PGW_JSON_ARRAY:
			while (pgw_json_next_element(v, &at, &inner))
			{
				go_on(place, 'e', (const char *) &index, sizeof(index), &next);
				sum += sum_of(&next, &inner);
				index++;
			}
			go_on(place, 'a', "", 0, &next);
			break;
		default:
			go_on_by(place, pgw_json_type(v) == PGW_JSON_STRING ? 's' : 'v', v, &next);
			break;
	}
	for (int i = 0; i < 8; i++)
		index = index << 8 | next.digest[i];
	explicit_bzero(&next, sizeof(next));
	return sum + index;
}

const char *
pgw_token_to_keep(const char *token, char mark[PGW_TOKEN_MARK_SIZE])
{
	static const Place beginning = {.len = 0};
	PgwJson value;
	unsigned number = 0;

	if (!pgw_token_is_object(token) || PGW_MUTATED(TOKEN_OBJECT_KEPT))
		return token;
	if (pgw_json_read(token, strlen(token), PGW_MAX_TOKEN_NESTING, &value) == PGW_JSON_GOOD)
		number = (unsigned) (sum_of(&beginning, &value) % 10000);
	snprintf(mark, PGW_TOKEN_MARK_SIZE, MARK "%04u)", number);
	return mark;
}

bool
pgw_token_is_kept(const char *kept)
{
	return kept != NULL && strncmp(kept, MARK, strlen(MARK)) != 0;
}

/* ---- what is looked for ---- */

typedef struct Words
{
	char *room;
	size_t used;
	const char **words;
	int max;
	int n;
} Words;

static void
swap(const char **a, const char **b)
{
	const char *other = *a;

	*a = *b;
	*b = other;
}

/* Those that are there are in order, the longest first. */
static void
add_word(Words *w, const char *word)
{
	if (w->n == w->max && strlen(w->words[w->n - 1]) >= strlen(word))
		return;
	w->n += w->n < w->max;
	w->words[w->n - 1] = word;
	for (int i = w->n - 1; i > 0 && strlen(w->words[i - 1]) < strlen(w->words[i]); i--)
		swap(&w->words[i - 1], &w->words[i]);
}

/* The room is enough for all that is added: no value is longer than it is written. */
static void
add_value(Words *w, const PgwJson *v)
{
	size_t len = pgw_json_text(v, w->room + w->used, v->len);
	char *word = w->room + w->used;

	if (len < MIN_WORD || memchr(word, '\0', len) != NULL)
		return;
	word[len] = '\0';
	w->used += len + 1;
	add_word(w, word);
}

static void
add_all(Words *w, const PgwJson *v)
{
	const char *at = NULL;
	PgwJson name;
	PgwJson inner;

	switch (pgw_json_type(v))
	{
		case PGW_JSON_OBJECT:
			while (pgw_json_next_member(v, &at, &name, &inner))
				add_all(w, &inner);
			break;
		case PGW_JSON_ARRAY:
			while (pgw_json_next_element(v, &at, &inner))
				add_all(w, &inner);
			break;
		default:
			add_value(w, v);
			break;
	}
}

int
pgw_token_object_words(const char *token, char *room, size_t size, const char **words, int max)
{
	Words w = {.room = room, .words = words, .max = max};
	size_t len = strlen(token);
	PgwJson value;

	if (len >= size || pgw_json_read(token, len, PGW_MAX_TOKEN_NESTING, &value) != PGW_JSON_GOOD)
		return 0;
	add_all(&w, &value);
	return w.n;
}
