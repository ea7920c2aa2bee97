#!/usr/bin/env bash
# Usage: slurm_cluster.sh start DIR [PID] | stop DIR | stop-controller DIR | start-controller DIR
# A Slurm cluster of its own on this machine, as root and on loopback alone: all its files are in DIR, its ports are free ones,
# its munge is a second one. Two machines, n1 and n2, of 8 pretended cores, 16 GB and 2 pretended GPUs each. Its users set
# SLURM_CONF=DIR/slurm.conf. When process PID ends, however it ends, it is stopped and DIR removed. Memory is watched every
# second.
# Packages (Debian): slurmctld slurmd slurm-client munge
set -euo pipefail
umask 022

# Is $1 one of our daemons? Its command line holds DIR (a number may have gone to another process; a dead one has none).
is_ours() { grep -qF "$dir" "/proc/$1/cmdline" 2>/dev/null; }

stop() {
  local name pid
  for name in "$@"; do
    pid=$(cat "$dir/$name.pid" 2>/dev/null) || continue
    if is_ours "$pid"; then kill "$pid"; fi
    for _ in $(seq 100); do
      is_ours "$pid" || break
      sleep 0.1
    done
    if is_ours "$pid"; then kill -9 "$pid"; fi
    rm -f "$dir/$name.pid"
  done
}

free_ports() {
  python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))'
}

write_configuration() {
  local host
  host=$(hostname -s)
  read -r controller_port n1_port n2_port < <(free_ports)
  mkdir -p "$dir/state" "$dir/spool.n1" "$dir/spool.n2" "$dir/munge"
  cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,NoShared
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MaxArraySize=1001
MinJobAge=60
KillWait=2
OverTimeLimit=0
MessageTimeout=5
DefMemPerCPU=256
GresTypes=gpu
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$n1_port CPUs=8 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$n2_port CPUs=8 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=closed Nodes=n1 AllowGroups=daemon MaxTime=INFINITE State=UP
PartitionName=second Nodes=n2 MaxTime=INFINITE State=UP
CONF
  # Slurm 22.05 has no plugin 'disabled': one is named, and asked for nothing.
  printf '%s\n' CgroupPlugin=cgroup/v1 ConstrainCores=no ConstrainRAMSpace=no ConstrainDevices=no >"$dir/cgroup.conf"
  for gpu in 0 1; do
    [ -e "$dir/gpu$gpu" ] || mknod "$dir/gpu$gpu" c 1 3
  done
  echo "NodeName=n[1-2] Name=gpu File=$dir/gpu[0-1]" >"$dir/gres.conf"
  head -c 1024 /dev/urandom >"$dir/munge/key"
  chmod 600 "$dir/munge/key"
}

start() {
  stop "${daemons[@]}"
  write_configuration
  export SLURM_CONF=$dir/slurm.conf
  munged --force --socket="$dir/munge/socket" --key-file="$dir/munge/key" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 2>"$dir/munged.out"
  slurmctld -f "$SLURM_CONF" -c >"$dir/slurmctld.out" 2>&1
  for node in n1 n2; do
    slurmd -f "$SLURM_CONF" -c -N "$node" >"$dir/slurmd.$node.out" 2>&1
  done
  for _ in $(seq 150); do
    if [ "$(sinfo --noheader --Node --partition=main --format=%T 2>/dev/null | grep -c idle)" = 2 ]; then return; fi
    sleep 0.2
  done
  echo "slurm_cluster.sh: its machines did not become idle; see the logs in $dir" >&2
  sinfo --Node --long >&2 || true
  exit 1
}

if [ $# -lt 2 ]; then
  sed -n '2,7s/^# //p' "$0"
  exit 1
fi
action=$1
daemons=(slurmd.n1 slurmd.n2 slurmctld munged)
if [ "$action" = start ]; then mkdir -p "$2"; fi
if [ ! -d "$2" ]; then exit 0; fi
dir=$(cd "$2" && pwd)
case $action in
  start)
    start
    if [ -n "${3:-}" ]; then
      # In a session of its own, with nobody's output open.
      # shellcheck disable=SC2016 # for the inner bash
      setsid bash -c 'tail --pid="$1" -f /dev/null; "$2" stop "$3"; rm -rf "$3"' bash "$3" "$(realpath "$0")" "$dir" \
        </dev/null >/dev/null 2>&1 &
    fi
    ;;
  stop) stop "${daemons[@]}" ;;
  stop-controller) stop slurmctld ;;
  start-controller) slurmctld -f "$dir/slurm.conf" >"$dir/slurmctld.out" 2>&1 ;;
  *)
    echo "slurm_cluster.sh: '$action' is neither start nor stop, stop-controller, start-controller" >&2
    exit 1
    ;;
esac
