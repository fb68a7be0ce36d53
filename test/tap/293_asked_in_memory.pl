# What a bank is asked for before it is taken lies in memory alone, as its id may be a card's number: outside core files, and only while a worker is about to
# ask.  Whoever ends, is paused or has nobody to ask leaves nothing.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwMemory;
use PgwScriptedBank;
use PgwTest;
use Test::More;

my $node = pgw_node('asked_in_memory', debug => 1, conf => "shared_buffers = '2MB'\n");
pgw_setup($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }
my $shared_view = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
plan skip_all => 'memory of other processes is not readable here' unless PgwMemory::readable($shared_view);

# It knows no event.
my %asked;
my $bank = scripted_bank(sub {
	my ($r) = @_;
	return { document => \%asked } if $r->{path} eq '/asked';
	$asked{ $r->{path} }++;
	return { status => 404, document => { error => 'none' } };
});
add_dialect($node, $bank, 'asked', {
	v => 2, capabilities => { tokens => \1 },
	operations => {
		charge => { method => 'POST', path => '/charges', encoding => 'json', body => { ref => '{{transaction_ref}}', amount => '{{amount}}', currency => '{{currency}}', token => '{{token}}' },
			answer => { rules => [ { status => 201, when => { '/state' => 'paid' }, outcome => 'approved' } ], fields => { reference => '/ref', bank_reference => '/charge', amount => '/amount', currency => '/currency' } } },
		verify_notification => { method => 'GET', path => '/events/{{notification_id}}',
			answer => { rules => [ { status => 200, when => { '/id' => { exists => \1 } }, outcome => 'approved' }, { status => 404, when => { '/error' => 'none' }, outcome => 'not_found' } ] } } },
	notifications => { signature => { scheme => 'ask' }, identity => '/id', type => '/type',
		fields => { reference => '/ref', bank_reference => '/charge', amount => '/amount', currency => '/currency' },
		evidence => [ { when => { '/type' => 'charge.approved' }, about => 'charge', outcome => 'approved' }, { when => { '/type' => 'charge.declined' }, about => 'charge', outcome => 'declined' } ] } },
	livemode => 'false', request_timeout => '2s');

my $number = '4111111111111111';
my $memory = PgwMemory->new(number => qr/\Q$number\E/);
my $call = "SELECT verdict FROM pgw.receive_notification('asked', '{}', decode('" . unpack('H*', encode_json({ id => $number })) . "', 'hex'))";
sub worker_pid { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'") }
sub asked { return PgwTest::http_json('GET', "$bank->{url}/asked")->{"/events/$number"} // 0 }
sub lies_there { return scalar(my @found = $memory->shared($shared_view)) }

# One lies in memory, as the worker stands still.
sub put
{
	ok(wait_until(\&worker_pid, 60), 'there is a worker');
	my $worker = worker_pid();
	kill 'STOP', $worker or die $!;
	is(sql($call), 'asked_first', 'an id that may be a number comes');
	cmp_ok(lies_there(), '>', 0, 'and lies in shared memory: the search finds it');
	return $worker;
}

part($node, 'asked for', sub {
	my $worker = put();
	$memory->is_not_in_core($shared_view, $node->basedir, 'does not have it');
	kill 'CONT', $worker;
	ok(wait_until(\&asked, 60), 'the bank is asked for it');
	ok(wait_until(sub { !lies_there() && !$memory->private($worker) }, 60), 'and neither shared memory nor the worker has it any more');
});

part($node, 'paused', sub {
	my $worker = put();
	$node->append_conf('postgresql.conf', "pgw.worker_mode = 'paused'");
	$node->reload;
	kill 'CONT', $worker;
	ok(wait_until(sub { PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /pgw: worker paused/ }, 60), 'the worker is paused');
	ok(wait_until(sub { !lies_there() }, 60), 'and nothing lies there');
	is(sql($call), 'asked_first', 'it comes again');
	is(lies_there(), 0, 'and is left out, as nobody would ask');
	$node->append_conf('postgresql.conf', "pgw.worker_mode = 'on'");
	$node->reload;
	my $before = asked();
	ok(wait_until(sub { sql($call) eq 'asked_first' && asked() > $before }, 60), 'once the worker goes on it is asked for');
});

part($node, 'no worker', sub {
	my $worker = put();
	sql("SELECT pg_terminate_backend($worker)");
	kill 'CONT', $worker;
	ok(wait_until(sub { !kill 0, $worker }, 60), 'the worker ends');
	is(lies_there(), 0, 'and leaves nothing');
});

# Its bank is gone before the worker has looked: nobody would come for it.
part($node, 'nobody to ask', sub {
	my $worker = put();
	sql("DELETE FROM pgw.banks WHERE name = 'asked'");
	kill 'CONT', $worker;
	ok(wait_until(sub { !lies_there() }, 90), 'what nobody asks for is gone after a minute');
	is(worker_pid(), $worker, 'while the worker goes on');
});

$node->stop('fast');
done_testing();
