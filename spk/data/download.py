"""Download one file: resumed after a drop and in the next call, checked, and under its name only when it is whole."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from spk.data.archives import shown_size
from spk.data.checksums import md5_sums
from spk.data.files import write_json
from spk.errors import InputError

log = logging.getLogger(__name__)
BLOCK = 1 << 18
TIMEOUT = 60.0  # seconds without a byte
WAITS = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)  # seconds before each new try; as many in a row as bring no byte
AGAIN = {408, 425, 429, 500, 502, 503, 504}  # what a server may answer otherwise a little later
Progress = Callable[[int], object]


class Dropped(Exception):
    """The connection ended before the file did; the rest may come another time."""


class ChangedOnServer(Exception):
    """What the server offers is not the file that the partial one began."""


@dataclass
class Partial:
    """What has come of a file so far, `<name>.partial`, and beside it what the server said of it."""

    path: Path  # of the whole file, which is not there yet

    @property
    def content(self) -> Path:
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def origin(self) -> Path:
        return self.path.with_name(f"{self.path.name}.partial.json")

    def size(self) -> int:
        return self.content.stat().st_size if self.content.exists() else 0

    def validator(self, url: str) -> str:
        """What If-Range needs to tell the same file from another: a strong ETag, or a date; '' when there is none."""
        try:
            said = json.loads(self.origin.read_text(encoding="utf-8"))
            return said["validator"] if said["url"] == url else ""
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, url: str, headers: Mapping[str, str]) -> None:
        self.remove()
        etag = headers.get("ETag") or ""
        strong = "" if etag.startswith("W/") else etag
        write_json(self.origin, {"url": url, "validator": strong or headers.get("Last-Modified") or ""})

    def remove(self) -> None:
        self.content.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)

    def finish(self) -> None:
        with self.content.open("rb") as file:
            os.fsync(file.fileno())
        self.content.replace(self.path)
        self.origin.unlink(missing_ok=True)


def download(
    url: str,
    path: Path,
    md5: str = "",
    fault: Callable[[Path], str] = lambda path: "",
    progress: Callable[[int], contextlib.AbstractContextManager[Progress]] | None = None,
    waits: Sequence[float] = WAITS,
) -> None:
    """Download `url` to `path`. What a failed or killed call has got stays in `path`.partial for the next one.

    `fault(file)` says what is wrong with the content of a whole file, '' when nothing is.
    `progress(size in bytes)` gives a context whose value is told how many bytes are there. After a drop it is tried
    again, after each of `waits` seconds; a try that brought bytes begins the count anew.

    Raises: InputError, of one line that names the URL, when the server has no such file, cannot be reached, or keeps
    failing, when the disk is too small, and when the content has not the MD5 or has a fault (it is removed then).
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url}: is no address that begins with http:// or https://")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Partial(path)
    in_pieces = fetch(url, partial, bool(md5), progress, waits)
    if md5 and in_pieces and md5_sums([partial.content])[0] != md5:
        log.info("%s: the pieces that came are not of one file; begun anew", url)
        partial.remove()
        fetch(url, partial, bool(md5), progress, waits)
    found = md5_sums([partial.content])[0] if md5 else ""
    wrong = f"has the MD5 {found}, but the list of checksums says {md5}" if found != md5 else fault(partial.content)
    if wrong:
        partial.remove()
        raise InputError(f"{url}: {wrong}; nothing is kept of it; try another server with --mirror")
    partial.finish()


