/*
 * calling_actor.c - who calls: roles, address, application, and whom the application acts for
 *
 * Evidence for an auditor, so it says what the server itself knows: the role that the connection
 * was made as (which no SET ROLE changes), the role that SET ROLE has chosen, the immediate caller
 * (the owner of a SECURITY DEFINER function), and the address of the other end.  application_name
 * and options.actor are what the client says of itself.
 *
 * Owns: the text of this connection's address, which never changes.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"

#include "base/json_writer.h"
#include "sql_function/calling_actor.h"

StaticAssertDecl(PGW_ROLE_NAME_SIZE >= NAMEDATALEN, "a role's name does not fit");

/*
 * A role that has been dropped meanwhile is told by its number, as in the server's own views.  One
 * that was made in a database of another encoding may have a name that is no UTF-8: stored as it
 * is, the record could be neither read nor restored.
 */
static const char *
role_name(Oid role)
{
	char *name = GetUserNameFromId(role, true);

	if (name == NULL)
		return psprintf("%u", role);
	if (!pg_verifymbstr(name, (int) strlen(name), true))
	{
		for (char *s = name; *s != '\0'; s++)
		{
			if (IS_HIGHBIT_SET(*s))
				*s = '?';
		}
	}
	return name;
}

/*
 * "": a Unix socket, or a background process.  Asked of the SQL function, which knows how addresses
 * are told: libpq-be.h cannot be had without the headers of everything that the server links.
 */
static const char *
client_address(void)
{
	static char address[PGW_ADDRESS_SIZE];
	static bool known = false;
	LOCAL_FCINFO(fcinfo, 0);
	Datum inet;

	if (known)
		return address;
	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	inet = inet_client_addr(fcinfo);
	if (!fcinfo->isnull)
		strlcpy(address, DatumGetCString(DirectFunctionCall1(inet_out, inet)), sizeof(address));
	known = true;
	return address;
}

void
pgw_actor_calling(PgwActor *a, Oid caller, const PgwCallerSays *says, const PgwSought *sought)
{
	memset(a, 0, sizeof(*a));
	pgw_actor_set_roles(a, role_name(GetSessionUserId()), role_name(GetOuterUserId()),
						role_name(caller));
	strlcpy(a->address, client_address(), sizeof(a->address));
	pgw_actor_set_application(a, sought, application_name);
	a->says = *says;
}

char *
pgw_actor_json(const PgwActor *a)
{
	PgwActorPart parts[PGW_ACTOR_PARTS];
	int n = pgw_actor_parts(a, parts);
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	for (int i = 0; i < n; i++)
		pgw_json_put_string(&w, parts[i].name, parts[i].value);
	pgw_json_end_object(&w);
	return w.text.data;
}
