/*
 * card_decode.h - what a text says once a layer of encoding is taken off; for card_text.c only
 *
 * Nothing here fails: what is no such encoding stands for itself.  out has room for len bytes; the
 * result is the number of bytes written.
 */
#ifndef PGW_CORE_CARD_CARD_DECODE_H
#define PGW_CORE_CARD_CARD_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at text[*pos], and *pos behind it; -1: no UTF-8, one byte is skipped. */
extern int32_t pgw_utf8_next(const char *text, size_t len, size_t *pos);

/* 0..9 for any digit of Unicode, -1 for what is none. */
extern int pgw_unicode_digit(int32_t cp);

/*
 * Neither seen nor a place of its own: zero-width characters, marks upon the character before, soft
 * hyphens.
 */
extern bool pgw_unicode_hidden(int32_t cp);

/*
 * \u0034 and other escapes that begin with a backslash, nothing else: a JSON string's inside.
 * *found: there was one.
 */
extern size_t pgw_decode_backslashes(const char *text, size_t len, char *out, bool *found);

/* The same and %34, =34, &#52;, &#x34;; a named entity (&nbsp;) becomes a blank. */
extern size_t pgw_decode_escapes(const char *text, size_t len, char *out, bool *found);

/* A letter, digit or one of + / - _: what base64 is made of, in both alphabets. */
extern bool pgw_is_base64(char c);

/*
 * The longest pieces of text in what was decoded: from *pos on the next one of at least min bytes
 * that are printable ASCII, ends of lines, NULs (UTF-16) or whole characters of UTF-8.  Random
 * bytes have hardly any.  false: there is none.
 */
extern bool pgw_next_text(const char *bytes, size_t len, size_t min, size_t *pos, size_t *text_len);

/*
 * Base64, standard or URL-safe, padded or not, in lines or in one, without the first `skip`
 * characters.
 */
extern size_t pgw_decode_base64(const char *text, size_t len, size_t skip, char *out);

/*
 * Every pair of hexadecimal digits, with or without 0x, \x, blanks and punctuation between pairs;
 * without the first `skip` digits.
 */
extern size_t pgw_decode_hex(const char *text, size_t len, size_t skip, char *out);

#endif
