/*
 * fuzz_card_text.c - libFuzzer over the search for card data: any bytes, as text and as JSON
 *
 * Besides memory errors it looks for broken promises: this call's own number, put behind any text
 * in one of its disguises, is found; and what is found does not depend on what else is looked for.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/card/card_text.h"

#define OWN "4532015112830366"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const disguises[] = {
	OWN,
	"6630382115102354",
	"4532 0151 1283 0366",
	"4532\t0151/1283.0366",
	"NDUzMjAxNTExMjgzMDM2Ng==",
	"34353332303135313132383330333636",
	"%34%35%33%32%30%31%35%31%31%32%38%33%30%33%36%36",
	"&#52;53201511283036&#x36;",
	"\\u0034532015112830366",
	"4532\xE2\x80\x8B"
	"01511283\xC2\xA0"
	"0366",
	"\xEF\xBC\x94\xEF\xBC\x95\xEF\xBC\x93\xEF\xBC\x92"
	"015112830366",
};

#define NDISGUISES (sizeof(disguises) / sizeof(disguises[0]))

static void
require(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const PgwSought own = {
		.card_number = OWN, .card_cvv = "737", .words = {"sk_live_Ab12-cd", "Jo Holder"}};
	static const PgwSought nothing = {.last4 = ""};
	const char *disguise;
	char *text;
	size_t len;
	PgwFound found;

	if (size < 1)
		return 0;
	disguise = disguises[data[0] % NDISGUISES];
	len = size - 1;
	text = malloc(len + strlen(disguise) + 4);
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, len);

	found = pgw_card_in_text(NULL, PGW_TEXT_VALUE, text, len);
	require(found == PGW_FOUND_NOTHING || found == PGW_FOUND_LOOK_ALIKE);
	require(pgw_text_has_card_number(text, len) == (found == PGW_FOUND_LOOK_ALIKE));
	if (found == PGW_FOUND_LOOK_ALIKE)
		require(pgw_card_in_text(&own, PGW_TEXT_VALUE, text, len) != PGW_FOUND_NOTHING);
	require(pgw_card_in_text(&nothing, PGW_TEXT_VALUE, text, len) == PGW_FOUND_NOTHING);
	(void) pgw_card_in_json(&own, text, len);
	require(pgw_card_in_json(&nothing, text, len) == PGW_FOUND_NOTHING);

	/* a blank and a line's end: nothing before them is part of it, and base64 begins anew */
	memcpy(text + len, " \n ", 3);
	memcpy(text + len + 3, disguise, strlen(disguise));
	require(pgw_card_in_text(&own, PGW_TEXT_ID, text, len + 3 + strlen(disguise)) !=
			PGW_FOUND_NOTHING);
	free(text);
	return 0;
}
