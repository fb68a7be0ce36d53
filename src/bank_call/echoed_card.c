/*
 * echoed_card.c - what a bank may repeat of what it was sent: remembered until its answer has been
 * judged, and told of
 *
 * Owns a call's copy of the card, from the rendering of its request to the end of its exchange, as
 * long as libcurl has the request itself and in the same memory (http.h); the slot is wiped by
 * then.  Holds the key that the request was sent with for as long, because the bank's file may
 * change meanwhile.  The answer is judged (core/bank_message/judge_answer.c) with the card, with
 * that key and with the present one, before anything of it is written, logged or handed on.  After
 * a restart, and in look-ups, the card is not known: then the look and the last four digits of its
 * number have to do.  Where that is not enough, because an answer judged with the card repeated it
 * in another way, the attempt's row says so (card_echoed), and no text of a later answer is kept.
 */
#include "postgres.h"

#include "bank_call/echoed_card.h"
#include "bank/secrets.h"
#include "core/base/mutant.h"
#include "core/base/none_if_empty.h"
#include "core/card/token_object.h"
#include "exchange/slots.h"
#include "http/http.h"
#include "observe/alerts.h"

#define TOKEN_ROOM (PGW_MAX_TOKEN_OBJECT_BYTES + 1)

struct PgwCallCard
{
	char *token_room; /* of a token that is an object: what its words point to; NULL: none */
	int ntoken_words;
	const char *token_words[PGW_TOKEN_WORDS];
	char number[20];
	char cvv[5];
	char holder[256];
	char digests[PGW_MAX_BODY_DIGESTS][PGW_BODY_DIGEST_SIZE];
};

/* No room: as after a restart. */
static void
keep_token(PgwCallCard *card, const char *token)
{
	if (card->token_room == NULL)
		card->token_room = pgw_http_arena_alloc(TOKEN_ROOM);
	if (card->token_room != NULL)
		card->ntoken_words = pgw_token_object_words(token, card->token_room, TOKEN_ROOM,
													card->token_words, PGW_TOKEN_WORDS);
}

void
pgw_echo_keep(PgwCall *call, const PgwSlotRequest *r)
{
	bool object = pgw_token_is_object(r->token);

	strlcpy(call->card_last4, r->card_last4, sizeof(call->card_last4));
	if (r->card_number[0] == '\0' && !object)
		return;
	if (call->card == NULL)
	{
		call->card = (PgwCallCard *) pgw_http_arena_alloc(sizeof(PgwCallCard));
		if (call->card == NULL)
			return; /* too many calls in flight: as after a restart */
		call->card->token_room = NULL;
	}
	call->card->ntoken_words = 0;
	if (object)
		keep_token(call->card, r->token);
	strlcpy(call->card->number, r->card_number, sizeof(call->card->number));
	strlcpy(call->card->cvv, r->card_cvv, sizeof(call->card->cvv));
	strlcpy(call->card->holder, r->card_holder, sizeof(call->card->holder));
	memcpy(call->card->digests, call->rendered->digests, sizeof(call->card->digests));
}

void
pgw_echo_forget(PgwCall *call)
{
	if (call->card != NULL && call->card->token_room != NULL)
		pgw_http_arena_free(call->card->token_room, TOKEN_ROOM);
	if (call->card != NULL)
		pgw_http_arena_free((char *) call->card, sizeof(PgwCallCard));
	call->card = NULL;
	pgw_secret_free(call->secret);
	call->secret = NULL;
}

/* Every value of the file: who has named it there says that nobody may see it. */
static void
seek_secrets(const PgwSecret *secret, const char **words)
{
	const PgwSecretValues *values = pgw_secret_values(secret);

	for (int i = 0; values != NULL && i < values->n; i++)
		words[i] = values->values[i].text;
}

/*
 * words: the holder, the values of the present file, those of an earlier one, digests, parts of
 * the token
 */
#define FIRST_DIGEST (1 + 2 * PGW_SECRET_VALUES)
#define FIRST_OF_TOKEN (FIRST_DIGEST + PGW_MAX_BODY_DIGESTS)
StaticAssertDecl(PGW_SOUGHT_WORDS >= FIRST_OF_TOKEN + PGW_TOKEN_WORDS,
				 "room for all that is sought");

void
pgw_echo_sought(const PgwCall *call, PgwEchoSought *echo, PgwQuestion *question)
{
	memset(echo, 0, sizeof(*echo));
	echo->later.last4 = pgw_none_if_empty(call->card_last4);
	seek_secrets(call->bank->secret, &echo->later.words[1]);
	echo->now = echo->later;
	question->sought = &echo->now;
	question->sought_later = NULL;
	question->card_echoed = call->card == NULL && call->card_echoed;
	if (call->secret != call->bank->secret && !PGW_MUTATED(ECHO_OLD_KEY))
	{
		seek_secrets(call->secret, &echo->now.words[1 + PGW_SECRET_VALUES]);
		question->sought_later = &echo->later;
	}
	if (call->card == NULL)
		return;
	question->sought_later = &echo->later;
	echo->now.parts = true;
	echo->now.card_number = pgw_none_if_empty(call->card->number);
	echo->now.card_cvv = pgw_none_if_empty(call->card->cvv);
	echo->now.words[0] = pgw_none_if_empty(call->card->holder);
	for (int i = 0; i < PGW_MAX_BODY_DIGESTS && !PGW_MUTATED(ECHO_DIGEST); i++)
		echo->now.words[FIRST_DIGEST + i] = pgw_none_if_empty(call->card->digests[i]);
	for (int i = 0; i < call->card->ntoken_words && !PGW_MUTATED(ECHO_TOKEN); i++)
		echo->now.words[FIRST_OF_TOKEN + i] = call->card->token_words[i];
}

void
pgw_echo_tell(const PgwCall *call)
{
	char message[256];

	snprintf(message, sizeof(message),
			 "bank \"%s\" repeats card data or our key in its answer to %s: that was not kept",
			 call->bank->name, pgw_op_name(call->op));
	pgw_alert("secret_echoed", call->bank->name, call->bank->name, NULL, call->correlation,
			  message);
}
