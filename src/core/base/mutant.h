/*
 * mutant.h - safeguards that a test build can switch off, one at a time
 *
 * A build with -DPGW_MUTANTS lacks the safeguard whose number in the list below is in the
 * environment variable PGW_MUTANT when the library is loaded; `make mutants` shows that a test
 * notices.  Every other build has all of them: PGW_MUTATED() is then the constant 0 and leaves no
 * code behind.
 */
#ifndef PGW_CORE_BASE_MUTANT_H
#define PGW_CORE_BASE_MUTANT_H

typedef enum PgwMutant
{
	NO_MUTANT = 0,
	INTENT_FLUSH,   /* the request leaves before its intent is flushed */
	VISIT_FLUSH,    /* nothing that the worker decides by itself is flushed */
	XID_BEFORE_ROW, /* the payments row is looked at before the caller's xid */
	SUBXID,         /* the top-level xid decides alone */
	ADOPTION_LOCK,  /* an attempt that is being given back can be adopted */
	/* a worker does not look for an earlier attempt with the same id */
	CLAIM,
	GONE_BEFORE_SEND, /* a request leaves although its caller has gone before */
	SLOT_OWNER,       /* the payments row names whatever attempt the answer names */
	DISOWN,           /* HTTP still knows a call that was given up */
	COMMITTED_ALL,    /* an ERROR after the commit is taken for a rollback */
	NOTIFY_STOPS,     /* a full NOTIFY queue stops what is to be told */
	/* requests that no call could be made for are kept by the worker */
	TAKEN_LOST,
	BETWEEN_LISTS, /* an ERROR between two lists loses the call */
	/* a duplicate that a second unique index on the id notices is an error */
	ONE_ARBITER,
	/* a configuration that is older than what the caller saw serves */
	OLD_CONFIG,
	/* what waits for the card holder is declined before it is known to be undone */
	UNDO_UNCONFIRMED,
	UNDONE_SHOWN, /* ... and given back although a look-up shows that it is undone */
	/* a cancellation is sent at once and believed at once, although a charge may come after it */
	CANCEL_ONCE,
	UNKNOWN_IS_FAILED, /* no trusted answer is taken for a no */
	NOT_FOUND_AT_ONCE, /* a look-up's "not found" counts at once */
	/* ... as if the request had left when its intent was written, whoever has sent it */
	ASKED_BY_ANOTHER,
	/* a repetition leaves though its key has been forgotten since its intent was written */
	KEY_AT_INTENT,
	/* ... or a submitted charge though it has expired since then */
	EXPIRED_AT_INTENT,
	/* ... or anything though the worker has been paused since then */
	SENT_IN_PAUSE,
	/* a charge that a look-up has not found is sent once more, though it has expired */
	EXPIRED_RESENT,
	RESEND_GUARD,   /* connections are reused at a bank without idempotency keys */
	REPLAY_NOW,     /* a replay says another time than the first request */
	KEY_REUSE,      /* a replay takes a new key */
	KEY_OF_ANOTHER, /* a key that the bank honours at a charge counts for all that follows */
	/* what was answered with an error is repeated at a bank that forgets such answers */
	FORGOTTEN_ERROR,
	/* ... or at one whose document does not say what becomes of them */
	ERRORS_UNSAID,
	/* ... if it came with a status of success */
	ERROR_WITH_200,
	/* ... if nobody has heard it, before a look-up counts that would tell */
	FORGOTTEN_UNHEARD,
	/* ... of what moves money after a charge, once a look-up that counts has not told */
	FORGOTTEN_NOT_SHOWN,
	/* a decline of a repeated charge counts for the first request at such a bank */
	REPEAT_DECLINED,
	REPEAT_UNCONFIRMED, /* ... or that such a repetition waits for the card holder */
	REPEAT_LOOKED_UP,   /* ... or what a look-up says of it later */
	KEY_MISMATCH,       /* "same key, other request" is asked about as any other unknown answer */
	HOME_GUARD,         /* calls are taken for slots that are not at home */
	HOME_AGAIN,         /* ... that have gone since they came */
	MOVE_HELD,          /* a slot is released while callers act for it */
	PREPARED_CHANGE,    /* nobody is told of a changed configuration by COMMIT PREPARED */
	SHARD_SHARE,        /* each shard takes all that the bank takes of one */
	SHARD_FAILURES,     /* ... and has its breaker open as late as if it were the only one */
	ADOPT_HERE,         /* slots are adopted by whatever database has their row */
	HOME_WORKER,        /* attempts of slots that are elsewhere are worked on */
	RESTORED_PAUSE,     /* attempts of another cluster or database are worked on */
	AMOUNT_CHECK,       /* an approval of another amount is taken as one */
	/* what the bank does not know is failed, but never looked at again */
	CARD_REPLAY,
	SYNC_COMMIT, /* the caller's commit is not forced to be synchronous */
	/* a caller takes the tables' locks one by one, and the worker none for him */
	CALLER_LOCKS,
	/* who has read a table before waits for DDL that has it, however long */
	LOCK_DEADLINE,
	/* only what table_locks.c locks for a call is waited for no longer than it has time */
	CALL_DEADLINE,
	INTENT_FAILURES, /* an intent that cannot be written is nothing to health() */
	ANSWER_FAILURES, /* nor is an answer */
	NEVER_WAIT,      /* the worker waits for relation locks, behind whoever queues */
	/* what users have put onto pgw's tables may take as long as it likes in the worker */
	WORK_LIMIT,
	/* the worker's own time limit ends its wait for the synchronous standby */
	STANDBY_WAIT,
	FENCING,         /* what waited for a standby is sent when that is given up */
	PIN_SYNC_COMMIT, /* the worker's synchronous_commit follows a reload */
	/* the bank inside the worker gives an answer out before its ledger is flushed */
	LEDGER_FLUSH,
	/* a call that would move money is answered by a payment for tests, and the reverse */
	OTHER_MODE,
	EVENT_LEFT_OUT,   /* an event that the INSERT has not written is not missed */
	LATE_EVENTS,      /* an event that comes long after its attempt began is not listed */
	FENCE_FORGOTTEN,  /* ... nor is one before the worker knows after its start what readers rely on
					   */
	OWN_EVENTS_READ,  /* what a reader's own transaction writes later counts as read */
	TRIGGER_REWRITES, /* what a BEFORE trigger makes of pgw's columns is written */
	KEEP_COLUMNS,     /* columns that others have added are overwritten */
	UPDATE_CHECKS,    /* no update meets a CHECK constraint */
	REFUND_KEY,       /* a give-back in doubt is sent again with a new key */
	/* a capture, void or refund in doubt is sent again with a new key */
	OPERATION_KEY,
	OPERATION_CLAIM,    /* a refund claims nothing of what is left */
	DROP_GUARD,         /* the extension is dropped with all that it holds */
	VERSION_CHECK,      /* a library works on tables that another version's script has made */
	VERSION_PAUSE,      /* ... in the worker */
	VERSION_REMEMBERED, /* ... in a session that has paid before */
	COPY_PAUSE,         /* nobody looks whether the data directory is a copy */
	BUNDLE_SHARE,       /* a call with many payments takes slots while there are any */
	CLAIM_ORDER,        /* ... and claims their ids in the order of its requests */
	REPEATED_CALL,      /* equal calls with a volatile id are let through */
	CARD_LITERAL,       /* card data in the text of a statement is taken as it comes */
	/* a token that is an object is kept as any other */
	TOKEN_OBJECT_KEPT,
	TRACE_CARD,         /* a trace's id that may be a card's number is kept */
	TRACE_OWN_CARD,     /* ... also where it is this call's */
	LINE_RATE,          /* each line goes into the log, whatever has gone before it */
	CUSTOMER_IN_SLOT,   /* what is told of a customer stays in its slot */
	CUSTOMER_REPEATED,  /* a request that held it is repeated without it */
	CUSTOMER_SUBMITTED, /* it can be submitted */
	TOKEN_DISGUISED,    /* an object in a list, or encoded once more, is kept as any other token */
	ECHO_TOKEN,         /* what an answer repeats of such a token is not looked for */
	LITERAL_BUDGET,     /* a value that was not followed to its end counts as bound */
	LOGGED_LITERAL,     /* in what the server logs only a card's number counts */
	LOG_REDACTION,      /* what the server logs of a card is not looked at */
	/* a view that pays with a volatile id may stand in a statement twice */
	REPEATED_VIEW,
	REPEATED_FETCH, /* a cursor that is turned back pays again */
	/* a wrapper that pays with another id for each column is let through */
	REPEATED_WRAPPER,
	CAPTURE_AT_ONCE, /* on_commit takes the money during the call */
	/* a changed file of trusted certificates changes nothing for a day */
	CA_CHANGE,
	TRUST_FILE, /* a pipe is opened as a file of trusted certificates, and waited for */
	/* a bank whose table is locked just now is taken for one that there is not */
	UNREADABLE_BANK,
	BANK_VERSION, /* what follows a charge goes to the bank as it is now */
	BREAKER_ONCE, /* each failure of one payment counts against its bank */
	/* when the last real bank is deleted, whoever names no bank pays at a test bank */
	LAST_REAL_BANK,
	ECHO_DIGEST,  /* a digest of the request, in which a card stands, is kept */
	HEADER_TWICE, /* of a header that comes twice the first one counts, whatever the other says */
	SUM_LEFT_OUT, /* an element that is named neither way is none of the sum */
	MORE_PAGES,   /* a list that goes on elsewhere is taken for the whole */
	CARD_HEX,     /* a card in hexadecimal digits is not seen */
	/* an empty list counts, whatever else the answer says */
	SELECT_WHEN,
	UNFORESEEN,      /* what a state says of the money that nobody has foreseen is: nothing */
	STRANGER_BY_ID,  /* a look-up by an id may show another one */
	NAMED_NOT_FOUND, /* what the bank has taken and named is sent again if it is not found */
	UNCHECKED_LOOK,  /* a number without check digit is not looked for, in a log or by its last four
					  */
	UNCHECKED_TOKEN, /* ... and is a token where such cards are taken */
	PAGE_UNREAD,     /* a page that cannot be read is one on which it is not */
	FIRST_OF_TWO,    /* of two elements that could be meant one is taken */
	/* a restore meets numbers of versions that the worker gave meanwhile */
	VERSION_AHEAD,
	REBIND_REFERENCES, /* attempts are looked up under a reference that they were not made with */
	NOT_IN_LIST,       /* what cannot be told from the one that is meant is none */
	/* a first look-up that was put off takes nothing from the retry budget */
	PUT_OFF_TOKEN,
	/* nor does what a look-up allows that took nothing itself */
	TOKEN_OWED,
	REFERENCE_ECHO, /* an answer that names another payment is believed */
	/* a yes whose own document shows that nothing was done is believed */
	BELIED_APPROVAL,
	/* a cancellation whose own document shows that nothing was undone is believed */
	BELIED_CANCEL,
	/* a give-back that was refused is sent anew, although a look-up could show it */
	REFUSED_REFUND,
	OTHER_WAY,    /* a refund or void that does not fit the charge's state is tried again */
	WHOLE_REFUND, /* ... by a void, although more can be captured */
	/* the refusal of a refund is taken for that of the void that is sent in its place */
	REFUSAL_KEPT,
	/* the time that a refund waits until its charge is settled counts as time for trying */
	SETTLEMENT_AGE,
	/* a void that a refund has changed over to, and that has never left, counts as in doubt */
	NEVER_TAKEN,
	REFUSED_WITHOUT_LAG, /* ... because it is not said when that counts */
	/* a void that is only accepted is repeated, and never looked up where its lag is not said */
	ACCEPTED_VOID,
	CONSTANT_MONEY,  /* a document may say itself what the bank has taken or given back */
	CONSTANT_ALWAYS, /* ... or has voided, whatever the answer says */
	/* a bank's no to the repetition of an operation in doubt counts for the first request */
	REPEAT_REFUSED,
	/* a bank's first no to a refund or capture is believed because no look-up ever counts */
	FIRST_REFUSAL,
	RESENT_REFUSED, /* ... to what libcurl has sent twice */
	/* a capture, void or refund is believed although what was done cannot be read */
	UNREADABLE_ANSWER,
	/* after a refusal a look-up counts before it can show what was refused */
	REFUSED_TOO_EARLY,
	/* after a refusal a look-up that is not understood counts */
	REFUSED_NOT_TOLD,
	DOUBT_AGE, /* each repetition of a request in doubt puts its deadline off */
	/* a no whose own document shows that it was done is believed */
	BELIED_REFUSAL,
	/* a charge counts as captured although the bank shows that it is not */
	CAPTURED_SHOWN,
	/* a capture or refund of which a part is shown is done once more */
	PART_SHOWN,
	REFUND_BY_VOID, /* a refund that the bank has carried out as a void counts as not done */
	/* ... and one of a charge whose rest alone was voided, after a part was captured, as done */
	REST_RELEASED,
	EXCESS_TOLD,  /* more was given back than asked for, and nobody is told */
	PENDING_ONCE, /* each look at a pending refund leaves an event */
	/* a look-up that does not say what was refunded is taken for "nothing" */
	REFUND_UNKNOWN,
	REFERENCE_OWNER, /* an answer that names another payment's charge is believed */
	OPERATION_OWNER, /* ... that names another capture, void or refund */
	/* the id of a no that is not believed is used as the charge's */
	UNCLAIMED_ID,
	/* an approval that does not name its charge is taken as a whole one */
	APPROVAL_REFERENCE,
	PUT_OFF_DEADLINE,   /* what cannot be asked of a bank is put off for ever */
	BANK_SHARE,         /* one bank may hold all connections and all waiting slots */
	CLOCK_BACK,         /* a clock that was set back is not noticed */
	CLOCK_BACK_ROW,     /* a row of the former clock is written before it is noticed */
	QUOTA,              /* any number of payments may wait */
	PAUSE_HOLDING_ROWS, /* who submits pauses while others wait for his rows */
	/* what others have put onto pgw's tables runs with the caller's search_path */
	FOREIGN_PATH,
	/* card numbers in stored fields are found only as they stand, in no encoding */
	CARD_DISGUISE,
	CARD_PART, /* of what a bank repeats only a whole card number counts */
	ECHO,      /* what a bank repeats of the card or the key is kept */
	/* what was refused in a charge's answer is kept when a look-up says it again */
	CARD_ECHOED,
	/* what a bank repeats in a place of which nothing is kept is not remembered */
	ECHO_UNKEPT,
	AMOUNT_MULTIPLE, /* an amount that the bank does not take is sent */
	/* of a short reference a look-up's charge needs no id */
	SHORT_REFERENCE,
	REFUSAL_TOLD, /* nobody is told in which words the bank has said no */
	ANSWER_MODE,  /* a test payment is taken for a real one, and the reverse */
	/* a field that is stated to hold no card may hold the call's own */
	STATED_OWN_CARD,
	APPLICATION_CARD, /* a card number in application_name is kept */
	SECRET_NAMES,     /* a request leaves although its key's file lacks a name that it needs */
	ECHO_OLD_KEY,     /* a key that has changed while its request was out is not looked for */
	DRAINING,         /* a draining worker sends new charges */
	/* libcurl and OpenSSL take what the server's environment says */
	ENVIRONMENT,
	REMAINS,      /* what the server has of a card is given back as it is */
	OPTIONS_COPY, /* ... and what was copied to read a customer that a row has */
	/* an attempt that is recorded after the mark has passed its id gets no row of open_work */
	BELOW_MARK,
	BEHIND_MARK, /* a starting worker does not read what is behind the mark */
	/* what got its row before the process knew how small the mark is keeps it */
	MARK_SMALLER,
	OVERTAKEN,    /* what was read without a lock is written over whatever has become of it */
	UPDATE_WAITS, /* the worker's update waits for who has the row */
	ROW_AT_PLACE, /* whatever lies at the place where an attempt's row was is taken for it */
	LANES,        /* at a bank's limit the newest go first, and a merchant keeps his turn */
	NOTIFICATION_SIGNATURE, /* whatever signature a notification has is good */
	/* what the bank has accepted, and nobody can ask about, is done at once */
	ACCEPTED_IS_DONE,
	/* a charge that takes its bank days is given to a person as any other doubt */
	PENDING_DEADLINE,
	PENDING_NOT_FOUND,  /* ... or has failed when it is not found once */
	PENDING_FORGOTTEN,  /* ... as soon as one look-up is not answered */
	ACCEPTED_NOT_SHOWN, /* ... and has failed when a look-up does not show it */
	ACCEPTED_APPROVED,  /* ... and is done at once, wherever it can be asked about */
	ACCEPTED_RETRIED,   /* ... and is sent again when an operator says "retry" */
	/* what a charge does not show is ordered once more at a bank that only accepts orders */
	ORDER_NOT_SHOWN,
	/* what a charge shows of an order that has a look-up of its own is done, open as it may be */
	OPEN_ORDER_SHOWN,
	/* a refund is not done when the charge shows no more than before, whatever the bank took back
	 */
	REFUND_TAKEN_BACK,
	EVIDENCE_COVERED,      /* evidence may stand where the signature does not cover it */
	EVIDENCE_AMOUNT,       /* ... and be of another amount */
	EVIDENCE_TWO_WORDS,    /* a success after a failure is taken as it is */
	EVIDENCE_OTHER_CHARGE, /* ... or of another charge */
	TAKEN_BACK_REFUNDED,   /* a capture is taken back although refunds count on it */
	TAKEN_BACK_UNWATCHED,  /* ... and nobody watches its authorization's end again */
	END_WHILE_OPEN,        /* the end of an authorization is asked about while a capture is open */
	SUBJECT_UNNAMED,       /* a look-up for a change is believed of a charge that nobody here has */
	TOLD_AGAIN,            /* what was done at the bank is recorded as often as it is told */
	TOLD_TOO_SOON,         /* ... and though pgw's own may be meant, whose id is not known yet */
	CAPTURE_UNCLAIMED,     /* what took the money of one charge may be named for another, too */
	REVERSAL_APART,        /* ... and a refund's id for a reversal */
	EVIDENCE_UNCLAIMED,    /* ... or given to a person, and its charge is anybody's */
	LOGIN_SUPPOSED,        /* a second proof is believed that nobody has given */
	UNKNOWN_FORGOTTEN,     /* of an unknown payment: it is never looked at again */
	ASKED_BELIEVED,        /* what is to be asked for is taken as it came */
	ID_RESPELLED,          /* ... and is another one where its id is written otherwise */
	ASKED_ID_KEPT,         /* ... and has its row, though its id may be a card's number */
	ASKED_FIRST_FORGOTTEN, /* what has no room is not asked for */
	ASKED_FIRST_ALWAYS,    /* ... or goes before all that has */
	ASKS_WITH_LOOKUPS,     /* ... and failing to ask for it holds up look-ups */
	UNCONFIRMED_FLOOD,     /* ... and whoever makes them up fills the table */
	ANOTHER_CONFIRMED,     /* ... or by an answer that shows another */
	UNSIGNED_TAKEN,        /* what nobody has signed is taken as if it were */
	ITEM_SIGNATURE,        /* of several in one body nobody looks at the signature of each */
	/* libcurl may send again what a bank forgets under its key */
	RESEND_FORGOTTEN,
	NOTIFICATION_ORDER, /* ... and they are taken in the body's order */
	/* what was given back at the bank itself is given back once more when it is asked for */
	BANK_REFUNDED_COUNTS,
	DISPUTE_ONCE,     /* a step of a dispute that is told again counts again */
	DISPUTE_CURRENCY, /* what is disputed in another currency counts as if it were the payment's */
	DISPUTE_UNREADABLE, /* ... and so does all of it where what has come back cannot be read */
	DISPUTE_CEILING,    /* what a dispute has taken can be refunded, too */
	/* ... or is, by a refund that was asked for before and had not left */
	DISPUTED_MEANWHILE,
	DISPUTED_LOOKED_UP,  /* ... by one that a look-up has shown as undone */
	UNCLEAR_PAID,        /* ... by one that leaves while nobody knows how much it has taken */
	TOLD_DISPUTE,        /* ... or before the worker has recorded what the bank had told of it */
	REPORTED_WHILE_OPEN, /* what an open refund may be counts as made at the bank */
	/* a retry that takes the attempt over while it is matched leaves the bank's word without one */
	NOTIFIED_TAKEN_OVER,
	/* who answers the bank may lose in a crash what it was told we have */
	NOTIFICATION_UNFLUSHED,
	NOTIFIED_NOT_FOUND, /* what is not found at an id that a notification names is not there */
	ALWAYS_THERE,       /* what one alternative of a request names counts as named in all */
	SETTING_BESIDE,     /* ... and goes with a setting that is missing beside it */
	PAID_BY_NOTHING,    /* a charge leaves that holds neither the token nor the card */
	DOUBTFUL_RULE,      /* what a proxy may say is taken for the bank's word */
	TRIED_FOR_EVER,     /* each new key of an operation has a deadline of its own */
	TOO_MUCH_SHOWN,     /* a capture that shows more than was ordered is repeated */
	JSON_ERRORS,        /* what cannot be read as JSON is quoted by the server */
	METHOD_FITS,        /* a look-up may change something, and a GET may move money */
	WEBHOOK_ADDRESS,    /* webhooks may go to any address */
	WEBHOOK_ORDER,      /* of one payment several are under way at once */
	WEBHOOK_COPY,       /* they are sent from a copy, too */
	/* what sends them keeps its slot while another database's worker has none */
	WEBHOOK_SLOT,
	WEBHOOK_ROW_HELD,  /* a row that somebody holds keeps all results from being written */
	WEBHOOK_LONG_READ, /* a look at the events has the same time however often it was too short */
	WEBHOOK_FORMER,    /* an answer counts, whatever has become of the endpoint meanwhile */
	/* what stands within something that is no object counts as absent */
	CUT_OFF,
	/* what is left of a charge, and cannot be read, is given back as if it were all */
	LEFT_UNREADABLE,
	LESS_THAN_KNOWN,  /* a look-up that shows less than is known says that nothing was done */
	CAPTURED_GARBLED, /* a no is believed beside a captured amount that cannot be read */
	NAMED_GONE,       /* a charge that a yes has named is gone for not being found */
	ASKED_EXPONENT,   /* amounts of another currency are read as the asked one's */
	CURRENCY_UNREADABLE,
	VOID_TAKEN,        /* a void is believed that shows the charge as captured */
	READ_UNREPLICATED, /* a cancelled wait for a standby hands the events out all the same */
	TOLD_UNREPLICATED, /* a repeated call tells of a commit that no standby has */
	SAID_ID_DROPPED,   /* an id that a notification names is none if it looks like anybody's card */
	SAID_ID_KEPT       /* ... and is kept if it may be the card that was charged */
} PgwMutant;

#ifdef PGW_MUTANTS
extern int pgw_mutant;
#define PGW_MUTATED(name) (pgw_mutant == (name))
#else
#define PGW_MUTATED(name) 0
#endif

#endif
