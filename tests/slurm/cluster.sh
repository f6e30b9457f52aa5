#!/usr/bin/env bash
# A Slurm cluster of this machine alone, on loopback, for tests: `cluster.sh start FOLDER` prints the
# SLURM_CONF to set, `cluster.sh stop FOLDER` ends it. FOLDER has a short path (a socket's has 108
# characters at most). Debian: apt-get install slurmctld slurmd slurm-client munge.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
folder=$2
export SLURM_CONF=$folder/slurm.conf

stop() {
  for name in slurmd slurmctld munged; do
    if [ -s "$folder/$name.pid" ]; then
      kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
    fi
  done
}

start() {
  mkdir -p "$folder/state" "$folder/spool"
  head -c 128 /dev/urandom >"$folder/munge.key"
  chmod 400 "$folder/munge.key"
  # --force: of folders that others may read it only warns.
  munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" \
    --seed-file="$folder/munged.seed" 2>"$folder/munged.start"
  cpus=$(nproc)
  cat >"$SLURM_CONF" <<END
ClusterName=local
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$3
SlurmdPort=$4
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES State=UP
END
  slurmctld
  slurmd -N localhost
  for _ in $(seq 60); do
    if [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then
      echo "$SLURM_CONF"
      return
    fi
    sleep 0.5
  done
  echo "the node of $SLURM_CONF does not become idle; see *.log and munged.start beside it" >&2
  stop
  exit 1
}

case $1 in
  start) start "$@" ;;
  stop) stop ;;
esac
