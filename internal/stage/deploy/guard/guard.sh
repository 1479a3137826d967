#!/bin/sh
# The guard of an activation, on the host and as root. See guard.go for what it is about. It is called over a connection that may end at
# any moment (begin, poll, confirm, back, settle: they take no time and only write down what is wanted), and by systemd
# (loop, switch, boot: they do the work).
#
# What it must not depend on: the connection, the clock (only the time since the start of the kernel counts), room on the disk once it has begun,
# programs of the new system, and each other: either of the two loops alone brings the host back.
# shellcheck disable=SC2015,SC2016,SC2034,SC2317  # "a && b || refuse" is meant so; fields and functions are called by their names
set -u
umask 077

dir=/var/lib/nixos-staged-hive/deploy
work=/run/nixos-staged-hive-deploy
profiles=/nix/var/nix/profiles
roots=/nix/var/nix/gcroots/nixos-staged-hive-deploy
logged=262144 # bytes of the activations' output that are kept
usual=/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PATH=$usual LC_ALL=C HOME=/root
export PATH LC_ALL HOME

# The record. Numbers are seconds; deadline counts from the start of the kernel.
fields='run by state new old oldLink oldProfile oldGeneration oldDefault lastGeneration bootId begun exit reason activation'
fields="$fields confirm reboot rebootAfter generation deadline going touched committing reboots wish"
r_run='' r_by='' r_state='' r_new='' r_old='' r_oldLink='' r_oldProfile='' r_oldGeneration=0 r_oldDefault='' r_lastGeneration=0 r_bootId=''
r_begun='' r_exit=-1 r_reason='' r_activation=600 r_confirm=120 r_reboot=600 r_rebootAfter=0 r_deadline=0 r_touched=0 r_committing=0
r_reboots=0 r_wish='' r_generation=0 r_going=0

# ---- the record

# load takes the record of a run that goes on, or else the last one. What is not whole does not count.
load() {
	for file in "$work/record" "$dir/record"; do
		[ "$(tail -n 1 "$file" 2>/dev/null)" = end ] || continue
		while IFS= read -r line; do
			key=${line%%=*}
			case " $fields " in *" $key "*) eval "r_$key=\${line#*=}" ;; esac
		done <"$file"
		PATH=$r_old/sw/bin:$usual
		return 0
	done
	return 1
}

render() {
	for key in $fields; do
		eval "printf '%s=%s\n' \"\$key\" \"\$r_$key\"" || return
	done
	echo end
}

# put writes a file so that a reader, also after a power failure, sees the old text or the new one.
put() { # FILE, text on stdin
	cat >"$1.new" && chmod 644 "$1.new" && sync "$1.new" && mv -f "$1.new" "$1" && sync "${1%/*}" && return
	rm -f "$1.new"
	return 1
}

# store fails when the disk did not take the record. In memory it is in any case.
store() {
	text=$(render)
	printf '%s\n' "$text" | put "$work/record"
	printf '%s\n' "$text" | put "$dir/record" 2>/dev/null
}

ended() { case $r_state in committed | 'rolled back' | refused | stuck | '') true ;; *) false ;; esac; }

lock() { exec 9<"$dir" && flock -w 60 9; }
unlock() { exec 9<&-; }

