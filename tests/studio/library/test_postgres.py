"""PostgreSQL that is away, refuses, or goes away: a sentence each time, and never the password."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from studio.config import Settings
from studio.doctor import examine
from studio.errors import EnvironmentFault, MissingPackage, StoreBusy, StoreFault
from studio.library import database as database_module
from studio.library.address import PostgresAddress
from studio.library.database import Database
from studio.library.store import Store
from studio.registry import Registry
from tests.postgres import PASSWORD, PostgresServer

QUOTED = "pa%2Fss%20w%40rd%3A%25"


def parse(url: str) -> PostgresAddress:
    return PostgresAddress.parse(url)


# -- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+pg8000"])
def test_an_address_is_read_whole_and_told_without_its_password(scheme: str) -> None:
    address = parse(f"{scheme}://ann:{QUOTED}@db.example:5433/studio%20two?sslmode=verify-full&sslrootcert=/a.pem")
    assert (address.user, address.password, address.host) == ("ann", PASSWORD, "db.example")
    assert (address.port, address.database) == (5433, "studio two")
    assert (address.tls, address.root_certificate) == ("verify-full", "/a.pem")
    assert str(address) == "postgresql://ann@db.example:5433/studio two"
    assert PASSWORD not in repr(address)


def test_what_an_address_leaves_out_is_what_postgresql_expects() -> None:
    address = parse("postgresql://ann@[::1]/x")
    assert (address.password, address.host, address.port, address.tls) == (None, "::1", 5432, "prefer")
    assert str(address) == "postgresql://ann@[::1]:5432/x"
    by_socket = parse("postgresql://ann@/x?host=/run/postgresql")
    assert by_socket.socket_path == "/run/postgresql/.s.PGSQL.5432"
    assert parse("postgresql:///x").host == "localhost"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://ann:secret@host/x", "must be a PostgreSQL address"),
        ("host/x?secret", "must be a PostgreSQL address"),
        ("sqlite:///secret", "must be a PostgreSQL address"),
        ("postgresql+psycopg://ann:secret@host/x", "must be a PostgreSQL address"),
        ("postgresql://ann:sec#ret@host/x", "must be written as"),
        ("postgresql://ann:sec/ret@host/x", "must be written as"),
        ("postgresql://ann:se[cret@host/x", "must be written as"),
        ("postgresql://ann:secret@host:99999/x", "must be written as"),
        ("postgresql://ann:secret@host", "name of the database"),
        ("postgresql://ann:secret@host/", "name of the database"),
        ("postgresql://ann:secret@host/x/y", "name of the database"),
        ("postgresql://ann:secret@host/x?options=secret", "after the question mark"),
        ("postgresql://ann:secret@host/x?sslmode=secret", "sslmode must be one of"),
        ("postgresql://ann:secret@host/x?port=secret", "port"),
    ],
)
def test_an_address_that_will_not_do_is_refused_without_repeating_it(
    url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_DATABASE_URL", url)
    with pytest.raises(EnvironmentFault, match=words) as caught:
        Settings.read()
    assert caught.value.field == "STUDIO_DATABASE_URL"
    assert "sec" not in "".join(traceback.format_exception(caught.value))


def test_an_empty_address_means_sqlite(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_DATABASE_URL", " ")
    assert Settings.read().database_url is None


def test_the_missing_driver_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "studio.library.postgres_line", raising=False)
    monkeypatch.setitem(sys.modules, "pg8000.dbapi", None)
    with pytest.raises(MissingPackage, match=r"local-video-studio\[postgres\]"):
        Database(with_url(settings, f"postgresql://ann:{QUOTED}@127.0.0.1/x"))


# -- servers ------------------------------------------------------------------------------------------------------


def with_url(settings: Settings, url: str) -> Settings:
    return Settings(home=settings.home, database_url=url)  # type: ignore[arg-type]


def refusal(settings: Settings) -> str:
    """Return what is said where the database cannot be opened, having looked for the password everywhere."""
    with pytest.raises(StoreFault) as caught:
        Database(settings)
    story = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in story
    assert QUOTED not in story
    return str(caught.value)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener.getsockname()[1]


def test_a_server_that_is_not_there_is_named(settings: Settings, deaf_port: int, tmp_path: Path) -> None:
    said = refusal(with_url(settings, f"postgresql://ann:{QUOTED}@127.0.0.1:{deaf_port}/x"))
    assert "does not answer (Connection refused)" in said
    assert f"got postgresql://ann@127.0.0.1:{deaf_port}/x" in said
    assert "does not answer" in refusal(with_url(settings, f"postgresql://ann:{QUOTED}@/x?host={tmp_path}"))
    assert "does not answer" in refusal(with_url(settings, f"postgresql://ann:{QUOTED}@nowhere.invalid/x"))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"N", b"S", b"", b"N" + bytes(64)])
def test_a_server_that_speaks_something_else_is_named(settings: Settings, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    caller.recv(1024)
                    caller.sendall(answer)

        speaker = threading.Thread(target=speak, daemon=True)
        speaker.start()
        port = listener.getsockname()[1]
        said = refusal(with_url(settings, f"postgresql://ann:{QUOTED}@127.0.0.1:{port}/x"))
        assert "the library's database" in said
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_refuses_says_why(settings: Settings, postgres: PostgresServer) -> None:
    server = f"127.0.0.1:{postgres.port}"
    assert "refuses us (password authentication failed" in refusal(
        with_url(settings, f"postgresql://studio:no{QUOTED}@{server}/postgres")
    )
    assert "refuses us" in refusal(with_url(settings, f"postgresql://studio@{server}/postgres"))
    assert "refuses us (database" in refusal(with_url(settings, f"postgresql://studio:{QUOTED}@{server}/no_such"))
    insisting = with_url(settings, f"postgresql://studio:{QUOTED}@{server}/postgres?sslmode=require")
    assert "refuses us (Server refuses SSL)" in refusal(insisting)


def test_the_socket_in_a_folder_will_do(settings: Settings, postgres: PostgresServer) -> None:
    name = postgres.create_database()
    with Database(with_url(settings, postgres.socket_url(name))) as database:
        assert database.version().startswith("PostgreSQL 1")
        assert f"{postgres.folder}/.s.PGSQL.{postgres.port}" in database.name
    postgres.drop_database(name)


@pytest.fixture
def private_server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server of its own for a test that crashes or changes it; skipped where there is none for the session."""
    server = PostgresServer()
    yield server
    server.remove()


