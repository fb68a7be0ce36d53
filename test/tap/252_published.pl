# Every table of pgw can be published: with a publication FOR ALL TABLES, and a slot that decodes it, whatever changes a row of pgw still works.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('published', init => { allows_streaming => 'logical' }, conf => "fsync = off\npgw.compensation_delay = '20ms'\npgw.retry_base_delay = '20ms'\npgw.retry_max_delay = '200ms'\n"
	  . "pgw.breaker_failures = 2\npgw.breaker_cooldown = '1s'\npgw.require_four_eyes = on\n");
my $bank = bank_start();
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($id, %a) = @_;
	return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a));
}

sub payment_id { return "(SELECT payment_id FROM pgw.payments WHERE client_request_id = '$_[0]')" }
sub payment_becomes
{
	my ($id, $wanted, $what) = @_;
	wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = '$id'") eq $wanted }, 60);
	return is(sql("SELECT status FROM pgw.payments WHERE client_request_id = '$id'"), $wanted, $what);
}

# before the extension: tables that come later are published, too
sql('CREATE PUBLICATION everything FOR ALL TABLES');
sql("SELECT pg_create_logical_replication_slot('everything', 'pgoutput')");
pgw_setup($node, $bank);

# What an UPDATE or DELETE of a published table needs. The parent of a partitioned table is never written itself.
my $without = "SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'pgw'::regnamespace AND c.relkind = 'r'
	AND NOT (c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)))";
is(sql("SELECT count(*) >= 3 FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass AND inhrelid <> 'pgw.transaction_events_default'::regclass"), 't', 'the first bank has made partitions');
sql('SELECT pgw.ensure_event_partitions(4)');
is(sql($without), '', 'every table and partition of pgw has a replica identity');
is(sql("SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'pgw'::regnamespace AND c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"), 0, 'which is its primary key');
is(sql("SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'pgw'::regnamespace AND c.relkind IN ('r', 'p') AND NOT pg_relation_is_publishable(c.oid)"), 0, 'and can be published');

# What changes rows, one after the other.
sql('CREATE ROLE anna LOGIN; CREATE ROLE bert LOGIN; CREATE ROLE shop LOGIN');
sql("INSERT INTO pgw.merchants (merchant) VALUES ('acme')");
sql("SELECT pgw.grant_access('$_', 'operator')") for qw(anna bert);
sql("SELECT pgw.grant_access('shop', 'client', 'acme'), pgw.grant_access('shop', 'client'), pgw.revoke_access('shop', 'client')");
is(sql("SELECT count(*) FROM pgw.access_grants WHERE role = 'shop'::regrole"), 0, 'access is granted and revoked');

