# PgwNotifying - connectors of banks that notify, made of the one of the reference protocol, as SQL that creates them.  Chaos uses it, too, which has no
# server of the TAP tests'.
package PgwNotifying;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(asking_connector told_connector);

# One whose lost charges are never sent again: only look-ups tell.
sub asking_connector
{
	my ($name) = @_;
	return "INSERT INTO pgw.connectors (name, definition) SELECT '$name', jsonb_set(definition::jsonb, '{operations,charge,idempotency}', 'false') FROM pgw.connectors WHERE name = 'json'";
}

# One that accepts what it is asked for and can be asked nothing: what becomes of it, its notifications say.
sub told_connector
{
	my ($name) = @_;
	my $evidence = join ', ', map { my $about = $_; my ($yes, $no) = $about eq 'charge' ? qw(approved declined) : qw(succeeded failed);
		(qq({"when": {"/type": "$about.$yes"}, "about": "$about", "outcome": "approved"}), qq({"when": {"/type": "$about.$no"}, "about": "$about", "outcome": "declined"})) } qw(charge capture void refund);
	my $accepted = q({"status": [200, 201], "when": {"%s": %s}, "outcome": "accepted"});
	my $insert = sub { my ($operation, @when) = @_; return "'{operations,$operation,answer,rules,0}', '" . sprintf($accepted, @when) . "'" };
	my ($refund, $capture, $void) = ($insert->('refund', '/status', '"pending"'), $insert->('capture', '/capture/status', '"pending"'), $insert->('void', '/voided', 'false'));
	return "INSERT INTO pgw.connectors (name, definition) SELECT '$name', jsonb_insert(jsonb_insert(jsonb_insert(jsonb_set(
		definition::jsonb #- '{operations,lookup_charge}' #- '{operations,lookup_refund}' #- '{operations,cancel}' #- '{capabilities,lookup_consistent_after_seconds}',
		'{notifications,evidence}', '[$evidence]'), $refund), $capture), $void) FROM pgw.connectors WHERE name = 'json'";
}

1;
