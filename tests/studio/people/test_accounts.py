"""Accounts: who there is, and that somebody can always look after them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from studio.errors import StudioError, UnsupportedValue
from studio.library.people_tables import AccountRow, OwnerRow, PresetRow, VisitRow
from studio.library.store import Store
from studio.people.account import Role, UnknownAccount
from studio.people.people import People

PASSWORD = "tulip engine waltz"


def test_an_account_is_added_and_listed_by_name(people: People) -> None:
    people.add("berta", PASSWORD, Role.VIEWER)
    people.add("anna", PASSWORD, Role.ADMIN)
    assert [(item.name, item.role, item.is_closed) for item in people.accounts()] == [
        ("anna", Role.ADMIN, False),
        ("berta", Role.VIEWER, False),
    ]
    assert people.account("berta") == people.accounts()[1]


def test_a_name_is_given_once(people: People) -> None:
    people.add("anna", PASSWORD)
    with pytest.raises(UnsupportedValue, match="there is an account of this name"):
        people.add("anna", PASSWORD + "!")


@pytest.mark.parametrize("name", ["", "Anna", "a b", "a" * 41, "ann\u00e4", "a\n", "a/b", "<b>", "a\0"])
def test_a_name_that_will_not_do_is_refused(people: People, name: str) -> None:
    with pytest.raises(UnsupportedValue, match="name:"):
        people.add(name, PASSWORD)
    assert people.accounts() == []


@pytest.mark.parametrize(
    "password",
    ["", "short 123", "x" * 1025, "a" * 12, "ananananan", "annaannaanna", "Password123", "with a\ttab in it"],
)
def test_a_password_that_will_not_do_is_refused_and_not_repeated(people: People, password: str) -> None:
    name = "an" if password.startswith("anan") else "anna"
    with pytest.raises(UnsupportedValue, match="password") as refused:
        people.add(name, password)
    assert refused.value.got is None
    assert password not in refused.value.sentence() or password == ""
    assert people.accounts() == []


def test_the_longest_password_and_the_shortest_will_do(people: People) -> None:
    people.add("long", "ab" * 512)
    people.add("short", "abcdefghij")
    assert people.login("long", "ab" * 512)
    assert people.login("short", "abcdefghij")


def test_what_is_kept_of_a_password_is_a_salted_hash(people: People, store: Store) -> None:
    people.add("anna", PASSWORD)
    people.add("berta", PASSWORD)
    with store.database.read() as session:
        kept = list(session.scalars(sa.select(AccountRow.password)))
    assert kept[0] != kept[1]
    assert all(item.startswith("scrypt$32768$8$1$") and len(item) <= 300 for item in kept)
    assert all("tulip" not in item for item in kept)


def test_nobody_is_told_from_somebody(people: People) -> None:
    for act in (people.account, people.remove, people.close, people.open):
        with pytest.raises(UnknownAccount):
            act("nobody")
    with pytest.raises(UnknownAccount):
        people.set_password("nobody", PASSWORD)


def test_a_role_that_there_is_not_is_refused() -> None:
    with pytest.raises(UnsupportedValue, match="viewer, creator, admin"):
        Role.parse("root")


# -- the last admin ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["remove", "close", "demote"])
def lose(request: pytest.FixtureRequest, people: People) -> Callable[[str], object]:
    """A way to have an admin less."""
    ways: dict[str, Callable[[str], object]] = {
        "remove": people.remove,
        "close": people.close,
        "demote": lambda name: people.set_role(name, Role.CREATOR),
    }
    return ways[request.param]


def test_the_last_admin_cannot_go(people: People, lose: Callable[[str], object]) -> None:
    people.add("anna", PASSWORD, Role.ADMIN)
    people.add("berta", PASSWORD, Role.ADMIN)
    people.add("carla", PASSWORD, Role.CREATOR)
    people.close("berta")
    with pytest.raises(UnsupportedValue, match="the last admin cannot be"):
        lose("anna")
    assert people.account("anna").role == Role.ADMIN
    assert not people.account("anna").is_closed
    people.open("berta")
    lose("anna")
    assert [item.name for item in people.accounts() if item.role == Role.ADMIN and not item.is_closed] == ["berta"]


def test_two_admins_who_remove_each_other_do_not_both_succeed(people: People, lose: Callable[[str], object]) -> None:
    people.add("anna", PASSWORD, Role.ADMIN)
    people.add("berta", PASSWORD, Role.ADMIN)
    barrier = threading.Barrier(2)
    refused: list[StudioError] = []

    def go(name: str) -> None:
        barrier.wait()
        try:
            lose(name)
        except StudioError as error:
            refused.append(error)

    threads = [threading.Thread(target=go, args=(name,)) for name in ("anna", "berta")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [type(error) for error in refused] == [UnsupportedValue]
    assert sum(item.role == Role.ADMIN and not item.is_closed for item in people.accounts()) == 1


def test_a_closed_admin_can_go(people: People, lose: Callable[[str], object]) -> None:
    people.add("anna", PASSWORD, Role.ADMIN)
    people.add("berta", PASSWORD, Role.ADMIN)
    people.close("berta")
    lose("berta")
    assert people.account("anna").role == Role.ADMIN


def test_who_is_removed_leaves_nothing_behind_for_the_next_of_that_name(people: People, store: Store) -> None:
    people.add("anna", PASSWORD)
    token = people.login("anna", PASSWORD)
    people.own("clip", "anna")
    with store.transaction() as session:
        session.add(
            PresetRow(
                id="p", account="anna", model="m", name="mine", values={}, created_at=people.account("anna").created_at
            )
        )
    removed = people.remove("anna")
    assert removed.name == "anna"
    people.add("anna", PASSWORD)
    assert token is not None
    assert people.visitor(token) is None
    assert people.owner("clip") is None
    with store.database.read() as session:
        for row in (VisitRow, OwnerRow, PresetRow):
            assert session.scalar(sa.select(sa.func.count()).select_from(row)) == 0
