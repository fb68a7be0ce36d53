/*
 * compile_template.c - compile the request side's texts: placeholders, paths, headers, body trees
 *
 * Owns the list of placeholders.  Invariants: a compiled text is a sequence of literals and known
 * placeholders; card data and the secret never stand in a path, card data never in a header (paths
 * are logged by everything on the way, and libcurl copies headers to memory that we cannot wipe);
 * literals of paths and headers hold no control characters.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/characters.h"
#include "core/customer/customer.h"

static const char *const placeholders[PGW_PH_NONE] = {"amount",
													  "amount_decimal",
													  "currency",
													  "token",
													  "card_number",
													  "card_expiry_month",
													  "card_expiry_year",
													  "card_expiry_mmyy",
													  "card_cvv",
													  "card_holder",
													  "transaction_ref",
													  "original_ref",
													  "bank_reference",
													  "idempotency_key",
													  "correlation_id",
													  "merchant",
													  "reference",
													  "reason",
													  "final",
													  "secret",
													  "card_expiry",
													  "card_brand",
													  "operation_reference",
													  "notification_id",
													  "traceparent",
													  "tracestate",
													  "now",
													  "nonce",
													  "method",
													  "host",
													  "path",
													  "body",
													  "computed.",
													  "token.",
													  "customer.",
													  "bank_fields.",
													  "settings."};

int
pgw_placeholder_parse(const char *name)
{
	for (int i = 0; i < PGW_PH_NONE; i++)
	{
		if (strcmp(placeholders[i], name) == 0)
			return i;
	}
	return -1;
}

const char *
pgw_placeholder_name(PgwPlaceholder ph)
{
	return (int) ph >= 0 && ph < PGW_PH_NONE ? placeholders[ph] : "?";
}

void
pgw_segment_name(const PgwSegment *segment, char *name, size_t size)
{
	snprintf(name, size, "{{%s%s%s}}", pgw_placeholder_name(segment->kind),
			 segment->kind == PGW_PH_SECRET && segment->text != NULL ? "." : "",
			 segment->kind != PGW_PH_NONE && segment->text != NULL ? segment->text : "");
}

/*
 * {{secret}} or {{secret.NAME}}; NULL name: the former.  It is the connector that says how a bank's
 * file is read, never what stands in it: a key that has a "=" in it is no name with a value.  So
 * both in one connector would be two readings of one file.
 */
static bool
compile_secret(PgwCompile *cc, const char *name)
{
	PgwConnector *c = cc->connector;

	c->one_secret |= name == NULL;
	if (name != NULL)
	{
		int i = 0;

		while (i < c->nsecret_names && strcmp(c->secret_names[i], name) != 0)
			i++;
		if (i == PGW_SECRET_VALUES)
			return pgw_fault(cc, "more than %d names of secrets in one connector",
							 PGW_SECRET_VALUES);
		c->secret_names[i] = name;
		if (i == c->nsecret_names)
			c->nsecret_names++;
	}
	return !c->one_secret || c->nsecret_names == 0 ||
		   pgw_fault(
			   cc,
			   "{{secret}} and {{secret.%s}} in one connector: a secret's file holds either one value or lines name=value; give each a name",
			   c->secret_names[0]);
}

/* What is no value yet before the request stands can be asked for by what is made of it alone. */
static bool
check_part_of_request(PgwCompile *cc, PgwPlaceholder ph)
{
	if (ph < PGW_PH_METHOD || ph > PGW_PH_BODY)
		return true;
	cc->of_body |= ph == PGW_PH_BODY;
	return cc->in_computed ||
		   pgw_fault(cc,
					 "{{%s}} stands in \"computed\" only; what is made of it is {{computed.NAME}}",
					 placeholders[ph]);
}

/*
 * A retry by another call comes from another trace: where a bank compares what it is sent under one
 * key, or a signature covers it, a trace must not be part of it.
 */
