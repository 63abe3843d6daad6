"""The page and its four addresses, on this machine alone and for those who know the token.

The browser is told to run and load nothing but what the page itself holds. A page of another site can neither read nor
send anything here: it does not know the token, and its requests carry another Host or Origin.
"""

import html
import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from prefjax.errors import ConfigError, DataError, DiskError
from prefjax.label.judgements import FLAGS
from prefjax.label.session import Session, Taken

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")  # in Host; another one is a site whose name was made to point here
_LARGEST = 2**17  # bytes of a request
_TIMEOUT = 30.0  # seconds a connection may be silent


def serve(session: Session, guideline: str, port: int = 0) -> tuple[ThreadingHTTPServer, str]:
    """A server that listens, and the address of its page; `serve_forever` runs it until the page says stop.

    Args:
      session: what the page works on.
      guideline: its HTML.
      port: 0 takes one that is free.

    Raises:
      ConfigError: the port is taken, or none that one may listen on.
    """
    token = secrets.token_urlsafe(18)
    if not 0 <= port < 65536:
        raise ConfigError(f"--port is {port}; it should be from 1 to 65535, or 0 for one that is free")
    known = type("Known", (Handler,), {"session": session, "token": token, "guideline": guideline})
    try:
        server = ThreadingHTTPServer((HOST, port), known)
    except OSError as error:
        hint = "leave --port out to take one that is free"
        raise ConfigError(f"--port={port}: {(error.strerror or str(error)).lower()}: {hint}") from None
    server.daemon_threads = True
    return server, f"http://{HOST}:{server.server_address[1]}/{token}/"


def page(session: Session, guideline: str, nonce: str) -> str:
    """The page, in one piece."""
    part = lambda name: files("prefjax.label").joinpath(name).read_text("utf-8")
    flags = "".join(
        f'<label><input type="checkbox" name="flag" value="{flag}" data-key="{letter.lower()}">'
        f"<span>{flag} <kbd>{letter}</kbd></span></label>"
        for flag, letter in FLAGS.items()
    )
    values = {
        "style": part("page.css"),
        "script": part("page.js"),
        "nonce": nonce,
        "annotator": html.escape(session.annotator),
        "scale": session.scale,
        "guideline": guideline,
        "flags": flags,
    }
    before, *rest = part("page.html").split("{{")
    pieces = (piece.split("}}", 1) for piece in rest)  # in one pass: what is put in is not looked at again
    return before + "".join(values[name] + after for name, after in pieces)


class Handler(BaseHTTPRequestHandler):
    """Answers a request; `serve` binds it to what the page shows."""

    session: Session
    token: str
    guideline: str  # HTML
    timeout = _TIMEOUT
    server_version, sys_version = "prefjax", ""

    def do_GET(self) -> None:
        if (path := self.allowed()) == "":
            nonce = secrets.token_urlsafe(18)
            self.answer(200, page(self.session, self.guideline, nonce), "text/html", nonce)
        elif path == "state":
            self.answer(200, self.session.state())
        elif path is not None:
            self.answer(404, {"error": "no such page"})

    def do_POST(self) -> None:
        path = self.allowed()
        if path is None or (sent := self.sent()) is None:
            return
        if path == "stop":
            self.answer(200, {})
            self.server.shutdown()
        elif path not in ("judge", "undo"):
            self.answer(404, {"error": "no such page"})
        else:
            try:
                self.session.judge(str(sent.get("key")), sent) if path == "judge" else self.session.undo()
                self.answer(200, self.session.state())
            except Taken as taken:
                self.answer(409, {"error": str(taken), "state": self.session.state()})
            except ValueError as error:
                self.answer(400, {"error": str(error)})
            except DataError as error:
                self.answer(409, {"error": str(error)})
            except DiskError as error:
                self.answer(507, {"error": f"not saved: {error}"})

    def allowed(self) -> str | None:
        """What is asked for; None where it was refused."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        if host.rpartition(":")[0] not in _NAMES and host not in _NAMES:
            return self.answer(403, {"error": f"this page answers to {' and '.join(_NAMES)} alone"})
        if origin is not None and origin != f"http://{host}":
            return self.answer(403, {"error": "another site asks"})
        given, _, path = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return self.answer(403, {"error": "open the address that prefjax label printed"})
        return path

    def sent(self) -> dict[str, Any] | None:
        """The object that was sent; None where it was refused."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json":
            return self.answer(415, {"error": "expected application/json"})
        if not length.isdecimal() or int(length) > _LARGEST:
            return self.answer(413, {"error": f"expected at most {_LARGEST} bytes"})
        try:
            value = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            return self.answer(400, {"error": "expected a JSON object"})
        return value

    def answer(self, code: int, value: Any, kind: str = "application/json", nonce: str = "") -> None:
        data = (value if isinstance(value, str) else json.dumps(value)).encode()
        inlined = f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        allowed = f"{inlined}connect-src 'self'; img-src data:; " if nonce else ""
        policy = f"default-src 'none'; {allowed}base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        self.send_response(code)
        for name, text in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(data)),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps quiet: the address holds the token."""
