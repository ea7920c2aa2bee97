# shellcheck shell=bash
# Sourced by every recipe and script: the Python to use, PATH (steps, utils, local), LC_ALL=C; nothing else.
SPK_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SPK_ROOT
case ":$PATH:" in
  *":$SPK_ROOT/steps:"*) ;;
  *)
    PATH=$SPK_ROOT/steps:$SPK_ROOT/utils:$SPK_ROOT/local:$PATH
    # Without .venv, the python3 on PATH serves when it can import what is needed (./run.sh makes .venv).
    if [ -x "$SPK_ROOT/.venv/bin/python3" ]; then PATH=$SPK_ROOT/.venv/bin:$PATH; fi
    ;;
esac
export PATH
case ":${PYTHONPATH:-}:" in
  *":$SPK_ROOT:"*) ;;
  *) export PYTHONPATH=$SPK_ROOT${PYTHONPATH:+:$PYTHONPATH} ;;
esac
export LC_ALL=C PYTHONUNBUFFERED=1
