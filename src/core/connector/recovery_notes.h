/*
 * recovery_notes.h - what a connector's capabilities mean when an answer is lost, in sentences
 */
#ifndef PGW_CORE_CONNECTOR_RECOVERY_NOTES_H
#define PGW_CORE_CONNECTOR_RECOVERY_NOTES_H

#include "core/connector/connector.h"

typedef struct PgwRecoveryNote
{
	const char *about;    /* "lost charge" */
	bool costs_a_person;  /* it can end in manual review, or money cannot be given back */
	const char *sentence; /* what happens, because of what; static */
} PgwRecoveryNote;

#define PGW_MAX_RECOVERY_NOTES 9

/* Of the operations that the connector has; returns how many. */
extern int pgw_recovery_notes(const PgwConnector *c, PgwRecoveryNote *notes);

#endif
