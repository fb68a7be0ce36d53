# PgwClients - clients that pay one payment after the other and, as a client should, call again with the same id until they have an answer.
package PgwClients;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PgwTest;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(clients_start clients_end clients_done);

# So many of them, each with its own way to pay (process_payment or submit_payment); { pids, dir }.
sub clients_start
{
	my ($node, $name, @ways) = @_;
	my $c = { dir => $node->basedir . "/clients-$name", pids => [] };
	mkdir $c->{dir} or die $!;
	for my $way (@ways)
	{
		my $n = @{ $c->{pids} };
		push @{ $c->{pids} }, child_process(sub { client($node, $c->{dir}, "$name $n", $way) });
	}
	return $c;
}

sub client
{
	my ($node, $dir, $name, $way) = @_;
	my $i = 0;
	while (!-e "$dir/stop")
	{
		my $id = "$name-" . $i++;
		my ($out, $err);
		do
		{
			($out, $err) = ('', '');
			IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c',
					'SELECT status FROM ' . pay_sql($way, client_request_id => $id, ($way eq 'process_payment' ? (timeout => '60s') : ())) ], '<', \undef, '>', \$out, '2>', \$err);
			append("$dir/errors", $err);
		} until $err eq '';
		append("$dir/done", "$id $out");
	}
}

# In one write each, so that lines of several processes stay whole.
sub append
{
	my ($file, $text) = @_;
	open my $f, '>>', $file or die $!;
	syswrite $f, $text if $text ne '';
	close $f;
}

# How many payments have an answer.
sub clients_done
{
	my ($c) = @_;
	return -e "$c->{dir}/done" ? scalar split /\n/, slurp_file("$c->{dir}/done") : 0;
}

# They finish the payment that they are at.  Returns the errors that they met, and their ids.
sub clients_end
{
	my ($c) = @_;
	append("$c->{dir}/stop", '.');
	waitpid $_, 0 for @{ $c->{pids} };
	my $errors = -e "$c->{dir}/errors" ? slurp_file("$c->{dir}/errors") : '';
	return ($errors, map { /(.*) \w+$/ } split /\n/, slurp_file("$c->{dir}/done"));
}

1;
