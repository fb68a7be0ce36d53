/*
 * references.c - our references as a bank takes them: short, of its letters
 *
 * Owns what is made of an attempt's reference for a bank that does not take 32 hex digits, and
 * which operations may go by it.  Invariants: it follows from the reference and the document alone,
 * so each later request of an attempt names the same; where it has room for 128 bits, no two
 * references become one, else the odds are those of so many random bits.  An operation that nothing
 * but such a reference ties to its charge needs more of them than one whose answer names an id that
 * belongs to one payment: what can be mistaken unnoticed must not happen at all.
 */
#include "core/connector/compiled.h"

#include <string.h>

#include "core/base/characters.h"
#include "core/base/sha2.h"

#define REFERENCE_BITS 128 /* of a whole one: then its digits are others, and none is lost */
#define LEAST_BITS 60      /* 12 of 36 letters have 62 */
#define UNNOTICED_BITS 90  /* where nothing would show that two payments have the same one */

/* How many bits so many letters hold. */
static int
bits_of(int nletters, int length)
{
	unsigned __int128 n = 1;
	int bits = 0;

	for (int i = 0; i < length; i++)
	{
		if (__builtin_mul_overflow(n, (unsigned __int128) nletters, &n))
			return REFERENCE_BITS;
	}
	while ((n >>= 1) > 0)
		bits++;
	return bits;
}

/* ---- compiling ---- */

/* Banks that keep A and a apart in what we send may not when they are asked: as one letter. */
static int
letters_in_any_case(const char *alphabet)
{
	int n = 0;

	for (const char *p = alphabet; *p != '\0'; p++)
	{
		bool capital = *p >= 'A' && *p <= 'Z';

		n += !capital || strchr(alphabet, *p - 'A' + 'a') == NULL;
	}
	return n;
}

