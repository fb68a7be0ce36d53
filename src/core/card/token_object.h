/*
 * token_object.h - a token that is a JSON object: what a wallet or a client's encryption has made
 *
 * It may hold what is as good as a card (a device's account number and its cryptogram), so it is
 * kept nowhere: in the tables stands a mark.
 */
#ifndef PGW_CORE_CARD_TOKEN_OBJECT_H
#define PGW_CORE_CARD_TOKEN_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

#define PGW_MAX_TOKEN_OBJECT_BYTES 6144
#define PGW_MAX_TOKEN_NESTING 32
#define PGW_TOKEN_MARK_SIZE 16
#define PGW_TOKEN_WORDS 8

/*
 * Is it meant as an object?  By how it begins: an object that was cut off must not be taken for a
 * token, which is stored.  "{3F25…}" is none.  NULL: no.
 */
extern bool pgw_token_is_object(const char *token);

/*
 * What is kept of a token, and compared under its client_request_id: the token itself, or the mark
 * of an object, written to mark.  NULL stays NULL.
 */
extern const char *pgw_token_to_keep(const char *token, char mark[PGW_TOKEN_MARK_SIZE]);

/* Can a request be made of what is kept: is it there, and no mark? */
extern bool pgw_token_is_kept(const char *kept);

/*
 * What is looked for where nothing of an object may stand: the longest of its strings and numbers,
 * one behind the other in room (at least as large as the object and a NUL).  Returns how many.
 */
extern int pgw_token_object_words(const char *token, char *room, size_t size, const char **words,
								  int max);

#endif
