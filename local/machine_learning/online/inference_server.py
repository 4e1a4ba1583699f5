"""Runs azureml-inference-server-http on a socket it is given, and ends with whoever started it.

The ML environment's Python runs this file as a script; it is imported by nobody. The package's own command binds
0.0.0.0, whatever it is told. Its web server takes a socket that is open already, though, in the way systemd hands one
over: as descriptor 3. The one it gets, by its number as the first argument, listens on loopback only.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading

FIRST_DESCRIPTOR = 3  # where systemd's protocol begins


def main() -> None:
    given = int(sys.argv.pop(1))
    if given == FIRST_DESCRIPTOR:
        os.set_inheritable(given, True)
    else:
        os.dup2(given, FIRST_DESCRIPTOR)
        os.close(given)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    # The web server's control socket would lie in the home folder, one for all servers of this machine.
    os.environ["GUNICORN_CMD_ARGS"] = "--no-control-socket"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module("azureml_inference_server_http.amlserver").run()


def _end_with_parent() -> None:
    """Standard input is a pipe that closes when the local cloud ends, however it ends."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