# move goes on from a state, unless somebody was faster.
move() { # FROM TO SECONDS [REASON]
	lock
	load && [ "$r_state" = "$1" ] || { unlock; return 1; }
	r_state=$2 r_deadline=$(($(now) + $3))
	# in one step with the state: whoever goes on has to know whether the reboot was already ordered
	if [ "$2" = rebooting ] && [ "$r_reboots" = 0 ]; then r_reboots=1; fi
	[ $# -lt 4 ] || r_reason=$4
	store
	stored=$?
	unlock
	return 0
}

# ---- the machine

now() { read -r up _ </proc/uptime && echo "${up%%.*}"; }
bootid() { cat /proc/sys/kernel/random/boot_id; }
restarted() { [ "$(bootid)" != "$r_bootId" ]; }
current() { readlink -e /run/current-system; }
booted() { readlink -e /run/booted-system; }
profile() { readlink -e "$profiles/system"; }
generation() { # LINK
	case $1 in system-*-link) number=${1#system-} && echo "${number%-link}" ;; *) echo 0 ;; esac
}
last_generation() {
	last=0
	for link in "$profiles"/system-*-link; do
		number=$(generation "${link##*/}")
		if [ -L "$link" ] && [ "$number" -gt "$last" ]; then last=$number; fi
	done
	echo "$last"
}
is_generation() { # SYSTEM
	for link in "$profiles"/system-*-link; do
		[ "$(readlink -e "$link")" != "$1" ] || return 0
	done
	return 1
}

# default_system is what the next boot takes, empty where that cannot be told. What is no generation is a leftover of another boot loader.
default_system() {
	system=
	for part in /boot /efi /boot/efi; do
		[ -f "$part/loader/loader.conf" ] || continue
		entry=$(sed -n 's/^default[[:space:]]\{1,\}//p' "$part/loader/loader.conf" | tail -n 1)
		[ -z "$entry" ] || system=$(init_of "$part/loader/entries/$entry")
	done
	if [ -z "$system" ] && grep -q '^[[:space:]]*set default="\{0,1\}0"\{0,1\}$' /boot/grub/grub.cfg 2>/dev/null; then
		system=$(init_of /boot/grub/grub.cfg)
	fi
	[ -z "$system" ] || ! is_generation "$system" || echo "$system"
}
init_of() { sed -n 's|.*[[:space:]]init=\(/nix/store/[^/ ]*\)/init.*|\1|p' "$1" 2>/dev/null | head -n 1; }

# ---- services

unit() { echo "nixos-staged-hive-$r_run-$1"; }
active() { # "unknown" is a systemd that does not answer
	case $(systemctl is-active "$1" 2>/dev/null) in active | activating | reloading | deactivating) true ;; *) false ;; esac
}
gone() { case $(systemctl is-active "$1" 2>/dev/null) in inactive | failed | unknown) true ;; *) false ;; esac; }

service() { # NAME PROPERTIES -- COMMAND...
	name=$1
	shift
	systemd-run --quiet --collect --no-ask-password --unit="$name" --property=Type=exec --property=IgnoreOnIsolate=yes "$@" \
		</dev/null 8<&- 9<&-
}

start_loop() { # UNIT ROLE
	restart=on-failure
	[ "$1" = watch ] || restart=no
	service "$(unit "$1")" --property=Restart="$restart" --property=RestartSec=1 --property=StartLimitIntervalSec=0 \
		--property=TimeoutStopSec=10 --property=OOMScoreAdjust=-900 --description="Guard of the activation $r_run ($1)" \
		-- /bin/sh -c '[ ! -e "$0" ] || exec /bin/sh "$0" "$@"' "$work/guard" loop "$r_run" "$2"
}

# An actor is alive when it holds its lock, or is about to.
alive() {
	(flock -n -s 8) 8<"$dir/actor" || return 0
	if active "$(unit watch)" || active "$(unit activate)"; then return 0; fi
	[ "$r_state" = rebooting ] || return 1
	if restarted; then # no unit need be there: the operator confirms
		[ "$(booted)" = "$r_new" ] && [ "$(since_boot)" -lt "$r_confirm" ]
	else
		[ "$(now)" -lt "$r_deadline" ]
	fi
}

# since_boot is the time since systemd began: in a container the kernel's is the machine's.
since_boot() {
	micros=$(systemctl show -p UserspaceTimestampMonotonic --value 2>/dev/null)
	echo $(($(now) - ${micros:-0} / 1000000))
}

# run_system runs switch-to-configuration in a service of its own, so that all it started can be killed.
run_system() { # SYSTEM ACTION
	rm -f "$work/exit"
	tries=0
	until service "$(unit switch)" --property=RuntimeMaxSec=$((r_activation + 60)) --property=TimeoutStopSec=5 \
		--description="Activation $r_run ($2)" -- /bin/sh "$work/guard" switch "$1" "$2" 2>>"$work/log"; do
		tries=$((tries + 1))
		! active "$(unit switch)" || return 0
		if [ "$tries" -ge 8 ]; then # systemd does not take it: rather without it than not at all
			timeout -k 10 "$r_activation" /bin/sh "$work/guard" switch "$1" "$2" </dev/null 8<&- 9<&-
			[ -e "$work/exit" ] || echo 124 >"$work/exit"
			return 0
		fi
		sleep 1 8<&-
	done
}

