/*
 * answer_form.h - an answer that is a form (application/x-www-form-urlencoded), as JSON
 */
#ifndef PGW_CORE_BANK_MESSAGE_ANSWER_FORM_H
#define PGW_CORE_BANK_MESSAGE_ANSWER_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

/*
 * An object with a string for each pair, to json, which is empty.  false: it is no form.  A name
 * that stands twice does so in the object, too, and what is no UTF-8 is none there either: its
 * reader refuses both.
 */
extern bool pgw_answer_form_read(const char *text, size_t len, PgwBuf *json);

#endif
