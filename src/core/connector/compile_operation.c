/*
 * compile_operation.c - compile one operation of a connector document, and what must hold between
 * operations
 *
 * Owns the request side of an operation (method, path, headers, encoding, body).  Invariants: an
 * operation's headers are complete after compiling - its own, then the common ones, the content
 * type and the idempotency key, each name once, the first winning; "uses" names every placeholder
 * that the request may hold.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/mutant.h"

#define SAID_ALWAYS \
	"; not in one alternative of a choice alone, nor beside something that may have no value"

/*
 * What asks changes nothing, and what moves money is no question: whoever stands between us and the
 * bank, libcurl included, may send a GET again by itself, or answer it from memory.
 */
static bool
check_method(PgwCompile *cc, PgwBankOp which, const char *method)
{
	bool get = strcmp(method, "GET") == 0;

	if (PGW_MUTATED(METHOD_FITS))
		return true;
	if (strcmp(method, "DELETE") == 0 &&
		(which == PGW_OP_CHARGE || which == PGW_OP_AUTHORIZE || which == PGW_OP_CAPTURE))
		return pgw_fault_at(cc, "method",
							"a DELETE takes something away: must be POST, PUT or PATCH");
	if (pgw_op_moves_money(which))
		return !get ||
			   pgw_fault_at(
				   cc, "method",
				   "a GET must change nothing: it may be sent twice, or be answered by a cache, on its way. What moves money is a POST, PUT, PATCH or DELETE");
	return get || strcmp(method, "POST") == 0 ||
		   pgw_fault_at(cc, "method", "%s changes something, and this asks: must be GET or POST",
						method);
}

static bool
compile_method(PgwCompile *cc, json_object *v, PgwBankOp which, PgwCompiledOp *op)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	const char *s = v == NULL                                  ? NULL
					: json_object_is_type(v, json_type_string) ? json_object_get_string(v)
															   : "";

	if (s == NULL)
		return pgw_fault_at(cc, "method", "missing: must be GET, POST, PUT, PATCH or DELETE");
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
	{
		if (strcmp(s, methods[i]) == 0)
		{
			snprintf(op->method, sizeof(op->method), "%s", s);
			return check_method(cc, which, s);
		}
	}
	return pgw_fault_at(cc, "method", "must be GET, POST, PUT, PATCH or DELETE");
}

static bool
compile_op_body(PgwCompile *cc, json_object *v, PgwCompiledOp *op)
{
	json_object *encoding = pgw_member(v, "encoding");
	json_object *body = pgw_member(v, "body");
	size_t mark;

	op->encoding = body != NULL ? PGW_ENC_JSON : PGW_ENC_NONE;
	if (encoding != NULL)
	{
		const char *s =
			json_object_is_type(encoding, json_type_string) ? json_object_get_string(encoding) : "";

		if (strcmp(s, "json") == 0)
			op->encoding = PGW_ENC_JSON;
		else if (strcmp(s, "form") == 0)
			op->encoding = PGW_ENC_FORM;
		else if (strcmp(s, "none") == 0)
			op->encoding = PGW_ENC_NONE;
		else
			return pgw_fault_at(cc, "encoding", "must be \"json\", \"form\" or \"none\"");
	}
	if (op->encoding == PGW_ENC_NONE)
		return body == NULL
				   ? true
				   : pgw_fault_at(
						 cc, "body",
						 "there is no body with encoding \"none\"; say \"json\" or \"form\"");
	if (body == NULL)
		return pgw_fault_at(cc, "body",
							"missing: an object is needed with encoding \"json\" or \"form\"");
	if (strcmp(op->method, "GET") == 0)
		return pgw_fault_at(cc, "body",
							"a GET has no body; put the values into the path or use POST");
	mark = pgw_enter(cc, "body");
	op->body = pgw_compile_body(cc, body, op->encoding, &op->uses);
	if (op->body == NULL)
		return false;
	pgw_leave(cc, mark);
	return true;
}

