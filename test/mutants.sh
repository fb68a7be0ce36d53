#!/bin/bash
# Take the safeguards of src/core/base/mutant.h away, one at a time (all, or those named), and show the test that notices.  Started by run.sh,
# which has made the build with debug points.  Prints TAP: a safeguard is "ok" when its part of a test passes with it and fails without.
set -u
PGW_TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$PGW_TOP/test/lib/env.sh"
: "${PGW_WORK:?is set by test/run.sh}" "${PGW_DEBUG_INST:?is set by test/run.sh}"

# safeguard : test of test/tap, or of test/unit : the part, or the function, of it that must notice
guards='
VERSION_CHECK:310_update:a new library before the update
VERSION_PAUSE:310_update:a new library before the update
VERSION_REMEMBERED:310_update:an update that changes the version alone
COPY_PAUSE:260_copies:base backup
HOME_GUARD:420_home_guard:misrouted
HOME_AGAIN:420_home_guard:claimed meanwhile
MOVE_HELD:421_slots_moved:callers
ADOPT_HERE:423_slots_certain:adopted once
SHARD_SHARE:425_bank_share:in flight
SHARD_FAILURES:425_bank_share:breaker
PREPARED_CHANGE:422_prepared_configuration:a bank
HOME_WORKER:420_home_guard:left alone
DROP_GUARD:261_drop:open at the bank
INTENT_FLUSH:101_crash:kill -9, answer_arrived
SYNC_COMMIT:101_crash:told
SUBXID:102_caller_transaction:while the transaction is open
ADOPTION_LOCK:102_caller_transaction:too late to adopt
CLAIM:102_caller_transaction:adoption
GONE_BEFORE_SEND:230_slots:timed out, intent_committed
SLOT_OWNER:230_slots:stranger
DISOWN:230_slots:stepping aside
COMMITTED_ALL:232_bounded_damage:error, intent_committed
NOTIFY_STOPS:232_bounded_damage:notify
TAKEN_LOST:232_bounded_damage:take
BETWEEN_LISTS:244_between_lists:refused
ONE_ARBITER:233_reindex:claim
OLD_CONFIG:234_config_seen:taken in the same turn
XID_BEFORE_ROW:105_safeguards:xid before row
UNDO_UNCONFIRMED:347_requires_action:not undone yet
UNDONE_SHOWN:347_requires_action:undone later than it is answered
CANCEL_ONCE:349_cancelled_twice:finished after the cancellation
UNKNOWN_IS_FAILED:105_safeguards:unknown
AMOUNT_CHECK:105_safeguards:amount
NOT_FOUND_AT_ONCE:105_safeguards:not found yet
CARD_REPLAY:105_safeguards:late success
KEY_REUSE:105_safeguards:replay
KEY_AT_INTENT:239_held_calls:a key that is forgotten meanwhile
EXPIRED_AT_INTENT:239_held_calls:a charge that expires meanwhile
SENT_IN_PAUSE:239_held_calls:paused meanwhile
EXPIRED_RESENT:181_expires_at:not found after it has expired
ASKED_BY_ANOTHER:239_held_calls:sent late, by a worker that ended
KEY_OF_ANOTHER:345_keys:operations that are not named
FORGOTTEN_ERROR:345_keys:errors that are forgotten
ERRORS_UNSAID:345_keys:errors of which the document says nothing
ERROR_WITH_200:345_keys:errors that are forgotten
REPEAT_DECLINED:345_keys:a repetition that is declined
REPEAT_UNCONFIRMED:345_keys:a repetition that waits for the card holder
REPEAT_LOOKED_UP:345_keys:a repetition that pends
FORGOTTEN_UNHEARD:345_keys:an error that nobody heard
FORGOTTEN_NOT_SHOWN:345_keys:a look-up that does not tell
KEY_MISMATCH:345_keys:a key of another request
REFUND_KEY:105_safeguards:replay of a give-back
PENDING_DEADLINE:180_pending:final after a while
PENDING_NOT_FOUND:180_pending:a look-up that does not find it
PENDING_FORGOTTEN:180_pending:a look-up that is not answered
ACCEPTED_IS_DONE:179_accepted:nothing can be asked
ACCEPTED_APPROVED:179_accepted:two refunds, and one that fails
ACCEPTED_NOT_SHOWN:179_accepted:a look-up that lags behind
ACCEPTED_RETRIED:179_accepted:an operator says retry
ORDER_NOT_SHOWN:179_accepted:no key, and the answer is lost
OPEN_ORDER_SHOWN:355_own_ids:a refund whose answer is lost
REFUND_TAKEN_BACK:214_shown:the end of a doubt
OPERATION_KEY:105_safeguards:replay of a refund
OPERATION_CLAIM:105_safeguards:claim of a refund
REFERENCE_OWNER:210_charge_ids:look-up, another amount
OPERATION_OWNER:218_operation_ids:two refunds of one charge
UNCLAIMED_ID:216_unclaimed_ids:its answer belies itself
DOUBT_AGE:214_shown:the end of a doubt
BELIED_REFUSAL:214_shown:a no that shows money
REPEAT_REFUSED:178_refused_repeats:an operation that is done and refused when it is repeated
FIRST_REFUSAL:178_refused_repeats:an operation that is refused and done, and shown nobody knows when
RESENT_REFUSED:178_refused_repeats:sent twice by libcurl
UNREADABLE_ANSWER:178_refused_repeats:an operation whose answer cannot be read
REFUSED_TOO_EARLY:178_refused_repeats:a give-back that is refused, and looked up too early
REFUSED_NOT_TOLD:178_refused_repeats:a give-back that is refused, and a look-up that is not understood
REFUSED_REFUND:214_shown:a give-back that is refused and done
OTHER_WAY:346_unsettled:a refund of what is not settled
WHOLE_REFUND:348_unsettled_further:more can be captured
REFUND_BY_VOID:354_refund_by_void:of the whole
REST_RELEASED:354_refund_by_void:the rest alone
NEVER_TAKEN:348_unsettled_further:a void that is not taken
REFUSAL_KEPT:348_unsettled_further:a worker ends
SETTLEMENT_AGE:348_unsettled_further:the deadline
ACCEPTED_VOID:353_checkout_cards:rolled back
CONSTANT_MONEY:340_lists:constants that are money
CONSTANT_ALWAYS:340_lists:constants of every answer
REFUSED_WITHOUT_LAG:214_shown:a give-back that is refused and done, and shown nobody knows when
BELIED_CANCEL:214_shown:a cancellation that undid nothing
BELIED_APPROVAL:213_foreign_bank:answers that belie themselves
APPROVAL_REFERENCE:211_approvals_without_id:looked up
PUT_OFF_DEADLINE:212_put_off:give-back
CAPTURE_AT_ONCE:105_safeguards:capture after the commit
RESEND_GUARD:105_safeguards:resend
RESEND_FORGOTTEN:105_safeguards:resend of what is forgotten
CA_CHANGE:221_keys_and_certificates:withdrawn authority
TRUST_FILE:296_tls:pipes
REMAINS:295_memory:endings
OPTIONS_COPY:229_customer:of a row
UNREADABLE_BANK:243_unreadable_bank:authorization
ENVIRONMENT:296_tls:environment
BANK_VERSION:220_bank_changed_under_way:address
REFERENCE_ECHO:200_answers:ignored reference
ANSWER_MODE:217_livemode:approvals
REFUSAL_TOLD:219_refusals_told:refused at once
HEADER_TWICE:343_answer_headers:tok_twice
PAGE_UNREAD:352_list_pages:tok_broken
SELECT_WHEN:352_list_pages:tok_denied
UNFORESEEN:352_list_pages:tok_strange
STRANGER_BY_ID:352_list_pages:tok_stranger
NAMED_NOT_FOUND:355_own_ids:taken, and not shown
UNCHECKED_LOOK:356_unchecked_cards:literals and logs
UNCHECKED_TOKEN:356_unchecked_cards:as a token
MORE_PAGES:340_lists:tok_lost_more
SUM_LEFT_OUT:340_lists:tok_unreturned_odd
AMOUNT_MULTIPLE:344_forms:multiples
SHORT_REFERENCE:227_short_references:tok_lost_bare
FIRST_OF_TWO:340_lists:tok_lost_twice
LAST_REAL_BANK:322_test_mode:what is gone
VERSION_AHEAD:225_bank_versions_kept:row by row
REBIND_REFERENCES:224_old_address_gone:rebind
NOT_IN_LIST:340_lists:tok_lost_abridged
CAPTURED_SHOWN:214_shown:a charge that is not captured as it was asked for
PART_SHOWN:214_shown:a capture of which a part is shown
EXCESS_TOLD:214_shown:more given back than was asked for
PENDING_ONCE:214_shown:a refund that the bank takes its time for
REFUND_UNKNOWN:200_answers:given back once
RESTORED_PAUSE:105_safeguards:copy
CALLER_LOCKS:240_ddl:between
CALL_DEADLINE:257_calls_bounded:lock_timeout
INTENT_FAILURES:258_health_writes:worker
ANSWER_FAILURES:258_health_writes:worker
LOCK_DEADLINE:245_lock_deadline:SHARE held on pgw.payments
NEVER_WAIT:240_ddl:background
WORK_LIMIT:241_foreign_code:deferred
STANDBY_WAIT:236_standby_wait:whole
FENCING:238_fencing_delay:all hear of it
VISIT_FLUSH:236_standby_wait:whole
PIN_SYNC_COMMIT:242_baseline:settings
KEEP_COLUMNS:242_baseline:columns
UPDATE_CHECKS:242_baseline:checks
LEDGER_FLUSH:320_test_bank:flushed
OTHER_MODE:322_test_mode:real first
LATE_EVENTS:450_event_stream:late events
FENCE_FORGOTTEN:450_event_stream:late events
OWN_EVENTS_READ:450_event_stream:own events
EVENT_LEFT_OUT:241_foreign_code:rewrites
TRIGGER_REWRITES:241_foreign_code:amount
BREAKER_ONCE:250_own_trouble:stored error
BANK_SHARE:251_bulkheads:connections
DRAINING:215_draining:held back
LANES:251_bulkheads:lanes
PUT_OFF_TOKEN:165_returning_bank:put off
TOKEN_OWED:165_returning_bank:a look that waits for nothing
ROW_AT_PLACE:297_row_moved:rewritten
OVERTAKEN:299_overtaken:caller
UPDATE_WAITS:299_overtaken:worker
FOREIGN_PATH:253_whose_code:search_path
CARD_HEX:288_disguises:disguises
CARD_DISGUISE:288_disguises:disguises
ECHO:289_bank_echoes:reasons
CARD_ECHOED:294_bank_echoes_again:said again
STATED_OWN_CARD:298_not_a_card:own card
APPLICATION_CARD:125_who_asked:application
ECHO_UNKEPT:294_bank_echoes_again:said where nothing is kept
ECHO_OLD_KEY:289_bank_echoes:old key
ECHO_DIGEST:226_request_language:a digest said again
ECHO_TOKEN:228_token_objects:said again
TOKEN_OBJECT_KEPT:228_token_objects:paid
TOKEN_DISGUISED:228_token_objects:encoded once more
CUSTOMER_REPEATED:229_customer:lost answer
CUSTOMER_IN_SLOT:229_customer:in memory
CUSTOMER_SUBMITTED:229_customer:refused
LINE_RATE:357_log_lines:a bank that is down for an hour
TRACE_CARD:132_correlation_id:cards in a trace
TRACE_OWN_CARD:132_correlation_id:cards in a trace
SECRET_NAMES:226_request_language:secrets by name
REPLAY_NOW:226_request_language:time and nonce
CARD_PART:289_bank_echoes:approvals
QUOTA:254_quotas:merchant
PAUSE_HOLDING_ROWS:256_submit_pause:holds rows
CLOCK_BACK:281_clock_back:running
CLOCK_BACK_ROW:282_clock_back_adopted:adopted
BELOW_MARK:164_open_work:below
BEHIND_MARK:164_open_work:crash
MARK_SMALLER:164_open_work:below
CARD_LITERAL:283_card_literals_refused:in the statement
LITERAL_BUDGET:283_card_literals_refused:far away
LOGGED_LITERAL:285_card_literals_beside_bound_number:beside a bound number
LOG_REDACTION:284_card_literals_of_failed_statements:before anybody can refuse it
BUNDLE_SHARE:271_process_payments:slots
CLAIM_ORDER:271_process_payments:in flight elsewhere
NOTIFICATION_SIGNATURE:400_notifications:forged
NOTIFIED_NOT_FOUND:400_notifications:not found
EVIDENCE_COVERED:405_evidence:not the bank
TRIED_FOR_EVER:178_refused_repeats:turns without an end
TOO_MUCH_SHOWN:178_refused_repeats:a capture of more than was ordered
JSON_ERRORS:229_customer:unreadable
ALWAYS_THERE:226_request_language:in one alternative
DOUBTFUL_RULE:226_request_language:a rule for any page
METHOD_FITS:226_request_language:a method that moves
WEBHOOK_ADDRESS:430_webhooks:addresses
WEBHOOK_ORDER:430_webhooks:order
WEBHOOK_COPY:430_webhooks:a copy sends nothing
WEBHOOK_SLOT:432_webhooks_beside_others:few processes
WEBHOOK_ROW_HELD:432_webhooks_beside_others:a message that somebody holds
WEBHOOK_LONG_READ:432_webhooks_beside_others:a long look
WEBHOOK_FORMER:433_webhooks_moved:gone from where it was
CUT_OFF:unit/test_answer_cut_off:amounts
LEFT_UNREADABLE:unit/test_give_back_amount:unreadable
LESS_THAN_KNOWN:unit/test_shown:operations
CAPTURED_GARBLED:unit/test_captured_garbled:a_no
NAMED_GONE:unit/test_pending:named_and_not_found
ASKED_EXPONENT:unit/test_answer_currency:of_another_currency
CURRENCY_UNREADABLE:unit/test_answer_currency:of_no_currency
VOID_TAKEN:unit/test_shown:belied
TOLD_UNREPLICATED:266_seen_unreplicated:whole
READ_UNREPLICATED:450_event_stream:a standby that is away
SETTING_BESIDE:226_request_language:beside a setting
PAID_BY_NOTHING:226_request_language:paid by nothing
EVIDENCE_AMOUNT:405_evidence:another amount
EVIDENCE_TWO_WORDS:405_evidence:both at once
TOLD_AGAIN:418_told_at_bank:refunds
TOLD_TOO_SOON:418_told_at_bank:no id known yet
EVIDENCE_OTHER_CHARGE:405_evidence:another amount
SUBJECT_UNNAMED:218_operation_ids:another charge is shown
CAPTURE_UNCLAIMED:218_operation_ids:what took the money
REVERSAL_APART:218_operation_ids:a reversal
EVIDENCE_UNCLAIMED:405_evidence:a charge that pends
TAKEN_BACK_REFUNDED:405_evidence:taken back later
TAKEN_BACK_UNWATCHED:428_capture_taken_back:taken back
END_WHILE_OPEN:429_authorization_end:a capture is open
LOGIN_SUPPOSED:414_second_proof:a success after a failure
UNKNOWN_FORGOTTEN:415_unknown_payments:the word of a bank
BANK_REFUNDED_COUNTS:407_made_at_bank:refunds
DISPUTE_ONCE:413_disputes:told again
DISPUTE_CURRENCY:413_disputes:another currency
DISPUTE_UNREADABLE:413_disputes:a part that cannot be read
DISPUTE_CEILING:413_disputes:money is taken
DISPUTED_MEANWHILE:416_disputed_meanwhile:put off
DISPUTED_LOOKED_UP:416_disputed_meanwhile:looked up
TOLD_DISPUTE:416_disputed_meanwhile:not recorded yet
UNCLEAR_PAID:416_disputed_meanwhile:nobody knows how much
REPORTED_WHILE_OPEN:407_made_at_bank:beside an open refund
NOTIFIED_TAKEN_OVER:410_taken_over_meanwhile:taken over meanwhile
NOTIFICATION_UNFLUSHED:400_notifications:flushed
UNSIGNED_TAKEN:404_unsigned_and_batches:hints
ASKED_BELIEVED:419_asked_for:confirmed
ANOTHER_CONFIRMED:419_asked_for:not the bank
ID_RESPELLED:419_asked_for:written otherwise
ASKED_ID_KEPT:419_asked_for:an id like a card
ASKED_FIRST_FORGOTTEN:419_asked_for:flood
ASKED_FIRST_ALWAYS:419_asked_for:rows beside what has none
SAID_ID_DROPPED:418_told_at_bank:an id that looks like a card
SAID_ID_KEPT:418_told_at_bank:an id that looks like a card
ASKS_WITH_LOOKUPS:419_asked_for:made up by the dozen
UNCONFIRMED_FLOOD:419_asked_for:flood
ITEM_SIGNATURE:404_unsigned_and_batches:several in one body
NOTIFICATION_ORDER:404_unsigned_and_batches:several at once
REPEATED_CALL:270_callers:repeated call
REPEATED_VIEW:270_callers:repeated view
REPEATED_FETCH:270_callers:repeated fetch
REPEATED_WRAPPER:270_callers:repeated wrapper
'

