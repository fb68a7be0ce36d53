# PgwNotifyingBank - a bank of a TAP test's own server that notifies.
package PgwNotifyingBank;

use strict;
use warnings;
use Exporter 'import';
use PgwPostman;
use PgwTest;

our @EXPORT = qw(notifying_bank);

# The bank: its connector, as a function of PgwNotifying has it for $name, its row, and its simulator, which notifies and has these settings besides.  Returns who brings what it says.
sub notifying_bank
{
	my ($node, $bank, $name, $connector, %settings) = @_;
	my $key = 'hook-secret';
	secret_file($node, 'hooks', $key);
	$node->safe_psql('postgres', "$connector;
		INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, request_timeout) VALUES ('$name', '$name', '$bank->{url}', 'bank', 'hooks', '5s')");
	bank_control($bank, 'settings', { notifies => $key, %settings });
	return PgwPostman->new(url => $bank->{url}, bank => $name);
}

1;