def test_the_server_is_checked_against_its_certificate_where_that_is_asked_for(
    settings: Settings, private_server: PostgresServer, tmp_path: Path
) -> None:
    root, stranger = certify(private_server, tmp_path / "root.pem"), certify(None, tmp_path / "stranger.pem")
    private_server.execute("ALTER SYSTEM SET ssl = on")
    private_server.stop()
    private_server.start()
    url = private_server.url("postgres")
    by_name = url.replace("127.0.0.1", "localhost")
    is_encrypted = sa.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    for address in (
        f"{by_name}?sslmode=verify-full&sslrootcert={root}",
        f"{url}?sslmode=verify-ca&sslrootcert={root}",
        f"{url}?sslmode=require",
        url,
    ):
        with Database(with_url(settings, address)) as database, database.read() as session:
            assert session.scalar(is_encrypted) is True
    with Database(with_url(settings, f"{url}?sslmode=disable")) as database, database.read() as session:
        assert session.scalar(is_encrypted) is False
    assert "mismatch" in refusal(with_url(settings, f"{url}?sslmode=verify-full&sslrootcert={root}"))
    assert "verify failed" in refusal(with_url(settings, f"{by_name}?sslmode=verify-full&sslrootcert={stranger}"))
    assert "No such file" in refusal(with_url(settings, f"{url}?sslmode=verify-ca&sslrootcert={tmp_path}/no.pem"))