# The same of a unit test, with another build of it; of that the function must notice.
unit_part() # number, test, function, file
{
	CMOCKA_MESSAGE_OUTPUT=TAP PGW_SRCDIR=$PWD PGW_MUTANT=$1 "$PGW_WORK/unit-mutants/${2#unit/}" >"$4" 2>&1
	local status=$?
	[ "$1" = 0 ] || ! grep -qE "^ok [0-9]+ - $3\$" "$4" || return 0
	return $status
}

# Run one part of a test with the build in a folder, without the safeguard of that number (0: with all); its TAP goes to a file.
run_part() # build, number, test, part, file
{
	case $3 in unit/*) unit_part "$2" "$3" "$4" "$5"; return ;; esac
	PGW_INST=$1 PGW_DEBUG_INST=$1 PGW_MUTANT=$2 PGW_TESTDIR="$5.d" PGW_PART=$4 PGW_PATIENCE=1 JOBS=1 pgw_prove "test/tap/$3.pl" >"$5" 2>&1
}

judge() # number of the line, name
{
	local line test part file mutant work="$PGW_WORK/mutant/$2" build="$PGW_WORK/variant/mutants/inst"
	line=$(grep "^$2:" <<<"$guards") || { echo "not ok $1 - $2: no test is named for it"; return; }
	mutant=$(grep -nx "$2" <<<"$all" | cut -d: -f1)
	[ -n "$mutant" ] || { echo "not ok $1 - $2: src/core/base/mutant.h does not have it"; return; }
	IFS=: read -r _ test part <<<"$line"
	case $test in unit/*) file=test/$test.c ;; *) file=test/tap/$test.pl ;; esac
	mkdir -p "$work"
	if ! run_part "$PGW_DEBUG_INST" 0 "$test" "$part" "$work/with"; then
		echo "not ok $1 - $2: $file, \"$part\" fails with the safeguard in place"
		grep -E '^not ok|^#' "$work/with" | head -20 | sed 's/^/# /'
	elif run_part "$build" "$mutant" "$test" "$part" "$work/without"; then
		echo "not ok $1 - $2: $file, \"$part\" does not notice"
	elif line=$(grep -m1 '^not ok' "$work/without"); then
		echo "ok $1 - $2 caught by $file, \"$part\" ($(cut -d- -f2- <<<"$line" | sed 's/^ //'))"
	else
		echo "not ok $1 - $2: $file, \"$part\" broke off without a failing line"
		tail -5 "$work/without" | sed 's/^/# /'
	fi
	rm -rf "$work"/*.d
}

# in the order of their numbers: NO_MUTANT is 0
all=$(sed -n '/^typedef enum PgwMutant/,/^}/s/^\t\([A-Z_]*\)\b.*/\1/p' src/core/base/mutant.h | grep -vx NO_MUTANT)
names=${*:-$all}
# PGW_MUTATED() and PGW_MUTANTS
pgw_build_variant mutants "-DPGW_DEBUG_POINTS -DPGW_MUTANTS" debug PGW_MUTA || exit 1
make -s -j2 -C test/unit EXTRA_CFLAGS=-DPGW_MUTANTS BUILD="$PGW_WORK/unit-mutants" PG_CONFIG="$PGW_PG_CONFIG" all || exit 1
n=0
mkdir -p "$PGW_WORK/mutant"
for name in $names; do
	n=$((n + 1))
	[ "$(jobs -rp | wc -l)" -lt "${JOBS:-2}" ] || wait -n
	judge $n "$name" >"$PGW_WORK/mutant/$name.tap" &
done
wait
for name in $names; do cat "$PGW_WORK/mutant/$name.tap"; done
echo "1..$n"
! grep -q '^not ok' "$PGW_WORK"/mutant/*.tap
