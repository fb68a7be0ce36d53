/*
 * not_a_card.h - the fields of which a caller states that they hold no card: options.not_a_card
 *
 * Plain data of bounded size.
 */
#ifndef PGW_CORE_REQUEST_NOT_A_CARD_H
#define PGW_CORE_REQUEST_NOT_A_CARD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "core/card/card_text.h"
#include "core/json/json_read.h"

#define PGW_MAX_STATED 8
#define PGW_MAX_STATED_BYTES 64 /* of a name */

typedef struct PgwStated
{
	int n;
	/*
	 * as DETAIL calls the field; of a document a member of the outermost object: metadata.NAME,
	 * with all that is in it
	 */
	char names[PGW_MAX_STATED][PGW_MAX_STATED_BYTES + 1];
	bool used[PGW_MAX_STATED]; /* without it the field would have been refused */
} PgwStated;

/* Which fields can be named: NULL-terminated; one that ends with a dot stands for its members. */
typedef const char *const *PgwStateable;

typedef struct PgwStatedFault
{
	const char *code;
	const char *message;
} PgwStatedFault;

/*
 * Read the value of options.not_a_card.  false: *f says what is wrong with it, and nothing is
 * stated.  sought: what no name may hold, because it is kept.
 */
extern bool pgw_stated_read(const PgwJson *list, PgwStateable stateable, const PgwSought *sought,
							PgwStated *s, PgwStatedFault *f);

/* Can a statement say something of this field, or of members of this document? */
extern bool pgw_can_be_stated(PgwStateable stateable, const char *field);

/* Card data in a field, as pgw_card_in_text() finds it, but for what is stated. */
extern PgwFound pgw_stated_in_text(PgwStated *s, const PgwSought *sought, const char *field,
								   PgwTextKind kind, const char *text);

/* The same of a document, which was read as an object. */
extern PgwFound pgw_stated_in_json(PgwStated *s, const PgwSought *sought, const char *field,
								   const char *json, const PgwJson *object);

/* The names that were used, as a JSON array; nothing when there are none. */
extern void pgw_stated_used(const PgwStated *s, PgwBuf *out);

#endif