stop_system() {
	systemctl kill --signal=KILL "$(unit switch)" 2>/dev/null 8<&-
	timeout 30 systemctl stop "$(unit switch)" 2>/dev/null 8<&-
}

# await_system waits for the end of run_system: 0 with the exit code in $code, 1 when it took too long, 2 when it was killed, 3 when it is
# not wanted any more.
await_system() { # SECONDS [wish]
	limit=$(($(now) + $1)) absent=0
	while :; do
		if [ -s "$work/exit" ]; then
			code=$(cat "$work/exit")
			stop_system # what it left behind
			return 0
		fi
		if [ "${2:-}" = wish ]; then load && [ -z "$r_wish" ] || return 3; fi
		[ "$(now)" -lt "$limit" ] || return 1
		if gone "$(unit switch)"; then absent=$((absent + 1)); else absent=0; fi
		[ "$absent" -lt 3 ] || return 2
		sleep 0.3 8<&-
	done
}

say() { printf '%s\n' "$*" >>"$work/log" 2>/dev/null; }

# ---- the steps

begun() {
	if [ -n "$r_wish" ]; then move begun 'rolling back' "$r_activation" "$r_wish"; return; fi
	if restarted; then move begun 'rolling back' "$r_activation" "the host restarted before anything was changed"; return; fi
	# An order may come minutes late: what was sent goes on being sent by the kernel of a computer whose ssh has given up. So
	# nothing is changed until a second connection says that somebody is there.
	if [ "$r_going" = 0 ]; then
		if [ "$(now)" -ge "$r_deadline" ]; then move begun refused 0 "the order came, and nobody after it"; return; fi
		sleep 0.1 8<&-
		return
	fi
	if [ "$r_new" = "$r_old" ]; then
		r_exit=0
		take exit 0 && move begun waiting "$r_confirm"
		return
	fi
	take touched 1
	move begun activating "$r_activation" || return
	run_system "$r_new" test
}

# take writes one field.
take() { # FIELD VALUE
	lock
	load
	eval "r_$1=\$2"
	store
	stored=$?
	unlock
}

back() { # FROM REASON
	move "$1" 'rolling back' "$r_activation" "$2"
}

activating() {
	if restarted; then back activating "the host restarted during the activation"; return; fi
	await_system $((r_deadline - $(now))) wish
	case $? in
	1) stop_system; back activating "the activation did not end within $r_activation s"; return ;;
	2) back activating "the activation was killed"; return ;;
	3) stop_system; back activating "$r_wish"; return ;;
	esac
	take exit "$code"
	if [ "$code" = 0 ] || [ "$code" = 4 ]; then
		if [ "$(current)" = "$r_new" ]; then
			move activating waiting "$r_confirm"
		else
			back activating "the activation ended with exit code $code, but the current system is $(current)"
		fi
		return
	fi
	if untouched; then
		if [ "$r_rebootAfter" = 1 ]; then
			move activating confirmed "$r_activation" "$(refusal)"
		else
			take touched 0
			move activating refused 0 "$(refusal)"
		fi
		return
	fi
	back activating "the activation failed with exit code $code"
}

# untouched tells a system that refuses to be switched to while another one runs (NixOS' pre-switch checks of 26.05; exit code 100 of 24.05:
# another interface of init) before it has changed anything.
untouched() {
	[ "$(current)" = "$r_old" ] || return 1
	[ "$code" = 100 ] || grep -q '^Pre-switch check.* failed' "$work/log" 2>/dev/null
}

refusal() {
	line=$(grep '^Pre-switch check.* failed' "$work/log" 2>/dev/null | head -n 1)
	echo "the new system cannot be switched to while this one runs, it needs a reboot${line:+ ($line)}"
}

