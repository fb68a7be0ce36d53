# A database that was restored and resumed is copied again: by template, by another dump, and back into the database that the dump was taken from. Each time
# it stays paused until told, and nothing is paid twice.
use strict;
use warnings;
use lib 'test/lib';
use PgwRestore;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bank = bank_start();
my $origin = scanning_node('origin');
pgw_setup($origin, $bank);
my $other = scanning_node('other');

# --- Only finished payments: what was paid since the dump is not in it, and would be paid again under the same id.
is(paid($origin, 'postgres', 'done'), 'captured', 'a payment is done');
my $finished = dump_to($origin, 'postgres', $origin->basedir . '/finished');
$origin->safe_psql('postgres', 'CREATE DATABASE finished_only');
restore_into($origin, 'finished_only', $finished);
stays_paused($origin, $bank, 'finished_only', 'finished only');
is_resumed($origin, 'finished_only', 0, 'finished only');

# --- Copies of a database that was resumed once; the first one's original is gone, with a payment that it had not sent.
set_worker_mode($origin, 'paused');
is($origin->safe_psql('finished_only', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'left')), 'pending', 'a payment is queued');
$origin->safe_psql('postgres', 'CREATE DATABASE template_copy TEMPLATE finished_only');
$origin->safe_psql('postgres', 'DROP DATABASE finished_only');
set_worker_mode($origin, 'on');
stays_paused($origin, $bank, 'template_copy', 'template copy');
is_resumed($origin, 'template_copy', 1, 'template copy');
comes_to_state($origin, 'template_copy', 'left', 'Completed', 'template copy: the payment that was not sent is made');
is(charge_requests($origin, $bank, 'template_copy', 'left'), 1, 'template copy: once');
my $second = dump_to($origin, 'template_copy', $origin->basedir . '/second');
$other->safe_psql('postgres', 'CREATE DATABASE second_dump');
restore_into($other, 'second_dump', $second);
stays_paused($other, $bank, 'second_dump', 'second dump');
is_resumed($other, 'second_dump', 0, 'second dump');

# --- The dump, back into the database that it was taken from: the same identity, and payments made since are lost.
$other->safe_psql('second_dump', 'BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'halfway') . "; PREPARE TRANSACTION 'halfway'");
set_worker_mode($other, 'paused');
is($other->safe_psql('second_dump', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'rewound')), 'pending', 'a payment is queued');
my $before = dump_to($other, 'second_dump', $other->basedir . '/before');
set_worker_mode($other, 'on');
comes_to_state($other, 'second_dump', 'rewound', 'Completed', 'then it is made');
$other->safe_psql('second_dump', "COMMIT PREPARED 'halfway'");
comes_to_state($other, 'second_dump', 'halfway', 'Completed', 'and one that was prepared is kept');
command_fails_like([ 'pg_restore', '-e', '-h', $other->host, '-p', $other->port, '-d', 'second_dump', '--clean', '--if-exists', $before ],
	qr/cannot drop .*: it holds the (records|events) of payments/, 'pg_restore --clean deletes no records without a word');
{
	local $ENV{PGOPTIONS} = '-c pgw.allow_drop=on';
	restore_into($other, 'second_dump', $before, '--clean', '--if-exists');
}
is(attempt_state($other, 'second_dump', 'rewound'), 'Created', 'the dump is older than that');
ok(wait_worker($other, 'second_dump'), 'the worker is back');
my $again = requests_sent($bank);
ok(worker_looks($other, 'second_dump', 3), 'the same database: the worker looks');
is_refused($other, 'second_dump', 'too-early', 'pgw.resume_after_restore()', 'the same database: it is paused');
is(requests_sent($bank), $again, 'the same database: the bank has heard nothing');
is($other->safe_psql('second_dump', 'SELECT pgw.resume_after_restore()'), 2, 'the same database: resumed');
comes_to_state($other, 'second_dump', 'rewound', 'Completed', 'the same database: the queued one is done');
is(charge_requests($other, $bank, 'second_dump', 'rewound'), 1, 'the same database: and was sent once, before');
comes_to_state($other, 'second_dump', 'halfway', 'RequiresManualReview', 'the same database: the approval without its row goes to review, though its caller committed');
is($other->safe_psql('second_dump', 'SELECT count(*) FROM pgw.resumptions WHERE taken_over IS NOT NULL'), 4, 'the same database: the record is complete');

charged_once_each($bank);
$other->stop('fast');
$origin->stop('fast');
done_testing();