def certify(server: PostgresServer | None, copy: Path) -> Path:
    """Write a certificate for ``localhost`` that vouches for itself, and give a server its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    copy.write_bytes(certificate)
    if server is not None:
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        server.place("server.crt", certificate)
        server.place("server.key", secret)
    return copy


def test_a_connection_that_is_lost_is_a_sentence_and_the_next_one_works(
    postgres_settings: Settings, postgres: PostgresServer
) -> None:
    hang_up = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'local-video-studio'"
    with Store(postgres_settings) as store:
        with pytest.raises(StoreFault, match=r"lost|terminating") as caught, store.transaction() as session:
            cut(session, lambda: postgres.execute(hang_up))
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))
        store.add_job("a", {"model": "m"})
        postgres.execute(hang_up)
        assert [job.id for job in store.jobs()] == ["a"]


def test_a_server_that_crashes_and_returns_is_waited_for_by_nobody(
    settings: Settings, private_server: PostgresServer
) -> None:
    server = private_server
    with Store(with_url(settings, server.url(server.create_database()))) as store:
        store.add_job("a", {"model": "m"})
        with pytest.raises(StoreFault, match=r"lost|terminating|crash"), store.transaction() as session:
            cut(session, lambda: server.stop(signal.SIGQUIT))
        with pytest.raises(StoreFault, match="does not answer"):
            store.jobs()
        server.start()
        assert [job.id for job in store.jobs()] == ["a"]


def cut(session: object, disaster: object) -> None:
    """Use the connection, let the disaster happen, and use it again."""
    session.execute(sa.text("SELECT 1"))  # type: ignore[attr-defined]
    disaster()  # type: ignore[operator]
    session.execute(sa.text("SELECT 1"))  # type: ignore[attr-defined]


def test_a_row_that_stays_locked_is_said_to_be(postgres_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_SECONDS", 0.5)
    with Store(postgres_settings) as store, Store(postgres_settings) as other:
        store.add_job("a", {"model": "m"})
        with store.transaction() as session:
            session.execute(sa.text("UPDATE jobs SET model = 'x'"))
            with pytest.raises(StoreBusy, match=r"busy .*retry"):
                name(other, "y")
        name(other, "y")
        row = store.job("a")
        assert row is not None
        assert row.model == "y"


def name(store: Store, model: str) -> None:
    with store.transaction() as session:
        session.execute(sa.text("UPDATE jobs SET model = :model"), {"model": model})


def test_more_threads_than_the_pool_holds_are_told_so(
    postgres_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_SECONDS", 0.5)
    with Database(postgres_settings) as database:
        enough, is_over = threading.Barrier(11, timeout=30), threading.Event()

        def look() -> None:
            with database.read():
                enough.wait()
                is_over.wait(30)

        threads = [threading.Thread(target=look) for _ in range(10)]
        for thread in threads:
            thread.start()
        enough.wait()
        with pytest.raises(StoreBusy, match="too many at once"), database.read():
            pass
        is_over.set()
        for thread in threads:
            thread.join()


def test_the_password_is_nowhere_to_be_read(
    postgres_settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    with Database(postgres_settings) as database:
        database.version()
        seen = [repr(postgres_settings), str(postgres_settings.model_dump()), repr(vars(database)), database.name]
        seen += [repr(database._engine.url), repr(vars(database._engine)), caplog.text]
    assert all(PASSWORD not in text and QUOTED not in text for text in seen)


def test_doctor_names_the_database_and_says_whether_it_answers(database_settings: Settings, deaf_port: int) -> None:
    registry = Registry([], database_settings)  # type: ignore[arg-type]
    found = {check.id: check for check in examine(database_settings, registry)}["database"]
    assert found.ok
    if database_settings.database_url is None:
        assert found.detail.endswith(f"answers, {database_settings.database_path}")
        return
    assert found.detail.startswith("PostgreSQL 1")
    assert "postgresql://studio@127.0.0.1:" in found.detail
    absent = with_url(database_settings, f"postgresql://ann:{QUOTED}@127.0.0.1:{deaf_port}/x")
    found = {check.id: check for check in examine(absent, registry)}["database"]
    assert (found.ok, bool(found.fix)) == (False, True)
    assert f"does not answer (Connection refused), got postgresql://ann@127.0.0.1:{deaf_port}/x" in found.detail
