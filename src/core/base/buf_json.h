/*
 * buf_json.h - JSON into a buffer, for the core
 *
 * Without blanks, but where a comma is given with one.  A buffer that is written with this holds
 * JSON and nothing else: whether a comma is due is seen by what stands last in it, so what was
 * begun can be taken back with pgw_buf_truncate().
 */
#ifndef PGW_CORE_BASE_BUF_JSON_H
#define PGW_CORE_BASE_BUF_JSON_H

#include "core/base/buf.h"

/* Append s as a JSON string, quotes included. */
extern void pgw_buf_json_string(PgwBuf *b, const char *s);

/* The comma before the next member or element; nothing before the first one. */
extern void pgw_buf_json_comma(PgwBuf *b, const char *comma);

/* The name of a member, with the comma before it and the colon after it. */
extern void pgw_buf_json_name(PgwBuf *b, const char *name);

extern void pgw_buf_json_member(PgwBuf *b, const char *name, const char *value);

/* An object or array as the next element: with its comma. */
extern void pgw_buf_json_open(PgwBuf *b, char bracket);
extern void pgw_buf_json_close(PgwBuf *b, char bracket);

#endif
