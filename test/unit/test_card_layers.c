/*
 * test_card_layers.c - card data below two or three layers of base64 and hexadecimal, each of them
 * on each other
 *
 * A connector's filters write a value so, and what a bank is sent it may say again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/card/card_text.h"

#define NUMBER "4242424242424242"
#define ROOM 512

static void
to_hex(const char *from, char *to)
{
	for (; *from != '\0'; from++)
		to += sprintf(to, "%02x", (unsigned char) *from);
}

static void
to_base64(const char *from, char *to)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(from);

	for (size_t i = 0; i < len; i += 3)
	{
		size_t n = len - i < 3 ? len - i : 3;
		unsigned group = 0;

		for (size_t k = 0; k < 3; k++)
			group = group << 8 | (k < n ? (unsigned char) from[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			*to++ = k <= n ? digits[group >> (18 - 6 * k) & 63] : '=';
	}
	*to = '\0';
}

/* kinds: of the layers, from below, a bit each: hexadecimal, else base64. */
static void
wrap(const char *text, int layers, int kinds, char *to)
{
	char below[ROOM];

	snprintf(to, ROOM, "%s", text);
	for (int i = 0; i < layers; i++)
	{
		snprintf(below, sizeof(below), "%s", to);
		if ((kinds >> i & 1) != 0)
			to_hex(below, to);
		else
			to_base64(below, to);
	}
}

static void
is_found(const PgwSought *sought, const char *text)
{
	for (int layers = 1; layers <= 3; layers++)
	{
		for (int kinds = 0; kinds < 1 << layers; kinds++)
		{
			char wrapped[ROOM];
			char inside[ROOM + 32];

			wrap(text, layers, kinds, wrapped);
			snprintf(inside, sizeof(inside), "bad value %s given", wrapped);
			if (pgw_card_in_text(sought, PGW_TEXT_VALUE, wrapped, strlen(wrapped)) ==
					PGW_FOUND_NOTHING ||
				pgw_card_in_text(sought, PGW_TEXT_VALUE, inside, strlen(inside)) ==
					PGW_FOUND_NOTHING)
				fail_msg("%s below %d layers (%d): %s", text, layers, kinds, wrapped);
		}
	}
}

/* In an answer: the card is known, and so is the key. */
static void
test_answers(void **state)
{
	static const PgwSought sought = {.card_number = NUMBER,
									 .parts = true,
									 .words = {"Jo Holder", "sk_live_Ab12-cd"},
									 .last4 = PGW_NO_STRANGERS};

	(void) state;
	is_found(&sought, NUMBER);
	is_found(&sought, "Jo Holder");
	is_found(&sought, "sk_live_Ab12-cd");
}

/* In what a caller gives: his own card, or anybody's. */
static void
test_stored_fields(void **state)
{
	static const PgwSought own = {.card_number = NUMBER, .last4 = PGW_NO_STRANGERS};

	(void) state;
	is_found(&own, NUMBER);
	is_found(NULL, NUMBER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_stored_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
