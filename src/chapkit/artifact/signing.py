"""Proof that this service made a content, for contents that run code when they are read."""

import hmac
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from chapkit.artifact.stores import BlobRef
from chapkit.core.durability import make_folder, sync_folder
from chapkit.core.errors import ConfigurationError, IntegrityError
from chapkit.core.faults import reach

KEY_FILE = "signing.key"
PRODUCER = "chapkit.artifact"
_KEY_BYTES = 32
_KEY_LENGTH = 2 * _KEY_BYTES
_READ_ATTEMPTS = 200
_READ_PAUSE = 0.01


class Signer:
    """Signs contents and checks signatures; the key is fetched when it is first needed, from a thread."""

    def __init__(self, key: bytes | Callable[[], bytes], producer: str = PRODUCER) -> None:
        self._source = key
        self.producer = producer

    @classmethod
    def of_folder(cls, folder: Path) -> "Signer":
        """Return a signer whose key lies in `folder`, made there when it is first needed."""
        return cls(lambda: load_key(folder / KEY_FILE))

    def sign(self, ref: BlobRef, media_type: str) -> str:
        """Return the signature of a content."""
        message = "\n".join((ref.sha256, media_type, self.producer)).encode()
        return hmac.new(self._key, message, "sha256").hexdigest()

    def verify(self, sha256: str, media_type: str, signature: str | None) -> None:
        """Return if this service signed the content.

        Raises:
            IntegrityError: It is not signed, or by somebody else (`model-unsigned`).
        """
        expected = self.sign(BlobRef(sha256, 0), media_type)
        if signature is None or not hmac.compare_digest(expected, signature):
            raise IntegrityError(
                "This model was not stored by this service, so it is not loaded: loading it could run any code. "
                "If the signing key was lost, train the model again",
                code="model-unsigned",
                sha256=sha256,
            )

    @cached_property
    def _key(self) -> bytes:
        key = self._source if isinstance(self._source, bytes) else self._source()
        if len(key) < _KEY_BYTES // 2:
            raise ConfigurationError(
                f"The signing key has {len(key)} bytes; at least {_KEY_BYTES // 2} are needed", code="signing-key-short"
            )
        return key


def load_key(path: Path) -> bytes:
    """Return the key in the file, which is made if it is not there; processes that do so at once get the same one."""
    with suppress(FileNotFoundError):
        return _read(path)
    make_folder(path.parent)
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        _write(fresh, secrets.token_hex(_KEY_BYTES).encode())
        reach("signing.before-key")
        try:
            # A link appears whole or not at all, and never takes the place of another.
            os.link(fresh, path)
        except FileExistsError:
            pass
        except OSError:
            _write_in_place(path, fresh.read_bytes())
        reach("signing.after-key")
        # Without it a power cut could take the key and leave what it has signed.
        sync_folder(path.parent)
    finally:
        fresh.unlink(missing_ok=True)
    return _read(path)


def _read(path: Path) -> bytes:
    # Only where links do not exist can a file be seen before its content.
    for _ in range(_READ_ATTEMPTS):
        key = path.read_bytes().strip()
        if len(key) >= _KEY_LENGTH:
            return key
        time.sleep(_READ_PAUSE)
    raise ConfigurationError(
        f"{path} holds no signing key: {_KEY_LENGTH} characters or more are expected; "
        "restore it, or remove it to get a new one (stored models are then not loaded any more)",
        code="signing-key-invalid",
    )


def _write(path: Path, key: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_in_place(path: Path, key: bytes) -> None:
    with suppress(FileExistsError):
        _write(path, key)
