"""python3 for shell scripts without its start: a process that has imported everything forks for each call.

A recipe starts Python dozens of times, and each time it takes seconds of CPU to import torch. Here `python3` on the
PATH hands its words, folder, environment and open files to a process that waits beside the test, and ends with the
status that the fork of it ends with. What a signal to `python3` does to the work is not as it is in earnest.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

SERVER = "SPK_WARM_PYTHON"
PARSED = "SPK_WARM_PYTHON_PARSED"  # a status: with it, commands read their options and end
# These are quick, and what they say decides how scripts go on.
ALWAYS_RUN = ("spk.bin.check_config", "spk.bin.describe", "spk.bin.feature_config", "spk.bin.grid")
CLIENT = f"""#!{sys.executable} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(os.environ["{SERVER}"])
socket.send_fds(server, [b"x"], [0, 1, 2])
server.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(8) or 70))
"""


@contextlib.contextmanager
def warm_python(root: Path) -> Iterator[dict[str, str]]:
    """The environment in which the scripts of the repository at `root` get such a python3, and its modules."""
    folder = Path(tempfile.mkdtemp(prefix="warm."))
    client = folder / "bin" / "python3"
    client.parent.mkdir()
    client.write_text(CLIENT)
    client.chmod(0o755)
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment = {**own, "PYTHONPATH": str(root), SERVER: str(folder / "socket"), "OMP_NUM_THREADS": "1"}
    # path.sh leaves a PATH alone in which steps/ is already.
    folders = [str(client.parent), *(str(root / name) for name in ("steps", "utils", "local"))]
    environment["PATH"] = os.pathsep.join([*folders, os.environ["PATH"]])
    server = subprocess.Popen(
        [sys.executable, __file__, environment[SERVER]], env=environment, stdout=subprocess.PIPE, cwd=root
    )
    try:
        assert server.stdout.readline() == b"ready\n"
        yield environment
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        shutil.rmtree(folder)


def serve(path: str) -> None:
    """Import whatever commands may import, then fork for each that connects."""
    import spk

    for module in pkgutil.walk_packages(spk.__path__, "spk."):
        if module.name != "spk.__main__":
            importlib.import_module(module.name)
    for name in [name for name in sys.modules if name.startswith("spk.bin.")]:
        del sys.modules[name]  # runpy runs each as if it were new
    gc.collect()
    gc.freeze()  # forks then need not copy what they never change
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    print("ready", flush=True)
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        _, files, _, _ = socket.recv_fds(connection, 1, 3)
        words, folder, environment = json.loads(b"".join(iter(lambda: connection.recv(1 << 16), b"")))
        child = os.fork()
        if child == 0:
            run(words, folder, environment, files)
        for file in files:
            os.close(file)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(str(status if status >= 0 else 128 - status).encode())


def run(words: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    """In the fork: what `python3 WORDS` does; never returns."""
    status = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if PARSED in environment:
            only_parse(words, int(environment[PARSED]))
        status = status_of(words)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def status_of(words: list[str]) -> int:
    try:
        if words[0] == "-m":
            sys.path.insert(0, "")
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        elif words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            exec(words[1], {"__name__": "__main__"})
        else:
            sys.argv = words
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    return 0


def only_parse(words: list[str], status: int) -> None:
    """Options and arguments are read and checked as ever; then the command ends with `status`."""
    if words[:1] == ["-m"] and words[1] in ALWAYS_RUN:
        return
    import argparse

    from spk.jobs import job

    def ending(function):
        def wrapped(*arguments, **others):
            function(*arguments, **others)
            sys.stdout.flush()
            os._exit(status)

        return wrapped

    argparse.ArgumentParser.parse_args = ending(argparse.ArgumentParser.parse_args)
    job.parse_job = ending(job.parse_job)  # of run, slurm and gridengine


if __name__ == "__main__":
    del sys.path[0]  # this folder
    serve(sys.argv[1])
