# Without shared_preload_libraries everything but paying works, and paying says what to set.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Test::More;

my $node = pgw_node('plain', conf => "shared_preload_libraries = ''\n");
$node->safe_psql('postgres', 'CREATE EXTENSION pgw');
$node->safe_psql('postgres', "INSERT INTO pgw.banks (name, connector, base_url) VALUES ('bank', 'json', 'https://bank.example/')");
for my $f ('process_payment', 'submit_payment')
{
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT " . pay_sql($f, client_request_id => 'x'));
	like($err, qr/PW500/, "$f: PW500");
	like($err, qr/HINT:.*shared_preload_libraries.*restart/s, 'the hint says what to set');
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgw.payments'), 0, 'nothing was written');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgw.get_payment(gen_random_uuid())'), 0, 'reading works');
$node->safe_psql('postgres', 'DROP EXTENSION pgw; CREATE EXTENSION pgw; DROP EXTENSION pgw');
pass('DROP EXTENSION and CREATE EXTENSION in one session');

# Preloaded, but no room for a worker.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pgw'\nmax_worker_processes = 1\n");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION pgw');
$node->safe_psql('postgres', "INSERT INTO pgw.banks (name, connector, base_url) VALUES ('bank', 'json', 'https://bank.example/')");
my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => 'x', timeout => '300 ms'));
like($err, qr/PW500.*HINT:.*max_worker_processes/s, 'no worker: the hint names max_worker_processes');
$node->stop('fast');
done_testing();