static bool
check_trace(PgwCompile *cc, PgwPlaceholder ph)
{
	return (ph != PGW_PH_TRACEPARENT && ph != PGW_PH_TRACESTATE) || cc->in_header ||
		   pgw_fault(cc, "{{%s}} stands in a header only: it is no part of what is asked for",
					 placeholders[ph]);
}

/* {{token./pointer}}: what stands there in a token that is an object; {{token.}}: all of it. */
static bool
compile_token_part(PgwCompile *cc, const char *pointer, size_t len, PgwSegment *segment)
{
	return pgw_since_version(cc, 2, "a part of a token") &&
		   (segment->text = pgw_arena_text(cc, pointer, len)) != NULL &&
		   pgw_compile_pointer(cc, segment->text, &segment->pointer);
}

/* {{customer./pointer}}: what stands there in options.customer; {{customer.}}: all of it. */
static bool
compile_customer(PgwCompile *cc, const char *pointer, size_t len, PgwSegment *segment)
{
	if (!pgw_since_version(cc, 2, "a part of the customer's data") ||
		(segment->text = pgw_arena_text(cc, pointer, len)) == NULL)
		return false;
	if (!pgw_customer_has_place(segment->text))
		return pgw_fault(
			cc,
			"options.customer has nothing at this place; its members are ip, email, phone, name, billing_address, shipping_address and browser, with members of their own: {{customer./browser/browserIP}}");
	return pgw_compile_pointer(cc, segment->text, &segment->pointer);
}

/* The inside of {{...}}, as far as the first "|". */
static bool
compile_name(PgwCompile *cc, const char *s, size_t len, PgwSegment *segment)
{
	char list[720] = "";
	size_t used = 0;

	for (int i = 0; i < PGW_PH_NONE; i++)
	{
		size_t n = strlen(placeholders[i]);
		bool named = placeholders[i][n - 1] == '.';

		segment->kind = (PgwPlaceholder) i;
		if (!named && len == n && memcmp(s, placeholders[i], n) == 0)
			return (i < PGW_PH_CARD_EXPIRY || i > PGW_PH_NONCE ||
					pgw_since_version(cc, 2, "this placeholder")) &&
				   check_part_of_request(cc, (PgwPlaceholder) i) &&
				   check_trace(cc, (PgwPlaceholder) i) &&
				   (i != PGW_PH_SECRET || compile_secret(cc, NULL));
		if (i == PGW_PH_TOKEN_PART && len >= n && memcmp(s, placeholders[i], n) == 0)
			return compile_token_part(cc, s + n, len - n, segment);
		if (i == PGW_PH_CUSTOMER && len >= n && memcmp(s, placeholders[i], n) == 0)
			return compile_customer(cc, s + n, len - n, segment);
		if (named && len > n && memcmp(s, placeholders[i], n) == 0 &&
			pgw_secret_name_good(s + n, len - n))
			return (segment->text = pgw_arena_text(cc, s + n, len - n)) != NULL &&
				   (i != PGW_PH_COMPUTED || pgw_compile_computed_use(cc, segment));
		if (i == PGW_PH_SECRET && len > n + 1 && memcmp(s, "secret.", n + 1) == 0 &&
			pgw_secret_name_good(s + n + 1, len - n - 1))
			return pgw_since_version(cc, 2, "a secret by name") &&
				   (segment->text = pgw_arena_text(cc, s + n + 1, len - n - 1)) != NULL &&
				   compile_secret(cc, segment->text);
		if (used < sizeof(list))
			used += (size_t) snprintf(list + used, sizeof(list) - used, "%s%s%s", i ? ", " : "",
									  i == PGW_PH_SECRET ? "secret, secret." : placeholders[i],
									  i == PGW_PH_TOKEN_PART || i == PGW_PH_CUSTOMER ? "/POINTER"
									  : named || i == PGW_PH_SECRET                  ? "NAME"
																					 : "");
	}
	return pgw_fault(cc, "unknown placeholder {{%.*s}}; known: %s", len > 60 ? 60 : (int) len, s,
					 list);
}

