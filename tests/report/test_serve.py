"""The live report: loopback only, other hosts refused, newer data when records change."""

import http.client
import json
import socket
import struct
import threading

import pytest
from helpers import PATIENCE
from study_records import make_cell, make_study, run_cell

from flowsolve.errors import ArgumentError
from flowsolve.report.serve import ReportServer

pytest.importorskip("plotly")


@pytest.fixture
def served(tmp_path, tiny_prior):
    folder = make_study(tmp_path / "live", tiny_prior, [make_cell()], [], [make_cell("adam")])
    with ReportServer([folder], clock=lambda: 0.0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server, folder
        server.shutdown()


def ask(server, path="/", **headers):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=PATIENCE)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def test_the_page_and_its_data_follow_the_runs(served, tiny_prior):
    server, folder = served
    assert server.server_address[0] == "127.0.0.1" and server.url.startswith("http://127.0.0.1:")
    answer, page = ask(server)
    assert answer.status == 200 and b"connect-src &#39;self&#39;" in page
    answer, data = ask(server, "/data.json")
    assert len(json.loads(data)["runs"]["id"]) == 1
    tag = answer.headers["ETag"]
    assert ask(server, "/data.json", **{"If-None-Match": tag})[0].status == 304
    run_cell(make_cell("adam"), tiny_prior, folder / "runs" / f"{make_cell('adam')['id']}.h5")
    answer, data = ask(server, "/data.json", **{"If-None-Match": tag})
    assert answer.status == 200 and len(json.loads(data)["runs"]["id"]) == 2


def test_runs_are_read_for_a_part_of_the_time_only(tmp_path, tiny_prior):
    folder = make_study(tmp_path / "live", tiny_prior, [make_cell()], [], [make_cell("adam")])
    # Reading takes 2 s each time: from 0 to 2, and again after 8 s of rest.
    now = iter([0.0, 2.0, 9.9, 10.0, 12.0])
    with ReportServer([folder], clock=lambda: next(now)) as server:
        before = server._stamp
        run_cell(make_cell("adam"), tiny_prior, folder / "runs" / f"{make_cell('adam')['id']}.h5")
        assert server.refresh()[0] == before
        stamp, data = server.refresh()
        assert stamp != before and len(data["runs"]["id"]) == 2


def test_a_browser_that_goes_away_is_no_error(served, capfd):
    server, _ = served
    for _ in range(3):
        with socket.create_connection(server.server_address[:2]) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            # Closed with data unread, the answer meets a connection that was reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert ask(server)[0].status == 200
    assert capfd.readouterr().err == ""


def test_other_hosts_and_other_files_are_refused(served):
    server, _ = served
    assert ask(server, Host="evil.example")[0].status == 403
    assert ask(server, "/../plan.json")[0].status == 404


def test_a_port_that_is_taken_is_named(served):
    server, folder = served
    with pytest.raises(ArgumentError, match="a free port"):
        ReportServer([folder], server.server_address[1])
