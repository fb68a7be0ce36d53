/*
 * actor.c - who asked: what the first event of an attempt, and an operator's decision, keep of it
 *
 * Owns: the names under which it stands in event_data, and what of application_name may be kept.
 * An application's name is the one text here that nobody has checked: any client sets it, to
 * anything.  What may hold card data is not refused, because a payment must not fail for the name
 * of a program, but it is not kept either.
 */
#include "core/request/actor.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mutant.h"

#define SHORTEST_CUT_NUMBER 8 /* digits that nobody can look at as a whole */
#define NOT_SHOWN "(not shown: it may hold card data)"

static void
copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from != NULL ? from : "");
}

void
pgw_actor_set_roles(PgwActor *a, const char *session_user, const char *set_role,
					const char *current_user)
{
	copy(a->session_user, sizeof(a->session_user), session_user);
	copy(a->set_role, sizeof(a->set_role), set_role);
	copy(a->current_user, sizeof(a->current_user), current_user);
	if (strcmp(a->set_role, a->session_user) == 0 || strcmp(a->set_role, a->current_user) == 0)
		a->set_role[0] = '\0';

	/* a wrapper of the session's own role, called as another one, is no plain call */
	if (strcmp(a->current_user, a->session_user) == 0 && a->set_role[0] == '\0')
		a->current_user[0] = '\0';
}

/*
 * The server cuts a name that is too long, perhaps in the middle of a number whose last digits can
 * be guessed.
 */
static bool
ends_in_cut_number(const char *name)
{
	size_t len = strlen(name);
	int digits = 0;

	if (len + 1 < PGW_ROLE_NAME_SIZE)
		return false;
	while (len > 0 && strchr("0123456789 -./:_?", name[len - 1]) != NULL)
		digits += name[--len] >= '0' && name[len] <= '9';
	return digits >= SHORTEST_CUT_NUMBER;
}

void
pgw_actor_set_application(PgwActor *a, const PgwSought *sought, const char *name)
{
	copy(a->application, sizeof(a->application), name);
	for (char *s = a->application; *s != '\0'; s++)
	{
		if (*s < 0x20 || *s > 0x7E)
			*s = '?';
	}
	if (!PGW_MUTATED(APPLICATION_CARD) &&
		(ends_in_cut_number(a->application) ||
		 pgw_card_in_text(sought, PGW_TEXT_ID, a->application, strlen(a->application)) !=
			 PGW_FOUND_NOTHING))
		copy(a->application, sizeof(a->application), NOT_SHOWN);
}

int
pgw_actor_parts(const PgwActor *a, PgwActorPart parts[PGW_ACTOR_PARTS])
{
	const PgwActorPart all[PGW_ACTOR_PARTS] = {
		{"session_user", a->session_user}, {"set_role", a->set_role},
		{"current_user", a->current_user}, {"address", a->address},
		{"application", a->application},   {"actor", a->says.end_user}};
	int n = 0;

	for (int i = 0; i < PGW_ACTOR_PARTS; i++)
	{
		if (all[i].value[0] != '\0')
			parts[n++] = all[i];
	}
	return n;
}