def fetch(
    url: str,
    partial: Partial,
    has_md5: bool,
    progress: Callable[[int], contextlib.AbstractContextManager[Progress]] | None,
    waits: Sequence[float],
) -> bool:
    """Bring the partial file to its whole length, over as many connections as that takes: was it more than one?"""
    failures, came, in_pieces = 0, False, partial.size() > 0
    while True:
        before = partial.size()
        try:
            fetch_once(url, partial, has_md5, progress)
            return in_pieces
        except ChangedOnServer as error:
            log.info("%s: %s; begun anew", url, error)
            partial.remove()
            reason = str(error)
        except Dropped as error:
            reason = str(error)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in AGAIN:
                raise InputError(
                    f"{url}: the server answers {error.code} {error.reason}; {other_ways(partial)}"
                ) from error
            reason = f"the server answers {error.code} {error.reason}"
        except (http.client.InvalidURL, UnicodeError) as error:
            raise InputError(f"{url}: is no address ({error})") from error
        except urllib.error.URLError as error:  # before any answer
            reason = str(error.reason)
            may_pass = came or isinstance(error.reason, (ConnectionResetError, ssl.SSLError))
            if not may_pass or isinstance(error.reason, ssl.SSLCertVerificationError):
                raise InputError(f"{url}: cannot be reached ({reason}); {other_ways(partial)}") from error
        except (http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # of the disk
            reason = str(error) or type(error).__name__
        if partial.size() > before:
            failures, came = 0, True
        in_pieces = partial.size() > 0
        if failures == len(waits):
            got = f", {shown_size(partial.size())} are kept in {partial.content}" if partial.size() else ""
            raise InputError(
                f"{url}: {reason}, {failures + 1} times in a row{got}; run the same command again to go on, or "
                f"{other_ways(partial)}"
            )
        log.info("%s: %s; tried again in %g s", url, reason, waits[failures])
        time.sleep(waits[failures])
        failures += 1


def other_ways(partial: Partial) -> str:
    return (
        f"name another server with --mirror, or download {partial.path.name} by other means, put it into "
        f"{partial.path.parent} and run the same command again"
    )


def fetch_once(
    url: str,
    partial: Partial,
    has_md5: bool,
    progress: Callable[[int], contextlib.AbstractContextManager[Progress]] | None,
) -> None:
    """One connection. Raises: Dropped when it ends early; ChangedOnServer when the partial file is of no use."""
    there, validator = partial.size(), partial.validator(url)
    if not (validator or has_md5):
        there = 0  # nothing would tell that the rest belongs to another file
    headers = {"Accept-Encoding": "identity", "User-Agent": "spk"}
    if there:
        headers |= {"Range": f"bytes={there}-"} | ({"If-Range": validator} if validator else {})
    try:
        request = urllib.request.Request(url, headers=headers)
    except ValueError as error:
        raise InputError(f"{url}: is no address ({error})") from error
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not there:
            raise
        # Nothing lies behind the last byte that is here: it is all, or the file on the server is shorter.
        error.close()
        if total_size(error.headers) == there:
            return
        raise ChangedOnServer("the file on the server has another length than before") from error
    with response:
        if response.status == 206:
            if first_byte(response.headers) != there:
                raise ChangedOnServer("the server sends another part than it was asked for")
            total = total_size(response.headers)
        else:
            there = 0
            partial.begin(url, response.headers)
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
        if total is not None:
            check_room(partial, total - there)
        with progress(total or 0) if progress else contextlib.nullcontext(lambda count: None) as tell:
            tell(there)
            with partial.content.open("ab" if there else "wb") as file:
                copy(response, file, partial.content, tell)
    if total is not None and partial.size() < total:
        raise Dropped(f"the connection ended after {partial.size()} of {total} bytes")
    if total is not None and partial.size() > total:
        raise ChangedOnServer(f"{partial.size()} bytes have come, but the file has {total}")


def copy(response: http.client.HTTPResponse, file: IO[bytes], path: Path, tell: Progress) -> None:
    while True:
        try:
            block = response.read1(BLOCK)  # read() would lose the beginning of a chunk that is cut off
        except http.client.IncompleteRead as error:
            raise Dropped("the connection ended within a chunk") from error
        if not block:
            return
        try:
            file.write(block)
        except OSError as error:
            error.filename = os.fspath(path)
            raise
        tell(len(block))


def first_byte(headers: Mapping[str, str]) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range") or "")
    return int(match[1]) if match else None


def total_size(headers: Mapping[str, str]) -> int | None:
    """Of the whole file, as Content-Range says it: 'bytes 100-199/200', 'bytes */200'."""
    match = re.search(r"/(\d+)$", headers.get("Content-Range") or "")
    return int(match[1]) if match else None


def check_room(partial: Partial, num_bytes: int) -> None:
    free = shutil.disk_usage(partial.path.parent).free
    if num_bytes > free:
        raise InputError(
            f"{partial.path}: takes {shown_size(num_bytes)} more, but {shown_size(free)} are free; free some space, "
            "or choose another disk"
        )
