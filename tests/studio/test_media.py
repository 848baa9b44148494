"""Reading pictures, videos and sound: what comes out, and what is said about files that cannot be read."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from studio.errors import UnreadableMedia
from studio.media import (
    FramesDigest,
    TimedFrame,
    fit_image,
    frames_sha256,
    iter_frames,
    probe_video,
    read_audio,
    read_clip,
    read_image,
    sniff_mime_type,
)
from tests.studio.media_files import ffmpeg, pan, psnr, texture, tone, write_mp4

RED, WHITE = (200, 30, 40), (255, 255, 255)


def picture(
    path: Path, mode: str = "RGB", colour: object = RED, size: tuple[int, int] = (8, 6), **save: object
) -> Path:
    Image.new(mode, size, colour).save(path, **save)  # type: ignore[arg-type]
    return path


def sentence(path: Path, **options: object) -> str:
    with pytest.raises(UnreadableMedia) as caught:
        read_image(path, **options)  # type: ignore[arg-type]
    text = caught.value.sentence()
    assert text.startswith("image: ")
    assert "\n" not in text
    assert caught.value.got == str(path)
    assert caught.value.fix
    return text


class TestReadingImages:
    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff", "a.gif"])
    def test_gives_plain_rgb(self, tmp_path: Path, name: str) -> None:
        image = read_image(picture(tmp_path / name))
        assert image.shape == (6, 8, 3)
        assert image.dtype == np.uint8
        assert np.abs(image.astype(int) - RED).max() <= 3

    def test_turns_a_phone_photo_upright(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # the sensor's top is the picture's right
        stored = np.zeros((4, 8, 3), np.uint8)
        stored[0, 0] = WHITE
        Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
        image = read_image(tmp_path / "a.png")
        assert image.shape == (8, 4, 3)
        assert tuple(image[0, 3]) == WHITE

    def test_lays_transparent_parts_on_white(self, tmp_path: Path) -> None:
        for mode, colour in (("RGBA", (200, 30, 40, 0)), ("LA", (10, 0))):
            assert tuple(read_image(picture(tmp_path / "a.png", mode, colour))[0, 0]) == WHITE
        half = read_image(picture(tmp_path / "b.png", "RGBA", (0, 0, 0, 128)))
        assert half[0, 0, 0] == pytest.approx(127, abs=1)

    def test_reads_palette_with_a_transparent_entry(self, tmp_path: Path) -> None:
        palette = Image.new("P", (4, 4), 1)
        palette.putpalette([0, 0, 0, *RED])
        palette.putpixel((0, 0), 0)
        palette.save(tmp_path / "a.png", transparency=0)
        image = read_image(tmp_path / "a.png")
        assert tuple(image[0, 0]) == WHITE
        assert tuple(image[3, 3]) == RED

    def test_reads_grey_bilevel_and_cmyk(self, tmp_path: Path) -> None:
        assert tuple(read_image(picture(tmp_path / "grey.png", "L", 77))[0, 0]) == (77, 77, 77)
        assert tuple(read_image(picture(tmp_path / "bits.png", "1", 1))[0, 0]) == WHITE
        ink = read_image(picture(tmp_path / "ink.jpg", "CMYK", (0, 255, 255, 0), quality=95))
        assert ink[0, 0, 0] > 200
        assert ink[0, 0, 1:].max() < 60

    def test_scales_sixteen_bits_instead_of_clipping(self, tmp_path: Path) -> None:
        deep = np.array([[0, 257, 32896, 65535]], np.uint16)
        Image.fromarray(deep).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png")[0, :, 1].tolist() == [0, 1, 128, 255]

    def test_converts_an_embedded_colour_profile(self, tmp_path: Path) -> None:
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        same = read_image(picture(tmp_path / "a.png", icc_profile=lab.tobytes()))
        assert np.abs(same.astype(int) - RED).max() <= 1

    def test_ignores_a_damaged_colour_profile(self, tmp_path: Path) -> None:
        assert tuple(read_image(picture(tmp_path / "a.png", icc_profile=b"nonsense"))[0, 0]) == RED

    def test_takes_the_frame_of_a_still_gif_and_refuses_an_animation(self, tmp_path: Path) -> None:
        frames = [Image.new("P", (8, 6), index) for index in range(3)]
        frames[0].save(tmp_path / "still.gif")
        assert read_image(tmp_path / "still.gif").shape == (6, 8, 3)
        for name in ("a.gif", "a.webp", "a.png"):
            pictures = [Image.new("RGB", (8, 6), (60 * index, 0, 0)) for index in range(3)]
            pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
            assert "animated image" in sentence(tmp_path / name)

    def test_takes_the_photo_of_a_phones_multi_picture_file(self, tmp_path: Path) -> None:
        first, second = Image.new("RGB", (8, 6), RED), Image.new("RGB", (8, 6), WHITE)
        first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=95)
        assert np.abs(read_image(tmp_path / "a.jpg")[0, 0].astype(int) - RED).max() <= 4


class TestRefusingImages:
    @pytest.mark.parametrize("filling", [b"\xff" * 50_000_000, b"\xff\xfe\0\x02" * 12_000_000], ids=["bytes", "parts"])
    def test_gives_up_a_jpeg_that_keeps_its_reader_busy(self, tmp_path: Path, filling: bytes) -> None:
        (tmp_path / "busy.jpg").write_bytes(b"\xff\xd8" + filling)
        started = time.monotonic()
        assert "takes far longer" in sentence(tmp_path / "busy.jpg")
        assert time.monotonic() - started < 5

    def test_names_what_is_missing_empty_or_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "empty.png").touch()
        assert "no such file" in sentence(tmp_path / "nowhere.png")
        assert "empty" in sentence(tmp_path / "empty.png")
        assert "folder" in sentence(tmp_path)

    def test_never_waits_for_a_pipe_or_a_device(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        assert "pipe" in sentence(tmp_path / "pipe.png")
        assert "device" in sentence(Path("/dev/zero"))

    def test_says_when_permission_is_lacking(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = picture(Path(folder) / "a.png")
            os.chmod(folder, 0o755)
            path.chmod(0)
            was_root = os.geteuid() == 0
            if was_root:
                os.seteuid(65534)
            try:
                text = sentence(path)
            finally:
                if was_root:
                    os.seteuid(0)
        assert "may not be read" in text

    def test_judges_by_content_not_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "text.png").write_text("BMW makes cars, this is no picture. " * 40)
        assert "not an image" in sentence(tmp_path / "text.png")
        video = write_mp4(tmp_path / "video.png", pan(2))
        assert "video/mp4" in sentence(video)

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff"])
    @pytest.mark.parametrize("share", [0.03, 0.5, 0.95])
    def test_refuses_a_file_cut_short(self, tmp_path: Path, name: str, share: float) -> None:
        Image.fromarray(texture(120, 90)).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: int(len(data) * share)])
        text = sentence(tmp_path / name)
        assert any(word in text for word in ("damaged", "cut short", "not an image"))

    def test_refuses_a_bomb_from_its_header(self, tmp_path: Path) -> None:
        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        for side in (9_000, 12_000, 60_000):
            header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")))
            assert "too many pixels" in sentence(tmp_path / "bomb.png")
        assert "at most 10 pixels" in sentence(picture(tmp_path / "a.png"), max_pixels=10)

    def test_blames_the_field_it_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableMedia, match=r"^last_image: "):
            read_image(tmp_path / "nowhere.png", field="last_image")

    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
    )
    @given(
        kind=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]),
        hits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    )
    def test_damage_anywhere_ends_in_a_picture_or_a_sentence(
        self, tmp_path: Path, kind: str, hits: list[tuple[float, int]]
    ) -> None:
        buffer = io.BytesIO()
        Image.fromarray(texture(40, 30)).save(buffer, kind)
        data = bytearray(buffer.getvalue())
        for place, value in hits:
            data[int(place * len(data))] = value
        (tmp_path / "a").write_bytes(data)
        with suppress(UnreadableMedia):
            assert read_image(tmp_path / "a", max_pixels=10**6).ndim == 3


class TestFitting:
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(*[st.integers(1, 90)] * 4)
    def test_always_gives_the_size_asked_for(self, width: int, height: int, to_width: int, to_height: int) -> None:
        fitted = fit_image(np.full((height, width, 3), 77, np.uint8), to_width, to_height)
        assert fitted.shape == (to_height, to_width, 3)
        assert (fitted == 77).all()

    def test_cuts_the_centre_and_keeps_proportions(self) -> None:
        image = np.zeros((40, 120, 3), np.uint8)
        image[:, 40:80] = 255
        assert fit_image(image, 20, 20).mean() > 250

    def test_does_not_alias(self) -> None:
        stripes = np.zeros((64, 512, 3), np.uint8)
        stripes[:, ::2] = 255
        assert np.ptp(fit_image(stripes, 60, 8)[:, 2:-2]) < 16

    def test_leaves_a_fitting_image_alone(self) -> None:
        image = texture(32, 20)
        assert np.array_equal(fit_image(image, 32, 20), image)


def variants(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield (file, media type, container) of one pan in every container and pixel format."""
    source = write_mp4(folder / "source.mp4", pan(12), Fraction(12), audio=tone(1.0))
    yield source, "video/mp4", "mp4"
    for name, mime_type, options in (
        ("a.mov", "video/quicktime", ["-c", "copy"]),
        ("a.mkv", "video/x-matroska", ["-c", "copy"]),
        ("a.webm", "video/webm", ["-c:v", "libvpx", "-b:v", "2M", "-c:a", "libopus"]),
        ("a.avi", "video/x-msvideo", ["-c:v", "mpeg4", "-q:v", "2", "-c:a", "mp3"]),
        ("a.gif", "image/gif", []),
        ("ten.mp4", "video/mp4", ["-pix_fmt", "yuv420p10le", "-c:v", "libx264", "-crf", "12"]),
        ("full.mp4", "video/mp4", ["-pix_fmt", "yuv444p", "-c:v", "libx264", "-crf", "12"]),
    ):
        ffmpeg("-i", source, *options, folder / name)
        yield folder / name, mime_type, Path(name).suffix[1:]