/* The inside of {{...}}. */
static bool
compile_placeholder(PgwCompile *cc, const char *s, size_t len, PgwSegment *segment)
{
	const char *bar = memchr(s, '|', len);
	size_t name_len = bar != NULL ? (size_t) (bar - s) : len;

	return compile_name(cc, s, name_len, segment) &&
		   pgw_compile_filters(cc, segment, bar != NULL ? bar + 1 : NULL,
							   bar != NULL ? len - name_len - 1 : 0);
}

bool
pgw_compile_text(PgwCompile *cc, json_object *v, PgwText *text, uint64_t *uses)
{
	const char *s = pgw_text_of(cc, v);
	int n = 0;

	if (s == NULL)
		return false;
	for (const char *p = s; (p = strstr(p, "{{")) != NULL; p += 2)
		n++;
	text->nsegments = 0;
	text->segments = pgw_arena(cc, (size_t) n * 2 + 1, sizeof(PgwSegment));
	if (text->segments == NULL)
		return false;
	while (*s != '\0')
	{
		const char *open = strstr(s, "{{");
		size_t literal = open != NULL ? (size_t) (open - s) : strlen(s);
		const char *close;

		if (literal > 0)
		{
			PgwSegment *segment = &text->segments[text->nsegments++];

			segment->kind = PGW_PH_NONE;
			if ((segment->text = pgw_arena_text(cc, s, literal)) == NULL)
				return false;
			s += literal;
			continue;
		}
		close = strstr(s, "}}");
		if (close == NULL)
			return pgw_fault(cc, "\"{{\" without \"}}\"; a placeholder is written {{name}}");
		if (!compile_placeholder(cc, s + 2, (size_t) (close - s - 2),
								 &text->segments[text->nsegments]))
			return false;
		*uses |= PGW_PH_BIT(text->segments[text->nsegments].kind);
		text->nsegments++;
		s = close + 2;
	}
	return true;
}

/* Does a step of the path end at s: a slash, the query, or the end? */
static bool
ends_step(const PgwText *text, int i, const char *s)
{
	return *s == '/' || *s == '?' || (*s == '\0' && i + 1 == text->nsegments);
}

/*
 * "." and ".." as steps are taken out on the way, also where their points are encoded, and two
 * slashes are one to many servers: the request would go elsewhere than it says, or be signed
 * otherwise than it is sent.  A literal begins a step behind a slash of its own alone: what is
 * around a placeholder is looked at when it has a value.
 */
static bool
check_path_literals(PgwCompile *cc, const PgwText *text)
{
	bool in_query = false;

	for (int i = 0; i < text->nsegments; i++)
	{
		const char *literal = text->segments[i].kind == PGW_PH_NONE ? text->segments[i].text : "";

		for (const char *p = literal; !in_query && *p != '\0' && *p != '?'; p++)
		{
			const char *step = p + 1;

			if (*p != '/')
				continue;
			if (*step == '/')
				return pgw_fault(cc, "has an empty step: two slashes, one behind the other");
			for (int points = 0; points < 2 && (*step == '.' || strncasecmp(step, "%2e", 3) == 0);
				 points++)
			{
				step += *step == '.' ? 1 : 3;
				if (ends_step(text, i, step))
					return pgw_fault(
						cc,
						"has a step \".\" or \"..\", which would change the path: write it without");
			}
		}
		for (const char *p = literal; (p = strchr(p, '%')) != NULL; p++)
		{
			int byte = pgw_hex_read(p + 1, 2, 2);

			if (byte < 0)
				return pgw_fault(
					cc, "a \"%%\" is followed by two hex digits: %%20, or %%25 for itself");
			if (byte < 0x20 || byte == 0x7F)
				return pgw_fault(cc, "holds an encoded control character");
		}
		in_query |= strchr(literal, '?') != NULL;
	}
	return true;
}

