/*
 * test_card_words.c - how near a word for it the security code counts, and words in texts that are
 * made to be hard to search
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/card/card_text.h"

#define NEAR 32

static bool
found(const PgwSought *sought, const char *text)
{
	return pgw_card_in_text(sought, PGW_TEXT_ID, text, strlen(text)) != PGW_FOUND_NOTHING;
}

/* The number begins at most so far behind the word's begin, or before its end. */
static void
nearness(void **state)
{
	static const PgwSought cvv = {.card_cvv = "737"};
	static const char *const names[] = {"cvv", "c v v", "Security-Code", "cardpin"};
	char text[256];

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (int gap = 1; gap < 2 * NEAR; gap++)
		{
			int len = (int) strlen(names[i]);

			snprintf(text, sizeof(text), "z.z %s%*s737 y", names[i], gap, "");
			assert_int_equal(found(&cvv, text), len + gap <= NEAR);
			/* another number in between changes nothing, nor does one that is nearer and longer */
			snprintf(text, sizeof(text), "7370 %s 7377%*s737", names[i], gap, "");
			assert_int_equal(found(&cvv, text), len + 5 + gap <= NEAR);
			snprintf(text, sizeof(text), "y 737%*s%s z", gap, "", names[i]);
			assert_int_equal(found(&cvv, text), 3 + gap + len <= NEAR);
		}
}

static void
fill(char *text, size_t len, const char *unit)
{
	for (size_t i = 0; i < len; i++)
		text[i] = unit[i % strlen(unit)];
	text[len] = '\0';
}

/* A word that is almost everywhere, in a text of nothing else. */
static void
repetitive_words(void **state)
{
	static const char *const units[] = {"a", "ab", "a-A.", "aab ", "\303\251"};
	char *text = malloc(100001);
	char word[256];

	(void) state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		PgwSought holder = {.words = {NULL, word}};

		fill(word, 240, units[i]);
		strcat(word, "z");
		fill(text, 100000, units[i]);
		assert_false(found(&holder, text));
		text[99000] = 'Z'; /* upper case; 99000 is a multiple of each unit's length */
		assert_true(found(&holder, text));
		memset(text, 'z', 100000); /* all of them, and not a beginning */
		assert_false(found(&holder, text));
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nearness),
									   cmocka_unit_test(repetitive_words)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
