/*
 * clock.c - the wall clock of a process, moved while it runs (LD_PRELOAD)
 *
 * PGW_CLOCK names a file of one int64, the seconds by which the clock is ahead, or of two:
 * nanoseconds beyond that. It is mapped, so a change is seen at once by everybody.  Only the wall
 * clock moves: monotonic clocks, and so the length of waits, stay as they are, as when an
 * administrator or NTP sets the clock.
 *
 * A library like libfaketime gives the real time to whatever runs in a signal handler inside
 * select(), and to all processes forked there: these are the background workers of PostgreSQL 15.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void
begin(void)
{
	const char *name = getenv("PGW_CLOCK");
	int fd = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;

	real_clock_gettime = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	if (fd >= 0)
	{
		void *map = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);

		if (map != MAP_FAILED)
			ahead = map;
		close(fd);
	}
}

int
clock_gettime(clockid_t id, struct timespec *t)
{
	int status;

	if (real_clock_gettime == NULL)
		begin(); /* before the constructor, by another library's */
	status = real_clock_gettime(id, t);
	if (status == 0 && ahead != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
	{
		t->tv_sec += ahead[0];
		t->tv_nsec += ahead[1]; /* beyond the file's end: 0 */
		if (t->tv_nsec >= 1000000000)
		{
			t->tv_sec++;
			t->tv_nsec -= 1000000000;
		}
	}
	return status;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz __attribute__((unused)))
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *result)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (result != NULL)
		*result = t.tv_sec;
	return t.tv_sec;
}
