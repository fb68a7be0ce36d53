/*-------------------------------------------------------------------------
 *
 * timer.c
 *		One thread that wakes suspended connections when their time comes.
 *
 * A delayed answer must not occupy a thread, so the connection is suspended
 * and put on a heap ordered by time.  A connection that is never to be
 * answered is held the same way; it is looked at now and then and let go
 * when the client has closed its side.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "bank.h"

#define HOLD_CHECK_MS 250

typedef struct Timer
{
	int64_t due;
	bool hold;
	Request *req;
} Timer;

static Timer *heap;
static size_t heap_count;
static size_t heap_cap;
static bool stopping;
static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void
heap_push(Timer t)
{
	size_t i;

	if (heap_count == heap_cap)
	{
		heap_cap = heap_cap ? heap_cap * 2 : 1024;
		heap = realloc(heap, heap_cap * sizeof(Timer));
		if (heap == NULL)
			abort();
	}
	i = heap_count++;
	while (i > 0 && heap[(i - 1) / 2].due > t.due)
	{
		heap[i] = heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap[i] = t;
}

static Timer
heap_pop(void)
{
	Timer top = heap[0];
	Timer last = heap[--heap_count];
	size_t i = 0;

	for (;;)
	{
		size_t child = 2 * i + 1;

		if (child >= heap_count)
			break;
		if (child + 1 < heap_count && heap[child + 1].due < heap[child].due)
			child++;
		if (heap[child].due >= last.due)
			break;
		heap[i] = heap[child];
		i = child;
	}
	if (heap_count > 0)
		heap[i] = last;
	return top;
}

static bool
peer_is_gone(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void *
timer_main(void *arg)
{
	(void) arg;
	pthread_mutex_lock(&lock);
	while (!stopping || heap_count > 0)
	{
		int64_t now = now_ms();

		if (heap_count == 0)
			pthread_cond_wait(&changed, &lock);
		else if (!stopping && heap[0].due > now)
		{
			struct timespec ts;

			ts.tv_sec = (time_t) (heap[0].due / 1000);
			ts.tv_nsec = (long) (heap[0].due % 1000) * 1000000;
			(void) pthread_cond_timedwait(&changed, &lock, &ts);
		}
		else
		{
			Timer t = heap_pop();

			if (t.hold && !stopping && !peer_is_gone(t.req->fd))
			{
				t.due = now + HOLD_CHECK_MS;
				heap_push(t);
			}
			else
			{
				struct MHD_Connection *connection = t.req->connection;

				pthread_mutex_unlock(&lock);
				MHD_resume_connection(connection);
				pthread_mutex_lock(&lock);
			}
		}
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

bool
timer_start(void)
{
	return pthread_create(&thread, NULL, timer_main, NULL) == 0;
}

/* Wake everything at once and end the thread. */
void
timer_stop(void)
{
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	free(heap);
	heap = NULL;
	heap_cap = 0;
}

/*
 * The caller's connection is running in its own thread; suspend it here, under
 * the lock, so that it cannot be resumed before it is suspended.  Answers
 * false, without suspending, when the simulator is ending.
 */
bool
timer_add(Request *req, int64_t due, bool hold)
{
	/*
	 * the clock that it was reckoned from is cut off to whole milliseconds: never earlier than was
	 * asked for
	 */
	Timer t = {.due = due + 1, .hold = hold, .req = req};
	bool added;

	pthread_mutex_lock(&lock);
	added = !stopping;
	if (added)
	{
		MHD_suspend_connection(req->connection);
		heap_push(t);
		pthread_cond_signal(&changed);
	}
	pthread_mutex_unlock(&lock);
	return added;
}
