"""Whose signature counts, by which list, and how the lists are kept up to date without a network."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from studio.app import Studio
from studio.config import Settings
from studio.errors import UnsupportedValue
from studio.provenance.certificates import SigningIdentity, identity_of, load_or_create
from studio.provenance.inspect import read_c2pa
from studio.provenance.issuing import C2PA_CLAIM_SIGNING, EMAIL_PROTECTION
from studio.provenance.trust import (
    OWN_LIST,
    TrustList,
    UnfitTrustList,
    identity_list,
    official_lists,
    own_list,
    replace_list,
    reset_list,
    trusted_lists,
)
from studio.request import GenerationRequest
from tests.studio.provenance.authorities import DOCUMENT_SIGNING, Authority, new_key, pem
from tests.studio.provenance.conftest import SignedFile

LISTS = Path(__file__).parents[3] / "studio" / "provenance" / "trust_lists"


def identity_under(root: Authority, folder: Path, **more: Any) -> SigningIdentity:
    key = new_key()
    return identity_of(pem(root.issue(key, **more)), folder, key_pem=pem(key))


def trust_in(root: Authority, **more: Any) -> TrustList:
    return TrustList(**{"name": "the list", "uri": None, "pem": pem(root.certificate), "dated": None} | more)


@pytest.mark.parametrize("name", ["c2pa", "tsa"])
def test_a_shipped_list_holds_authorities_alone_and_its_readme_names_its_source(name: str) -> None:
    found = x509.load_pem_x509_certificates((LISTS / f"{name}.pem").read_bytes())
    assert len(found) > 20
    assert all(item.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for item in found)
    readme = (LISTS / "README.md").read_text()
    for fact in (f"`{name}.pem`", "Creative Commons Attribution 4.0", "99927caef670ca4ad9da5e5542dca39e42fad6f3"):
        assert fact in readme
    assert "2026-08-05" in readme


def test_the_official_lists_say_where_they_are_from_and_how_old_they_are(settings: Settings) -> None:
    signers, clocks = official_lists(settings)
    assert (signers.name, signers.kind, signers.dated) == ("C2PA trust list", "manifest", date(2026, 8, 5))
    assert (clocks.name, clocks.kind) == ("C2PA time stamp authorities", "tsa")
    assert all(
        (item.uri or "").startswith("https://github.com/c2pa-org/conformance-public/") for item in (signers, clocks)
    )


@pytest.mark.parametrize(
    "purposes",
    [
        (C2PA_CLAIM_SIGNING, EMAIL_PROTECTION),
        (EMAIL_PROTECTION,),
        (C2PA_CLAIM_SIGNING,),
        (C2PA_CLAIM_SIGNING, DOCUMENT_SIGNING),
    ],
)
def test_every_purpose_the_specification_allows_is_trusted_among_all_lists(
    purposes: tuple[str, ...], signed_file: SignedFile, settings: Settings, tmp_path: Path
) -> None:
    root = Authority()
    path = signed_file(by=identity_under(root, tmp_path / "id", purposes=purposes))
    for lists in ([trust_in(root), *official_lists(settings)], [*official_lists(settings), trust_in(root)]):
        reading = read_c2pa(path, lists=lists)
        assert (reading.state, reading.trust_list) == ("trusted", "the list")
    assert read_c2pa(path, lists=official_lists(settings)).state == "valid"
    assert read_c2pa(path).state == "valid"


def test_own_files_are_known_as_this_studios_and_a_strangers_are_not(
    signed_file: SignedFile, identity: SigningIdentity, stranger: SigningIdentity, settings: Settings
) -> None:
    lists = [identity_list(identity), *official_lists(settings)]
    own, foreign = signed_file(), signed_file(by=stranger, name="foreign.mp4")
    assert (read_c2pa(own, lists=lists).state, read_c2pa(own, lists=lists).trust_list) == ("trusted", OWN_LIST)
    assert (read_c2pa(foreign, lists=lists).state, read_c2pa(foreign, lists=lists).trust_list) == ("valid", None)


def test_two_installs_see_each_others_clips_as_valid_and_not_as_trusted(studio: Studio, tmp_path: Path) -> None:
    asset = studio.generate(GenerationRequest(model="scripted-moving", seed=1)).asset
    other = Studio(studio.settings.model_copy(update={"home": tmp_path / "other home"}))
    other.identity.show()
    with other.store:
        found = other.verify(asset.path)
    assert (found.c2pa.state, found.c2pa.trust_list, found.asset) == ("valid", None, None)
    assert found.c2pa.generation is not None
    assert studio.verify(asset.path).c2pa.trust_list == OWN_LIST


def test_an_authority_for_the_time_does_not_vouch_for_signers(signed_file: SignedFile, tmp_path: Path) -> None:
    """The signing library itself makes no difference between the kinds of list."""
    root = Authority()
    path = signed_file(by=identity_under(root, tmp_path / "id"))
    reading = read_c2pa(path, lists=[trust_in(root, kind="tsa")])
    assert (reading.state, reading.trust_list) == ("valid", None)
    assert "signingCredential.untrusted" in reading.codes
    both = [trust_in(root, kind="tsa"), trust_in(root, name="signers")]
    assert read_c2pa(path, lists=both).trust_list == "signers"


def test_a_certificate_trusted_by_itself_does_not_make_its_authority_trusted(
    signed_file: SignedFile, settings: Settings, tmp_path: Path
) -> None:
    root = Authority()
    mine, neighbour = identity_under(root, tmp_path / "a"), identity_under(root, tmp_path / "b")
    own = TrustList(name=OWN_LIST, uri=None, pem=b"", dated=None, leaves_pem=mine.chain_pem)
    lists = [own, *official_lists(settings)]
    assert read_c2pa(signed_file(by=mine, name="mine.mp4"), lists=lists).trust_list == OWN_LIST
    assert read_c2pa(signed_file(by=neighbour, name="other.mp4"), lists=lists).state == "valid"


def test_before_its_first_signature_an_install_has_no_list_of_its_own(settings: Settings) -> None:
    assert own_list(settings.identity_folder) is None
    names = [item.name for item in trusted_lists(settings)]
    load_or_create(settings.identity_folder)
    assert [item.name for item in trusted_lists(settings)] == [OWN_LIST, *names]


def test_a_newer_list_replaces_the_shipped_one_until_it_is_reset(settings: Settings, tmp_path: Path) -> None:
    settings.create_home()
    file = tmp_path / "newer.pem"
    first, second = Authority(name="First"), Authority(name="Second")
    file.write_bytes(b"# a remark\n" + pem(first.certificate) + b"more words\n" + pem(second.certificate))
    shipped = official_lists(settings)[0]
    replace_list(settings, "c2pa", file)
    found = official_lists(settings)[0]
    assert found.name == shipped.name
    assert found.pem == pem(first.certificate) + pem(second.certificate)
    assert found.dated is not None
    reset_list(settings, "c2pa")
    assert official_lists(settings)[0] == shipped


def test_a_list_the_user_adds_stands_beside_the_official_ones(
    signed_file: SignedFile, settings: Settings, tmp_path: Path
) -> None:
    settings.create_home()
    root = Authority()
    (tmp_path / "mine.pem").write_bytes(pem(root.certificate))
    replace_list(settings, "signers", tmp_path / "mine.pem")
    path = signed_file(by=identity_under(root, tmp_path / "id"))
    assert read_c2pa(path, lists=trusted_lists(settings)).trust_list == "authorities added by the user"
    assert len(official_lists(settings)) == 3


def test_a_damaged_copy_of_a_list_gives_way_to_the_shipped_one(settings: Settings) -> None:
    folder = settings.home / "trust"
    folder.mkdir(parents=True)
    (folder / "c2pa.pem").write_bytes(b"garbage\xff")
    assert official_lists(settings)[0].dated == date(2026, 8, 5)


def test_what_is_no_list_of_authorities_is_refused_in_a_sentence(settings: Settings, tmp_path: Path) -> None:
    settings.create_home()
    root = Authority()
    bad = {
        "no list.pem": (b"hello", "no readable certificates"),
        "leaf.pem": (pem(root.certificate) + pem(root.issue(new_key())), "no authority's"),
        "key.pem": (pem(root.key), "no readable certificates"),
        "huge.pem": (pem(root.certificate) + b"#" * 2**20, "larger than any list"),
    }
    for name, (content, words) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnfitTrustList, match=words):
            replace_list(settings, "c2pa", tmp_path / name)
    with pytest.raises(UnfitTrustList, match="no such file"):
        replace_list(settings, "c2pa", tmp_path / "missing.pem")
    with pytest.raises(UnsupportedValue, match="c2pa, tsa, signers, clocks"):
        replace_list(settings, "cawg", tmp_path / "leaf.pem")
    assert not (settings.home / "trust").exists()
