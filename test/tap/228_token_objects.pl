# Tokens that are JSON objects, as wallets and a client's encryption make them: sent by their parts, charged once whatever happens to answer and caller, compared under their id, and kept nowhere: not in a
# table, not in a log, not where the bank repeats them.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwBound;
use PgwBytes;
use PgwMemory;
use PgwScriptedBank;
use PgwTest;
use PgwWire;
use PostgreSQL::Test::Utils;
use Test::More;

my $SECRET = 'AgAAAGcABIQ3cryptogram7RQaMADABEBAA=';
my $ODD = 'QUF3bGl0ZXJhbA9Wcryptogram1JQ0xJVEU=';
my $bank = bank_start();
my $node = pgw_node('token_objects', debug => 1, conf => "fsync = off\nlog_parameter_max_length = 0\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\npgw.retry_budget = 100\n");
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub stands { my ($id) = @_; return join ', ', map { "$_->{captured}/$_->{refunded}" } charges_of($node, $bank, $id) }

# The reference protocol, paid by a wallet's object.
my $document = decode_json(slurp_file('src/connectors/json.json'));
$document->{capabilities}{$_} = JSON::PP::false for 'cards', 'tokens';
$document->{capabilities}{token_objects} = JSON::PP::true;
for my $operation ('charge', 'authorize')
{
	$document->{operations}{$operation}{body}{source} = { token => '{{token./pay/token}}' };
	$document->{operations}{$operation}{body}{descriptor} = '{{token./pay/secret}}';
}
my $definition = encode_json($document);
sql("INSERT INTO pgw.connectors (name, definition) VALUES ('wallet', \$json\$$definition\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret, request_timeout) VALUES ('wallet', 'wallet', '$bank->{url}', 'bank', '2s')");

