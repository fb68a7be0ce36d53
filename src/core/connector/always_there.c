/*
 * always_there.c - compile: what stands in every request of an operation
 *
 * Owns what must not be left out: which charge or refund is meant, how much, and under which key.
 * A placeholder without a value drops what it stands in, and of a choice one alternative is sent,
 * so that it stands somewhere in the document does not say that it leaves.  Invariant: what is
 * found here is marked as needed, and rendering sends nothing that lacks it.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <strings.h>

#include "core/base/mutant.h"

/*
 * These have a value in each request that moves money or asks about it; a setting that is missing
 * beside something needed is a fault while rendering.
 */
#define SURE \
	(PGW_PH_BIT(PGW_PH_AMOUNT) | PGW_PH_BIT(PGW_PH_AMOUNT_DECIMAL) | PGW_PH_BIT(PGW_PH_CURRENCY) | \
	 PGW_PH_BIT(PGW_PH_TRANSACTION_REF) | PGW_PH_BIT(PGW_PH_ORIGINAL_REF) | \
	 PGW_PH_BIT(PGW_PH_IDEMPOTENCY_KEY) | PGW_PH_BIT(PGW_PH_MERCHANT) | PGW_PH_BIT(PGW_PH_NOW) | \
	 PGW_PH_BIT(PGW_PH_NONCE) | PGW_PH_BIT(PGW_PH_METHOD) | PGW_PH_BIT(PGW_PH_HOST) | \
	 PGW_PH_BIT(PGW_PH_PATH) | PGW_PH_BIT(PGW_PH_BODY) | PGW_PH_BIT(PGW_PH_COMPUTED) | \
	 PGW_PH_BIT(PGW_PH_SETTINGS))

typedef struct Always
{
	const PgwConnector *connector;
	uint64_t given; /* taken to have a value, beside what surely has */
	bool digested;  /* what can be seen in a digest alone counts, too */
} Always;

static uint64_t in_text(const Always *a, const PgwText *text);

/* A text of which something has no value is left out of what is computed; the value is there. */
static uint64_t
in_computed(const Always *a, const PgwComputed *c)
{
	uint64_t there = 0;

	if (c->kind != PGW_COMPUTED_TEXT && !a->digested)
		return 0;
	for (int i = 0; i < c->ntexts; i++)
		there |= in_text(a, &c->texts[i]);
	return there;
}

/* One amount is as good as the other. */
static uint64_t
in_segment(const Always *a, const PgwSegment *segment)
{
	if (segment->kind == PGW_PH_COMPUTED)
		return in_computed(a, &a->connector->computed[segment->computed]);
	return PGW_PH_BIT(segment->kind == PGW_PH_AMOUNT_DECIMAL ? PGW_PH_AMOUNT : segment->kind);
}

/* All of it or nothing. */
static uint64_t
in_text(const Always *a, const PgwText *text)
{
	uint64_t there = 0;

	for (int i = 0; i < text->nsegments; i++)
	{
		const PgwSegment *segment = &text->segments[i];

		if (segment->kind == PGW_PH_NONE)
			continue;
		if (((SURE | a->given) & PGW_PH_BIT(segment->kind)) == 0 &&
			!(segment->kind == PGW_PH_SECRET && segment->text != NULL))
			return 0;
		there |= in_segment(a, segment);
	}
	return there;
}

/* Whatever a payment is paid by, one of the alternatives is for it. */
static bool
is_for_all(const Always *a, const PgwNode *choice)
{
	const PgwCapabilities *caps = &a->connector->caps;
	bool token = false;
	bool object = false;
	bool card = false;

	for (int i = 0; i < choice->nchildren; i++)
	{
		const PgwSegment *chooser = &choice->choosers[i].segments[0];

		token |= chooser->kind == PGW_PH_TOKEN;
		object |= chooser->kind == PGW_PH_TOKEN_PART && chooser->pointer.nsteps == 0;
		card |= chooser->kind == PGW_PH_CARD_NUMBER;
	}
	return (token || !caps->tokens) && (token || object || !caps->token_objects) &&
		   (card || !caps->cards);
}

static uint64_t in_node(const Always *a, const PgwNode *node);

static uint64_t
in_choice(const Always *a, const PgwNode *choice)
{
	uint64_t there = is_for_all(a, choice) ? UINT64_MAX : 0;

	for (int i = 0; i < choice->nchildren; i++)
		there &= in_node(a, choice->children[i]);
	return there;
}

static uint64_t
in_node(const Always *a, const PgwNode *node)
{
	uint64_t there = 0;

	if (node->kind == PGW_NODE_CHOICE)
		return in_choice(a, node);
	if (node->kind == PGW_NODE_TEXT)
		return in_text(a, &node->text);
	for (int i = 0; i < node->nchildren; i++)
		there |= in_node(a, node->children[i]);
	return there;
}

