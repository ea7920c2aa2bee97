"""A server of files on this machine that has the faults which servers and lines have."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file; `etag` and `modified` are sent when they are not empty."""

    content: bytes
    etag: str = '"1"'
    modified: str = ""


@dataclass
class FileServer:
    """`faults` are used up, one a request: a status to answer, or one of

    ("drop", n)     the connection ends after n bytes of what was asked for
    ("whole", 0)    the header Range is not heeded
    ("shift", n)    another part is sent than was asked for, n bytes on
    ("claim", n)    Content-Length says n bytes more than there are
    ("chunks", n)   no Content-Length; the connection ends after n bytes, or well when n is -1
    """

    address: str
    files: dict[str, Served] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    faults: list[int | tuple[str, int]] = field(default_factory=list)
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)  # path, Range, If-Range
    pause: float = 0.0  # seconds after each kilobyte

    def ranges(self) -> list[str | None]:
        return [asked for _, asked, _ in self.requests]


@contextmanager
def file_server() -> Iterator[FileServer]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.state = FileServer(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield http.state
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        state: FileServer = self.server.state
        asked = self.headers["Range"]
        state.requests.append((self.path, asked, self.headers["If-Range"]))
        fault = state.faults.pop(0) if state.faults else ("", 0)
        if self.path in state.moved:
            self.send_response(302)
            self.send_header("Location", state.moved[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if isinstance(fault, int) or self.path not in state.files:
            self.send_error(fault if isinstance(fault, int) else 404)
            return
        with suppress(ConnectionError):  # the client may have gone
            self.send_file(state.files[self.path], asked, *fault)

    def send_file(self, file: Served, asked: str | None, fault: str, number: int) -> None:
        total = len(file.content)
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        same = self.headers["If-Range"] in (None, file.etag, file.modified)
        partly = asked is not None and same and fault != "whole"
        if partly and begin >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = begin + number * (fault == "shift") if partly else 0
        body = file.content[begin:]
        self.send_response(206 if partly else 200)
        for name, value in (("ETag", file.etag), ("Last-Modified", file.modified)):
            if value:
                self.send_header(name, value)
        if partly:
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        if fault == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(body):x}\r\n".encode() + (body if number < 0 else body[:number]))
            if number < 0:
                self.wfile.write(b"\r\n0\r\n\r\n")
            self.close_connection = number >= 0
            return
        self.send_header("Content-Length", str(len(body) + number * (fault == "claim")))
        self.end_headers()
        if fault == "drop":
            body = body[:number]
        for place in range(0, len(body), 1024):
            self.wfile.write(body[place : place + 1024])
            time.sleep(self.server.state.pause)
        self.close_connection = fault in ("drop", "claim")

    def log_message(self, *_: object) -> None:
        """Nothing: the requests are in `FileServer.requests`."""
