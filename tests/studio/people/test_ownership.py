"""What is whose, and who may change it."""

from __future__ import annotations

import pytest

from studio.app import Studio
from studio.errors import StoreFault
from studio.jobs.states import JobState
from studio.people.account import Role
from studio.people.people import People
from studio.people.visitor import LOCAL, Action, NotAllowed, Visitor, require
from studio.request import GenerationRequest

PASSWORD = "tulip engine waltz"
ANNA = Visitor(name="anna", role=Role.CREATOR)
BERTA = Visitor(name="berta", role=Role.CREATOR)
BOSS = Visitor(name="boss", role=Role.ADMIN)
GUEST = Visitor(name="guest", role=Role.VIEWER)


@pytest.fixture
def known(people: People) -> People:
    """The people of these tests, with one thing of each."""
    for visitor in (ANNA, BERTA, BOSS, GUEST):
        assert visitor.name is not None
        people.add(visitor.name, PASSWORD, visitor.role)
        people.own(f"of-{visitor.name}", visitor.name)
    return people


@pytest.mark.parametrize(
    ("visitor", "things"),
    [
        (ANNA, {"of-anna"}),
        (BERTA, {"of-berta"}),
        (BOSS, {"of-anna", "of-berta", "of-boss", "of-guest", "of-nobody"}),
        (LOCAL, {"of-anna", "of-berta", "of-boss", "of-guest", "of-nobody"}),
        (GUEST, set()),
        (Visitor(name=None, role=Role.CREATOR), set()),
    ],
    ids=["anna", "berta", "admin", "local", "viewer", "nameless"],
)
def test_who_may_change_what(known: People, visitor: Visitor, things: set[str]) -> None:
    ids = ["of-anna", "of-berta", "of-boss", "of-guest", "of-nobody"]
    assert {thing for thing in ids if known.may_change(visitor, thing)} == things
    for thing in ids:
        if thing in things:
            require(visitor, Action.CHANGE, thing, known)
        else:
            with pytest.raises(NotAllowed):
                require(visitor, Action.CHANGE, thing, known)


@pytest.mark.parametrize(
    ("visitor", "owners"),
    [
        (ANNA, {"anna"}),
        (BERTA, {"berta"}),
        (BOSS, {"anna", "berta", "guest", "", None}),
        (LOCAL, {"anna", "berta", "guest", "", None}),
        (GUEST, set()),
        (Visitor(name=None, role=Role.CREATOR), set()),
        (Visitor(name="", role=Role.CREATOR), set()),
    ],
    ids=["anna", "berta", "admin", "local", "viewer", "nameless", "empty"],
)
def test_whose_something_is(visitor: Visitor, owners: set[str | None]) -> None:
    assert {owner for owner in ("anna", "berta", "guest", "", None) if visitor.owns(owner)} == owners


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        (Role.VIEWER, {Action.LOOK}),
        (Role.CREATOR, {Action.LOOK, Action.MAKE, Action.CHANGE, Action.VOTE}),
        (Role.ADMIN, set(Action)),
    ],
)
def test_what_a_role_may_do(role: Role, actions: set[Action]) -> None:
    visitor = Visitor(name="anna", role=role)
    assert {action for action in Action if visitor.may(action)} == actions


def test_a_refusal_says_who_may() -> None:
    with pytest.raises(NotAllowed, match="a viewer may not make clips; got guest; allowed: creators and admins"):
        require(GUEST, Action.MAKE)
    with pytest.raises(NotAllowed, match="allowed: admins;"):
        require(ANNA, Action.ADMINISTER)


def test_a_thing_has_one_owner_and_can_change_hands(known: People) -> None:
    known.own("clip", "anna")
    known.own("clip", "berta")
    assert known.owner("clip") == "berta"
    known.own("clip", None)
    assert known.owner("clip") is None


def test_an_owner_must_have_an_account(known: People) -> None:
    with pytest.raises(StoreFault):
        known.own("of-anna", "stranger")
    assert known.owner("of-anna") == "anna"


def test_owners_are_told_of_many_things_at_once(known: People) -> None:
    many = [f"thing{index}" for index in range(1200)]
    known.own(many[0], "anna")
    known.own(many[-1], "berta")
    assert known.owners(many) == {many[0]: "anna", many[-1]: "berta"}
    assert known.owners([]) == {}


def test_what_somebody_made_stays_theirs_while_their_account_is_closed(known: People) -> None:
    known.close("anna")
    assert known.owner("of-anna") == "anna"
    assert not known.may_change(BERTA, "of-anna")


def test_what_somebody_made_is_nobodys_once_they_are_removed(known: People) -> None:
    known.remove("anna")
    known.add("anna", PASSWORD)
    assert known.owner("of-anna") is None
    assert known.may_change(BOSS, "of-anna")
    assert not known.may_change(ANNA, "of-anna")


# -- when things go ---------------------------------------------------------------------------------------------------


def test_a_removed_job_that_made_nothing_has_no_owner_any_more(studio: Studio) -> None:
    studio.people.add("anna", PASSWORD)
    job = studio.desk.submit(GenerationRequest(model="scripted-moving"))
    studio.people.own(job.id, "anna")
    assert studio.desk.cancel(job.id).state == JobState.CANCELED
    assert studio.people.owner(job.id) == "anna"
    studio.desk.remove(job.id)
    assert studio.people.owner(job.id) is None


def test_a_clip_keeps_its_owner_when_its_job_goes_and_loses_them_when_it_goes_itself(studio: Studio) -> None:
    studio.people.add("anna", PASSWORD)
    asset = studio.generate(GenerationRequest(model="scripted-moving", num_frames=5)).asset
    studio.people.own(asset.id, "anna")
    assert asset.job_id == asset.id
    studio.desk.remove(asset.id)
    assert studio.people.owner(asset.id) == "anna"
    studio.remove(asset.id)
    assert studio.people.owner(asset.id) is None
