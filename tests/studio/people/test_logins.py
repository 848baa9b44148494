"""Logins: who comes in, for how long, and what ends it."""

from __future__ import annotations

import time
from statistics import median

import pytest
import sqlalchemy as sa

from studio.library.people_tables import AccountRow, VisitRow
from studio.library.store import Store
from studio.people.account import Role
from studio.people.people import LOGIN_DAYS, People
from studio.people.throttle import TooManyTries
from tests.studio.people.conftest import Clock

PASSWORD = "tulip engine waltz"


@pytest.fixture(autouse=True)
def anna(people: People) -> None:
    """Somebody with an account."""
    people.add("anna", PASSWORD, Role.CREATOR)


def login(people: People, name: str = "anna", password: str = PASSWORD) -> str:
    token = people.login(name, password)
    assert token is not None
    return token


def test_a_login_gives_a_token_that_tells_who_it_is(people: People) -> None:
    token = login(people)
    assert len(token) == 43
    assert people.visitor(token) == people.account("anna")
    assert login(people) != token


def test_the_name_is_taken_as_people_type_it(people: People) -> None:
    assert people.visitor(login(people, " Anna ")) == people.account("anna")


def test_one_password_has_one_spelling_whatever_keyboard_it_is_typed_on(people: People) -> None:
    people.add("jose", "jos\u00e9 tulip engine")
    assert login(people, "jose", "jose\u0301 tulip engine")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("anna", PASSWORD + " "),
        ("anna", PASSWORD.upper()),
        ("anna", ""),
        ("anna", "x" * 100_000),
        ("anna", "\ud800" + "x" * 12),
        ("berta", PASSWORD),
        ("", PASSWORD),
        ("an\0na", PASSWORD),
        ("anna\ud800", PASSWORD),
        ("a" * 10_000, PASSWORD),
        ("anna' OR '1'='1", PASSWORD),
    ],
)
def test_what_does_not_fit_gives_nothing(people: People, name: str, password: str) -> None:
    assert people.login(name, password) is None


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "\0", "\ud800", "*" * 100_000])
def test_a_token_that_was_never_given_is_nobodys(people: People, token: str) -> None:
    login(people)
    assert people.visitor(token) is None
    people.logout(token)


def test_the_library_keeps_no_token(people: People, store: Store) -> None:
    token = login(people)
    with store.database.read() as session:
        kept = session.scalars(sa.select(VisitRow.token_sha256)).one()
    assert len(kept) == 64
    assert token not in kept
    assert people.visitor(kept) is None


def test_a_login_ends_after_a_fortnight_however_often_it_is_used(people: People, clock: Clock, store: Store) -> None:
    token = login(people)
    for _day in range(LOGIN_DAYS - 1):
        clock.pass_by(days=1)
        assert people.visitor(token) is not None
    clock.pass_by(days=1)
    assert people.visitor(token) is None
    login(people)
    with store.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(VisitRow)) == 1


def test_a_logout_ends_one_login_alone(people: People) -> None:
    here, there = login(people), login(people)
    people.logout(here)
    assert people.visitor(here) is None
    assert people.visitor(there) is not None


def test_another_password_ends_all_logins(people: People) -> None:
    token = login(people)
    people.set_password("anna", "another tulip engine")
    assert people.visitor(token) is None
    assert people.login("anna", PASSWORD) is None
    assert people.visitor(login(people, password="another tulip engine")) is not None


def test_a_closed_account_is_out_at_once_and_looks_like_none(people: People) -> None:
    token = login(people)
    people.close("anna")
    assert people.visitor(token) is None
    assert people.login("anna", PASSWORD) is None
    assert not people.can_anybody_come_in()
    people.open("anna")
    assert people.visitor(token) is None
    assert login(people)


def test_another_role_holds_for_logins_that_there_are(people: People) -> None:
    token = login(people)
    people.set_role("anna", Role.VIEWER)
    account = people.visitor(token)
    assert account is not None
    assert account.role == Role.VIEWER