/* A header stands where the key's has to, and may say something else: of every request the same. */
static bool
takes_place_of_key(const PgwConnector *c, const PgwCompiledOp *op)
{
	for (int i = 0; i < op->nheaders; i++)
	{
		if (strcasecmp(op->headers[i].name, op->key_header) == 0)
			return !pgw_text_says_key(c, &op->headers[i].value);
	}
	return false;
}

/*
 * Content type and idempotency key, then the common headers; the operation's own, there already,
 * win.
 */
static bool
complete_headers(PgwCompile *cc, PgwCompiledOp *op)
{
	PgwConnector *c = cc->connector;
	PgwSegment *segment;
	PgwHeader h;

	for (int i = 0; i < c->ncommon; i++)
	{
		if (!pgw_add_header(cc, op->headers, &op->nheaders, &c->common[i]))
			return false;
	}
	h.pointer = pgw_arena_text(cc, cc->pointer, cc->len);
	if (h.pointer == NULL)
		return false;
	if (op->encoding != PGW_ENC_NONE)
	{
		if ((segment = pgw_arena(cc, 1, sizeof(PgwSegment))) == NULL)
			return false;
		segment->kind = PGW_PH_NONE;
		segment->text =
			op->encoding == PGW_ENC_JSON ? "application/json" : "application/x-www-form-urlencoded";
		h.name = "Content-Type";
		h.value = (PgwText){1, segment};
		if (!pgw_add_header(cc, op->headers, &op->nheaders, &h))
			return false;
	}
	if (op->key_header != NULL)
	{
		if (takes_place_of_key(c, op))
			return pgw_fault(
				cc,
				"the idempotency key belongs into the header \"%s\", and the document gives that another value, or one that is not always there",
				op->key_header);
		if ((segment = pgw_arena(cc, 1, sizeof(PgwSegment))) == NULL)
			return false;
		segment->kind = PGW_PH_IDEMPOTENCY_KEY;
		h.name = op->key_header;
		h.value = (PgwText){1, segment};
		op->uses |= PGW_PH_BIT(PGW_PH_IDEMPOTENCY_KEY);
		if (!pgw_add_header(cc, op->headers, &op->nheaders, &h))
			return false;
	}
	/* whatever replaced a header of ours is counted anew */
	for (int i = 0; i < op->nheaders; i++)
		for (int s = 0; s < op->headers[i].value.nsegments; s++)
			op->uses |= PGW_PH_BIT(op->headers[i].value.segments[s].kind);
	return true;
}

/*
 * What says which charge or refund is meant.  A refund without its charge would be a refund of who
 * knows what, and a look-up that asks for nothing in particular finds nothing.
 */
static uint64_t
identities_of(PgwBankOp which)
{
	const uint64_t theirs = PGW_PH_BIT(PGW_PH_BANK_REFERENCE);
	const uint64_t own = PGW_PH_BIT(PGW_PH_OPERATION_REFERENCE);

	if (which == PGW_OP_CHARGE || which == PGW_OP_AUTHORIZE || which == PGW_OP_PING ||
		which == PGW_OP_VERIFY_NOTIFICATION)
		return 0;
	if (which == PGW_OP_LOOKUP_REFUND)
		return PGW_PH_BIT(PGW_PH_TRANSACTION_REF) | theirs | own;
	/* the merchant's: some banks go by nothing else */
	return PGW_PH_BIT(PGW_PH_ORIGINAL_REF) | theirs | (which == PGW_OP_REFUND ? own : 0) |
		   (which == PGW_OP_LOOKUP_CHARGE ? 0 : PGW_PH_BIT(PGW_PH_REFERENCE));
}

static bool
names_path(const PgwText *text)
{
	for (int i = 0; i < text->nsegments; i++)
	{
		if (text->segments[i].kind == PGW_PH_PATH)
			return true;
	}
	return false;
}