class TestReadingVideos:
    def test_every_container_gives_the_same_frames_at_the_same_times(self, tmp_path: Path) -> None:
        for path, mime_type, container in variants(tmp_path):
            assert sniff_mime_type(path) == mime_type
            facts = probe_video(path)
            assert (facts.container, facts.width, facts.height) == (container, 160, 96)
            assert facts.frame_rate == pytest.approx(12, rel=0.02)
            assert facts.has_audio == (container != "gif")
            frames = list(iter_frames(path))
            # ffmpeg's AVI writer leaves a hole of one frame for the delay of the sound.
            tolerance = 0.084 if container == "avi" else 0.011
            times = [frame.time_seconds for frame in frames]
            assert times == pytest.approx([index / 12 for index in range(12)], abs=tolerance)
            quality = psnr(np.stack([frame.image for frame in frames]), pan(12))
            assert quality > (19 if container == "gif" else 29), path

    def test_facts_of_our_own_files(self, tmp_path: Path) -> None:
        facts = probe_video(write_mp4(tmp_path / "a.mp4", pan(10), Fraction(30000, 1001)))
        assert facts.codec == "h264"
        assert facts.pixel_format == "yuv420p"
        assert facts.frame_rate == Fraction(30000, 1001)
        assert facts.num_frames == 10
        assert facts.duration_seconds == pytest.approx(10 * 1001 / 30000)
        assert facts.faststart
        assert not facts.has_audio
        ffmpeg("-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "late.mp4")
        assert not probe_video(tmp_path / "late.mp4").faststart

    @pytest.mark.parametrize("degrees", [90, 180, 270])
    def test_turns_a_rotated_video_upright(self, tmp_path: Path, degrees: int) -> None:
        source = write_mp4(tmp_path / "a.mp4", pan(3))
        ffmpeg("-display_rotation", degrees, "-i", source, "-c", "copy", tmp_path / "turned.mp4")
        facts = probe_video(tmp_path / "turned.mp4")
        assert facts.rotation == degrees
        image = next(iter_frames(tmp_path / "turned.mp4")).image
        assert image.shape == (facts.height, facts.width, 3)
        assert psnr(image, np.rot90(pan(1)[0], degrees // 90)) > 30

    def test_mirrors_a_mirrored_video(self, tmp_path: Path) -> None:
        source = write_mp4(tmp_path / "a.mp4", pan(3))
        ffmpeg("-display_hflip", "-i", source, "-c", "copy", tmp_path / "mirrored.mp4")
        assert psnr(next(iter_frames(tmp_path / "mirrored.mp4")).image, pan(1)[0][:, ::-1]) > 30

    def test_follows_uneven_times_and_starts_at_zero(self, tmp_path: Path) -> None:
        source = write_mp4(tmp_path / "a.mp4", pan(12), Fraction(12))
        ffmpeg("-i", source, "-vf", "select='not(between(n,3,5))',setpts=PTS+8/TB", "-fps_mode", "passthrough",
               "-copyts", tmp_path / "vfr.mkv")  # fmt: skip
        times = [frame.time_seconds for frame in iter_frames(tmp_path / "vfr.mkv")]
        assert times == pytest.approx([index / 12 for index in (0, 1, 2, 6, 7, 8, 9, 10, 11)], abs=0.002)

    @pytest.mark.parametrize(("matrix", "scale"), [("bt709", "bt709"), ("smpte170m", "bt601"), ("bt2020nc", "bt2020")])
    @pytest.mark.parametrize("value_range", ["tv", "pc"])
    def test_uses_the_matrix_and_range_that_the_file_states(
        self, tmp_path: Path, matrix: str, scale: str, value_range: str
    ) -> None:
        colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 60)], np.uint8)
        bars = np.repeat(np.repeat(colours[None], 32, axis=0), 32, axis=1)
        Image.fromarray(bars).save(tmp_path / "bars.png")
        convert = f"scale=out_color_matrix={scale}:out_range={value_range}:flags=accurate_rnd+full_chroma_int"
        ffmpeg("-i", tmp_path / "bars.png", "-vf", f"{convert},format=yuv444p", "-c:v", "libx264", "-crf", 4,
               "-colorspace", matrix, "-color_range", value_range, tmp_path / "bars.mp4")  # fmt: skip
        image = next(iter_frames(tmp_path / "bars.mp4")).image
        assert np.abs(image[16, 16::32].astype(int) - colours).max() <= 4

    def test_lays_transparent_video_on_white(self, tmp_path: Path) -> None:
        clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
        clear.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGBA", (32, 32), (*RED, 255))])
        first, second = [frame.image for frame in iter_frames(tmp_path / "a.gif")]
        assert tuple(first[5, 5]) == WHITE
        assert tuple(second[5, 5]) == RED

    def test_stops_where_it_is_told(self, tmp_path: Path) -> None:
        assert len(list(iter_frames(write_mp4(tmp_path / "a.mp4", pan(9)), max_frames=4))) == 4

    def test_reads_a_small_clip_whole_and_refuses_a_larger_one(self, tmp_path: Path) -> None:
        path = write_mp4(tmp_path / "a.mp4", pan(9), audio=tone(1))
        clip = read_clip(path)
        assert clip.frames.shape == (9, 96, 160, 3)
        assert clip.audio is not None
        for bounds in ({"max_frames": 8}, {"max_bytes": 9 * 96 * 160 * 3 - 1}):
            with pytest.raises(UnreadableMedia, match="longer than 8 frames"):
                read_clip(path, **bounds)  # type: ignore[arg-type]