def test_a_password_that_changes_during_a_login_does_not_let_the_old_one_in(people: People, store: Store) -> None:
    kept = people._password_of("anna")
    people.set_password("anna", "another tulip engine")
    assert not store.database.retrying(lambda session: people._enter(session, "anna", kept, "token"))
    assert people.visitor("token") is None


def test_the_time_it_takes_does_not_tell_whether_there_is_such_an_account(people: People) -> None:
    def seconds(name: str, index: int) -> float:
        began = time.perf_counter()
        assert people.login(name, "a wrong password", f"10.0.0.{index}") is None
        return time.perf_counter() - began

    names = [("anna", "nobody", "no name at all")[index % 3] for index in range(15)]
    measured = [(name, seconds(name, index)) for index, name in enumerate(names)]
    medians = [median(taken for whose, taken in measured if whose == name) for name in names[:3]]
    assert min(medians) > 0.02
    assert max(medians) < 3 * min(medians)


def test_a_hash_with_other_parameters_still_counts(people: People, store: Store) -> None:
    import base64
    import hashlib

    digest = hashlib.scrypt(PASSWORD.encode(), salt=b"salt" * 4, n=16384, r=8, p=2, dklen=32)
    kept = f"scrypt$16384$8$2${base64.b64encode(b'salt' * 4).decode()}${base64.b64encode(digest).decode()}"
    with store.transaction() as session:
        session.execute(sa.update(AccountRow).values(password=kept))
    assert login(people)


# -- too many tries ---------------------------------------------------------------------------------------------------


def fail(people: People, times: int, name: str = "anna", address: str = "") -> None:
    for _ in range(times):
        assert people.login(name, "a wrong password", address) is None


def test_after_five_failures_a_name_waits_longer_and_longer_even_with_the_right_password(
    people: People, clock: Clock
) -> None:
    fail(people, 5)
    waits = []
    for _ in range(4):
        with pytest.raises(TooManyTries) as refused:
            people.login("anna", PASSWORD)
        waits.append(refused.value.retry_after)
        clock.pass_by(seconds=refused.value.retry_after)
        fail(people, 1)
    assert waits == [1, 2, 4, 8]
    clock.pass_by(seconds=60)
    assert login(people)
    fail(people, 5)


def test_an_address_waits_whatever_names_it_tries(people: People) -> None:
    for index in range(5):
        fail(people, 1, f"name{index}", "192.0.2.1")
    with pytest.raises(TooManyTries):
        people.login("anna", PASSWORD, "192.0.2.1")
    assert people.login("anna", PASSWORD, "192.0.2.2")


def test_somebody_with_an_account_cannot_win_tries_by_logging_in_between(people: People) -> None:
    for index in range(5):
        fail(people, 1, f"berta{index}", "192.0.2.1")
        assert index == 4 or people.login("anna", PASSWORD, "192.0.2.1")
    with pytest.raises(TooManyTries):
        people.login("carla", PASSWORD, "192.0.2.1")


def test_a_stranger_does_not_keep_out_who_came_in_from_here_before(people: People) -> None:
    assert people.login("anna", PASSWORD, "192.0.2.7")
    for index in range(5):
        fail(people, 1, "anna", f"198.51.100.{index}")
    with pytest.raises(TooManyTries):
        people.login("anna", PASSWORD, "198.51.100.99")
    assert people.login("anna", PASSWORD, "192.0.2.7")


def test_all_addresses_of_one_network_of_ipv6_are_one(people: People) -> None:
    for index in range(5):
        fail(people, 1, f"name{index}", f"2001:db8:1:2::{index:x}")
    with pytest.raises(TooManyTries):
        people.login("anna", PASSWORD, "2001:db8:1:2:ffff::1")
    assert people.login("anna", PASSWORD, "2001:db8:1:3::1")


def test_another_password_ends_the_wait_of_a_name(people: People) -> None:
    fail(people, 5)
    people.set_password("anna", "another tulip engine")
    assert login(people, password="another tulip engine")