/* The next page is the same request with another path: nothing else in it can depend on that. */
static bool
check_pages(PgwCompile *cc, const PgwCompiledOp *op)
{
	const PgwConnector *c = cc->connector;
	bool signed_path = false;

	if (op->answer.select.next_name == NULL)
		return true;
	for (int i = 0; i < c->ncomputed; i++)
	{
		signed_path |= names_path(&c->computed[i].key);
		for (int k = 0; k < c->computed[i].ntexts; k++)
			signed_path |= names_path(&c->computed[i].texts[k]);
	}
	if (strcmp(op->method, "GET") == 0 && op->body == NULL &&
		!(signed_path && (op->uses & PGW_PH_BIT(PGW_PH_COMPUTED)) != 0))
		return true;
	pgw_enter(cc, "answer");
	pgw_enter(cc, "select");
	return pgw_fault_at(
		cc, "next",
		"the next page is asked for by a GET with one parameter more: not with another method, nor where {{path}} is signed");
}

/*
 * A notification is asked for by its id, and by nothing else; what the answer says is read as what
 * came is, by the notifications' own fields.
 */
static bool
check_notification_id(PgwCompile *cc, PgwBankOp which, const PgwCompiledOp *op)
{
	const uint64_t id = PGW_PH_BIT(PGW_PH_NOTIFICATION_ID);

	if (which != PGW_OP_VERIFY_NOTIFICATION)
		return (op->uses & id) == 0 ||
			   pgw_fault(cc, "{{notification_id}} has a value in \"verify_notification\" only");
	if (pgw_request_names(cc->connector, op, id) == 0)
		return pgw_fault(
			cc,
			"the request does not say which notification it asks for: {{notification_id}} must stand in it" SAID_ALWAYS);
	for (int field = 0; field < PGW_NFIELDS; field++)
	{
		if (!op->answer.has_field[field])
			continue;
		pgw_enter(cc, "answer");
		return pgw_fault_at(
			cc, "fields",
			"what the answer says is read by the \"fields\" of \"notifications\": leave these out");
	}
	return true;
}

/* All but the answer. */
static bool
compile_request(PgwCompile *cc, json_object *v, const char *const *keys, PgwBankOp which,
				PgwCompiledOp *op)
{
	json_object *part;
	size_t mark = cc->len;
	bool good = pgw_check_keys(cc, v, keys);

	good &= compile_method(cc, pgw_member(v, "method"), which, op);
	if ((part = pgw_member(v, "path")) == NULL)
		good &= pgw_fault_at(cc, "path", "missing: must be a string that begins with \"/\"");
	else
	{
		pgw_enter(cc, "path");
		good &= pgw_compile_path(cc, part, &op->path, &op->uses);
		pgw_leave(cc, mark);
	}
	op->needs = op->uses; /* a path has no gaps */
	if ((part = pgw_member(v, "headers")) != NULL)
	{
		pgw_enter(cc, "headers");
		good &= pgw_compile_headers(cc, part, op->headers, &op->nheaders, &op->uses);
		pgw_leave(cc, mark);
	}
	if (json_object_object_get_ex(v, "idempotency", &part))
	{
		pgw_enter(cc, "idempotency");
		good &= pgw_compile_idempotency_of(cc, part, which);
		pgw_leave(cc, mark);
	}
	good &= compile_op_body(cc, v, op);
	pgw_leave(cc, mark);
	return good && complete_headers(cc, op);
}