class TestRefusingVideos:
    @pytest.mark.parametrize("read", [probe_video, lambda path: next(iter_frames(path)), read_clip])
    def test_names_what_is_wrong(self, tmp_path: Path, read: object) -> None:
        (tmp_path / "empty.mp4").touch()
        (tmp_path / "text.mp4").write_text("no film")
        os.mkfifo(tmp_path / "pipe.mp4")
        picture(tmp_path / "picture.mp4", format="PNG")
        for name, words in (
            ("empty.mp4", "empty"),
            ("text.mp4", "not a video"),
            ("pipe.mp4", "pipe"),
            ("picture.mp4", "image/png, not a video"),
            ("nowhere.mp4", "no such file"),
        ):
            with pytest.raises(UnreadableMedia, match=words) as caught:
                read(tmp_path / name)  # type: ignore[operator]
            assert caught.value.sentence().startswith("video: ")

    def test_never_follows_a_playlist_to_other_files(self, tmp_path: Path) -> None:
        secret = write_mp4(tmp_path / "secret.mp4", pan(3))
        (tmp_path / "a.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n")
        (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile {secret.name}\n")
        for name in ("a.mp4", "b.mp4"):
            with pytest.raises(UnreadableMedia, match="not a video"):
                probe_video(tmp_path / name)

    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi"])
    def test_yields_the_frames_before_the_end_of_a_cut_file_then_says_so(self, tmp_path: Path, name: str) -> None:
        source = write_mp4(tmp_path / "source.mp4", np.stack([texture(64, 48, seed) for seed in range(40)]))
        codec = ["-c", "copy"] if name != "a.webm" else ["-c:v", "libvpx"]
        ffmpeg("-i", source, *codec, "-movflags", "+faststart", tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
        frames: list[TimedFrame] = []
        with pytest.raises(UnreadableMedia, match=r"cut short after \d+ frames"):
            frames.extend(iter_frames(tmp_path / name))
        assert 3 < len(frames) < 40

    def test_says_that_a_sound_file_holds_no_picture(self, tmp_path: Path) -> None:
        ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", tmp_path / "a.wav")
        with pytest.raises(UnreadableMedia, match="holds no picture"):
            probe_video(tmp_path / "a.wav")

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
    )
    @given(hits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=20))
    def test_damage_anywhere_ends_in_frames_or_a_sentence(self, tmp_path: Path, hits: list[tuple[float, int]]) -> None:
        source = tmp_path / "source.mp4"
        if not source.exists():
            write_mp4(source, pan(6, 64, 48), audio=tone(0.3))
        data = bytearray(source.read_bytes())
        for place, value in hits:
            data[int(place * len(data))] = value
        (tmp_path / "a.mp4").write_bytes(data)
        for read in (probe_video, lambda path: list(iter_frames(path)), read_audio):
            with suppress(UnreadableMedia):
                read(tmp_path / "a.mp4")