is(pay('now'), 'captured', 'process_payment');
sql('BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'back') . '; ROLLBACK');
ok(wait_until(sub { status_of($node, 'back') eq 'Refunded' }, 60), 'given back after a rollback');
is(pay('no', token => 'tok_decline_do_not_honor'), 'declined', 'a decline');
sql('SELECT ' . pay_sql('submit_payment', client_request_id => 'later'));
payment_becomes('later', 'captured', 'submit_payment');
is(pay('commit', capture => 'on_commit'), 'authorized', 'on_commit');
payment_becomes('commit', 'captured', 'captured after it');
is(pay('manual', capture => 'manual'), 'authorized', 'manual');
sql('SELECT pgw.capture_payment(' . payment_id('manual') . ", 'c1')");
payment_becomes('manual', 'captured', 'capture_payment');
sql('SELECT pgw.refund_payment(' . payment_id('manual') . ", 'r1')");
payment_becomes('manual', 'refunded', 'refund_payment');
pay('void', capture => 'manual');
sql('SELECT pgw.void_payment(' . payment_id('void') . ", 'v1')");
payment_becomes('void', 'voided', 'void_payment');

# A review, by two pairs of eyes; a bank's connector, changed and rebound.
my $form = slurp_file('test/connectors/formbank.json');
sql("INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$form\$json\$)");
sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('form', 'formbank', '$bank->{url}', 'bank', 200)");
is(pay('review', bank => 'form', token => 'tok_500_after'), 'in_review', 'manual review');
my ($charge) = charges_of($node, $bank, 'review');
for (qw(anna bert))
{
	sql("SET SESSION AUTHORIZATION $_; SELECT pgw.resolve_review((SELECT transaction_id FROM pgw.manual_reviews WHERE client_request_id = 'review'), 'mark_charged', 'seen', '{\"bank_reference\": \"$charge->{id}\"}')");
}
payment_becomes('review', 'captured', 'resolve_review, proposed and confirmed');
is(sql('SELECT count(*) FROM pgw.review_proposals'), 1, 'with a proposal');
my $version = sql("SELECT max(version) FROM pgw.bank_versions WHERE bank = 'form'");
sql("UPDATE pgw.connectors SET definition = definition::jsonb || '{\"description\": \"another\"}' WHERE name = 'formbank'");
ok(wait_until(sub { sql("SELECT max(version) FROM pgw.bank_versions WHERE bank = 'form'") > $version || !pay('more' . sql('SELECT clock_timestamp()::text'), bank => 'form') }, 60), 'another version of a bank');
my $newest = sql("SELECT max(version) FROM pgw.bank_versions WHERE bank = 'form'");
sql("SET SESSION AUTHORIZATION $_; SELECT pgw.rebind_attempts($version, $newest, 'moved')") for qw(anna bert);
is(sql('SELECT count(*) FROM pgw.bank_rebinds WHERE effective'), 1, 'rebind_attempts');

# A bank that is gone: breaker, alerts, retries; then it is back.
sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('gone', 'json', 'http://127.0.0.1:1', 'bank', 200)");
pay("gone$_", bank => 'gone') for 1 .. 4;
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.bank_states WHERE bank = 'gone'") > 0 }, 60), 'a breaker is kept');
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'breaker_open'") > 0 }, 60), 'an alert is kept');
sql("UPDATE pgw.banks SET base_url = '$bank->{url}' WHERE name = 'gone'");
ok(wait_until(sub { pay('gone' . sql('SELECT clock_timestamp()::text'), bank => 'gone') eq 'captured' }, 60), 'which change when the bank is back');
sql("UPDATE pgw.alert_state SET told_at = now() - interval '1 day'; DELETE FROM pgw.alert_state WHERE kind = 'breaker_closed'");
sql("DELETE FROM pgw.banks WHERE name = 'gone'; UPDATE pgw.merchants SET enabled = false WHERE merchant = 'acme'; DELETE FROM pgw.merchants WHERE merchant = 'acme'");
sql('SELECT * FROM pgw.run_recovery()');

# a restore of attempts pauses; resuming writes, too
sql("INSERT INTO pgw.restore_pending DEFAULT VALUES");
sql("SELECT pgw.resume_after_restore('of the test')");
is(sql('SELECT count(*) FROM pgw.restore_pending'), 0, 'resume_after_restore');
is(pay('after'), 'captured', 'and payments go on');

is_sound($node, $bank, 'sound', seconds => 60);
is(sql($without), '', 'every table still has a replica identity');

# They are really decoded: the slot names each table that has got a row.
my $changes = sql("SELECT encode(data, 'escape') FROM pg_logical_slot_get_binary_changes('everything', NULL, NULL, 'proto_version', '1', 'publication_names', 'everything')");
for (qw(access_grants payments payment_transactions bank_references bank_versions bank_rebinds bank_states alert_state banks connectors merchants review_proposals resumptions restore_pending))
{
	like($changes, qr/^R(?s:.{4,16})pgw\\000\Q$_\E\\000/m, "$_ is decoded");    # four bytes of an oid, of which one may be a newline
}
like($changes, qr/^R(?s:.{4,16})pgw\\000transaction_events_y\d+m\d+\\000/m, 'so are the events, by partition');
unlike(slurp_file($node->logfile), qr/replica identity/, 'nothing failed for want of a replica identity');
$node->stop('fast');
done_testing();