sub object { return encode_json({ pay => { token => $_[0] // 'tok_ok', secret => $SECRET, dpan => $CARD } }) }

# What is said of an error; the token is a parameter of the protocol.
sub pay
{
	my ($id, $token, %o) = @_;
	my $call = "SELECT FROM pgw.process_payment('$id', 1000, 'EUR', bank => '" . ($o{bank} // 'wallet') . "', token => :token, capture => '" . ($o{capture} // 'immediate') . "', timeout => '20s');";
	return run_bound($node, $o{rollback} ? "BEGIN;\n$call\nROLLBACK;" : $call, { token => $token }, %{ $o{bound} // {} });
}

part($node, 'paid', sub {
	is(pay('paid', object()), '', 'taken');
	is(sql("SELECT status FROM pgw.find_payment('paid')"), 'captured', 'captured');
	is(stands('paid'), '1000/0', 'charged once');
	like(sql("SELECT token FROM pgw.payment_transactions WHERE client_request_id = 'paid'"), qr/^\(object \d{4}\)$/, 'a mark stands for it');
	is(pay('held', object(), capture => 'manual'), '', 'an authorization is taken');
	is(sql("SELECT status FROM pgw.find_payment('held')"), 'authorized', 'authorized');
});

# What crosses shared memory stays there no longer than its request needs it; the bank takes its time here.
part($node, 'in memory', sub {
	my $shared_view = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
	my $in_flight = sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'kept' AND status = 'Created'") };
	my $memory = PgwMemory->new(object => qr/\Q$SECRET\E/);
	SKIP: {
		skip 'memory of other processes is not readable here', 5 unless PgwMemory::readable($shared_view);
		sql("UPDATE pgw.banks SET request_timeout = '60s' WHERE name = 'wallet'");
		bank_control($bank, 'faults', { probabilities => { slow_10000 => 1 } });
		my $client = PgwWire->new($node);
		$client->send("SELECT status FROM pgw.process_payment('kept', 1000, 'EUR', bank => 'wallet', token => \$1::text, timeout => '60s')", [ object() ]);
		ok(wait_until($in_flight, 20), 'its intent is written');
		cmp_ok(scalar(my @own = $memory->private($client->backend)), '>', 0, "while it waits the caller's backend has it");
		ok(wait_until(sub { !$memory->shared($shared_view) }, 2), 'shared memory has nothing of it any more');
		ok($in_flight->(), 'from before the bank has answered');
		is($client->wait || $client->state, 'captured', 'and it is paid');
		bank_control($bank, 'faults', { probabilities => {} });
		sql("UPDATE pgw.banks SET request_timeout = '2s' WHERE name = 'wallet'");
	}
});

part($node, 'again', sub {
	is(pay('paid', object()), '', 'the same again is replayed');
	is(stands('paid'), '1000/0', 'and not charged again');
	like(pay('paid', object('tok_ok_2')), qr/ERROR.*same id|idempotency|differ/s, 'another object is another request');
	like(pay('paid', 'tok_ok'), qr/ERROR/, 'and so is a token');
	is(stands('paid'), '1000/0', 'nothing was charged for them');
});

part($node, 'rolled back', sub {
	is(pay('back', object(), rollback => 1), '', 'taken');
	ok(comes_to($node, 'back', 'Refunded'), 'given back') or diag(events($node, 'back'));
	is(stands('back'), '1000/1000', 'all of it');
});

part($node, 'lost answer', sub {
	bank_control($bank, 'faults', { probabilities => { reset_after => 1 }, operations => ['charge'], times => 1 });
	pay('lost', object());
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.find_payment('lost')"), 'found by its reference: the object is gone');
	is(stands('lost'), '1000/0', 'and charged once');
});

part($node, 'nothing done', sub {
	is(pay('busy', object('tok_503_1')), '', 'answered');
	is(sql("SELECT status FROM pgw.find_payment('busy')"), 'failed', 'the bank did nothing, and would take it the next time: without its object it cannot be sent once more') or diag(events($node, 'busy'));
	is(stands('busy'), '', 'nothing was charged');
});

part($node, 'refused', sub {
	my $heard = @{ bank_ledger($bank)->{charges} };
	like(pay('cut', substr(object(), 0, -5)), qr/begins as a JSON object and is none|not valid/, 'an object that was cut off is none, and no token either');
	like(pay('string', 'tok_ok'), qr/tokens/, 'a token that is none is not taken by this bank');
	like(($node->psql('postgres', "SELECT FROM pgw.submit_payment('submitted', 1000, 'EUR', '{\"pay\": {\"token\": \"tok_ok\"}}', bank => 'wallet')"))[2], qr/never stored/, 'nor can it be submitted');
	like(pay('nothing', '{"other": {"token": "tok_ok"}}'), qr/ERROR/, 'one that has nothing of what the request names is not sent');
	is(scalar @{ bank_ledger($bank)->{charges} }, $heard, 'the bank has heard of none of them');
});

# As JavaScript makes of an object that is turned into text twice, or of a list of objects: at a bank that takes tokens these would be kept.
part($node, 'encoded once more', sub {
	my $small = encode_json({ secret => $SECRET });
	my $twice = JSON::PP->new->allow_nonref->encode($small);
	my %token = (twice => $twice, 'twice, without its quotation marks' => substr($twice, 1, -1), list => "[$small]", 'for a URL' => $small =~ s/([{}":])/sprintf '%%%02X', ord $1/ger,
		'behind a byte order mark' => "\x{ef}\x{bb}\x{bf}$small");
	like(pay("disguised $_", $token{$_}, bank => 'bank'), qr/ERROR.*(quotation mark|printable)/s, "$_: refused") for sort keys %token;
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'disguised%'"), '0', 'nothing is kept');
});

part($node, 'in the statement', sub {
	my $literal = "'{\"pay\": {\"secret\": \"$ODD\"}}'";
	like(($node->psql('postgres', "SELECT FROM pgw.process_payment('literal', 1000, 'EUR', $literal)"))[2], qr/card data stands in the text/, 'refused as a literal');
	like(($node->psql('postgres', "SELECT FROM pgw.process_payment('literal', 1000, 'EUR', token => (SELECT t::text FROM (VALUES ($literal\::jsonb)) v (t)))"))[2], qr/card data stands in the text/, 'and where it comes from one');
	like(($node->psql('postgres', "PREPARE p AS SELECT pgw.process_payment('literal', 1000, 'EUR', \$1); EXECUTE p($literal)"))[2], qr/card data stands in the text/, 'and where it is executed with one');
	$node->psql('postgres', "SELECT pgw.process_payment('literal', 1000, 'EUR', $literal) oops oops");
	$node->psql('postgres', "SELECT pgw.process_payment('literal', 1000, 'EUR', tokens => 1, token => \$\$ {\"a\": \"$ODD\"} \$\$)");
	unlike(slurp_file($node->logfile), qr/\Q$ODD\E/, 'no log shows it, also of statements that nobody could refuse');
});

part($node, 'parameters logged', sub {
	local $ENV{PGOPTIONS} = '-c log_statement=all -c log_parameter_max_length=-1';
	like(pay('logged', object()), qr/bound parameters/, 'refused where the server would write it') or diag($node->logfile);
	is(pay('logged string', 'tok_ok', bank => 'bank'), '', 'a token that is none may be written');
});

part($node, 'said again', sub {
	my $echo = scripted_bank(sub {
		my ($r) = @_;
		return { document => [] } if $r->{path} eq '/books';
		my $heard = decode_json($r->{body});
		return { status => 402, document => { state => 'no', why => "bad $heard->{s}" } };
	});
	my $charge = encode_json({ v => 2, capabilities => { token_objects => JSON::PP::true }, operations => { charge => { method => 'POST', path => '/pay', body => { s => '{{token./pay/secret}}' },
		answer => { rules => [ { status => 402, when => { '/state' => 'no' }, outcome => 'declined' } ], fields => { bank_code => '/why' } } } } });
	sql("INSERT INTO pgw.connectors (name, definition) VALUES ('echo', '$charge'); INSERT INTO pgw.banks (name, connector, base_url) VALUES ('echo', 'echo', '$echo->{url}')");
	is(pay('said', object(), bank => 'echo'), '', 'answered');
	is(sql("SELECT status FROM pgw.find_payment('said')"), 'declined', 'declined');
	is(sql("SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE client_request_id = 'said' AND e.event_data ? 'bank_code' AND e.event_data->>'bank_code' <> ''"), '0', 'the reason that repeats it is not kept');
});

is(sql('SELECT count(*) FROM pgw.check_consistency()'), '0', 'the records are sound');
$node->stop('fast');
my %found = PgwBytes->new(number => $CARD, secret => $SECRET, event => 'BankProcessingStarted')->found_in($node->data_dir, $node->logfile);
ok(!$found{$_}, "the $_ is nowhere on disk") or diag(join ', ', @{ $found{$_} }) for 'number', 'secret';
ok($found{event}, 'where the search finds what is there');
done_testing();
