#!/usr/bin/env bash
# Usage: gridengine.sh start|stop|run COMMAND ...
# A GridEngine of one node for tests, from Debian's packages gridengine-master, -exec and -client, as root and without systemd.
#
#   start   bring it up, anew if it is up; `stop` ends its jobs and daemons and removes all that it made
#   run     a command that sees it: gridengine.sh run qsub job.sh
#
# It lives in a network namespace of its own, so that nothing else on the machine sees it and several may run at once. (Its daemons
# insist that 127.0.0.1 be named like the host, which /etc/hosts says only inside.) Environment: SPK_GRIDENGINE, its name (default
# spk-sge); one named spk-sge-PID is removed by the next start of any other once the process PID is gone.
#
# 8 slots and 2 pretended GPUs in all.q; h_rt, s_rt, h_vmem are enforced; the user `nobody` may not submit.
set -euo pipefail

name=${SPK_GRIDENGINE:-spk-sge}
folder=/var/lib/$name
export SGE_ROOT=$folder/root SGE_CELL=default
host=$(hostname)

inside() { ip netns exec "$name" env SGE_ROOT="$SGE_ROOT" SGE_CELL="$SGE_CELL" "$@"; }

exists() { ip netns list | grep -qE "^$1( |\$)"; }

remove() { # remove NAME: its processes (jobs, daemons), its namespace, its files
  local pids
  if exists "$1"; then
    for _ in {1..50}; do
      mapfile -t pids < <(ip netns pids "$1")
      if [ ${#pids[@]} -eq 0 ]; then break; fi
      # The jobs' keepers report to the daemons, which save what they know: all at once and outright, since nothing is kept.
      kill -KILL "${pids[@]}" 2>/dev/null || true
      sleep 0.1
    done
    ip netns delete "$1"
  fi
  rm -rf "/etc/netns/$1" "/var/lib/$1"
  rmdir /etc/netns 2>/dev/null || true
}

remove_abandoned() {
  local other
  for other in $(ip netns list | grep -oE '^spk-sge-[0-9]+' || true); do
    if [ "$other" != "$name" ] && ! kill -0 "${other##*-}" 2>/dev/null; then remove "$other"; fi
  done
}

make_files() {
  local common=$SGE_ROOT/$SGE_CELL/common spool=$folder/spool share=/usr/share/gridengine
  mkdir -p "$common" "$spool"/{qmaster/job_scripts,execd,database}
  ln -s "$share/util" "$SGE_ROOT/util"
  sed "s#/var/spool/gridengine/spooldb#$spool/database#; s#/var/spool/gridengine/qmaster#$spool/qmaster#" \
    "$share/default-bootstrap" >"$common/bootstrap"
  echo "$host" >"$common/act_qmaster"
  # root may run jobs; ends are noticed and told at once; what a job started dies with it.
  sed -e "s#^execd_spool_dir .*#execd_spool_dir $spool/execd#" -e 's/^\(min_[ug]id\) .*/\1 0/' \
    -e 's/^login_shells .*/login_shells none/' -e 's/^load_report_time .*/load_report_time 00:00:01/' -e 's/^xuser_lists .*/xuser_lists denied/' \
    -e 's/^execd_params .*/execd_params ENABLE_ADDGRP_KILL=true,PDC_INTERVAL=1/' \
    -e 's/flush_time=[0-9:]*/flush_time=00:00:01/' "$share/default-configuration" >"$folder/configuration"
  cp -r "$share/util/resources/usersets" "$folder/usersets"
  printf '%s\n' 'name denied' 'type ACL' 'fshare 0' 'oticket 0' 'entries nobody' >"$folder/usersets/denied"
  cp -r "$share/util/resources/centry" "$folder/complexes"
  add_complex ram_free MEMORY JOB
  add_complex gpu INT YES
  printf '%s\n' 'group_name @allhosts' "hostlist $host" >"$folder/hosts"
  printf '%s\n' "hostname $host" 'load_scaling NONE' 'complex_values ram_free=16G,gpu=2' 'user_lists NONE' \
    'xuser_lists NONE' 'projects NONE' 'xprojects NONE' 'usage_scaling NONE' 'report_variables NONE' >"$folder/host"
  printf '%s\n' 'pe_name smp' 'slots 64' 'user_lists NONE' 'xuser_lists NONE' 'start_proc_args NONE' 'stop_proc_args NONE' \
    "allocation_rule \$pe_slots" 'control_slaves FALSE' 'job_is_first_task TRUE' 'urgency_slots min' \
    'accounting_summary FALSE' 'qsort_args NONE' >"$folder/parallel"
}

add_complex() { # add_complex NAME TYPE CONSUMABLE
  printf '%s\n' "name $1" "shortcut $1" "type $2" 'relop <=' 'requestable YES' "consumable $3" 'default 0' 'urgency 0' \
    >"$folder/complexes/$1"
}

make_database() {
  local tool=/usr/lib/gridengine
  $tool/spoolinit berkeleydb libspoolb "$folder/spool/database" init
  $tool/spooldefaults usersets "$folder/usersets"
  $tool/spooldefaults configuration "$folder/configuration"
  $tool/spooldefaults complexes "$folder/complexes"
  $tool/spooldefaults managers root sgeadmin
  $tool/spooldefaults adminhosts "$host"
  chown -R sgeadmin:sgeadmin "$folder"
  chmod -R a+rX "$folder"
  install -d -m 1777 "$folder/tmp"
}

until_it() { # until_it COMMAND ...: wait for it to succeed, 20 s at most
  for _ in {1..200}; do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  "$@"
}

configure() { # configure OPTION ...: qconf, heard only when it fails
  local said
  said=$(inside qconf "$@" 2>&1) || {
    echo "gridengine.sh: error: qconf $*: $said" >&2
    exit 1
  }
}

start_daemons() {
  inside /usr/sbin/sge_qmaster
  until_it inside qconf -sh
  configure -as "$host"
  configure -Ae "$folder/host"
  configure -Ahgrp "$folder/hosts"
  configure -Ap "$folder/parallel"
  # The template that qconf gives an editor, with what matters changed.
  { EDITOR='cat' inside qconf -aq all.q 2>/dev/null || true; } | sed -n -e 's/^hostlist .*/hostlist @allhosts/' \
    -e 's/^pe_list .*/pe_list smp/' -e 's/^slots .*/slots 8/' -e 's#^shell .*#shell /bin/bash#' \
    -e 's/^load_thresholds .*/load_thresholds NONE/' -e 's/^notify .*/notify 00:00:02/' \
    -e 's/^h_vmem .*/h_vmem 16G/' -e "s#^tmpdir .*#tmpdir $folder/tmp#" -e '/^[a-z_]\+ /p' >"$folder/queue"
  configure -Aq "$folder/queue"
  inside qconf -ssconf | sed -e 's/^schedule_interval.*/schedule_interval 0:0:1/' \
    -e 's/^\(flush_submit_sec\|flush_finish_sec\) .*/\1 1/' >"$folder/scheduler"
  configure -Msconf "$folder/scheduler"
  inside /usr/sbin/sge_execd
  until_it queue_is_ready
}

queue_is_ready() { # the execution daemon has told its load: no state (au: unknown, alarm) after the architecture
  inside qstat -f -q all.q | grep -qE 'lx-[a-z0-9]+ *$'
}

case "${1:-}" in
  run)
    shift
    exec ip netns exec "$name" env SGE_ROOT="$SGE_ROOT" SGE_CELL="$SGE_CELL" "$@"
    ;;
  stop) remove "$name" ;;
  start)
    remove_abandoned
    if exists "$name"; then remove "$name"; fi
    mkdir -p "/etc/netns/$name"
    echo "127.0.0.1 $host localhost" >"/etc/netns/$name/hosts"
    ip netns add "$name"
    ip netns exec "$name" ip link set lo up
    make_files
    make_database
    start_daemons
    ;;
  *)
    sed -n '2,/^set/{/^set/!s/^# \?//p}' "$0" >&2
    exit 1
    ;;
esac
