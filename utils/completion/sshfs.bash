# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for sshfs(1): flags, -o options, hosts that ssh knows.

_sshfs_options="
ac_attr_timeout= allow_other allow_root attr_timeout= auto_cache auto_unmount contain_symlinks
dcache_clean_interval= dcache_dir_timeout= dcache_link_timeout= dcache_max_size=
dcache_min_clean_interval= dcache_stat_timeout= dcache_timeout= debug default_permissions
delay_connect dir_cache= direct_io directport= disable_hardlink dmask= entry_timeout= fmask=
follow_symlinks fsname= gid= gidfile= idmap= kernel_cache max_conns= max_read= max_threads=
max_write= negative_timeout= no_check_root no_contain_symlinks no_readahead no_rofd_flush noforget
nomap= passive password_stdin reconnect remember= ro sftp_server= ssh_command= ssh_protocol=
sshfs_sync subtype= sync_readdir transform_symlinks uid= uidfile= umask= verbose vsock= workaround=
"

_sshfs_hosts()
{
	local files=(~/.ssh/config /etc/ssh/ssh_config ~/.ssh/known_hosts /etc/ssh/ssh_known_hosts)

	awk 'FILENAME ~ /config$/ && tolower($1) == "host" {
		for (i = 2; i <= NF; i++) if ($i !~ /[*?!]/) print $i ":"
	}
	FILENAME ~ /known_hosts$/ && $1 !~ /^[|@#]/ {
		n = split($1, names, ",")
		for (i = 1; i <= n; i++) if (names[i] !~ /^\[/) print names[i] ":"
	}' "${files[@]}" 2>/dev/null | sort -u
}

_sshfs()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} list=

	COMPREPLY=()
	case $before in
	-F)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	-p) return ;;
	-o)
		[[ $word == *,* ]] && list=${word%,*},
		mapfile -t COMPREPLY < <(compgen -P "$list" -W "$_sshfs_options" -- "${word##*,}")
		compopt -o nospace
		return
		;;
	esac
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "-h --help -V --version -o -d --debug -f -s -p -C -F -1 -v --verbose -r" -- "$word")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$(_sshfs_hosts)" -- "$word"; compgen -d -- "$word")
	[[ ${COMPREPLY[0]-} == *: ]] && compopt -o nospace
}

complete -F _sshfs sshfs
