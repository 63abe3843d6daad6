"""Who may see the page and what it answers, without a browser."""

import http.client
import json
import re
import threading

import pytest

from prefjax.errors import ConfigError, DiskError
from prefjax.label.server import serve


class Client:
    """Sends requests to a server as a browser on this machine would."""

    def __init__(self, address):
        self.port, self.path = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/[\w-]{20,}/)", address).groups()

    def send(self, method="GET", name="", body=None, path=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=10)
        headers = {"Content-Type": "application/json"} | {key.replace("_", "-"): v for key, v in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path or self.path + name, data, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response, json.loads(text) if response.headers.get_content_type() == "application/json" else text

    def post(self, name, body, **headers):
        response, value = self.send("POST", name, body, **headers)
        return response.status, value


@pytest.fixture
def running(sit):
    with sit() as session:
        server, address = serve(session, "<p>the guideline</p>")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield session, Client(address)
        server.shutdown()
        server.server_close()
        thread.join()


def verdict(session, **rest):
    return {"key": session.state()["item"]["key"], "value": 1, "seconds": 1, "flags": [], "comment": ""} | rest


def test_the_page_is_one_piece_that_may_load_nothing(running):
    response, text = running[1].send()
    assert response.status == 200
    policy = response.headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy and "http" not in policy
    assert text.count(f'nonce="{nonce}"') == 2
    assert re.search(r"""(src|href)=["'](?!#|data:,)""", text) is None
    assert "<p>the guideline</p>" in text and "{{" not in text
    assert nonce not in running[1].send()[1]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"


def test_what_is_put_into_the_page_is_not_looked_at_again(sit):
    from prefjax.label.server import page

    with sit("<b>{{nonce}}</b>") as session:
        text = page(session, "{{script}}", "N")
    assert "&lt;b&gt;{{nonce}}&lt;/b&gt;" in text
    assert '<div class="prose">{{script}}</div>' in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "/"},
        {"path": "/state"},
        {"path": "/" + "x" * 24 + "/state"},
        {"path": "/%C3%A9/state"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "[::1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_others_are_refused(running, wrong):
    for method, name in (("GET", ""), ("GET", "state"), ("POST", "undo"), ("POST", "stop")):
        response, value = running[1].send(method, name, {} if method == "POST" else None, **wrong)
        assert response.status == 403
        assert value.keys() == {"error"}


def test_a_forwarded_port_is_let_in(running):
    assert running[1].send(name="state", Host="localhost:9999")[0].status == 200
    own = f"127.0.0.1:{running[1].port}"
    assert running[1].send(name="state", Host=own, Origin=f"http://{own}")[0].status == 200


def test_judging_undoing_and_stopping(running):
    session, client = running
    sent = verdict(session)
    status, state = client.post("judge", sent)
    assert (status, state["judged"], state["undo"]) == (200, 1, True)
    status, value = client.post("judge", sent)
    assert status == 409 and value["state"]["item"] == state["item"]
    assert client.post("judge", verdict(session, value=7)) == (
        400,
        {"error": "value: expected a whole number from -1 to 1"},
    )
    assert client.post("undo", {})[1]["judged"] == 0
    assert client.post("undo", {})[0] == 409
    assert client.post("elsewhere", {})[0] == 404
    assert client.send(name="elsewhere")[0].status == 404
    assert client.post("stop", {}) == (200, {})


def test_what_is_no_request_of_the_page(running):
    client = running[1]
    assert client.post("judge", {}, Content_Type="text/plain")[0] == 415
    assert client.post("judge", b"x" * 200_000)[0] == 413
    for body in (b"{", b"[]", b"[" * 50_000, b"\xff"):
        assert client.post("judge", body)[0] == 400
    assert client.post("judge", {})[0] == 409


def test_a_full_disk_is_told_and_nothing_moves_on(running, monkeypatch):
    session, client = running

    def full(judgement):
        raise DiskError("labels.jsonl: No space left on device")

    monkeypatch.setattr(session.store, "add", full)
    status, value = client.post("judge", verdict(session))
    assert (status, value) == (507, {"error": "not saved: labels.jsonl: No space left on device"})
    assert session.state()["judged"] == 0


def test_what_cannot_be_taken_back_is_told(running, tmp_path):
    session, client = running
    client.post("judge", verdict(session))
    with (tmp_path / "labels.jsonl").open("a") as file:
        file.write("a line of another program\n")
    status, value = client.post("undo", {})
    assert (status, "after the last verdict" in value["error"]) == (409, True)
    assert session.state()["judged"] == 1


def test_a_port_that_is_taken_is_one_message(running, sit):
    session, client = running
    with pytest.raises(ConfigError, match=f"--port={client.port}: address already in use: leave --port out"):
        serve(session, "", int(client.port))
    with pytest.raises(ConfigError, match="--port is 70000"):
        serve(session, "", 70000)
