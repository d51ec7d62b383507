"""Steps environments of Gymnasium for Agon, which started this process.

Standard input is a socket. A message is a length (four bytes, little-endian), a kind (one byte) and that many bytes of
payload, mostly JSON; each request has one reply, of kind OK or FAILED. What is exchanged at every step lies in a file that
both sides know: actions and who acts go one way, rewards, flags and observations the other. The end of the socket is the end
of the process.
"""

import faulthandler
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback

from agon_worker import Unfit

# Kinds of requests and replies.
MAKE, MAP, STEP, RESET, RESET_SOME, RENDER = b"m", b"a", b"s", b"r", b"t", b"p"
OK, FAILED = b"k", b"x"


def main():
    # Ctrl-C, or an end asked of the whole process group, is for the program that started this one; it stops at a checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)  # Programs that an environment starts do end then.
    faulthandler.enable()
    stream = socket.socket(fileno=os.dup(0))
    # Programs that an environment starts must not hold the socket open.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    worker = Worker()
    while True:
        header = receive(stream, 5)
        if header is None:
            break
        payload = receive(stream, int.from_bytes(header[:4], "little"))
        if payload is None:
            break
        try:
            kind, reply = OK, worker.answer(header[4:], payload)
        except (Exception, SystemExit) as error:
            kind, reply = FAILED, json.dumps(describe(error, worker.row())).encode()
        try:
            stream.sendall(len(reply).to_bytes(4, "little") + kind + reply)
        except OSError:
            break
    worker.close()


def receive(stream, count):
    """The next `count` bytes; None at the end."""
    data = b""
    while len(data) < count:
        try:
            more = stream.recv(count - len(data))
        except OSError:
            return None
        if not more:
            return None
        data += more
    return data


def end_with(parent):
    """Ends this process soon after its parent, also while an environment is being stepped."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def describe(error, row):
    """An exception as the other side wants it."""
    message, trace = str(error), ""
    if not isinstance(error, Unfit):
        message = f"{type(error).__name__}: {error}"
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename.startswith("<agon_worker"):
            frames = frames.tb_next
        trace = "".join(traceback.format_exception(type(error), error, frames)) if frames else ""
    return {"row": row, "message": message, "traceback": trace}


class Worker:
    """Answers requests."""

    def __init__(self):
        self.environments = None

    def row(self):
        """The row of the environment that was being asked something; None if it is about all."""
        return None if self.environments is None else self.environments.asked

    def answer(self, kind, payload):
        if kind == MAKE:
            self.environments = new_environments()
            return json.dumps(self.environments.make(**json.loads(payload))).encode()
        environments = self.environments
        environments.asked = None
        if kind == STEP:
            environments.step()
        elif kind == RESET_SOME:
            environments.reset_some()
        elif kind == RESET:
            environments.reset(json.loads(payload))
        elif kind == RENDER:
            return environments.render(json.loads(payload)["env"])
        elif kind == MAP:
            environments.map(**json.loads(payload))
        else:
            raise Unfit(f"expected a known request, got {kind!r}")
        return b""

    def close(self):
        if self.environments is not None:
            self.environments.close()


def new_environments():
    try:
        import gymnasium  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "gymnasium":
            raise
        python = f"{sys.executable} (Python {sys.version.split()[0]})"
        hint = "install it there, or name another interpreter (env.python, AGON_PYTHON)"
        raise Unfit(f"{python} has no gymnasium: {hint}") from None
    from agon_worker.environments import Environments

    return Environments()
