"""What is masked in a text, what is left alone, and that long texts take no long time."""

from __future__ import annotations

import base64
import io
import json
import logging
import time
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from studio.library.tables import RedactedJson
from studio.redaction import MASK, RedactingFilter, RedactingFormatter, known_secrets, redact, redacted

HEX = "0123456789abcdef"
WORD = "aB3dE5gH7jK9mN1pQ3sT5vW7"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhY2Nlc3MifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
KEYS = {
    "openai": f"sk-{WORD}",
    "openai project": f"sk-proj-{WORD}_x-{WORD}",
    "openrouter": f"sk-or-v1-{HEX * 4}",
    "runway": f"key_{HEX * 8}",
    "google": f"AIzaSy{WORD}abcdefghi",
    "google, new": f"AQ.{WORD}{WORD}",
    "replicate": f"r8_{WORD}{WORD}",
    "luma": f"luma-{HEX}-{HEX}",
    "ltx": f"ltxv_{WORD}",
    "fal": f"01234567-89ab-cdef-0123-456789abcdef:{HEX * 2}",
    "hub": f"hf_{WORD}{WORD}",
    "jwt": JWT,
}
FRAMES = {
    "alone": "{}",
    "sentence": "the key {} is not known",
    "header": "Authorization: Bearer {}",
    "dict": "{{'x-goog-api-key': '{}'}}",
    "bytes": "[(b'Authorization', b'Key {}')]",
    "json": '{{"api_key": "{}"}}',
    "json in json": '{{\\"error\\": \\"bad key\\\\n{}\\"}}',
    "lines": "first line\n{}\nlast line",
    "assignment": "OPENAI_API_KEY={}",
    "address": "https://host/path?key={}&x=1",
    "repr": "ValueError('{}')",
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("form", KEYS)
def test_keys_of_known_forms_are_masked_wherever_they_stand(form: str, frame: str) -> None:
    text = FRAMES[frame].format(KEYS[form])
    shown = redact(text)
    assert MASK in shown
    assert KEYS[form] not in shown
    assert not any(part in shown for part in (WORD, HEX))


@pytest.mark.parametrize(
    "text",
    [
        "a desk-top computer in a risk-averse sk-learn-inspired-classroom, task-oriented",
        "/home/someone/projects/2026/clips/key_frames_of_the_first_scene_0001.mp4",
        "C:\\Users\\someone\\Videos\\clip 1.mp4",
        "the key /etc/ssl/private/server-2026-key.pem cannot be read",
        "Basic resolution-independent lighting, a Key light, a Token of 2026",
        "image: this is not a picture; got photo.png; allowed: PNG, JPEG, WebP; export it again.",
        "set RUNWAYML_API_SECRET, or run `studio keys set runway`; https://dev.runwayml.com/ is where one gets a key",
        '{"api_key": "RUNWAYML_API_SECRET", "password": null}',
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "https://huggingface.co/stabilityai/stable-video-diffusion-img2vid/blob/main/LICENSE.md#terms",
        "job 01JXYZ0000000000000000000A waits; 2026-11-23 06:50 UTC; 24/1 frames per second",
        "metadata:image/png,then words",
        "a question? what=is data: a, b, c",
        "password: it must be set; access key: none; signature = invalid",
        "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
    ],
    ids=lambda text: text[:12],
)
def test_ordinary_words_and_paths_are_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "https://b.s3.example/clip.mp4?X-Amz-Signature=0a&X-Amz-Date=1 done",
            "https://b.s3.example/clip.mp4?*** done",
        ),
        ("see (https://h/p?sig=1)\nnext", "see (https://h/p?***)\nnext"),
        ('https:\\/\\/h\\/p?sig=1\\u0026x=2", "a"', 'https:\\/\\/h\\/p?***", "a"'),
        ("GET /clip.mp4?X-Amz-Signature=0123&page=2", "GET /clip.mp4?X-Amz-Signature=***&page=2"),
        ("postgresql://me:pa@ss@db/studio", "postgresql://***@db/studio"),
        ("https://h/cb#access_token=abc&x=1", "https://h/cb#***"),
        ('{"url": "https://h/p?sig=1", "n": 1}', '{"url": "https://h/p?***", "n": 1}'),
        ("rtsp://camera/1?", "rtsp://camera/1?"),
        ("password='hunter-twenty'", "password='***'"),
        ("data:image/png;base64,iVBORw0KGgo= tail", "data:*** tail"),
        ("data:image\\/png;base64,AA\\/BB", "data:***"),
    ],
    ids=lambda text: text[:24],
)
def test_addresses_and_data_that_let_somebody_in_are_masked(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_pictures_are_masked_with_or_without_a_name_in_one_line_or_many() -> None:
    picture = bytes(range(256)) * 8
    line, lines = base64.b64encode(picture).decode(), base64.encodebytes(picture).decode()
    for text in (line, lines, f"data:image/jpeg;base64,{lines}", json.dumps({"image": lines}), f"data:;base64,{line}"):
        shown = redact(f"sent {text}")
        assert not any(line[start : start + 24] in shown for start in range(0, len(line) - 24, 24))
        assert shown.startswith("sent ")


def test_known_secrets_are_masked_in_all_their_forms_and_parts_of_words_are_not() -> None:
    secret = "correct horse/battery"
    plain = base64.b64encode(secret.encode()).decode()
    for form in (secret, quote(secret, safe=""), plain):
        assert redact(f"<{form}>", [secret]) == f"<{MASK}>"
    assert redact("the longer one first", ["longer", "longer one"]) == f"the {MASK} first"
    assert redact("an empty dummy", ["", "dummy"]) == "an empty dummy"


def test_the_keys_in_the_environment_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_secrets({"PATH": "/usr/bin"}) == frozenset()
    assert known_secrets({"HF_TOKEN": " of-the-hub ", "OTHER_KEY": "not-a-key-of-ours"}) == {"of-the-hub"}
    monkeypatch.setenv("STUDIO_API_TOKEN", "words that look like none")
    assert redact("it is: words that look like none.") == f"it is: {MASK}."


def test_json_is_masked_by_its_names_too() -> None:
    told = {
        "message": f"refused sk-{WORD}",
        "api_key": "anything at all",
        "client-secret": "anything",
        "fix": None,
        "details": {"body": ["https://h/p?sig=1", 3, True], "x-api-key": "OPENAI_API_KEY"},
    }
    assert redacted(told) == {
        "message": "refused ***",
        "api_key": MASK,
        "client-secret": MASK,
        "fix": None,
        "details": {"body": ["https://h/p?***", 3, True], "x-api-key": "OPENAI_API_KEY"},
    }
    assert RedactedJson().process_bind_param({"message": f"sk-{WORD}"}, None) == {"message": MASK}  # type: ignore[arg-type]
    assert RedactedJson().process_bind_param(None, None) is None  # type: ignore[arg-type]


# -- logs -----------------------------------------------------------------------------------------------------------


def _logger(formatter: logging.Formatter, *filters: logging.Filter) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    for item in filters:
        handler.addFilter(item)
    logger = logging.Logger("test")  # noqa: LOG001  # one of its own, without the handlers of others
    logger.addHandler(handler)
    return logger, stream


def test_what_a_library_logs_is_masked_with_its_arguments() -> None:
    logger, stream = _logger(logging.Formatter(), RedactingFilter())
    logger.info('HTTP Request: %s %s "%s"', "GET", "https://h/clip.mp4?X-Amz-Signature=1", "HTTP/1.1 200 OK")
    logger.info("headers %r", {"authorization": f"Bearer {WORD}"})
    logger.info("%d does not fit", f"sk-{WORD}")
    assert stream.getvalue().splitlines() == [
        'HTTP Request: GET https://h/clip.mp4?*** "HTTP/1.1 200 OK"',
        "headers {'authorization': 'Bearer ***'}",
        "test logged what cannot be put into words",
    ]


def test_tracebacks_are_masked() -> None:
    logger, stream = _logger(RedactingFormatter(), RedactingFilter())
    try:
        try:
            raise ValueError(f"sk-{WORD}")
        except ValueError as error:
            raise RuntimeError("https://h/p?sig=1") from error
    except RuntimeError:
        logger.exception("it failed")
    assert "RuntimeError: https://h/p?***" in stream.getvalue()
    assert "ValueError: ***" in stream.getvalue()
    assert WORD not in stream.getvalue()


# -- time -----------------------------------------------------------------------------------------------------------

_PIECES = (
    "a", "1", ".", "-", "_", "/", "\\", ":", "://", "?", "&", "=", "@", "%", " ", "\n", '"', "'", ",", ";", "data:",
    "data:a/b;", "sk-", "key_", "eyJ", "Bearer ", "api_key", "token=", "password", "x-amz-", "signature:", "\\n",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6).map("".join))
@example("a.")
@example("://")
@example("data:a/b;c=d,")
@example("12345678-1234-1234-1234-123456789012:")
def test_a_long_text_takes_no_more_than_its_length_is_worth(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 1.0  # about 0.03; what is quadratic takes minutes


def test_a_megabyte_takes_less_than_a_few_seconds() -> None:
    text = json.dumps({"error": "no", "log": ["https://h/p?a=1 Bearer abc, api_key: none, " * 4] * 6_000})
    assert len(text) > 1_000_000
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 4.0  # about 0.5


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*_PIECES, WORD, JWT, "https://h/p"]) | st.text(max_size=5), max_size=12).map("".join))
def test_what_is_masked_once_stays_as_it_is(text: str) -> None:
    assert redact(redact(text)) == redact(text)


def test_a_known_secret_is_masked_in_whatever_case_it_comes_back() -> None:
    assert "canary" not in redact("no such host: canaryq7-zztop.example", secrets=["CanaryQ7-zzTop"])
