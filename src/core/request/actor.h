/*
 * actor.h - who asked: what the first event of an attempt, and an operator's decision, keep of it
 *
 * Plain data of bounded size, because it crosses a slot of shared memory.
 */
#ifndef PGW_CORE_REQUEST_ACTOR_H
#define PGW_CORE_REQUEST_ACTOR_H

#include "core/card/card_text.h"

#define PGW_ROLE_NAME_SIZE 64 /* NAMEDATALEN */
#define PGW_ADDRESS_SIZE 46   /* INET6_ADDRSTRLEN */
#define PGW_MAX_END_USER_BYTES 255
#define PGW_NOT_A_CARD_SIZE 1100 /* eight names of 64 bytes, each of which may need a backslash */

/* What a caller's options say for the record. */
typedef struct PgwCallerSays
{
	char end_user[PGW_MAX_END_USER_BYTES + 1]; /* actor: of the application; "": nobody */
	/* not_a_card, as far as it has let something pass: a JSON array of names; "": nothing */
	char not_a_card[PGW_NOT_A_CARD_SIZE];
} PgwCallerSays;

/* "" where there is none, or nothing that another one does not say. */
typedef struct PgwActor
{
	char session_user[PGW_ROLE_NAME_SIZE]; /* the role that the session was opened as */
	/* of SET ROLE, where a SECURITY DEFINER function has called in its owner's name */
	char set_role[PGW_ROLE_NAME_SIZE];
	char current_user[PGW_ROLE_NAME_SIZE]; /* the immediate caller */
	char address[PGW_ADDRESS_SIZE];        /* of the client; none: a Unix socket, or no client */
	char application[PGW_ROLE_NAME_SIZE];  /* application_name */
	PgwCallerSays says;
} PgwActor;

/* The three roles; what is the same is kept once. */
extern void pgw_actor_set_roles(PgwActor *a, const char *session_user, const char *set_role,
								const char *current_user);

/*
 * application_name as it may be kept: printable ASCII, as the server has it, and not at all where
 * it may hold card data; sought: this call's card, or NULL.
 */
extern void pgw_actor_set_application(PgwActor *a, const PgwSought *sought, const char *name);

/* One thing that is known of it, by its name in event_data. */
typedef struct PgwActorPart
{
	const char *name;
	const char *value; /* in *a */
} PgwActorPart;

#define PGW_ACTOR_PARTS 6

/* Returns how many there are. */
extern int pgw_actor_parts(const PgwActor *a, PgwActorPart parts[PGW_ACTOR_PARTS]);

#endif
