# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for sshfs(1): flags, -o options and their values, hosts that ssh knows.
#
# Bash cuts words at ':', '=' and '@' and wants the rest completed. Here words are whole, as sshfs gets
# them; what bash has cut off is taken from the answers at the end.

_sshfs_flags="-h --help -V --version -o -d --debug -f -s -p -C -F -1 -v --verbose -r
--stats --json --refresh"

_sshfs_options="
ac_attr_timeout= allow_other allow_root attr_timeout= auto_cache auto_unmount buffer_size= cache= contain_symlinks
dcache_clean_interval= dcache_dir_timeout= dcache_link_timeout= dcache_max_size=
dcache_absent_timeout= dcache_min_clean_interval= dcache_stat_timeout= dcache_timeout= debug default_permissions
delay_connect dir_cache= direct_io directport= disable_hardlink dmask= entry_timeout= fmask=
follow_symlinks fsname= gid= gidfile= idmap= kernel_cache max_conns= max_read= max_threads=
max_write= multiplex= negative_timeout= no_check_root no_contain_symlinks no_readahead no_rofd_flush noauto_cache noforget
nomap= passive password_stdin reconnect remember= ro scan_ahead= sftp_server= ssh_command= ssh_protocol=
sshfs_sync stats subtype= sync_readdir transform_symlinks uid= uidfile= umask= verbose vsock=
walk_ahead= workaround=
IdentityFile= Port= ProxyJump= ServerAliveInterval= StrictHostKeyChecking= User=
"

# Only names that the shell takes literally: compgen -W expands its words.
_sshfs_hosts()
{
	local files=(~/.ssh/config /etc/ssh/ssh_config ~/.ssh/known_hosts /etc/ssh/ssh_known_hosts)

	awk 'FILENAME ~ /config$/ && tolower($1) == "host" {
		for (i = 2; i <= NF; i++) print $i
	}
	FILENAME ~ /known_hosts$/ && $1 !~ /^[|@#]/ {
		n = split($1, names, ",")
		for (i = 1; i <= n; i++) print names[i] ~ /:/ ? "[" names[i] "]" : names[i]
	}' "${files[@]}" 2>/dev/null | grep -xE '[A-Za-z0-9._%-]+|\[[A-Za-z0-9.:%_-]+\]' | sort -u
}

# The values of option $1 that begin with $2, each behind $3.
_sshfs_values()
{
	case $1 in
	cache) compgen -P "$3" -W "strict normal aggressive" -- "$2" ;;
	dir_cache) compgen -P "$3" -W "yes no" -- "$2" ;;
	idmap) compgen -P "$3" -W "none user file" -- "$2" ;;
	multiplex) compgen -P "$3" -W "auto yes no" -- "$2" ;;
	nomap) compgen -P "$3" -W "ignore error" -- "$2" ;;
	workaround)
		compgen -P "$3" -W "none rename renamexdev truncate buflimit fstat createmode" -- "$2"
		;;
	uidfile | gidfile | IdentityFile) compgen -P "$3" -f -- "$2" ;;
	esac
}

# Lists that go on from the -o list $1.
_sshfs_list()
{
	local before='' last=${1##*,} name

	[[ $1 == *,* ]] && before=${1%,*},
	if [[ $last == *=* ]]; then
		name=${last%%=*}
		_sshfs_values "$name" "${last#*=}" "$before$name="
	else
		compgen -P "$before" -W "$_sshfs_options" -- "$last"
	fi
}

# Sources that begin with $1, and folders: the mountpoint.
_sshfs_words()
{
	local user=''

	if [[ $1 != *:* ]]; then
		[[ $1 == *@* ]] && user=${1%%@*}@
		compgen -P "$user" -S : -W "$(_sshfs_hosts)" -- "${1#"$user"}"
		compgen -d -- "$1"
	fi
}

# Without what bash has cut off from the word $1.
_sshfs_cut()
{
	local head='' char at

	for char in : = @; do
		at=${1%"$char"*}$char
		[[ $1 == *"$char"* && $COMP_WORDBREAKS == *"$char"* && ${#at} -gt ${#head} ]] && head=$at
	done
	COMPREPLY=("${COMPREPLY[@]#"$head"}")
}

_sshfs()
{
	local line=${COMP_LINE:0:COMP_POINT} word before

	word=${line##*[[:space:]]}
	before=${line%"$word"}
	before=${before%"${before##*[![:space:]]}"}
	before=${before##*[[:space:]]}
	COMPREPLY=()
	case $before:$word in
	-F:*) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	-p:*) ;;
	-o:*) mapfile -t COMPREPLY < <(_sshfs_list "$word") ;;
	*:-*) mapfile -t COMPREPLY < <(compgen -W "$_sshfs_flags" -- "$word") ;;
	*) mapfile -t COMPREPLY < <(_sshfs_words "$word") ;;
	esac
	[[ ${COMPREPLY[0]-} == *[:=] || $before == -o ]] && compopt -o nospace
	_sshfs_cut "$word"
}

complete -F _sshfs sshfs
