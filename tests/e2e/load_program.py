"""Runs in a network namespace for `Load`, and writes one line of JSON per request; it needs no other module of ours."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time


def ask(address: str, port: int, timeout_seconds: float) -> tuple[str, str]:
    """One request on a new connection: the answer's body, or the problem."""
    try:
        with socket.create_connection((address, port), timeout=timeout_seconds) as connection:
            connection.sendall(f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        return "", type(error).__name__
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0] + b" ":
        return "", (head.split(b"\r\n")[0].decode(errors="replace") or "empty answer")
    return body.decode(errors="replace").strip(), ""


def main() -> None:
    """Runs in the namespace; ends at SIGTERM, after the requests under way."""
    address, port, interval_seconds, timeout_seconds, workers = sys.argv[1], *map(float, sys.argv[2:])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    lock = threading.Lock()

    def work() -> None:
        while not stop.wait(interval_seconds):
            began = time.monotonic()
            answer, problem = ask(address, int(port), timeout_seconds)
            line = json.dumps([began, time.monotonic() - began, answer, problem])
            with lock:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()

    threads = [threading.Thread(target=work) for _ in range(int(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