bool
pgw_compile_path(PgwCompile *cc, json_object *v, PgwText *text, uint64_t *uses)
{
	uint64_t own = 0;

	if (!pgw_compile_text(cc, v, text, &own))
		return false;
	if (text->nsegments == 0 || text->segments[0].kind != PGW_PH_NONE ||
		text->segments[0].text[0] != '/' || text->segments[0].text[1] == '/')
		return pgw_fault(cc, "must begin with one \"/\"; it is appended to the bank's base URL");
	for (int i = 0; i < text->nsegments; i++)
	{
		if (text->segments[i].kind != PGW_PH_NONE)
			continue;
		for (const char *p = text->segments[i].text; *p != '\0'; p++)
		{
			if (*p <= 0x20 || *p >= 0x7F || *p == '#' || *p == '{' || *p == '}' || *p == '\\' ||
				*p == '"')
				return pgw_fault(cc, "holds a character that must be percent-encoded in a path");
		}
	}
	if (!check_path_literals(cc, text))
		return false;
	if ((own & PGW_PH_BIT(PGW_PH_COMPUTED)) != 0)
		return pgw_fault(cc, "a computed value must not stand in a path, which may be part of it");
	if ((own & (PGW_NEVER_KEPT | PGW_PH_BIT(PGW_PH_SECRET))) != 0)
		return pgw_fault(
			cc,
			"card data and {{secret}} must not stand in a path, nor a customer's, because paths are logged; put them into the body");
	*uses |= own;
	return true;
}