waiting() {
	if restarted; then back waiting "the host restarted before it was confirmed"; return; fi
	while load && [ "$r_state" = waiting ]; do
		if [ -n "$r_wish" ]; then back waiting "$r_wish"; return; fi
		if [ "$(now)" -ge "$r_deadline" ]; then back waiting "it was not confirmed within $r_confirm s"; return; fi
		sleep 0.5 8<&-
	done
}

# confirmed makes the new system what the next boot takes. Before a guarded reboot, for one boot only.
confirmed() {
	if restarted && [ "$(current)" != "$r_new" ]; then
		back confirmed "the host restarted before profile and boot loader were written"
		return
	fi
	if [ "$r_rebootAfter" = 1 ] && [ "$r_reboots" = 0 ]; then
		# It started before the reboot was written down: nobody has seen it there yet.
		if restarted; then move confirmed rebooting "$r_reboot"; return; fi
		if why=$(arrange_reboot); then leave_for new; else back confirmed "$why"; fi
		return
	fi
	take committing 1
	[ "$stored" = 0 ] || { back confirmed "the record cannot be written to the disk"; return; }
	if why=$(commit); then move confirmed committed 0; else back confirmed "$why"; fi
}

commit() {
	set_profile "$r_new" || { echo "the system profile cannot be set"; return 1; }
	install_loader "$r_new" || return 1
	next=$(default_system)
	[ -z "$next" ] || [ "$next" = "$r_new" ] || { echo "the boot loader was written, but boots $next"; return 1; }
}

# set_profile makes a new generation, or goes to the one that was asked for.
set_profile() { # SYSTEM
	set -- "$1" --set "$1"
	[ "$r_generation" = 0 ] || set -- "$1" --switch-generation "$r_generation"
	timeout 120 nix-env --profile "$profiles/system" "$2" "$3" >>"$work/log" 2>&1 8<&-
	[ "$(profile)" = "$1" ]
}

install_loader() { # SYSTEM
	take deadline $(($(now) + r_activation))
	run_system "$1" boot
	await_system "$r_activation"
	case $? in
	0) [ "$code" = 0 ] || { echo "the boot loader cannot be written: exit code $code"; return 1; } ;;
	1) stop_system; echo "writing the boot loader did not end within $r_activation s"; return 1 ;;
	*) echo "writing the boot loader was killed"; return 1 ;;
	esac
}

# ---- going back

going_back() {
	stop_system
	if [ "$r_committing" = 1 ]; then
		if ! why=$(put_back); then move 'rolling back' stuck 0 "$r_reason; going back: $why"; return; fi
	fi
	if [ "$r_touched" = 0 ] && ! restarted; then move 'rolling back' 'rolled back' 0; return; fi
	if restarted; then
		# It runs what its boot loader had all the time, unless that had been written already.
		if [ "$(current)" != "$r_new" ] || [ "$r_new" = "$r_old" ]; then move 'rolling back' 'rolled back' 0; return; fi
		if [ "$r_rebootAfter" = 1 ]; then reboot_back; return; fi
	fi
	tries=0 why=
	while [ "$tries" -lt 3 ]; do
		[ "$tries" = 0 ] || sleep 3 8<&-
		tries=$((tries + 1))
		take deadline $(($(now) + r_activation))
		run_system "$r_old" test
		await_system "$r_activation"
		case $? in
		0)
			if [ "$(current)" = "$r_old" ] && { [ "$code" = 0 ] || [ "$code" = 4 ]; }; then
				move 'rolling back' 'rolled back' 0
				return
			fi
			why="exit code $code"
			;;
		1) stop_system; why="it did not end within $r_activation s" ;;
		*) why="it was killed" ;;
		esac
	done
	move 'rolling back' stuck 0 "$r_reason; going back failed: $why"
}

# reboot_back is for a kernel that was tried: only another boot goes back from it.
reboot_back() {
	if [ "$r_reboots" -lt 3 ]; then leave_for old; return; fi
	move 'rolling back' stuck 0 "$r_reason; the host boots the new system again and again"
}