bool
pgw_compile_operation(PgwCompile *cc, json_object *v, PgwBankOp which, PgwCompiledOp *op)
{
	static const char *const keys[] = {"method", "path",        "headers", "encoding", "body",
									   "answer", "idempotency", "settles", NULL};
	json_object *part;
	size_t mark;
	bool good;

	if (!pgw_is_object(cc, v))
		return false;
	good = compile_request(cc, v, keys, which, op);
	mark = cc->len;
	if (!good)
	{
		/* its answer has faults of its own to be told of */
		if ((part = pgw_member(v, "answer")) != NULL)
		{
			pgw_enter(cc, "answer");
			(void) pgw_compile_answer(cc, part, which, &op->answer);
			pgw_leave(cc, mark);
		}
		return false;
	}
	if (which != PGW_OP_CHARGE && which != PGW_OP_AUTHORIZE &&
		(op->uses & PGW_PH_BIT(PGW_PH_TOKEN_PART)) != 0)
		return pgw_fault(
			cc,
			"{{token./POINTER}} has no value here: a token that is an object is not kept beyond the charge");
	if (which != PGW_OP_CHARGE && which != PGW_OP_AUTHORIZE &&
		(op->uses & PGW_PH_BIT(PGW_PH_CUSTOMER)) != 0)
		return pgw_fault(
			cc,
			"{{customer./POINTER}} has no value here: what is told of a customer is not kept beyond the charge");
	op->needs |= pgw_request_names(cc->connector, op, identities_of(which));
	if (pgw_member(v, "settles") != NULL && which != PGW_OP_CANCEL)
		return pgw_fault_at(cc, "settles", "only \"cancel\" can say this");
	if (!pgw_read_bool(cc, v, "settles", &op->settles))
		return false;
	if ((part = pgw_member(v, "answer")) == NULL)
		return pgw_fault_at(cc, "answer", "missing: must be an object with \"rules\"");
	mark = pgw_enter(cc, "answer");
	if (!pgw_compile_answer(cc, part, which, &op->answer))
		return false;
	pgw_leave(cc, mark);
	op->needs |= op->answer.select.asked; /* or its answer could not be told from others' */
	op->needs |= op->uses & PGW_PH_BIT(PGW_PH_OPERATION_REFERENCE);
	op->answer.by_own_id = (op->needs & PGW_PH_BIT(PGW_PH_OPERATION_REFERENCE)) != 0;
	op->present = true;
	return check_notification_id(cc, which, op) && check_pages(cc, op);
}

/* Whichever of the two the connector has. */
static bool
charge_names_reference(const PgwConnector *c)
{
	for (int i = PGW_OP_CHARGE; i <= PGW_OP_AUTHORIZE; i++)
	{
		if (c->ops[i].present &&
			pgw_request_names(c, &c->ops[i], PGW_PH_BIT(PGW_PH_REFERENCE)) == 0)
			return false;
	}
	return true;
}

/*
 * A question names what it is about, and so does the answer: a bank that ignores what it was asked
 * for, and shows whatever it has, would be believed.
 */
static bool
check_identity(PgwCompile *cc, PgwBankOp which)
{
	const PgwCompiledOp *op = &cc->connector->ops[which];
	bool lookup = which == PGW_OP_LOOKUP_CHARGE || which == PGW_OP_LOOKUP_REFUND;
	const PgwConnector *c = cc->connector;
	const uint64_t ours = PGW_PH_BIT(PGW_PH_TRANSACTION_REF);
	const uint64_t charge = PGW_PH_BIT(PGW_PH_ORIGINAL_REF) | PGW_PH_BIT(PGW_PH_BANK_REFERENCE);
	bool by_own_id = op->answer.by_own_id;
	uint64_t named = 0;
	size_t mark;

	if (!op->present || identities_of(which) == 0)
		return true;
	mark = pgw_enter(cc, pgw_op_name(which));
	if (which == PGW_OP_LOOKUP_REFUND)
	{
		if (!by_own_id && pgw_request_names(c, op, ours) == 0 &&
			!(op->answer.select.by_our_reference && pgw_request_names(c, op, charge) != 0))
			return pgw_fault(
				cc,
				"the request does not say which refund it asks for: {{transaction_ref}}, its reference, or {{operation_reference}}, the bank's id of it, must stand in it, or {{bank_reference}} with a \"select\" of the refund from the charge's" SAID_ALWAYS);
	}
	else if ((named = pgw_request_names(c, op, identities_of(which))) == 0 && !by_own_id)
		return pgw_fault(
			cc,
			"the request does not say which charge it is about: {{original_ref}}, our reference of it, or {{bank_reference}}, the bank's id, must stand in it" SAID_ALWAYS);
	if (named == PGW_PH_BIT(PGW_PH_REFERENCE) && !charge_names_reference(c))
		return pgw_fault(
			cc,
			"the request says by {{reference}} alone which charge it is about, and the charge does not tell the bank");
	if (lookup && !op->answer.has_field[PGW_FIELD_REFERENCE] && !op->answer.not_echoed &&
		!op->answer.select.by_our_reference &&
		!(by_own_id && op->answer.has_field[PGW_FIELD_BANK_REFERENCE]))
	{
		pgw_enter(cc, "answer");
		pgw_enter(cc, "fields");
		return pgw_fault_at(
			cc, "reference",
			"missing: where does the answer name {{%s}}?  Without it another payment's answer would be taken for this one's.  "
			"If the bank does not name it, say \"reference_echoed\": false in \"answer\"",
			which == PGW_OP_LOOKUP_REFUND ? "transaction_ref" : "original_ref");
	}
	pgw_leave(cc, mark);
	return true;
}

