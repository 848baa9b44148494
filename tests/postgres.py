"""A real PostgreSQL for the tests: started once per session from the machine's own binaries, one database per test.

The fixture to use is ``database_settings``: `Settings` over an empty home, once for SQLite and once for PostgreSQL,
with STUDIO_HOME and STUDIO_DATABASE_URL set for the processes that a test starts. To run the other fixtures of the
suite (``studio``) on both databases, a module says::

    @pytest.fixture
    def settings(database_settings: Settings) -> Settings:
        return database_settings

``postgres_settings`` is the PostgreSQL half alone; ``postgres`` is the server itself. Without PostgreSQL's programs
these tests are skipped with a reason, and fail where CI=true.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from studio.config import Settings

PASSWORD = "pa/ss w@rd:%"
START_SECONDS = 60
# Nothing here has to survive a power cut, and a session of tests is faster without waiting for the disk.
OPTIONS = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=64MB")


class NoPostgres(Exception):
    """This machine has no PostgreSQL that could be started."""


class PostgresServer:
    """A server of its own in a temporary folder, on a loopback port and a socket. user: ``studio``, with a password."""

    def __init__(self) -> None:
        self._programs = find_programs()
        self._account = _account()
        self.folder = Path(tempfile.mkdtemp(prefix="studio-pg-"))
        if self._account is not None:
            shutil.chown(self.folder, self._account)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._initialize()
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers; a port that somebody else took meanwhile is given up."""
        for _ in range(3):
            self.port = self.port or _free_port()
            self._process = self._spawn()
            if self._answers():
                return
            self.port = 0
        raise NoPostgres(f"PostgreSQL does not start: {self.log()}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT rolls back what is open, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None

    def remove(self) -> None:
        """End the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """Return the end of what the server wrote."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def place(self, name: str, content: bytes) -> None:
        """Write a file into the server's data folder, to be read by it alone."""
        path = self.folder / "data" / name
        path.write_bytes(content)
        path.chmod(0o600)
        if self._account is not None:
            shutil.chown(path, self._account)

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"studio_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return name

    def drop_database(self, name: str) -> None:
        """Delete a database, whoever is still connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        """Return the address of a database, as a user would write it."""
        from urllib.parse import quote

        return f"postgresql://studio:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{name}"

    def socket_url(self, name: str) -> str:
        """Return the address of a database by way of the socket in the server's folder."""
        from urllib.parse import quote

        return f"postgresql://studio:{quote(PASSWORD, safe='')}@/{name}?host={self.folder}&port={self.port}"

    def execute(self, statement: str, database: str = "postgres") -> list[list[object]]:
        """Run one statement outside of any transaction and return its rows."""
        import pg8000.native

        address = {"host": "127.0.0.1", "port": self.port, "database": database}
        with closing(pg8000.native.Connection("studio", password=PASSWORD, **address)) as connection:
            return list(connection.run(statement) or [])

    def _initialize(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        command = [self._programs / "initdb", "-D", self.folder / "data", "-U", "studio", "--pwfile", secret,
                   "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]  # fmt: skip
        told = subprocess.run(command, user=self._account, group=_group(self._account), extra_groups=_no_groups(
            self._account), cwd=self.folder, capture_output=True, text=True)  # fmt: skip
        if told.returncode != 0:
            raise NoPostgres(f"initdb: {told.stderr[-2000:]}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = [f"-c{option}" for option in (*OPTIONS, "listen_addresses=127.0.0.1")]
        command = [self._programs / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder]
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen([*command, *options], user=self._account, group=_group(self._account),
                                    extra_groups=_no_groups(self._account), cwd=self.folder, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, preexec_fn=_end_with_parent)  # fmt: skip

    def _answers(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                self.execute("SELECT 1")
            except Exception:
                time.sleep(0.05)
            else:
                return True
        return False


def find_programs() -> Path:
    """Return the folder of initdb and postgres, the newest version's, or raise `NoPostgres`."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0)
    )
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    for folder in (*reversed(installed), *on_path):
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise NoPostgres("PostgreSQL's programs initdb and postgres are not on this machine; install postgresql")


def _account() -> str | None:
    """PostgreSQL refuses to run as root; None where this user is somebody else."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in ("postgres", "nobody") if name in names), None)
    if found is None:
        raise NoPostgres("there is no user but root to run PostgreSQL as")
    return found


def _group(account: str | None) -> int | None:
    return None if account is None else pwd.getpwnam(account).pw_gid


def _no_groups(account: str | None) -> list[int] | None:
    return None if account is None else []


def _end_with_parent() -> None:
    # A session of tests that is killed cannot clean up; Linux can tell the server to shut down then.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL server."""
    try:
        server = PostgresServer()
    except NoPostgres as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI runs these tests on PostgreSQL too: {error}")
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")
    yield server
    server.remove()


@pytest.fixture
def postgres_settings(postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings over a home folder that is not there yet and an empty database in PostgreSQL."""
    name = postgres.create_database()
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STUDIO_DATABASE_URL", postgres.url(name))
    yield Settings()
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings over a home folder that is not there yet and an empty database: SQLite, then PostgreSQL."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_settings")
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STUDIO_DATABASE_URL", raising=False)
    return Settings()