# put_back makes profile, its links and boot loader what they were.
put_back() {
	rm -f "$dir/room"
	if [ "$(readlink "$profiles/system")" != "$r_oldLink" ]; then
		if [ "$r_oldGeneration" -gt 0 ]; then
			timeout 120 nix-env --profile "$profiles/system" --switch-generation "$r_oldGeneration" >>"$work/log" 2>&1 8<&-
		fi
		if [ "$(readlink "$profiles/system")" != "$r_oldLink" ]; then
			ln -sfn "$r_oldLink" "$profiles/.system-back" && mv -fT "$profiles/.system-back" "$profiles/system"
		fi
	fi
	if [ "$(readlink "$profiles/system")" != "$r_oldLink" ]; then echo "the system profile cannot be put back"; return 1; fi
	for link in "$profiles"/system-*-link; do
		number=$(generation "${link##*/}")
		if [ "$number" -gt "$r_lastGeneration" ] && [ "$(readlink -e "$link")" = "$r_new" ]; then rm -f "$link"; fi
	done
	forget_once
	for pause in 2 5 0; do
		said=$(install_loader "${r_oldDefault:-${r_oldProfile:-$r_old}}") && return 0
		[ "$pause" = 0 ] || sleep "$pause" 8<&-
	done
	echo "$said"
	return 1
}

# ---- a guarded reboot

# arrange_reboot leaves the old system as the default and makes the boot loader take the new one once. It says why it cannot.
arrange_reboot() {
	[ "$r_oldGeneration" -gt 0 ] || { echo "the system profile is no generation that a boot could go back to"; return 1; }
	can_boot_once || return 1
	take committing 1
	[ "$stored" = 0 ] || { echo "the record cannot be written to the disk"; return 1; }
	set_profile "$r_new" || { echo "the system profile cannot be set"; return 1; }
	timeout 120 nix-env --profile "$profiles/system" --switch-generation "$r_oldGeneration" >>"$work/log" 2>&1 8<&-
	[ "$(readlink "$profiles/system")" = "$r_oldLink" ] || { echo "the system profile cannot be put back"; return 1; }
	install_loader "${r_oldDefault:-$r_oldProfile}" || return 1
	boot_once
}

boot_part() {
	for part in /boot /efi /boot/efi; do
		if [ -f "$part/loader/loader.conf" ]; then echo "$part"; return; fi
	done
	return 1
}

# can_boot_once refuses where a choice for one boot would be one for ever: GRUB has to write its file while it starts.
can_boot_once() {
	boot_part >/dev/null && return
	[ -f /boot/grub/grub.cfg ] || { echo "no boot loader that can boot an entry once: systemd-boot or GRUB"; return 1; }
	where=$(findmnt -n -o FSTYPE,SOURCE -T /boot/grub)
	case $where in
	btrfs* | zfs* | bcachefs* | */dev/mapper/* | */dev/dm-* | */dev/md*)
		echo "GRUB cannot write to where it is (${where##* }), so it cannot boot an entry once"
		return 1
		;;
	esac
	command -v grub-reboot >/dev/null || { echo "grub-reboot is not there"; return 1; }
}