class TestReadingSound:
    def test_gives_samples_between_minus_one_and_one(self, tmp_path: Path) -> None:
        ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:duration=0.5:sample_rate=16000", "-c:a", "pcm_s16le",
               tmp_path / "a.wav")  # fmt: skip
        audio = read_audio(tmp_path / "a.wav")
        assert audio is not None
        assert audio.samples.shape == (8000, 1)
        assert audio.samples.dtype == np.float32
        assert 0.1 < np.abs(audio.samples).max() <= 1
        assert sniff_mime_type(tmp_path / "a.wav") == "audio/wav"

    def test_a_silent_film_has_none(self, tmp_path: Path) -> None:
        assert read_audio(write_mp4(tmp_path / "a.mp4", pan(3))) is None

    def test_starts_with_the_first_frame(self, tmp_path: Path) -> None:
        film = write_mp4(tmp_path / "a.mp4", pan(24))
        sound = write_mp4(tmp_path / "b.mp4", pan(24), audio=tone(1))
        for offset in ("0.25", "-0.25"):
            ffmpeg("-i", film, "-itsoffset", offset, "-i", sound, "-map", "0:v", "-map", "1:a", "-c", "copy",
                   "-copyts", tmp_path / "late.mkv")  # fmt: skip
            audio = read_audio(tmp_path / "late.mkv")
            assert audio is not None
            onset = np.argmax(np.abs(audio.samples[:, 0]) > 0.2) / audio.sample_rate
            assert onset == pytest.approx(max(float(offset), 0), abs=0.03)

    def test_refuses_more_than_it_may_hold(self, tmp_path: Path) -> None:
        path = write_mp4(tmp_path / "a.mp4", pan(48), audio=tone(2))
        with pytest.raises(UnreadableMedia, match="longer than 1 seconds"):
            read_audio(path, max_seconds=1)


