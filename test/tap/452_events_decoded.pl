# The events by logical decoding, as Debezium and its like take them: a publication of inserts, of the parent of the partitions, has each committed event, in the order of commits, and
# payments go on with it.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('decoded', conf => "fsync = off\nwal_level = logical\nmax_replication_slots = 4\npgw.compensation_delay = 0\n");
pgw_setup($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_[0], bank => 'test') }

sql(q{CREATE PUBLICATION events FOR TABLE pgw.transaction_events WITH (publish = 'insert', publish_via_partition_root = true);
	SELECT pg_create_logical_replication_slot('text', 'test_decoding');
	SELECT pg_create_logical_replication_slot('binary', 'pgoutput')});
my $wal2json = -e ($node->config_data('--pkglibdir'))[0] . '/wal2json.so';
if ($wal2json)
{
	# newer servers take none but those that are named
	my $known = sql("SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries'");
	if ($known ne '')
	{
		$node->append_conf('postgresql.conf', "output_plugin_libraries = '$known, wal2json'");
		$node->reload;
		wait_until(sub { sql('SHOW output_plugin_libraries') =~ /wal2json/ }, 20) or die 'no reload';
	}
	sql(q{SELECT pg_create_logical_replication_slot('json', 'wal2json')});
}
like(sql("SELECT status FROM pgw.health() WHERE check_name = 'publications'"), qr/^ok/, 'health() has nothing against the publication');
my $s = PgwSession->new($node);
$s->query('BEGIN');
is($s->query(pay('slow')), 'captured', 'a payment is made in a transaction that stays open');
is(sql(pay('quick')), 'captured', 'another one is committed');
$s->query('COMMIT');
my $gone = PgwSession->new($node);
$gone->query('BEGIN');
$gone->query(pay('gone'));
$gone->query('ROLLBACK');
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Refunded'") == 1 }, 20), 'a third one is given back');

my @decoded = split /\n/, sql(q{SELECT substring(data FROM 'event_id\[uuid\]:''([^'']+)') FROM pg_logical_slot_get_changes('text', NULL, NULL) WHERE data LIKE 'table pgw.transaction_events%: INSERT:%'});
is(join("\n", sort @decoded), join("\n", sort split /\n/, sql('SELECT event_id FROM pgw.transaction_events')), 'each event is decoded once, and none that was rolled back');
my %at = map { $decoded[$_] => $_ } 0 .. $#decoded;
my $before = '';
my $wrong = 0;
for (split /\n/, sql('SELECT transaction_id, event_id FROM pgw.transaction_events ORDER BY transaction_id, step_order'))
{
	my ($attempt, $event) = split /\|/;
	$wrong++ if $before =~ /^\Q$attempt\E (.+)/ && $at{$1} > $at{$event};
	$before = "$attempt $event";
}
is($wrong, 0, 'the steps of each attempt in their order');
# each message by its letter and, of an insert, the table that it names
my @messages = split /\n/, sql(q{SELECT chr(get_byte(data, 0)) || CASE get_byte(data, 0) WHEN ascii('I') THEN ' ' || (('x' || encode(substring(data FROM 2 FOR 4), 'hex'))::bit(32)::int)::regclass ELSE '' END
	FROM pg_logical_slot_get_binary_changes('binary', NULL, NULL, 'proto_version', '1', 'publication_names', 'events')});
is(scalar(grep { $_ eq 'I pgw.transaction_events' } @messages), scalar @decoded, 'pgoutput has as many inserts, all as of one table, whatever their partition');
is(scalar(grep { /^[UD]/ } @messages), 0, 'and nothing else: other tables are not published');

SKIP:
{
	# a server that was built by the tests has none
	skip 'wal2json is not installed', 2 unless $wal2json;
	my @json = grep { $_->{table} =~ /^transaction_events/ } map { decode_json($_) } split /\n/,
	  sql(q{SELECT data FROM pg_logical_slot_get_changes('json', NULL, NULL, 'format-version', '2', 'add-tables', 'pgw.*', 'actions', 'insert') WHERE data ~ '"action":"I"'});
	is(join("\n", map { my $m = $_; map { $_->{value} } grep { $_->{name} eq 'event_id' } @{ $m->{columns} } } @json), join("\n", @decoded), 'wal2json has the same, in the same order');
	is(scalar(grep { "$_->{schema}.$_->{table}" !~ /^pgw\.transaction_events_/ } @json), 0, 'each as of the partition that it is in');
}

done_testing();