/* Without a value for something in the path there is no request at all. */
static uint64_t
in_path(const Always *a, const PgwText *path)
{
	uint64_t there = 0;

	for (int i = 0; i < path->nsegments; i++)
		there |= path->segments[i].kind != PGW_PH_NONE ? in_segment(a, &path->segments[i]) : 0;
	return there;
}

static uint64_t
in_request(const Always *a, const PgwCompiledOp *op)
{
	uint64_t there = in_path(a, &op->path);

	if (PGW_MUTATED(ALWAYS_THERE))
		return there | op->uses | PGW_PH_BIT(PGW_PH_AMOUNT);
	for (int i = 0; i < op->nheaders; i++)
		there |= in_text(a, &op->headers[i].value);
	return there | (op->body != NULL ? in_node(a, op->body) : 0);
}

/* ---- what the operations need ---- */

/* Does it stand in each request in which it has a value? */
static bool
stands_always(const PgwConnector *c, const PgwCompiledOp *op, PgwPlaceholder ph)
{
	Always a = {.connector = c, .given = PGW_PH_BIT(ph)};

	return (in_request(&a, op) & PGW_PH_BIT(ph)) != 0;
}

bool
pgw_text_says_key(const PgwConnector *c, const PgwText *text)
{
	Always a = {.connector = c, .digested = true};
	uint64_t key = PGW_PH_BIT(PGW_PH_IDEMPOTENCY_KEY);

	/* what is computed may be made of the nonce, which a repetition has again */
	for (int i = 0; i < text->nsegments; i++)
		key |= text->segments[i].kind == PGW_PH_COMPUTED ? PGW_PH_BIT(PGW_PH_NONCE) : 0;
	return (in_text(&a, text) & key) != 0;
}

bool
pgw_request_says_key(const PgwConnector *c, const PgwCompiledOp *op)
{
	for (int i = 0; op->key_header != NULL && i < op->nheaders; i++)
	{
		if (strcasecmp(op->headers[i].name, op->key_header) == 0)
			return pgw_text_says_key(c, &op->headers[i].value);
	}
	return stands_always(c, op, PGW_PH_IDEMPOTENCY_KEY);
}

uint64_t
pgw_request_names(const PgwConnector *c, const PgwCompiledOp *op, uint64_t among)
{
	/*
	 * the bank's id of the operation says all; our reference is always known, the bank's id of the
	 * charge not always, and the merchant may have given none
	 */
	static const PgwPlaceholder order[] = {PGW_PH_OPERATION_REFERENCE, PGW_PH_TRANSACTION_REF,
										   PGW_PH_ORIGINAL_REF,        PGW_PH_BANK_REFERENCE,
										   PGW_PH_REFERENCE,           PGW_PH_NOTIFICATION_ID};

	for (int i = 0; i < 6; i++)
	{
		if ((among & PGW_PH_BIT(order[i])) != 0 && stands_always(c, op, order[i]))
			return PGW_PH_BIT(order[i]);
	}
	return 0;
}

/* What a request names at all it names always. */
static bool
check_one(PgwCompile *cc, PgwCompiledOp *op, uint64_t used, PgwPlaceholder ph)
{
	char name[80];

	if ((op->uses & used) == 0)
		return true;
	op->needs |= used;
	if (stands_always(cc->connector, op, ph))
		return true;
	snprintf(name, sizeof(name), "{{%s}}", pgw_placeholder_name(ph));
	return pgw_fault(
		cc,
		"%s stands in some of its requests, and others leave without: name it in each alternative of a choice, and not beside something that may have no value",
		name);
}

bool
pgw_check_always_there(PgwCompile *cc, PgwBankOp which)
{
	PgwCompiledOp *op = &cc->connector->ops[which];
	const uint64_t amount = PGW_PH_BIT(PGW_PH_AMOUNT) | PGW_PH_BIT(PGW_PH_AMOUNT_DECIMAL);
	size_t mark;
	bool good = true;

	if (!op->present || !pgw_op_moves_money(which))
		return true;
	mark = pgw_enter(cc, pgw_op_name(which));
	if (which != PGW_OP_VOID && which != PGW_OP_CANCEL && which != PGW_OP_REVERSE)
		good = check_one(cc, op, amount, PGW_PH_AMOUNT);
	if (which == PGW_OP_CHARGE || which == PGW_OP_AUTHORIZE)
		good &= check_one(cc, op, PGW_PH_BIT(PGW_PH_TRANSACTION_REF), PGW_PH_TRANSACTION_REF);
	pgw_leave(cc, mark);
	return good;
}
