/*
 * submit_pause.h - how long a session that submits payments is to pause for each of them, so that
 * the worker can keep up
 *
 * Callers that submit faster than the worker can send take its processor, its disk and its pages:
 * then fewer payments end, not more.  So while more waits for the worker than it can take at once,
 * and it does not get to run all of the time, they pause for a little longer each time that it
 * looks, and for a little less when one of the two is over.  A worker that runs all of the time is
 * not helped by a pause: then what comes is accepted as it comes.
 *
 * Pure.  The worker (worker/pace_turn.c) tells the time, callers (client_api/pause_submits.c)
 * pause.
 */
#ifndef PGW_CORE_PACING_SUBMIT_PAUSE_H
#define PGW_CORE_PACING_SUBMIT_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

/* It looks again after so long: shorter times of the processor say nothing. */
#define PGW_PACE_LOOK_US INT64_C(20000)

#define PGW_PACE_FIRST_US INT64_C(200)
#define PGW_PACE_MOST_US INT64_C(100000)

/* Zeroed: nobody pauses, and no look was taken yet. */
typedef struct PgwPace
{
	int64_t pause_us; /* for each payment */
	int64_t looked_at_us;
	int64_t ran_us; /* what the worker had run for at that look */
	bool behind;    /* at every turn since then */
} PgwPace;

/*
 * After a turn of the worker: more waits for it than it has taken; a clock that never goes back,
 * and for how long the worker has run, both in microseconds.  True: it was time for a look.
 */
extern bool pgw_pace_turn(PgwPace *pace, bool behind, int64_t now_us, int64_t ran_us);

#endif
