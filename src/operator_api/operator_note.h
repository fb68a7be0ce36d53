/*
 * operator_note.h - what a note of an operator's may hold, and the options of his call
 */
#ifndef PGW_OPERATOR_API_OPERATOR_NOTE_H
#define PGW_OPERATOR_API_OPERATOR_NOTE_H

#include "postgres.h"
#include "fmgr.h"

#include "core/request/actor.h"

/* Nothing that anybody could read. */
extern bool pgw_note_is_blank(const char *s);

/*
 * The faults of a note that was given, after those before it (or NULL): JSON without brackets, as
 * of pgw_arg_fault().
 */
extern char *pgw_note_faults(char *before, const char *note, int max_chars);

/* The same of the argument options, for what they say. */
extern char *pgw_operator_options(char *before, FunctionCallInfo fcinfo, PgwCallerSays *says);

#endif