/* Does the answer of one of the two that there may be, or is there none? */
static bool
names_one_of(const PgwCompiledOp *op, PgwAnswerField one, PgwAnswerField other)
{
	return !op->present || op->answer.has_field[one] || op->answer.has_field[other];
}

/*
 * The bank's own id of an operation: it stands only where it is known which operation is meant, and
 * some answer has to bring it.
 */
static bool
check_own_id(PgwCompile *cc, PgwBankOp which)
{
	const uint64_t own = PGW_PH_BIT(PGW_PH_OPERATION_REFERENCE);
	const PgwConnector *c = cc->connector;

	if (!c->ops[which].present || !c->ops[which].answer.by_own_id)
		return true;
	pgw_enter(cc, pgw_op_name(which));
	if ((c->ops[which].uses & own) != 0 && pgw_request_names(c, &c->ops[which], own) == 0)
		return pgw_fault(cc, "{{operation_reference}} must stand in each request" SAID_ALWAYS);
	switch (which)
	{
		case PGW_OP_LOOKUP_REFUND:
			return c->ops[PGW_OP_REFUND].answer.has_field[PGW_FIELD_BANK_REFERENCE] ||
				   pgw_fault(
					   cc,
					   "{{operation_reference}} is the bank's id of the refund: the answer to \"refund\" must name it in \"bank_reference\"");
		case PGW_OP_REFUND:
			if (c->caps.multiple_captures)
				return pgw_fault(
					cc,
					"{{operation_reference}} is the bank's id of the capture: with \"multiple_captures\" nothing says which of them is to be refunded");
			return (names_one_of(&c->ops[PGW_OP_CHARGE], PGW_FIELD_CAPTURE_REFERENCE,
								 PGW_FIELD_BANK_REFERENCE) &&
					names_one_of(&c->ops[PGW_OP_CAPTURE], PGW_FIELD_CAPTURE_REFERENCE,
								 PGW_FIELD_BANK_REFERENCE)) ||
				   pgw_fault(
					   cc,
					   "{{operation_reference}} is the bank's id of what took the money: the answers to \"charge\" and \"capture\" must name it, in \"capture_reference\" or \"bank_reference\"");
		default:
			return pgw_fault(
				cc,
				"{{operation_reference}} has a value in \"lookup_refund\" (the bank's id of the refund) and in \"refund\" (that of the capture) only");
	}
}

/* The look-up by the charge's id names it, and is the same question as the other one. */
static bool
check_lookup_by_id(PgwCompile *cc)
{
	PgwConnector *c = cc->connector;
	const PgwCompiledOp *op = &c->lookup_by_id;

	if (!op->present)
		return true;
	pgw_enter(cc, "lookup_by_id");
	if (!c->ops[PGW_OP_LOOKUP_CHARGE].present)
		return pgw_fault(
			cc,
			"there is no \"lookup_charge\" in whose place it could be asked: call it that, if the bank finds a charge by its id alone");
	if (pgw_request_names(c, op, PGW_PH_BIT(PGW_PH_BANK_REFERENCE)) == 0 || op->answer.by_own_id)
		return pgw_fault(
			cc,
			"{{bank_reference}}, the bank's id of the charge, must stand in it, and no other id" SAID_ALWAYS);
	if (!op->answer.has_field[PGW_FIELD_REFERENCE] &&
		!op->answer.has_field[PGW_FIELD_BANK_REFERENCE])
	{
		pgw_enter(cc, "answer");
		return pgw_fault_at(
			cc, "fields",
			"where does the answer say which charge it shows?  One of \"bank_reference\" and \"reference\" must be named");
	}
	for (int field = 0; field < PGW_NFIELDS; field++)
	{
		if (op->answer.has_field[field] == c->ops[PGW_OP_LOOKUP_CHARGE].answer.has_field[field] ||
			field == PGW_FIELD_REFERENCE)
			continue;
		pgw_enter(cc, "answer");
		return pgw_fault_at(
			cc, "fields",
			"\"%s\" must be named here and in \"lookup_charge\", or in neither: what one look-up shows, the other does",
			pgw_field_name((PgwAnswerField) field));
	}
	return true;
}

