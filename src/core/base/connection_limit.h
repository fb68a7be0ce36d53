/*
 * connection_limit.h - how many connections to banks a worker may have open at a time
 */
#ifndef PGW_CORE_BASE_CONNECTION_LIMIT_H
#define PGW_CORE_BASE_CONNECTION_LIMIT_H

#define PGW_FILES_PER_CONNECTION 4
#define PGW_MIN_CONNECTIONS 4

/*
 * Of the files that the server lets a process open (max_safe_fds).  AcquireExternalFD() grants a
 * third of them; a quarter leaves room for the second socket while IPv6 and IPv4 race.
 */
static inline int
pgw_connection_limit(int max_files)
{
	int n = max_files / PGW_FILES_PER_CONNECTION;

	return n > PGW_MIN_CONNECTIONS ? n : PGW_MIN_CONNECTIONS;
}

#endif
