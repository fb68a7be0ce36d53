/*
 * json_string.h - a text as a JSON string
 */
#ifndef PGW_BASE_JSON_STRING_H
#define PGW_BASE_JSON_STRING_H

extern char *pgw_json_string(const char *s); /* quoted and escaped; palloc'd */

#endif