/* The bank's id is there where others need it; what the bank takes stands in the request. */
static bool
check_charge(PgwCompile *cc, PgwBankOp which, bool reference_used)
{
	const PgwCapabilities *caps = &cc->connector->caps;
	const PgwCompiledOp *op = &cc->connector->ops[which];

	if (!op->present)
		return true;
	pgw_enter(cc, pgw_op_name(which));
	if (reference_used && !op->answer.has_field[PGW_FIELD_BANK_REFERENCE])
	{
		pgw_enter(cc, "answer");
		pgw_enter(cc, "fields");
		return pgw_fault_at(
			cc, "bank_reference",
			"missing: another operation uses {{bank_reference}}, so the answer must give it");
	}
	if (caps->cards && (op->uses & PGW_PH_BIT(PGW_PH_CARD_NUMBER)) == 0)
		return pgw_fault_at(cc, "body",
							"capability \"cards\" is true, so {{card_number}} must stand here");
	if (caps->tokens && (op->uses & PGW_PH_BIT(PGW_PH_TOKEN)) == 0)
		return pgw_fault(cc, "capability \"tokens\" is true, so {{token}} must stand here");
	if (caps->token_objects != ((op->uses & PGW_PH_BIT(PGW_PH_TOKEN_PART)) != 0))
		return pgw_fault(
			cc,
			caps->token_objects
				? "capability \"token_objects\" is true, so {{token./POINTER}} must stand here"
				: "{{token./POINTER}} stands here, so capability \"token_objects\" must be true");
	return true;
}

/* What holds between operations, and between them and the capabilities. */
bool
pgw_check_operations(PgwCompile *cc)
{
	PgwConnector *c = cc->connector;
	bool reference_used = false;
	size_t here = cc->len;
	bool good = true;

	if (!c->ops[PGW_OP_CHARGE].present && !c->ops[PGW_OP_AUTHORIZE].present)
		return pgw_fault(cc, "one of \"charge\" and \"authorize\" is needed");
	if (c->ops[PGW_OP_AUTHORIZE].present && !c->ops[PGW_OP_CAPTURE].present)
		return pgw_fault_at(cc, "capture", "missing: what is authorized must be captured");
	if (c->ops[PGW_OP_CAPTURE].present && !c->ops[PGW_OP_AUTHORIZE].present)
		return pgw_fault_at(cc, "authorize", "missing: \"capture\" has no use without it");
	if (c->ops[PGW_OP_LOOKUP_REFUND].present && !c->ops[PGW_OP_REFUND].present)
		return pgw_fault_at(cc, "refund", "missing: \"lookup_refund\" has no use without it");
	for (int i = 0; i < PGW_NOPS; i++)
	{
		good &= check_identity(cc, (PgwBankOp) i);
		pgw_leave(cc, here);
		good &= check_own_id(cc, (PgwBankOp) i);
		pgw_leave(cc, here);
		good &= pgw_check_always_there(cc, (PgwBankOp) i);
		pgw_leave(cc, here);
	}
	good &= check_lookup_by_id(cc);
	pgw_leave(cc, here);
	for (int i = 0; i < PGW_NOPS; i++)
		reference_used |= c->ops[i].present && ((c->ops[i].uses | c->ops[i].needs) &
												PGW_PH_BIT(PGW_PH_BANK_REFERENCE)) != 0;
	reference_used |= c->lookup_by_id.present;
	for (int i = PGW_OP_CHARGE; i <= PGW_OP_AUTHORIZE; i++)
	{
		good &= check_charge(cc, (PgwBankOp) i, reference_used);
		pgw_leave(cc, here);
	}
	return good && pgw_check_idempotency(cc) && pgw_check_references(cc);
}
