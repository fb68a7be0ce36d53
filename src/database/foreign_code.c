/*
 * foreign_code.c - code of others on pgw's tables, and the search_path that it finds
 *
 * A trigger, a constraint, a default or an index expression that an administrator has put onto a
 * table of pgw runs with the rights of pgw's owner when a client pays: the C code acts as that
 * owner.  The client's search_path is still the client's choice, and with it, which function an
 * unqualified name in that trigger means.  So it is pinned while such code can run, to what the
 * worker has pinned for itself.
 *
 * Such a trigger may fill columns that others have added.  What pgw writes is a statement about
 * money, so a trigger that changes it, or leaves the row out, is an error of the write: a payment
 * of 100 would be charged as 999, or an id be claimed under another name for ever.
 *
 * Not SECURITY_RESTRICTED_OPERATION: it would refuse deferred constraint triggers, which are
 * allowed.  Whose code it can be is the subject of pgw.code_of_others().
 *
 * Owns: nothing.  Locks: none; the relation is open.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "core/base/mutant.h"
#include "database/foreign_code.h"
#include "database/wait_limit.h"

static bool
is_foreign(Oid function, void *context)
{
	return function >= FirstNormalObjectId &&
		   get_func_namespace(function) != get_namespace_oid("pgw", true);
}

/* Of pgw's own domains pgw writes values that are of them already: no constraint of theirs runs. */
static bool
is_foreign_domain(Oid type)
{
	HeapTuple entry;
	Form_pg_type form;
	bool result;

	entry = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(entry))
		return true;
	form = (Form_pg_type) GETSTRUCT(entry);
	result =
		form->typtype == TYPTYPE_DOMAIN && form->typnamespace != get_namespace_oid("pgw", true);
	ReleaseSysCache(entry);
	return result;
}

/*
 * Functions by whatever node calls them, and domains, whose constraints are no part of the
 * expression.
 */
static bool
calls_foreign(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_foreign, context))
		return true;
	return expression_tree_walker(node, calls_foreign, context);
}

bool
pgw_foreign_code(const ResultRelInfo *rri)
{
	Relation rel = rri->ri_RelationDesc;
	TupleDesc desc = RelationGetDescr(rel);
	TriggerDesc *triggers = rri->ri_TrigDesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (is_foreign(triggers->triggers[i].tgfoid, NULL) || triggers->triggers[i].tgqual != NULL)
			return true;
	}
	for (int i = 0; desc->constr != NULL && i < desc->constr->num_check; i++)
	{
		if (calls_foreign(stringToNode(desc->constr->check[i].ccbin), NULL))
			return true;
	}
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped &&
			(is_foreign_domain(att->atttypid) ||
			 (att->atthasdef && calls_foreign(build_column_default(rel, i + 1), NULL))))
			return true;
	}
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		if (calls_foreign((Node *) rri->ri_IndexRelationInfo[i]->ii_Expressions, NULL) ||
			calls_foreign((Node *) rri->ri_IndexRelationInfo[i]->ii_Predicate, NULL))
			return true;
	}
	return false;
}

int
pgw_foreign_begin(bool foreign)
{
	int nest_level;
	int left;

	if (!foreign || PGW_MUTATED(FOREIGN_PATH))
		return 0;
	left = pgw_wait_limit_suspend();
	nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (left > 0) /* the call's limit, as a setting: that code may have its own */
		(void) set_config_option("lock_timeout", psprintf("%d", left), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

void
pgw_foreign_end(int nest_level)
{
	if (nest_level <= 0)
		return;
	AtEOXact_GUC(true, nest_level);
	pgw_wait_limit_resume();
}

/* A BEFORE ROW trigger for this event that is none of pgw's? */
static bool
is_before_trigger(const Trigger *trigger, CmdType event)
{
	int16 type = trigger->tgtype;

	return TRIGGER_FOR_ROW(type) && TRIGGER_FOR_BEFORE(type) &&
		   (event == CMD_INSERT ? TRIGGER_FOR_INSERT(type) : TRIGGER_FOR_UPDATE(type)) &&
		   get_func_namespace(trigger->tgfoid) != get_namespace_oid("pgw", true);
}

HeapTuple
pgw_foreign_triggers_begin(const ResultRelInfo *rri, CmdType event, TupleTableSlot *slot)
{
	TriggerDesc *triggers = rri->ri_TrigDesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (is_before_trigger(&triggers->triggers[i], event) && !PGW_MUTATED(TRIGGER_REWRITES))
			return ExecCopySlotHeapTuple(slot);
	}
	return NULL;
}

bool
pgw_foreign_may_change(Relation rel, CmdType event)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		if (is_before_trigger(&rel->trigdesc->triggers[i], event))
			return true;
	}
	return false;
}

static bool
is_own_check(const Trigger *trigger)
{
	char *name = get_func_name(trigger->tgfoid);

	return name != NULL && strcmp(name, "enforce_transition") == 0 &&
		   get_func_namespace(trigger->tgfoid) == get_namespace_oid("pgw", true);
}

bool
pgw_foreign_plain_updates(const ResultRelInfo *rri)
{
	TriggerDesc *triggers = rri->ri_TrigDesc;
	TupleConstr *constr = RelationGetDescr(rri->ri_RelationDesc)->constr;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		int16 type = triggers->triggers[i].tgtype;

		if (TRIGGER_FOR_ROW(type) && TRIGGER_FOR_UPDATE(type) &&
			!is_own_check(&triggers->triggers[i]))
			return false;
	}
	return constr == NULL || !constr->has_generated_stored;
}

/* Their names, with commas. */
static const char *
before_triggers(Relation rel, CmdType event)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (is_before_trigger(trigger, event))
			appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "", trigger->tgname);
	}
	return names.len > 0 ? names.data : "none";
}

void
pgw_foreign_raise_left_out(Relation rel, CmdType event)
{
	ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					errmsg("a trigger has left out a row of pgw.%s", RelationGetRelationName(rel)),
					errdetail("BEFORE triggers: %s.", before_triggers(rel, event)),
					errhint("A trigger on pgw's tables must return NEW. See docs/ddl.md.")));
}

void
pgw_foreign_raise_changed(Relation rel, CmdType event, const char *column)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
		 errmsg("a trigger has changed column \"%s\" of a row of pgw.%s", column,
				RelationGetRelationName(rel)),
		 errdetail("BEFORE triggers: %s.", before_triggers(rel, event)),
		 errhint(
			 "A trigger may set columns that you have added to pgw's tables, no others. See docs/ddl.md.")));
}

void
pgw_foreign_triggers_end(const ResultRelInfo *rri, CmdType event, HeapTuple wanted,
						 TupleTableSlot *slot, const bool *ours, bool kept)
{
	Relation rel = rri->ri_RelationDesc;
	TupleDesc desc = RelationGetDescr(rel);

	/* whoever's trigger it was: one of the server's own can do that, too */
	if (!kept)
		pgw_foreign_raise_left_out(rel, event);
	if (wanted == NULL)
		return;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool was_null;
		bool is_null;
		Datum was;
		Datum is;

		if (!ours[i] || att->attisdropped)
			continue;
		was = heap_getattr(wanted, i + 1, desc, &was_null);
		is = slot_getattr(slot, i + 1, &is_null);
		if (was_null != is_null ||
			(!is_null && !datum_image_eq(was, is, att->attbyval, att->attlen)))
			pgw_foreign_raise_changed(rel, event, NameStr(att->attname));
	}
	heap_freetuple(wanted);
}
