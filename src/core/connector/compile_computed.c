/*
 * compile_computed.c - compile computed values: digests, HMACs and joined texts, for signatures
 *
 * Invariants: a computed value uses only those before it, so that nothing can go in a circle; one
 * that has the body in it never stands in a body; none stands in a path.  Card data reaches a
 * computed value only as part of the body, and then it leaves as a digest: a header must not hold
 * it in another form.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <string.h>

static const struct
{
	const char *name;
	PgwComputedKind kind;
	PgwSha2Kind hash;
} kinds[] = {
	{"text", PGW_COMPUTED_TEXT, PGW_SHA256},        {"sha256", PGW_COMPUTED_DIGEST, PGW_SHA256},
	{"sha512", PGW_COMPUTED_DIGEST, PGW_SHA512},    {"hmac_sha256", PGW_COMPUTED_HMAC, PGW_SHA256},
	{"hmac_sha512", PGW_COMPUTED_HMAC, PGW_SHA512},
};

#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

bool
pgw_compile_byte_text(PgwCompile *cc, json_object *v, bool plain, PgwByteText *as)
{
	const char *s = pgw_text_of(cc, v);

	if (s == NULL)
		return false;
	if (strcmp(s, "hex") == 0)
		*as = PGW_BYTES_HEX;
	else if (strcmp(s, "base64") == 0)
		*as = PGW_BYTES_BASE64;
	else if (plain && strcmp(s, "plain") == 0)
		*as = PGW_BYTES_PLAIN;
	else
		return pgw_fault(cc, plain ? "must be \"plain\", \"hex\" or \"base64\""
								   : "must be \"hex\" or \"base64\"");
	return true;
}

static bool
compile_one_text(PgwCompile *cc, json_object *v, PgwText *text)
{
	uint64_t uses = 0;

	if (!pgw_compile_text(cc, v, text, &uses))
		return false;
	cc->of_secret |= (uses & PGW_PH_BIT(PGW_PH_SECRET)) != 0;
	return (uses & PGW_NEVER_KEPT) == 0 ||
		   pgw_fault(
			   cc,
			   "card data must not stand in a computed value, nor a customer's; {{body}}, which has it, can be digested");
}

/* A text, or several one behind the other. */
static bool
compile_texts(PgwCompile *cc, json_object *v, PgwComputed *c)
{
	bool many = json_object_is_type(v, json_type_array);
	size_t n = many ? json_object_array_length(v) : 1;

	if (n == 0)
		return pgw_fault(cc, "must be a text or an array of texts");
	if ((c->texts = pgw_arena(cc, n, sizeof(PgwText))) == NULL)
		return false;
	if (!many)
		return compile_one_text(cc, v, &c->texts[c->ntexts++]);
	for (size_t i = 0; i < n; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_one_text(cc, json_object_array_get_idx(v, i), &c->texts[c->ntexts++]))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

/* {"key": text, "key_as": how the key is written in it, "text": what is signed} */
static bool
compile_hmac(PgwCompile *cc, json_object *v, PgwComputed *c)
{
	static const char *const keys[] = {"key", "key_as", "text", NULL};
	json_object *part;
	size_t mark;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	if ((part = pgw_member(v, "key")) == NULL)
		return pgw_fault_at(cc, "key", "missing: must be a text such as {{secret.NAME}}");
	mark = pgw_enter(cc, "key");
	if (!compile_one_text(cc, part, &c->key))
		return false;
	if (!cc->of_secret)
		return pgw_fault(
			cc,
			"a key that stands in a table is none: a value of the secret's file, {{secret.NAME}}, must be in it");
	pgw_leave(cc, mark);
	if ((part = pgw_member(v, "key_as")) != NULL)
	{
		mark = pgw_enter(cc, "key_as");
		if (!pgw_compile_byte_text(cc, part, true, &c->key_as))
			return false;
		pgw_leave(cc, mark);
	}
	if ((part = pgw_member(v, "text")) == NULL)
		return pgw_fault_at(cc, "text", "missing: must be a text or an array of texts");
	mark = pgw_enter(cc, "text");
	if (!compile_texts(cc, part, c))
		return false;
	pgw_leave(cc, mark);
	return true;
}

/* What it is made by: the one key of its object that is not "as". */
static json_object *
find_kind(PgwCompile *cc, json_object *v, const char **name, PgwComputed *c)
{
	json_object *found = NULL;
	int n = 0;

	for (size_t i = 0; i < NKINDS; i++)
	{
		json_object *part = pgw_member(v, kinds[i].name);

		if (part == NULL)
			continue;
		found = part;
		*name = kinds[i].name;
		c->kind = kinds[i].kind;
		c->hash = kinds[i].hash;
		n++;
	}
	if (n == 1)
		return found;
	pgw_fault(cc, "must have exactly one of text, sha256, sha512, hmac_sha256, hmac_sha512");
	return NULL;
}

/* Its name, which none before it has. */
static bool
compile_name(PgwCompile *cc, json_object *v, PgwComputed *c)
{
	const PgwConnector *connector = cc->connector;
	json_object *part = pgw_member(v, "name");
	const char *s = json_object_is_type(part, json_type_string) ? json_object_get_string(part) : "";

	if (!pgw_secret_name_good(s, strlen(s)))
		return pgw_fault_at(cc, "name", "must be 1 to 63 letters, digits, _ and -");
	for (int i = 0; i < connector->ncomputed; i++)
	{
		if (strcmp(connector->computed[i].name, s) == 0)
			return pgw_fault_at(cc, "name", "another computed value has this name");
	}
	return (c->name = pgw_arena_text(cc, s, strlen(s))) != NULL;
}

static bool
compile_one(PgwCompile *cc, json_object *v, PgwComputed *c)
{
	static const char *const keys[] = {"name",        "text",        "sha256", "sha512",
									   "hmac_sha256", "hmac_sha512", "as",     NULL};
	const char *kind;
	json_object *part;
	size_t mark;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys) || !compile_name(cc, v, c) ||
		(part = find_kind(cc, v, &kind, c)) == NULL)
		return false;
	cc->of_body = cc->of_secret = false;
	mark = pgw_enter(cc, kind);
	if (!(c->kind == PGW_COMPUTED_HMAC ? compile_hmac(cc, part, c) : compile_texts(cc, part, c)))
		return false;
	c->of_body = cc->of_body;
	c->of_secret = cc->of_secret;
	if (c->of_body && c->kind == PGW_COMPUTED_TEXT)
		return pgw_fault(
			cc, "{{body}} may hold a card, so it can only be digested: sha256, hmac_sha256 ...");
	pgw_leave(cc, mark);
	if ((part = pgw_member(v, "as")) == NULL)
		return c->kind == PGW_COMPUTED_TEXT ||
			   pgw_fault_at(cc, "as", "missing: must be \"hex\" or \"base64\"");
	mark = pgw_enter(cc, "as");
	if (!pgw_compile_byte_text(cc, part, c->kind == PGW_COMPUTED_TEXT, &c->as))
		return false;
	pgw_leave(cc, mark);
	return true;
}