class TestFramesDigest:
    def test_is_the_documented_layout(self) -> None:
        frames = pan(3, 10, 6)
        expected = b"studio-frames-v1 uint8 6x10x3\n" + frames.tobytes() + b"\n3 frames"
        assert frames_sha256(frames) == hashlib.sha256(expected).hexdigest()

    def test_is_the_same_from_a_stream_and_from_views(self) -> None:
        frames = pan(3, 10, 6)
        assert frames_sha256(iter(frames)) == frames_sha256(np.asfortranarray(frames))

    def test_tells_shapes_and_counts_apart(self) -> None:
        plain = np.zeros((4, 6, 6, 3), np.uint8)
        digests = {frames_sha256(plain), frames_sha256(plain[:2]), frames_sha256(plain.reshape(4, 4, 9, 3))}
        assert len(digests) == 3

    def test_refuses_what_are_no_frames(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            frames_sha256([])
        with pytest.raises(ValueError, match="uint8"):
            FramesDigest().update(np.zeros((4, 4, 3), np.float32))
        with pytest.raises(ValueError, match="as before"):
            frames_sha256([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])


NUM_FRAMES = {
    "alpha_vp9.webm": 150,
    "earth_night_mpeg4.avi": 150,
    "h264_10bit.mp4": 30,
    "newtons_cradle.gif": 36,
    "odd_321x241_yuv444.mp4": 25,
    "rotated_90_nasa.mp4": 17,
    "sign_language_fullrange.mkv": 77,
    "start_at_8s.mp4": 12,
    "testcard_av1.mkv": 125,
    "vfr_nasa_derived.mp4": 123,
}


@pytest.mark.parametrize("name", NUM_FRAMES)
def test_real_files_read_to_their_last_frame(clips: Path, name: str) -> None:
    facts = probe_video(clips / name)
    frames = list(iter_frames(clips / name))
    assert len(frames) == NUM_FRAMES[name]
    assert frames[-1].image.shape == (facts.height, facts.width, 3)
    assert frames[-1].time_seconds == pytest.approx(len(frames) / float(facts.frame_rate), rel=0.15)


def test_a_really_damaged_file_gives_the_frames_before_the_damage(clips: Path) -> None:
    frames: list[TimedFrame] = []
    with pytest.raises(UnreadableMedia, match="after 28 frames"):
        frames.extend(iter_frames(clips / "corrupted.mp4"))
    assert len(frames) == 28
