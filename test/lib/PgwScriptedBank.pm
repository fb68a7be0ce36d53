# PgwScriptedBank - a bank whose answers a test makes up, and the connectors by which pgw speaks to it: one request after the other, each on its own
# connection, JSON in the answer.  With kept_alive => 1 a connection stays for the next request, until an answer fails to come.
#
#   my $bank = scripted_bank(sub { my ($request) = @_; return { document => { state => 'ok' } } });
#
# A request has method, path, headers (names in lower case), body, and fields: those of a form in the body and of the query.  An answer has document, or
# else body and type, and may have status and headers (lines); without an answer the connection is closed.  The function runs in a process of its own, which keeps what it remembers.
package PgwScriptedBank;

use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use PgwTest;

our @EXPORT = qw(scripted_bank bank_books charge_asked_for form_request add_dialect);

my @processes;

sub read_request
{
	my ($connection) = @_;
	my %request = (from => $connection->peerport);
	@request{qw(method path)} = split ' ', <$connection> // '';
	while (defined(my $line = <$connection>)) { last unless $line =~ /^([^:]+):\s*(.*?)\r\n/; $request{headers}{ lc $1 } = $2 }
	read $connection, $request{body}, $request{headers}{'content-length'} // 0;
	$request{fields} = { map { my ($name, $value) = split /=/; $name => $value } grep { length } split /[&?]/, ($request{body} // '') . "&$request{path}" };
	return \%request;
}

sub send_answer
{
	my ($connection, $answer, $kept_alive) = @_;
	my $text = $answer->{body} // encode_json($answer->{document});
	print $connection join "\r\n", 'HTTP/1.1 ' . ($answer->{status} // 200) . ' Answered', 'Content-Type: ' . ($answer->{type} // 'application/json'), $kept_alive ? () : 'Connection: close',
	  @{ $answer->{headers} // [] }, 'Content-Length: ' . length($text), '', $text;
	$connection->flush;
}

# Start it: { pid, port, url }.
sub scripted_bank
{
	my ($answers, %o) = @_;
	my $listener = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
	my $bank = { port => $listener->sockport, url => 'http://127.0.0.1:' . $listener->sockport };
	$bank->{pid} = child_process(sub {
		my $waiting = IO::Select->new($listener);
		while (my @ready = $waiting->can_read)
		{
			for my $connection (@ready)
			{
				if ($connection == $listener) { $waiting->add($listener->accept); next }
				my $request = read_request($connection);
				my $answer = defined $request->{method} && eval { $answers->($request) };
				warn $@ if $@;
				send_answer($connection, $answer, $o{kept_alive}) if $answer;
				next if $answer && $o{kept_alive};
				$waiting->remove($connection);
				close $connection;
			}
		}
	});
	push @processes, $bank->{pid};
	return $bank;
}

END { my $status = $?; kill 'TERM', $_ for @processes; $? = $status }

# What the bank answers at /books: its charges.
sub bank_books { my ($bank) = @_; return @{ PgwTest::http_json('GET', "$bank->{url}/books") } }

# The charge that a request's fields name: by our reference (q) or by the bank's own (sale).
sub charge_asked_for
{
	my ($charges, $fields) = @_;
	my ($charge) = grep { $_->{ref} eq ($fields->{q} // '') || $_->{id} eq ($fields->{sale} // '') } @$charges;
	return $charge;
}

# An operation of a connector: a form with these fields and our reference.
sub form_request
{
	my ($path, $answer, %body) = @_;
	return { method => 'POST', path => $path, encoding => 'form', body => { %body, ref => '{{transaction_ref}}' }, answer => $answer };
}

# A connector and a bank of pgw.banks with its name that speaks it.
sub add_dialect
{
	my ($node, $bank, $name, $definition, %column) = @_;
	my $text = encode_json($definition);
	%column = (name => $name, connector => $name, base_url => $bank->{url}, %column);
	my @names = sort keys %column;
	$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('$name', \$json\$$text\$json\$);
		INSERT INTO pgw.banks (" . join(', ', @names) . ') VALUES (' . join(', ', map { "'$column{$_}'" } @names) . ')');
}

1;
