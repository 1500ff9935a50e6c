"""Every error that chapkit raises, as one tree.

    ChapkitError                     internal
    ├── NotFoundError                not-found
    ├── ValidationError              validation-failed
    │   ├── InvalidULIDError         invalid-ulid
    │   └── BadRequestError          bad-request
    ├── UnprocessableError           unprocessable
    ├── ConflictError                conflict
    ├── PreconditionFailedError      precondition-failed
    ├── UnauthorizedError            unauthorized
    ├── ForbiddenError               forbidden
    ├── TooLargeError                too-large
    ├── UnsupportedMediaTypeError    unsupported-media-type
    ├── RangeNotSatisfiableError     range-not-satisfiable
    ├── TooManyRequestsError         too-many-requests
    ├── UnavailableError             unavailable
    │   └── DatabaseBusyError        unavailable
    ├── StorageFullError             storage-full
    ├── IntegrityError               internal
    ├── ConfigurationError           internal (a ValueError too)
    └── MissingExtraError            internal (an ImportError too)

`kind` is the family that decides the HTTP status (one table, in `chapkit.web.problems`);
`code` is the stable name of the exact cause.
"""

from typing import Any

URN_PREFIX = "urn:chapkit:error:"


class ChapkitError(Exception):
    """Something went wrong in a way that chapkit can explain."""

    kind: str = "internal"
    """Family of the error; it decides the HTTP status."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        instance: str | None = None,
        **extensions: Any,
    ) -> None:
        self.detail = detail if detail is not None else (type(self).__doc__ or type(self).__name__)
        self.code = code if code is not None else self.kind
        self.instance = instance
        self.extensions = extensions
        super().__init__(self.detail)

    @property
    def type_uri(self) -> str:
        """The problem type of the family, as it stands on the wire."""
        return URN_PREFIX + self.kind


class NotFoundError(ChapkitError):
    """The thing that was asked for does not exist."""

    kind = "not-found"


class ValidationError(ChapkitError):
    """What was sent breaks a rule of the service."""

    kind = "validation-failed"


class InvalidULIDError(ValidationError):
    """An identifier is not a ULID of 26 upper-case characters."""

    kind = "invalid-ulid"


class BadRequestError(ValidationError):
    """The request cannot be understood."""

    kind = "bad-request"


class UnprocessableError(ChapkitError):
    """The request is well formed, but its content cannot be accepted."""

    kind = "unprocessable"


class ConflictError(ChapkitError):
    """The request collides with what is stored."""

    kind = "conflict"


class PreconditionFailedError(ChapkitError):
    """The stored state is not the one the caller expected."""

    kind = "precondition-failed"


class UnauthorizedError(ChapkitError):
    """The caller did not say who it is."""

    kind = "unauthorized"


class ForbiddenError(ChapkitError):
    """The caller may not do this."""

    kind = "forbidden"


class TooLargeError(ChapkitError):
    """The request is larger than the service accepts."""

    kind = "too-large"


class UnsupportedMediaTypeError(ChapkitError):
    """The content has a type that the service does not read."""

    kind = "unsupported-media-type"


class RangeNotSatisfiableError(ChapkitError):
    """The range that was asked for lies outside of the content."""

    kind = "range-not-satisfiable"


class TooManyRequestsError(ChapkitError):
    """More was asked for than the service takes on now; `retry_after` says in how many seconds to try again."""

    kind = "too-many-requests"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1, **options: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **options)
        self.retry_after = retry_after


class UnavailableError(ChapkitError):
    """The service cannot answer now; trying again later may help."""

    kind = "unavailable"


class DatabaseBusyError(UnavailableError):
    """Another process held the database for too long."""


class StorageFullError(ChapkitError):
    """There is no room left to store this."""

    kind = "storage-full"


class IntegrityError(ChapkitError):
    """Stored bytes are not the ones that were written."""


class ConfigurationError(ChapkitError, ValueError):
    """The service is put together in a way that cannot work."""


class MissingExtraError(ChapkitError, ImportError):
    """A feature needs a package of an extra that is not installed."""


class ErrorType:
    """Problem types of the families that clients of the first release know."""

    NOT_FOUND = URN_PREFIX + "not-found"
    VALIDATION_FAILED = URN_PREFIX + "validation-failed"
    CONFLICT = URN_PREFIX + "conflict"
    INVALID_ULID = URN_PREFIX + "invalid-ulid"
    INTERNAL_ERROR = URN_PREFIX + "internal"
    UNAUTHORIZED = URN_PREFIX + "unauthorized"
    FORBIDDEN = URN_PREFIX + "forbidden"
    BAD_REQUEST = URN_PREFIX + "bad-request"


ChapkitException = ChapkitError