static bool
compile_alphabet(PgwCompile *cc, json_object *v, PgwReferences *r)
{
	static const char allowed[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.";
	const char *s = v != NULL ? pgw_text_of(cc, v) : "";

	if (s == NULL)
		return false;
	for (const char *p = s; *p != '\0'; p++)
	{
		if (strchr(allowed, *p) == NULL)
			return pgw_fault(cc, "only letters and digits of ASCII, -, _ and . can stand in it");
		if (strchr(p + 1, *p) != NULL)
			return pgw_fault(cc, "\"%c\" stands in it twice", *p);
	}
	r->nletters = (int) strlen(s);
	if (r->nletters < 10)
		return pgw_fault(cc,
						 "must be all letters that the bank takes, 10 at least: \"0123456789\"");
	return (r->alphabet = pgw_arena_text(cc, s, strlen(s))) != NULL;
}

/* {"length": n, "alphabet": "..."} */
bool
pgw_compile_references(PgwCompile *cc, json_object *v)
{
	static const char *const keys[] = {"length", "alphabet", NULL};
	PgwReferences *r = &cc->connector->references;
	json_object *length;
	size_t mark;

	if (!pgw_since_version(cc, 2, "\"references\"") || !pgw_is_object(cc, v) ||
		!pgw_check_keys(cc, v, keys))
		return false;
	mark = pgw_enter(cc, "alphabet");
	if (!compile_alphabet(cc, pgw_member(v, "alphabet"), r))
		return false;
	pgw_leave(cc, mark);
	length = pgw_member(v, "length");
	if (!json_object_is_type(length, json_type_int) || json_object_get_int64(length) < 1 ||
		json_object_get_int64(length) >= PGW_REFERENCE_SIZE)
		return pgw_fault_at(cc, "length", "must be a whole number, %d at most",
							PGW_REFERENCE_SIZE - 1);
	r->length = (int) json_object_get_int64(length);
	r->bits = bits_of(letters_in_any_case(r->alphabet), r->length);
	if (r->bits < LEAST_BITS)
		return pgw_fault_at(
			cc, "length",
			"%d of these letters hold %d bits (those of both cases count once): two payments would have the same reference too soon. %d bits are needed: 12 of 36 letters, 19 digits",
			r->length, r->bits, LEAST_BITS);
	return true;
}

/* Its answer must name the id of the charge, by which another payment's is known. */
static bool
check_id(PgwCompile *cc, PgwBankOp which)
{
	const PgwCompiledOp *op = &cc->connector->ops[which];
	size_t mark;

	if (!op->present || op->answer.has_field[PGW_FIELD_BANK_REFERENCE])
		return true;
	mark = pgw_enter(cc, pgw_op_name(which));
	pgw_enter(cc, "answer");
	pgw_enter(cc, "fields");
	pgw_fault_at(
		cc, "bank_reference",
		"missing: references of %d bits may be those of two payments one day, and the bank's id is what shows it",
		cc->connector->references.bits);
	pgw_leave(cc, mark);
	return false;
}

/* The request must name one of these, too, and is none without the bank's id, if it names that. */
static bool
check_named(PgwCompile *cc, PgwBankOp which, uint64_t wanted, const char *names)
{
	PgwCompiledOp *op = &cc->connector->ops[which];

	op->needs |= op->uses & wanted;
	if (!op->present || (op->uses & wanted) != 0)
		return true;
	return pgw_fault_at(
		cc, pgw_op_name(which),
		"references of %d bits may be those of two payments one day, and nothing would show it here: %s must stand in the request, or a reference of %d bits: 18 of 36 letters, 28 digits",
		cc->connector->references.bits, names, UNNOTICED_BITS);
}

bool
pgw_check_references(PgwCompile *cc)
{
	PgwReferences *r = &cc->connector->references;
	const uint64_t id = PGW_PH_BIT(PGW_PH_BANK_REFERENCE);

	r->need_ids = r->length > 0 && r->bits < UNNOTICED_BITS;
	if (!r->need_ids)
		return true;
	return check_id(cc, PGW_OP_CHARGE) && check_id(cc, PGW_OP_AUTHORIZE) &&
		   check_id(cc, PGW_OP_LOOKUP_CHARGE) &&
		   check_named(cc, PGW_OP_CAPTURE, id, "{{bank_reference}}") &&
		   check_named(cc, PGW_OP_VOID, id, "{{bank_reference}}") &&
		   check_named(cc, PGW_OP_REFUND, id | PGW_PH_BIT(PGW_PH_OPERATION_REFERENCE),
					   "{{bank_reference}} or {{operation_reference}}") &&
		   check_named(cc, PGW_OP_CANCEL, id, "{{bank_reference}}") &&
		   check_named(cc, PGW_OP_REVERSE, id, "{{bank_reference}}") &&
		   check_named(cc, PGW_OP_LOOKUP_REFUND,
					   id | PGW_PH_BIT(PGW_PH_ORIGINAL_REF) |
						   PGW_PH_BIT(PGW_PH_OPERATION_REFERENCE),
					   "{{bank_reference}}, {{operation_reference}} or {{original_ref}}");
}

/* ---- what is made of a reference ---- */

/* Divide by so many letters; the remainder. */
static int
divide(unsigned char *number, size_t len, int by)
{
	int rest = 0;

	for (size_t i = 0; i < len; i++)
	{
		int part = rest * 256 + number[i];

		number[i] = (unsigned char) (part / by);
		rest = part % by;
	}
	return rest;
}

/* The 128 bits that 32 hex digits are; false: it is something else, as the bank has it perhaps. */
static bool
read_whole(const char *reference, unsigned char number[16])
{
	if (strlen(reference) != 32)
		return false;
	for (int i = 0; i < 16; i++)
	{
		int byte = pgw_hex_read(reference + 2 * i, 2, 2);

		if (byte < 0)
			return false;
		number[i] = (unsigned char) byte;
	}
	return true;
}

const char *
pgw_connector_reference(const PgwConnector *c, const char *whole, char out[PGW_REFERENCE_SIZE])
{
	const PgwReferences *r = &c->references;
	unsigned char number[PGW_SHA2_MAX];
	size_t len = 16;

	if (r->length == 0 || whole == NULL || !read_whole(whole, number))
		return whole;
	if (bits_of(r->nletters, r->length) < REFERENCE_BITS)
		len = pgw_sha2(PGW_SHA256, whole, strlen(whole), number);
	for (int i = r->length - 1; i >= 0; i--)
		out[i] = r->alphabet[divide(number, len, r->nletters)];
	out[r->length] = '\0';
	return out;
}

bool
pgw_connector_same_references(const PgwConnector *a, const PgwConnector *b)
{
	const PgwReferences *x = &a->references;
	const PgwReferences *y = &b->references;

	return x->length == y->length && (x->length == 0 || strcmp(x->alphabet, y->alphabet) == 0);
}
