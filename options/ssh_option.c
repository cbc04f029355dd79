// SPDX-License-Identifier: GPL-2.0-or-later
/* See ssh_option.h. The names are those of ssh_config(5), OpenSSH 9.2 to 10, and of older ones. */
#include "ssh_option.h"

#include <string.h>

static const char *const keywords[] = {
	"AddKeysToAgent",
	"AddressFamily",
	"BatchMode",
	"BindAddress",
	"BindInterface",
	"CanonicalDomains",
	"CanonicalizeFallbackLocal",
	"CanonicalizeHostname",
	"CanonicalizeMaxDots",
	"CanonicalizePermittedCNAMEs",
	"CASignatureAlgorithms",
	"CertificateFile",
	"ChallengeResponseAuthentication",
	"ChannelTimeout",
	"CheckHostIP",
	"Cipher",
	"Ciphers",
	"Compression",
	"CompressionLevel",
	"ConnectionAttempts",
	"ConnectTimeout",
	"ControlMaster",
	"ControlPath",
	"ControlPersist",
	"EnableEscapeCommandline",
	"EnableSSHKeysign",
	"FingerprintHash",
	"ForwardAgent",
	"GatewayPorts",
	"GlobalKnownHostsFile",
	"GSSAPIAuthentication",
	"GSSAPIDelegateCredentials",
	"HashKnownHosts",
	"HostbasedAcceptedAlgorithms",
	"HostbasedAuthentication",
	"HostbasedKeyTypes",
	"HostKeyAlgorithms",
	"HostKeyAlias",
	"HostName",
	"IdentitiesOnly",
	"IdentityAgent",
	"IdentityFile",
	"IgnoreUnknown",
	"Include",
	"IPQoS",
	"KbdInteractiveAuthentication",
	"KbdInteractiveDevices",
	"KexAlgorithms",
	"KnownHostsCommand",
	"LocalCommand",
	"LogLevel",
	"LogVerbose",
	"MACs",
	"NoHostAuthenticationForLocalhost",
	"NumberOfPasswordPrompts",
	"ObscureKeystrokeTiming",
	"PasswordAuthentication",
	"PermitLocalCommand",
	"PermitRemoteOpen",
	"PKCS11Provider",
	"Port",
	"PreferredAuthentications",
	"ProxyCommand",
	"ProxyJump",
	"ProxyUseFdpass",
	"PubkeyAcceptedAlgorithms",
	"PubkeyAcceptedKeyTypes",
	"PubkeyAuthentication",
	"RekeyLimit",
	"RequestTTY",
	"RequiredRSASize",
	"RevokedHostKeys",
	"RhostsRSAAuthentication",
	"RSAAuthentication",
	"SecurityKeyProvider",
	"SendEnv",
	"ServerAliveCountMax",
	"ServerAliveInterval",
	"SetEnv",
	"SmartcardDevice",
	"StreamLocalBindMask",
	"StreamLocalBindUnlink",
	"StrictHostKeyChecking",
	"SyslogFacility",
	"Tag",
	"TCPKeepAlive",
	"UpdateHostKeys",
	"UsePrivilegedPort",
	"User",
	"UserKnownHostsFile",
	"VerifyHostKeyDNS",
	"VisualHostKey",
	"WarnWeakCrypto",
	"XAuthLocation",
};

static bool is_keyword(const char *name, size_t size)
{
	for (size_t i = 0; i < G_N_ELEMENTS(keywords); i++) {
		if (strlen(keywords[i]) == size && !g_ascii_strncasecmp(keywords[i], name, size))
			return true;
	}
	return false;
}

/* "Name=": a capital letter, then letters and digits. */
static bool looks_like_keyword(const char *name, size_t size)
{
	if (size == 0 || !g_ascii_isupper(name[0]))
		return false;
	for (size_t i = 0; i < size; i++) {
		if (!g_ascii_isalnum(name[i]))
			return false;
	}
	return true;
}

bool ssh_option_is(const char *word)
{
	const char *equals = strchr(word, '=');
	size_t size = equals ? (size_t)(equals - word) : 0;

	return equals && (is_keyword(word, size) || looks_like_keyword(word, size));
}

void ssh_option_for_each(void (*each)(const char *name, void *data), void *data)
{
	for (size_t i = 0; i < G_N_ELEMENTS(keywords); i++)
		each(keywords[i], data);
}
