#!/bin/sh
# Makes what the example needs for mutual TLS, in the folder pki beside this script,
# or in $PKI:
#
#	certs.sh [new] [client...]    an authority, a server and clients (kitchen and hall)
#	certs.sh renew                new certificates for the server and all clients
#
# "new" keeps an authority that is there. The authority is good for 30 days and the
# rest for one. A client's name is in its certificate's subject alternative name.
# $SERVER_SAN says what the server is called: "DNS:localhost,IP:127.0.0.1,IP:::1".
#
# This is for trying things out: the authority's key lies beside the others.
set -eu
umask 077

pki=${PKI:-$(dirname "$0")/pki}
server_san=${SERVER_SAN:-DNS:localhost,IP:127.0.0.1,IP:::1}

fail() {
	echo "certs.sh: $*" >&2
	exit 1
}

# key FILE makes a private key.
key() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$1"
}

# request KEY NAME writes a request for a certificate. Its own configuration keeps
# that of the machine out of it.
request() {
	printf '[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = %s\n' "$2" >"$new/req.cnf"
	openssl req -new -config "$new/req.cnf" -key "$1" -out "$new/csr"
}

# sign FILE DAYS OPTION... makes a certificate of the request and of the extensions.
sign() {
	crt=$1 days=$2
	shift 2
	openssl x509 -req -in "$new/csr" -out "$crt" -days "$days" -sha256 \
		-set_serial "0x1$(openssl rand -hex 8)" -extfile "$new/ext" "$@" 2>"$new/log" ||
		fail "openssl x509: $(cat "$new/log")"
	chmod 644 "$crt"
}

authority() {
	key "$new/key"
	request "$new/key" "authority of the mtls example"
	cat >"$new/ext" <<-end
		basicConstraints = critical, CA:TRUE, pathlen:0
		keyUsage = critical, keyCertSign, cRLSign
		subjectKeyIdentifier = hash
	end
	sign "$new/crt" 30 -signkey "$new/key"
	mv "$new/key" "$pki/authority.key"
	mv "$new/crt" "$pki/authority.crt"
}

# leaf FILE NAME SAN USAGE makes FILE.crt and FILE.key. Both are complete when they
# come to their places.
leaf() {
	key "$new/key"
	request "$new/key" "$2"
	cat >"$new/ext" <<-end
		basicConstraints = critical, CA:FALSE
		keyUsage = critical, digitalSignature
		extendedKeyUsage = $4
		subjectAltName = $3
		subjectKeyIdentifier = hash
		authorityKeyIdentifier = keyid
	end
	sign "$new/crt" 1 -CA "$pki/authority.crt" -CAkey "$pki/authority.key"
	mv "$new/key" "$1.key"
	mv "$new/crt" "$1.crt"
	echo "$1.crt"
}

server() {
	leaf "$pki/server" server "$server_san" serverAuth
}

# check says no to names that can't be in a file's name and in a certificate.
check() {
	case $1 in
	'' | [-.]* | *[!A-Za-z0-9.-]*) fail "a client's name has letters, digits, dots and hyphens only, not \"$1\"" ;;
	esac
}

client() {
	leaf "$pki/client-$1" "$1" "DNS:$1" clientAuth
}

command -v openssl >/dev/null || fail "needs openssl"
mkdir -p "$pki"
new=$pki/.new
mkdir "$new" || fail "is it running already? If not, remove $new"
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM

case ${1:-new} in
renew)
	[ -f "$pki/authority.key" ] || fail "no authority in $pki yet: run certs.sh new"
	server
	for crt in "$pki"/client-*.crt; do
		[ -f "$crt" ] || continue
		name=${crt##*/client-}
		client "${name%.crt}"
	done
	;;
*)
	[ "${1:-}" != new ] || shift
	[ $# -gt 0 ] || set -- kitchen hall
	for name; do check "$name"; done
	[ -f "$pki/authority.key" ] || authority
	server
	for name; do client "$name"; done
	;;
esac