/* An array: what can be used by which follows from their order. */
bool
pgw_compile_computed(PgwCompile *cc, json_object *v)
{
	PgwConnector *connector = cc->connector;
	int digests = 0;

	if (!pgw_since_version(cc, 2, "\"computed\""))
		return false;
	if (!json_object_is_type(v, json_type_array))
		return pgw_fault(cc, "must be an array of objects, each with a \"name\"");
	if (json_object_array_length(v) > PGW_MAX_COMPUTED)
		return pgw_fault(cc, "more than %d computed values", PGW_MAX_COMPUTED);
	cc->in_computed = true;
	for (size_t i = 0; i < json_object_array_length(v); i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_one(cc, json_object_array_get_idx(v, i), &connector->computed[i]))
			return false;
		if (connector->computed[i].of_body && connector->computed[i].kind == PGW_COMPUTED_DIGEST &&
			++digests > PGW_MAX_BODY_DIGESTS)
			return pgw_fault(cc, "more than %d digests of the body without a key",
							 PGW_MAX_BODY_DIGESTS);
		connector->ncomputed++; /* only now: it cannot stand in itself */
		pgw_leave(cc, mark);
	}
	cc->in_computed = false;
	return true;
}

bool
pgw_compile_computed_use(PgwCompile *cc, PgwSegment *segment)
{
	const PgwConnector *connector = cc->connector;
	int i = 0;

	while (i < connector->ncomputed && strcmp(connector->computed[i].name, segment->text) != 0)
		i++;
	if (i == connector->ncomputed)
		return pgw_fault(cc, "there is no {{computed.%s}}%s", segment->text,
						 cc->in_computed ? " before this one" : ": it must stand in \"computed\"");
	if (cc->in_body && connector->computed[i].of_body)
		return pgw_fault(cc,
						 "{{computed.%s}} is made of the body and cannot stand in it: use a header",
						 segment->text);
	cc->of_body |= connector->computed[i].of_body;
	cc->of_secret |= connector->computed[i].of_secret;
	segment->computed = i;
	return true;
}
