/*
 * compile_changes.c - compile which notifications may tell of what was done at the bank without pgw
 *
 * Invariants: they only make pgw ask for the totals, so there is a look-up of the charge that shows
 * what they tell of; and each has a type, so that what every payment sends is told from what few
 * do.
 */
#include "core/connector/compiled.h"

#include <string.h>

#define MAX_TYPES 32
#define MAX_TYPE 127 /* what of a type is read */

static bool
add_type(PgwCompile *cc, json_object *v, unsigned what)
{
	PgwNotificationSpec *n = &cc->connector->notifications;
	const char *s = pgw_text_of(cc, v);
	PgwChangeRule *rule;

	if (s == NULL)
		return false;
	if (*s == '\0' || strlen(s) > MAX_TYPE)
		return pgw_fault(cc, "must be 1 to %d characters", MAX_TYPE);
	if (n->nchanges == MAX_TYPES)
		return pgw_fault(cc, "more than %d types", MAX_TYPES);
	rule = &n->changes[n->nchanges];
	if ((rule->type = pgw_arena_text(cc, s, strlen(s))) == NULL)
		return false;
	rule->what = what;
	n->nchanges++;
	return true;
}

/* A type, or an array of them. */
static bool
add_types(PgwCompile *cc, json_object *v, unsigned what)
{
	if (!json_object_is_type(v, json_type_array))
		return add_type(cc, v, what);
	if (json_object_array_length(v) == 0)
		return pgw_fault(cc, "must be a type, or an array of them");
	for (size_t i = 0; i < json_object_array_length(v); i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!add_type(cc, json_object_array_get_idx(v, i), what))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

bool
pgw_compile_changes(PgwCompile *cc, json_object *v)
{
	static const char *const keys[] = {"captured", "refunded", "voided", NULL};
	static const PgwAnswerField fields[] = {PGW_FIELD_CAPTURED, PGW_FIELD_REFUNDED,
											PGW_FIELD_VOIDED};
	PgwNotificationSpec *n = &cc->connector->notifications;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	if (!n->has_type)
		return pgw_fault(cc, "needs \"type\", by which they are told from the others");
	if (!cc->connector->ops[PGW_OP_LOOKUP_CHARGE].present)
		return pgw_fault(cc,
						 "makes pgw ask for the totals of a charge, which needs \"lookup_charge\"");
	if ((n->changes = pgw_arena(cc, MAX_TYPES, sizeof(PgwChangeRule))) == NULL)
		return false;
	for (int i = 0; keys[i] != NULL; i++)
	{
		json_object *part = pgw_member(v, keys[i]);
		size_t mark;

		if (part == NULL)
			continue;
		mark = pgw_enter(cc, keys[i]);
		/* a total that is not shown cannot have changed; a look-up with faults is told of already
		 */
		if (cc->nfaults == 0 &&
			!cc->connector->ops[PGW_OP_LOOKUP_CHARGE].answer.has_field[fields[i]])
			return pgw_fault(
				cc, "needs \"%s\" in the fields of \"lookup_charge\": it is looked up there",
				pgw_field_name(fields[i]));
		/* their bits are in the order of the keys */
		if (!add_types(cc, part, 1u << i))
			return false;
		pgw_leave(cc, mark);
	}
	cc->connector->caps.changes_refunds = pgw_member(v, "refunded") != NULL;
	return n->nchanges > 0 || pgw_fault(cc, "must name a type");
}
