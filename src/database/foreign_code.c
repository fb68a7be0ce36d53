/*
 * foreign_code.c - code of others on pgw's tables, and the search_path that it finds
 *
 * A trigger, a constraint, a default or an index expression that an administrator has put onto a
 * table of pgw runs with the rights of pgw's owner when a client pays: the C code acts as that
 * owner.  The client's search_path is still the client's choice, and with it, which function an
 * unqualified name in that trigger means.  So it is pinned while such code can run, to what the
 * worker has pinned for itself.
 *
 * Not SECURITY_RESTRICTED_OPERATION: it would refuse deferred constraint triggers, which are
 * allowed.  Whose code it can be is the subject of pgw.code_of_others().
 *
 * Owns: nothing.  Locks: none; the relation is open.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "core/base/mutant.h"
#include "database/foreign_code.h"

static bool
is_foreign(Oid function, void *context)
{
	return function >= FirstNormalObjectId &&
		   get_func_namespace(function) != get_namespace_oid("pgw", true);
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
			(get_typtype(att->atttypid) == TYPTYPE_DOMAIN ||
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

	if (!foreign || PGW_MUTATED(FOREIGN_PATH))
		return 0;
	nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

void
pgw_foreign_end(int nest_level)
{
	if (nest_level > 0)
		AtEOXact_GUC(true, nest_level);
}
