# Cards are refused where they would be kept or written, and gone from memory when the bank has them.  The search of every byte on disk is 300_every_byte.pl's.
use strict;
use warnings;
use lib 'test/lib';
use PgwBound;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('secrets', conf => "shared_preload_libraries = 'pgw, pg_stat_statements'\nwal_level = logical\n");
my $bank = bank_start();
pgw_setup($node, $bank);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');

# A CVV that does not occur by chance is not to be had in three digits; search it with its neighbours instead.
my ($cvv, $holder) = ('737', 'CARLA HOLDERSECRET');
my $year = (localtime)[5] + 1902;

# Bound parameters only: pgbench sends them in the extended protocol.
my $card_call = "SELECT pgw.process_payment(client_request_id => :id::text, amount => 4200, currency => 'EUR', card_number => (:card::numeric)::text,
	card_expiry_month => 12, card_expiry_year => $year, card_cvv => (:cvv::int)::text, card_holder => :holder::text, timeout => '20s');";
$card_call =~ s/\n\t/ /g;
my $err = run_bound($node, $card_call, { id => 1001, card => $CARD, cvv => $cvv, holder => $holder });
is($node->safe_psql('postgres', "SELECT status, card_last4, card_brand FROM pgw.payments WHERE client_request_id = '1001'"), 'captured|4242|visa', 'a card payment') or diag($err);

# Declined, never answered, and rolled back ones leave nothing either.
my $declined = join '', '4000', '0000', '0000', '0002';
run_bound($node, $card_call, { id => 1002, card => $declined, cvv => $cvv, holder => $holder });
is($node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = '1002'"), 'declined', 'a declined card');
run_bound($node, "BEGIN;\n$card_call\nROLLBACK;", { id => 1003, card => $CARD, cvv => $cvv, holder => $holder });

# Slots and bodies are wiped: neither the shared memory nor the worker still holds a number.  (Looked at before the
# literals below: a statement's text stands in pg_stat_activity before any code of pgw runs.)
sub memory_of
{
	my ($pid) = @_;
	my $text = '';
	open my $maps, '<', "/proc/$pid/maps" or return undef;
	open my $mem, '<:raw', "/proc/$pid/mem" or return undef;
	while (<$maps>)
	{
		my ($from, $to, $prot, $what) = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)/ or next;
		next if $prot !~ /^rw/ || $what =~ m{^\[v};
		my $len = hex($to) - hex($from);
		sysseek $mem, hex($from), 0 or next;
		my $chunk = '';
		sysread $mem, $chunk, $len or next;
		$text .= $chunk;
	}
	return $text;
}
for my $who ('postmaster', 'worker')
{
	my $pid = $who eq 'postmaster' ? (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0] : $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	my $memory = memory_of($pid);
  SKIP:
	{
		skip "memory of other processes is not readable here", 2 unless defined $memory && length $memory;
		cmp_ok(length $memory, '>', 10_000_000, "read the $who\'s memory");
		is(scalar(() = $memory =~ /\Q$CARD\E|\Q$declined\E/g), 0, "no card number in the memory of the $who");
	}
}

# Refusals: a literal, parameter logging, and stored fields; none of them repeats the number.
my $literal = "SELECT pgw.process_payment(client_request_id => 'lit', amount => 1, currency => 'EUR', card_number => '$CARD', card_expiry_month => 12, card_expiry_year => $year)";
my $log_before = -s $node->logfile;
my (undef, undef, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n\\set SHOW_CONTEXT never\n$literal");
like($stderr, qr/PW400/, 'a card number in the statement is refused');
like($stderr, qr/HINT:.*(bind|parameter)/i, 'with a hint that says how to do it right');
unlike((split /LINE/, $stderr)[0], qr/$CARD/, 'and the message does not repeat it');
unlike(slurp_file($node->logfile, $log_before), qr/$CARD/, 'nor does the log');

my $logging = run_bound($node, "SET log_min_duration_statement = 100000000;\nSET log_parameter_max_length = -1;\n$card_call", { id => 1004, card => $CARD, cvv => $cvv, holder => $holder });
like($logging, qr/log_parameter_max_length/, 'refused while the server would log bound parameters');
is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE client_request_id IN ('lit', '1004')"), 0, 'refused calls leave nothing');

for my $field ('reference', 'metadata', 'bank_fields', 'client_request_id')
{
	my $v = $field =~ /metadata|bank_fields/ ? qq({"note": "$CARD"}) : $CARD;
	my (undef, undef, $e) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => 'stored', $field => $v));
	like($e, qr/PW400/, "a card number in $field is refused");
	unlike($e, qr/$CARD/, 'without repeating it');
}

like($node->safe_psql('postgres', "SELECT string_agg(query, ' ') FROM pg_stat_statements"), qr/process_payment/, 'pg_stat_statements has seen the calls');
unlike($node->safe_psql('postgres', "SELECT string_agg(query, ' ') FROM pg_stat_statements"), qr/$CARD/, 'and no card number');

done_testing();