bool
pgw_is_header_name(const char *name)
{
	return *name != '\0' && strlen(name) <= 64 &&
		   name[strspn(
			   name,
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")] ==
			   '\0';
}

bool
pgw_compile_header_name(PgwCompile *cc, const char *name)
{
	/* the last ones would make answers come in parts, packed, or not at all */
	static const char *const ours[] = {"Host",
									   "Content-Length",
									   "Transfer-Encoding",
									   "Connection",
									   "Expect",
									   "TE",
									   "Upgrade",
									   "Trailer",
									   "Keep-Alive",
									   "Proxy-Connection",
									   "Content-Encoding",
									   "Accept-Encoding",
									   "Range",
									   "If-Range",
									   "If-None-Match",
									   "If-Modified-Since"};

	if (!pgw_is_header_name(name))
		return pgw_fault(cc,
						 "not a header name; 1 to 64 letters, digits and hyphens, without a colon");
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
	{
		if (strcasecmp(ours[i], name) == 0)
			return pgw_fault(cc, "this header is set by the HTTP layer and cannot be given here");
	}
	return true;
}

/* Add unless one of that name is there already. */
bool
pgw_add_header(PgwCompile *cc, PgwHeader *headers, int *n, const PgwHeader *header)
{
	for (int i = 0; i < *n; i++)
	{
		if (strcasecmp(headers[i].name, header->name) == 0)
			return true;
	}
	if (*n >= PGW_MAX_HEADERS)
		return pgw_fault(cc, "more than %d headers, common ones included", PGW_MAX_HEADERS);
	headers[(*n)++] = *header;
	return true;
}

static bool
compile_header(PgwCompile *cc, const char *name, json_object *v, PgwHeader *headers, int *n,
			   uint64_t *uses)
{
	uint64_t own = 0;
	int before = *n;
	PgwHeader h;
	bool good;

	cc->in_header = true;
	good = pgw_compile_header_name(cc, name) && pgw_compile_text(cc, v, &h.value, &own);
	cc->in_header = false;
	if (!good)
		return false;
	for (int i = 0; i < h.value.nsegments; i++)
	{
		if (h.value.segments[i].kind == PGW_PH_NONE &&
			pgw_has_ascii_control(h.value.segments[i].text, ""))
			return pgw_fault(cc,
							 "a header's value must not hold control characters such as line ends");
	}
	if ((own & PGW_NEVER_KEPT) != 0)
		return pgw_fault(
			cc, "card data must not stand in a header, nor a customer's; put it into the body");
	h.name = pgw_arena_text(cc, name, strlen(name));
	h.pointer = pgw_arena_text(cc, cc->pointer, cc->len);
	if (h.name == NULL || h.pointer == NULL || !pgw_add_header(cc, headers, n, &h))
		return false;
	if (*n == before)
		return pgw_fault(cc, "this header is given twice; case does not matter in header names");
	*uses |= own;
	return true;
}

bool
pgw_compile_headers(PgwCompile *cc, json_object *obj, PgwHeader *headers, int *n, uint64_t *uses)
{
	bool good = true;

	if (!pgw_is_object(cc, obj))
		return false;
	json_object_object_foreach(obj, key, value)
	{
		size_t mark = pgw_enter(cc, key);

		good &= compile_header(cc, key, value, headers, n, uses);
		pgw_leave(cc, mark);
	}
	return good;
}

/* ---- bodies ---- */

static PgwNode *compile_node(PgwCompile *cc, json_object *v, bool flat, uint64_t *uses);

static bool
compile_children(PgwCompile *cc, PgwNode *node, json_object *v, bool flat, uint64_t *uses)
{
	bool object = node->kind == PGW_NODE_OBJECT;
	size_t n = object ? (size_t) json_object_object_length(v) : json_object_array_length(v);
	bool good = true;

	node->children = pgw_arena(cc, n, sizeof(PgwNode *));
	node->names = pgw_arena(cc, n, sizeof(char *));
	if (node->children == NULL || node->names == NULL)
		return false;
	if (object)
	{
		json_object_object_foreach(v, key, value)
		{
			size_t mark = pgw_enter(cc, key);
			int i = node->nchildren;

			if (strstr(key, "{{") != NULL)
				good &= pgw_fault(cc, "placeholders stand in values only, not in names");
			good &= (node->names[i] = pgw_arena_text(cc, key, strlen(key))) != NULL &&
					(node->children[i] = compile_node(cc, value, flat, uses)) != NULL;
			node->nchildren++;
			pgw_leave(cc, mark);
		}
		return good;
	}
	for (size_t i = 0; i < n; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		good &= (node->children[i] =
					 compile_node(cc, json_object_array_get_idx(v, i), flat, uses)) != NULL;
		node->nchildren++;
		pgw_leave(cc, mark);
	}
	return good;
}

/* Are the names of its members placeholders? */
static bool
is_choice(json_object *v)
{
	json_object_object_foreach(v, key, value)
	{
		(void) value;
		if (strncmp(key, "{{", 2) == 0)
			return true;
	}
	return false;
}

/*
 * A placeholder that some payments have no value for: what always has one leaves the others out,
 * and what never has one is never chosen.
 */
static bool
compile_chooser(PgwCompile *cc, const char *key, PgwText *chooser)
{
	static const PgwPlaceholder may_be_absent[] = {
		PGW_PH_TOKEN,  PGW_PH_CARD_NUMBER, PGW_PH_CARD_CVV, PGW_PH_CARD_HOLDER, PGW_PH_REFERENCE,
		PGW_PH_REASON, PGW_PH_BANK_FIELDS, PGW_PH_SETTINGS, PGW_PH_TOKEN_PART,  PGW_PH_CUSTOMER};
	json_object *text = json_object_new_string(key);
	uint64_t uses = 0; /* to choose by a value is not to send it */
	bool good =
		text != NULL ? pgw_compile_text(cc, text, chooser, &uses) : pgw_fault(cc, "out of memory");

	json_object_put(text);
	if (!good)
		return false;
	for (size_t i = 0;
		 chooser->nsegments == 1 && i < sizeof(may_be_absent) / sizeof(may_be_absent[0]); i++)
	{
		if (chooser->segments[0].kind == may_be_absent[i])
			return true;
	}
	return pgw_fault(
		cc,
		"chooses by one placeholder that can be without a value: token, token./POINTER, card_number, card_cvv, card_holder, customer./POINTER, reference, reason, bank_fields.NAME or settings.NAME");
}

/* {"{{token}}": value, "{{card_number}}": value} */
static bool
compile_choice(PgwCompile *cc, PgwNode *node, json_object *v, uint64_t *uses)
{
	size_t n = (size_t) json_object_object_length(v);
	bool text_before = false;

	if (!pgw_since_version(cc, 2, "a choice by placeholders"))
		return false;
	node->children = pgw_arena(cc, n, sizeof(PgwNode *));
	node->choosers = pgw_arena(cc, n, sizeof(PgwText));
	if (node->children == NULL || node->choosers == NULL)
		return false;
	json_object_object_foreach(v, key, value)
	{
		size_t mark = pgw_enter(cc, key);
		int i = node->nchildren;

		if (!compile_chooser(cc, key, &node->choosers[i]) ||
			(node->children[i] = compile_node(cc, value, false, uses)) == NULL)
			return false;
		text_before |= node->choosers[i].segments[0].kind == PGW_PH_TOKEN;
		if (text_before && node->choosers[i].segments[0].kind == PGW_PH_TOKEN_PART)
			return pgw_fault(
				cc,
				"never chosen, because a token that is an object has its text in {{token}}: put this one before it");
		node->nchildren++;
		pgw_leave(cc, mark);
	}
	return true;
}

/* flat: members of a form. */
static PgwNode *
compile_node(PgwCompile *cc, json_object *v, bool flat, uint64_t *uses)
{
	PgwNode *node = pgw_arena(cc, 1, sizeof(PgwNode));
	json_type type = json_object_get_type(v);

	if (node == NULL)
		return NULL;
	if (flat && (type == json_type_object || type == json_type_array || type == json_type_null))
	{
		pgw_fault(cc, "a form has no nesting: must be a string, a number, true or false");
		return NULL;
	}
	if (type == json_type_object && is_choice(v))
	{
		node->kind = PGW_NODE_CHOICE;
		return compile_choice(cc, node, v, uses) ? node : NULL;
	}
	switch (type)
	{
		case json_type_object:
		case json_type_array:
			node->kind = type == json_type_object ? PGW_NODE_OBJECT : PGW_NODE_ARRAY;
			return compile_children(cc, node, v, flat, uses) ? node : NULL;
		case json_type_string:
			node->kind = PGW_NODE_TEXT;
			return pgw_compile_text(cc, v, &node->text, uses) ? node : NULL;
		default:
		{
			const char *raw = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);

			/* json-c makes numbers beyond 64 bits to these without a word */
			if (type == json_type_int &&
				(json_object_get_int64(v) == INT64_MAX || json_object_get_int64(v) == INT64_MIN))
			{
				pgw_fault(cc, "a number beyond 64 bits");
				return NULL;
			}
			node->kind = PGW_NODE_RAW;
			node->raw = raw != NULL ? pgw_arena_text(cc, raw, strlen(raw)) : NULL;
			return node->raw != NULL ? node : NULL;
		}
	}
}

PgwNode *
pgw_compile_body(PgwCompile *cc, json_object *v, PgwEncoding encoding, uint64_t *uses)
{
	PgwNode *node;
	bool good;

	if (!pgw_is_object(cc, v))
		return NULL;
	node = pgw_arena(cc, 1, sizeof(PgwNode));
	if (node == NULL)
		return NULL;
	node->kind = PGW_NODE_OBJECT;
	cc->in_body = true;
	good = compile_children(cc, node, v, encoding == PGW_ENC_FORM, uses);
	cc->in_body = false;
	return good ? node : NULL;
}
