import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chapkit.artifact.signing import KEY_FILE, Signer, _write_in_place, load_key
from chapkit.artifact.stores import BlobRef
from chapkit.core.errors import ConfigurationError, IntegrityError

KEY = b"0123456789abcdef0123456789abcdef"
REF = BlobRef.of(b"content")
TYPE = "application/x-model"


def test_what_was_signed_is_verified() -> None:
    signature = Signer(KEY).sign(REF, TYPE)
    Signer(KEY).verify(REF.sha256, TYPE, signature)


@pytest.mark.parametrize(
    ("signer", "sha256", "media_type"),
    [
        (Signer(b"another key of sufficient length"), REF.sha256, TYPE),
        (Signer(KEY, "another producer"), REF.sha256, TYPE),
        (Signer(KEY), BlobRef.of(b"other").sha256, TYPE),
        (Signer(KEY), REF.sha256, "application/x-other"),
    ],
)
def test_another_key_producer_content_or_type_is_refused(signer: Signer, sha256: str, media_type: str) -> None:
    signature = Signer(KEY).sign(REF, TYPE)
    with pytest.raises(IntegrityError) as caught:
        signer.verify(sha256, media_type, signature)
    assert caught.value.code == "model-unsigned"


@pytest.mark.parametrize("signature", [None, "", "0" * 64])
def test_no_signature_or_an_invented_one_is_refused(signature: str | None) -> None:
    with pytest.raises(IntegrityError):
        Signer(KEY).verify(REF.sha256, TYPE, signature)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Signer(b"short").sign(REF, TYPE)
    assert caught.value.code == "signing-key-short"


def test_the_key_file_is_made_for_its_owner_only(tmp_path: Path) -> None:
    signature = Signer.of_folder(tmp_path / "data").sign(REF, TYPE)
    path = tmp_path / "data" / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == [KEY_FILE]
    Signer.of_folder(tmp_path / "data").verify(REF.sha256, TYPE, signature)


def test_no_key_is_made_before_one_is_needed(tmp_path: Path) -> None:
    Signer.of_folder(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_where_links_do_not_exist_the_first_key_stays(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    _write_in_place(path, KEY * 2)
    _write_in_place(path, b"late" * 16)
    assert load_key(path) == KEY * 2


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from chapkit.artifact.signing import load_key; sys.stdin.read(1); "
        "print(load_key(pathlib.Path(sys.argv[1])).decode())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data" / KEY_FILE)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("x")
        child.stdin.flush()
    outputs = [child.communicate()[0].strip() for child in children]
    assert len(set(outputs)) == 1
    assert len(outputs[0]) == 64
