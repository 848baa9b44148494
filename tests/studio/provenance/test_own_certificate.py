"""A certificate of the user's own is refused in plain words, or it signs; nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from studio.app import Studio
from studio.errors import RequestError
from studio.provenance.certificates import load_or_create
from studio.provenance.inspect import read_c2pa
from studio.provenance.issuing import C2PA_CLAIM_SIGNING
from studio.provenance.own_certificate import UnfitCertificate, read_certificate
from studio.provenance.trust import IMPORTED_LIST, OWN_LIST, official_lists, trusted_lists
from studio.request import GenerationRequest
from tests.studio.provenance.authorities import ANY_PURPOSE, CODE_SIGNING, YESTERDAY, Authority, new_key, pem

KINDS = {
    "p256": "es256",
    "p384": "es384",
    "p521": "es512",
    "rsa2048": "ps256",
    "ed25519": "ed25519",
}


class Papers:
    """Files of a chain, a key and a root in a folder."""

    def __init__(self, folder: Path, chain: bytes, key: bytes, root: bytes) -> None:
        self.chain, self.key, self.root = folder / "chain.pem", folder / "leaf-key.pem", folder / "root.pem"
        for path, content in ((self.chain, chain), (self.key, key), (self.root, root)):
            path.write_bytes(content)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    root, key = Authority(), new_key()
    return Papers(tmp_path, pem(root.issue(key)), pem(key), pem(root.certificate))


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_key_signs_clips_that_are_trusted(kind: str, studio: Studio, tmp_path: Path) -> None:
    root, key = Authority(), new_key(kind)
    middle = Authority(name="Middle", above=root)
    papers = Papers(tmp_path, pem(middle.issue(key)) + pem(middle.certificate), pem(key), pem(root.certificate))
    old = studio.generate(GenerationRequest(model="scripted-moving", seed=1)).asset
    facts, warnings = studio.identity.bring(papers.chain, papers.key, papers.root)
    assert (facts.algorithm, facts.origin, facts.retired, warnings) == (KINDS[kind], "imported", 1, ())
    outcome = studio.generate(GenerationRequest(model="scripted-moving", seed=2))
    assert (outcome.verification.c2pa.state, outcome.verification.c2pa.trust_list) == ("trusted", OWN_LIST)
    assert outcome.verification.c2pa.issuer == "Test Organisation"
    assert studio.verify(old.path).c2pa.trust_list == OWN_LIST


def test_others_under_an_imported_root_are_not_taken_for_this_studio(
    studio: Studio, papers: Papers, tmp_path: Path
) -> None:
    studio.identity.bring(papers.chain, papers.key, papers.root)
    lists = {item.name: item for item in trusted_lists(studio.settings)}
    assert lists[OWN_LIST].leaves_pem == papers.chain.read_bytes()
    assert lists[OWN_LIST].pem == b""
    assert lists[IMPORTED_LIST].pem == papers.root.read_bytes()


def test_after_a_rotation_files_of_an_imported_certificate_stay_known(studio: Studio, papers: Papers) -> None:
    studio.identity.bring(papers.chain, papers.key, papers.root)
    asset = studio.generate(GenerationRequest(model="scripted-moving", seed=2)).asset
    facts = studio.identity.rotate()
    assert facts.origin == "local"
    assert studio.verify(asset.path).c2pa.trust_list == OWN_LIST
    keys = list(studio.settings.identity_folder.rglob("key.pem"))
    assert [path.parent.name for path in keys] == ["current"]


def test_the_root_may_stand_in_the_chain(papers: Papers) -> None:
    papers.chain.write_bytes(papers.chain.read_bytes() + papers.root.read_bytes())
    found = read_certificate(papers.chain, papers.key, None)
    assert found.root_pem == papers.root.read_bytes()
    assert found.chain_pem.count(b"BEGIN CERTIFICATE") == 1


def test_a_chain_up_to_a_known_authority_needs_no_root(papers: Papers) -> None:
    found = read_certificate(papers.chain, papers.key, None, known_authorities_pem=papers.root.read_bytes())
    assert found.root_pem == b""


def test_a_key_of_another_form_is_kept_as_pkcs8(tmp_path: Path) -> None:
    root, key = Authority(), new_key()
    old_form = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    papers = Papers(tmp_path, pem(root.issue(key)), old_form, pem(root.certificate))
    found = read_certificate(papers.chain, papers.key, papers.root)
    assert found.key_pem == pem(key)
    assert b"PRIVATE" not in repr(found).encode()


def test_a_certificate_strangers_may_refuse_comes_with_a_warning(tmp_path: Path) -> None:
    root, key = Authority(), new_key()
    leaf = root.issue(key, purposes=(C2PA_CLAIM_SIGNING,))
    papers = Papers(tmp_path, pem(leaf), pem(key), pem(root.certificate))
    assert "e-mail purpose" in read_certificate(papers.chain, papers.key, papers.root).warnings[0]


Fault = Callable[[Authority], tuple[bytes, bytes, bytes | None]]


def _leaf(**faults: object) -> Fault:
    def make(root: Authority) -> tuple[bytes, bytes, bytes | None]:
        key = new_key(str(faults.pop("kind", "p256")))
        return pem(root.issue(key, **faults)), pem(key), pem(root.certificate)

    return make


def _with(change: Callable[[Authority, bytes, bytes], tuple[bytes, bytes, bytes | None]]) -> Fault:
    def make(root: Authority) -> tuple[bytes, bytes, bytes | None]:
        key = new_key()
        return change(root, pem(root.issue(key)), pem(key))

    return make


def _selfish(_root: Authority) -> tuple[bytes, bytes, bytes | None]:
    own = Authority(name="A Signer", is_authority=False)
    return pem(own.certificate), pem(own.key), None


def _encrypted(root: Authority) -> tuple[bytes, bytes, bytes | None]:
    key = new_key()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush"))
    return pem(root.issue(key)), secret, pem(root.certificate)


FAULTS: dict[str, tuple[Fault, str]] = {
    "another key": (_with(lambda root, chain, _: (chain, pem(new_key()), pem(root.certificate))), "does not belong"),
    "an expired leaf": (_leaf(until=YESTERDAY), "has expired"),
    "a leaf of tomorrow": (_leaf(since=timedelta(days=1), until=timedelta(days=9)), "is not valid yet"),
    "no purpose": (_leaf(purposes=None), "no extended key usage"),
    "another purpose": (_leaf(purposes=(CODE_SIGNING,)), "no purpose for it"),
    "any purpose": (_leaf(purposes=(ANY_PURPOSE, C2PA_CLAIM_SIGNING)), "any purpose at all"),
    "no key usage": (_leaf(usage=False), "key usage"),
    "no authority key identifier": (_leaf(key_identifier=False), "which key issued it"),
    "an authority's leaf": (_leaf(claims_authority=True), "CA:true"),
    "a weak key": (_leaf(kind="rsa1024"), "kind that may not sign"),
    "a foreign curve": (_leaf(kind="k256"), "kind that may not sign"),
    "self-signed": (_selfish, "signed by itself"),
    "no root": (_with(lambda _root, chain, key: (chain, key, None)), "root that the chain ends in is missing"),
    "another root": (_with(lambda _root, chain, key: (chain, key, pem(Authority().certificate))), "chain is broken"),
    "chain upside down": (
        _with(lambda root, chain, key: (pem(root.certificate) + chain, key, None)),
        "put your own certificate first",
    ),
    "an encrypted key": (_encrypted, "asks for no password"),
    "no key at all": (
        _with(lambda root, chain, _: (chain, b"hello", pem(root.certificate))),
        "no readable private key",
    ),
    "no certificate": (_with(lambda root, _, key: (b"hello", key, pem(root.certificate))), "no readable certificates"),
    "an endless chain": (_with(lambda root, chain, key: (chain * 11, key, pem(root.certificate))), "longer than any"),
    "a huge file": (_with(lambda root, chain, key: (chain + b"#" * 2**16, key, pem(root.certificate))), "larger than"),
    "an expired root": (
        lambda _root: _leaf()(Authority(name="Old", until=YESTERDAY)),
        "authority's certificate in the chain has expired",
    ),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_each_fault_is_refused_in_one_sentence_and_nothing_changes(fault: str, studio: Studio, tmp_path: Path) -> None:
    make, words = FAULTS[fault]
    chain, key, root = make(Authority())
    papers = Papers(tmp_path, chain, key, root or b"")
    before = studio.identity.show()
    with pytest.raises(RequestError) as caught:
        studio.identity.bring(papers.chain, papers.key, papers.root if root else None)
    assert words in caught.value.sentence()
    assert "\n" not in caught.value.sentence()
    assert "PRIVATE" not in caught.value.sentence()
    assert studio.identity.show() == before


def test_a_missing_file_and_a_key_that_is_nowhere_are_named(studio: Studio, papers: Papers, tmp_path: Path) -> None:
    with pytest.raises(UnfitCertificate, match="chain: there is no such file"):
        studio.identity.bring(tmp_path / "gone.pem", papers.key, papers.root)
    with pytest.raises(RequestError, match="STUDIO_SIGNER_COMMAND"):
        studio.identity.bring(papers.chain, None, papers.root)


def test_an_imported_certificate_is_in_the_folder_of_keys_privately(studio: Studio, papers: Papers) -> None:
    studio.identity.bring(papers.chain, papers.key, papers.root)
    home = studio.settings.identity_folder / "current"
    assert {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()} == {
        "chain.pem": 0o600,
        "key.pem": 0o600,
        "authority.pem": 0o600,
    }
    assert load_or_create(studio.settings.identity_folder).key_pem == papers.key.read_bytes()


def test_without_a_root_of_its_own_only_the_list_of_this_install_grows(studio: Studio, papers: Papers) -> None:
    official = [item.name for item in official_lists(studio.settings)]
    (studio.settings.home / "trust").mkdir(parents=True)
    studio.identity.update_trust("c2pa", papers.root)
    studio.identity.bring(papers.chain, papers.key, None)
    assert [item.name for item in trusted_lists(studio.settings)] == [OWN_LIST, *official]
    asset = studio.generate(GenerationRequest(model="scripted-moving", seed=2)).asset
    assert read_c2pa(asset.path, lists=official_lists(studio.settings)).trust_list == "C2PA trust list"
