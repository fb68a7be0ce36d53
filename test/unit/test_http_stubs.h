/*
 * test_http_stubs.h - the little that src/http/http.c needs of the server, for test_http.c
 */
#ifndef TEST_HTTP_STUBS_H
#define TEST_HTTP_STUBS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ERROR 21
#define ERRCODE_OUT_OF_MEMORY 0
#define errcode(code) ((void) 0)
#define errcode_for_file_access() ((void) 0)
#define errmsg(text) fputs(text "\n", stderr)
#define ereport(level, rest) \
	do \
	{ \
		rest; \
		abort(); \
	} while (0)

extern int max_safe_fds;
extern bool AcquireExternalFD(void);
extern void ReserveExternalFD(void);
extern void ReleaseExternalFD(void);

#endif