boot_once() {
	if part=$(boot_part); then
		for file in "$part"/loader/entries/*.conf; do
			[ "$(init_of "$file")" = "$r_new" ] || continue
			id=$(basename "$file" | sed 's/+[0-9-]*\.conf$/.conf/')
			bootctl set-oneshot "$id" >>"$work/log" 2>&1 8<&- && return
		done
	else
		entry=$(awk -v want=" init=$r_new/init " '
			function title(l) { match(l, /"[^"]*"/); return substr(l, RSTART + 1, RLENGTH - 2) }
			/^[[:space:]]*submenu / { above = title($0) ">" }
			/^[[:space:]]*menuentry / { entry = title($0) }
			index($0 " ", want) { print above entry; exit }' /boot/grub/grub.cfg)
		[ -n "$entry" ] && grub-reboot --boot-directory=/boot "$entry" >>"$work/log" 2>&1 8<&- && return
	fi
	echo "the boot loader has no entry of the new system, or cannot boot it once"
	return 1
}

forget_once() {
	if boot_part >/dev/null; then
		bootctl set-oneshot '' >>"$work/log" 2>&1 8<&-
	elif command -v grub-editenv >/dev/null && [ -f /boot/grub/grubenv ]; then
		grub-editenv /boot/grub/grubenv unset next_entry 8<&-
	fi
}

# leave_for reboots. The record has to be on the disk before.
leave_for() { # new | old
	from=$r_state
	if [ "$1" = new ]; then
		move "$from" rebooting "$r_reboot" || return
		[ "$stored" = 0 ] || { back rebooting "the record cannot be written to the disk"; return; }
	else
		take reboots $((r_reboots + 1))
		forget_once
	fi
	keep_log
	sync
	systemctl reboot 8<&-
	sleep 120 8<&-
	systemctl reboot --force 8<&-
	sleep 120 8<&-
}

rebooting() {
	if ! restarted; then
		# the reboot has not come yet
		[ "$(now)" -lt "$r_deadline" ] && [ -z "$r_wish" ] && { sleep 2 8<&-; load; return; }
		back rebooting "${r_wish:-the host did not reboot}"
		return
	fi
	if [ "$(booted)" != "$r_new" ]; then
		back rebooting "the new system did not start: the host came up with $(booted)"
		return
	fi
	while load && [ "$r_state" = rebooting ]; do
		if [ -n "$r_wish" ]; then back rebooting "$r_wish"; return; fi
		if [ "$(since_boot)" -ge "$r_confirm" ]; then back rebooting "it was not confirmed within $r_confirm s after the reboot"; return; fi
		sleep 0.5 8<&-
	done
}

# ---- the loops

act() { # RUN
	while load && [ "$r_run" = "$1" ]; do
		case $r_state in
		begun) begun ;;
		activating) activating ;;
		waiting) waiting ;;
		confirmed) confirmed ;;
		rebooting) rebooting ;;
		'rolling back') going_back ;;
		*) finish; return ;;
		esac
	done
}

finish() {
	lock
	load && ended && [ -d "$work" ] || { unlock; return; } # somebody else was faster
	rm -rf "$roots" "$dir/room"
	if store; then
		keep_log
		rm -rf "$work"
	else
		rm -f "$work/exit" "$work/guard"
	fi
	unlock
}

keep_log() { { head -c "$logged" "$work/log" >"$dir/log.new" && mv -f "$dir/log.new" "$dir/log"; } 2>/dev/null || rm -f "$dir/log.new"; }

loop() { # RUN ROLE
	load && [ "$r_run" = "$1" ] && ! ended || exit 0
	prepare || exit
	exec 8<"$dir/actor"
	if [ "$2" = second ]; then
		stand_by "$1"
	else
		flock 8
	fi
	act "$1"
}

# stand_by waits until the one who acts has ended, or takes far too long.
stand_by() { # RUN
	sleep 2 8<&- # the other one comes first
	until flock -w 2 8; do
		load && [ "$r_run" = "$1" ] && ! ended || { finish; exit 0; }
		[ "$(now)" -lt $((r_deadline + 60)) ] || systemctl kill --signal=KILL "$(unit activate)" 2>/dev/null 8<&-
	done
	load && [ "$r_run" = "$1" ] && ! ended || { finish; exit 0; }
	sleep 1 8<&- # should the machine be shutting down, we end now
}

# prepare makes what a run needs in memory, from what is on the disk if the machine was restarted.
prepare() {
	mkdir -p "$dir/actor" "$work" && chmod 755 "$dir" "$work" || return
	[ -e "$work/log" ] || cp "$dir/log" "$work/log" 2>/dev/null
	[ -e "$work/guard" ] || { cp "$dir/guard" "$work/guard.new" && mv -f "$work/guard.new" "$work/guard"; }
}

switch() { # SYSTEM ACTION
	size=$(stat -c %s "$work/log" 2>/dev/null || echo 0)
	{
		printf '%s\n' "$1/bin/switch-to-configuration $2"
		status=0
		"$1/bin/switch-to-configuration" "$2" </dev/null 2>&1 || status=$?
		echo "$status" >"$work/exit.new" && mv -f "$work/exit.new" "$work/exit"
	} | {
		head -c $((size < logged ? logged - size : 0)) >>"$work/log"
		cat >/dev/null
	}
}

# ---- what the operator's computer calls

answer() {
	load || { echo state=; return; }
	render | sed '/^wish=/d; $d'
	remaining=0
	case $r_state in
	waiting) remaining=$((r_deadline - $(now))) ;;
	rebooting) if restarted; then remaining=$((r_confirm - $(since_boot))); fi ;;
	esac
	[ "$remaining" -gt 0 ] || remaining=0
	printf 'remaining=%s\nthisBoot=%s\ncurrent=%s\nbooted=%s\n' "$remaining" "$(bootid)" "$(current)" "$(booted)"
	if ! ended && alive; then echo alive=1; else echo alive=0; fi
	echo "settling=${settling:-0}"
}

poll() { # RUN OFFSET
	answer
	if [ "$r_run" = "$1" ]; then
		for file in "$work/log" "$dir/log"; do
			[ -f "$file" ] || continue
			echo
			tail -c "+$(($2 + 1))" "$file"
			break
		done
	fi
}

refuse() { # REASON
	[ "$r_state" = committed ] || r_state=refused
	r_reason=$1
	[ "${kept:-no}" = no ] || store
	[ "${ours:-no}" = no ] || rm -rf "$roots" "$work" "$dir/room"
	render | sed '/^wish=/d; $d'
	exit 0
}

begin() { # RUN BY NEW ACTIVATION CONFIRM REBOOT REBOOT-AFTER GENERATION
	mkdir -p "$dir/actor" && chmod 755 "${dir%/*}" "$dir" && lock || { r_run=$1 r_by=$2 r_new=$3; refuse "the folder $dir cannot be made or locked"; }
	if load && { [ "$r_run" = "$1" ] || ! ended; }; then
		answer
		exit 0
	fi
	room="the record cannot be written to $dir: is there room on the disk?"
	if [ -e "$work/record" ] && ! store; then # the end of the last run is in memory alone
		record "$@"
		refuse "$room"
	fi
	record "$@"
	ours=yes
	mkdir -p "$work" && chmod 755 "$work" && rm -f "$work"/* || refuse "the folder $work cannot be made"
	printf %s "$NIXOS_STAGED_HIVE_GUARD" | put "$dir/guard" 2>/dev/null && cp "$dir/guard" "$work/guard" || refuse "$room"
	check_order
	kept=yes
	if [ "$r_new" = "$r_old" ] && [ "$(profile)" = "$r_new" ] && [ "$r_rebootAfter" = 0 ]; then
		case $r_oldDefault in "$r_new" | '')
			r_state=committed r_exit=0
			refuse 'there was nothing to do'
			;;
		esac
	fi
	rm -f "$dir/log"
	if ! store; then
		kept=no
		refuse "$room"
	fi
	# Should the disk be full when the boot loader has to be put back, there is this much.
	head -c 1048576 /dev/urandom >"$dir/room" && sync "$dir/room" || refuse "$room"
	mkdir -p "$roots" && ln -sfn "$r_new" "$roots/new" && ln -sfn "$r_old" "$roots/old" && ln -sfn "${r_oldDefault:-$r_old}" "$roots/default" ||
		refuse "the new system cannot be kept from the garbage collector"
	# Both wait for the lock that is held here, so that either can still be stopped.
	start_loop activate first || refuse "systemd does not start the activation"
	start_loop watch second || { systemctl stop "$(unit activate)"; refuse "systemd does not start the guard"; }
	answer
}

# record writes down what the host has.
record() {
	r_run=$1 r_by=$2 r_new=$3 r_activation=$4 r_confirm=$5 r_reboot=$6 r_rebootAfter=$7 r_generation=$8
	r_state=begun r_exit=-1 r_reason='' r_touched=0 r_committing=0 r_reboots=0 r_wish='' r_going=0
	r_old=$(current) r_oldLink=$(readlink "$profiles/system") r_oldProfile=$(profile) r_lastGeneration=$(last_generation)
	r_oldGeneration=$(generation "$r_oldLink") r_oldDefault=$(default_system) r_bootId=$(bootid)
	r_begun=$(date -u +%Y-%m-%dT%H:%M:%SZ) r_deadline=$(($(now) + 60))
	PATH=$r_old/sw/bin:$usual
}

check_order() {
	[ -n "$r_old" ] && [ -x "$r_old/bin/switch-to-configuration" ] || refuse "there is no current system to go back to: is this NixOS?"
	nix-store --check-validity "$r_new" 2>/dev/null || refuse "the new system is not in the host's store"
	[ -x "$r_new/bin/switch-to-configuration" ] || refuse "$r_new is no NixOS system"
	[ -n "$r_oldProfile" ] || refuse "there is no system profile to go back to"
	[ "$r_generation" = 0 ] || [ "$(readlink -e "$profiles/system-$r_generation-link")" = "$r_new" ] ||
		refuse "the generation $r_generation is not the system $r_new"
	command -v systemd-run >/dev/null || refuse "systemd-run is not there"
	mkdir -p /run/nixos
	(flock -n 7) 7>>/run/nixos/switch-to-configuration.lock || refuse "somebody else activates a system: switch-to-configuration is locked"
}

proceed() { # RUN
	lock
	if load && [ "$r_run" = "$1" ] && [ "$r_state" = begun ]; then
		r_going=1
		store
	fi
	unlock
	answer
}

confirm() { # RUN
	lock
	load && [ "$r_run" = "$1" ] || { answer; exit 0; }
	was=$r_state
	case $r_state in
	waiting) [ "$(current)" = "$r_new" ] && [ "$(now)" -lt "$r_deadline" ] && [ -z "$r_wish" ] || { answer; exit 0; } ;;
	rebooting) restarted && [ "$(booted)" = "$r_new" ] && [ "$(current)" = "$r_new" ] && [ -z "$r_wish" ] || { answer; exit 0; } ;;
	*) answer; exit 0 ;;
	esac
	prepare
	r_state=confirmed r_deadline=$(($(now) + r_activation + 180))
	if ! store; then
		r_state=$was r_wish="the confirmation cannot be written to the disk"
		store
	fi
	revive
	answer
}

back_by_order() { # RUN REASON
	lock
	load && [ "$r_run" = "$1" ] || { answer; exit 0; }
	case $r_state in
	begun | activating | waiting | rebooting)
		prepare
		r_wish=$2
		store
		;;
	esac
	revive
	answer
}

# revive starts a loop when none is there: after a reboot, or after both were killed.
revive() {
	unlock
	ended || active "$(unit watch)" || active "$(unit activate)" || start_loop watch first
}

settle() {
	[ -d "$dir/actor" ] && lock || { echo state=; exit 0; }
	if load && ! ended && ! alive; then
		prepare
		settling=1
		printf %s "$NIXOS_STAGED_HIVE_GUARD" | put "$work/guard"
		case $r_state in begun | activating | waiting | rebooting)
			[ -n "$r_wish" ] || restarted || r_wish="its guard was gone"
			if [ "$r_state" = rebooting ] && restarted && [ -z "$r_wish" ] && [ "$(booted)" = "$r_new" ]; then r_wish="it was not confirmed after the reboot"; fi
			store
			;;
		esac
		revive
	elif ended && [ -d "$work" ]; then
		finish # its end could not be written to the disk
	fi
	answer
}

# boot is called once after each start by the unit of the boot guard, if the system has one.
boot() {
	load && ! ended || exit 0
	prepare
	loop "$r_run" first
}

main() {
	verb=$1
	shift
	case $verb in
	begin | proceed | confirm | poll | settle | boot | loop) "$verb" "$@" ;;
	back) back_by_order "$@" ;;
	switch)
		load
		[ "$1" = "$r_new" ] || export NIXOS_NO_CHECK=1 # the system that is gone back to must not be refused
		switch "$@"
		;;
	*) echo "unknown: $verb" >&2; exit 64 ;;
	esac
}

main "$@"
exit
