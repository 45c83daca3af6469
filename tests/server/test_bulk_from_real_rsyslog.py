"""rsyslog's own Elasticsearch output, as Debian ships it, writes to a running server."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from otlp_server import serving

RSYSLOG = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MODULES = [path.parent for path in Path("/usr/lib").rglob("omelasticsearch.so")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        RSYSLOG is None or not MODULES,
        reason="needs rsyslog with omelasticsearch: apt-get install rsyslog-elasticsearch",
    ),
]

CONFIGURATION = """
module(load="imtcp")
module(load="omelasticsearch")
input(type="imtcp" port="{inlet}" address="127.0.0.1")
template(name="line" type="list" option.jsonf="on") {{
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}}
action(type="omelasticsearch" server="127.0.0.1" serverport="{outlet}" template="line" searchIndex="logs"
       bulkmode="on" maxbytes="1m" action.resumeRetryCount="-1" action.resumeInterval="1"
       uid="shipper" pwd="{key}" queue.type="LinkedList" queue.dequeueBatchSize="100" queue.minDequeueBatchSize="10")
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_every_line_arrives_once(tmp_path):
    with serving(tmp_path / "bot") as (fw, url):
        key, _ = fw.keys.create("rsyslog", ("ingest",))
        inlet = free_port()
        configuration = tmp_path / "rsyslog.conf"
        text = CONFIGURATION.format(inlet=inlet, outlet=url.rpartition(":")[2], key=key)
        configuration.write_text(text, encoding="utf-8")
        command = [str(RSYSLOG), "-n", "-f", str(configuration), "-i", str(tmp_path / "pid"), "-M", str(MODULES[0])]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                send(inlet, [f"<14>Nov 24 10:00:00 web-1 app: question number {n}" for n in range(500)])
                until = time.monotonic() + 60
                while fw.books()["stored"] < 500 and time.monotonic() < until:
                    time.sleep(0.1)
            finally:
                process.terminate()
                complaints = process.communicate(timeout=30)[1]
        rows = [row.id for row in fw._store.log.read(0)]
        found = [one.input.strip() for one in fw._store.log.interactions(rows).values()]
        assert sorted(found) == sorted(f"question number {n}" for n in range(500)), complaints
        one = fw._store.log.interactions(rows[:1])[rows[0]]
        assert one.context == {"host": "web-1", "severity": "info"}
        books = fw.books()
        assert (books["rejected"], books["dead_lettered"]) == (0, 0)


def send(port, lines):
    until = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall("".join(f"{line}\n" for line in lines).encode())
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
