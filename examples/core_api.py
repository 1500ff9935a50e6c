"""A table of your own with all generic routes, as a feature that any service can add.

uvicorn examples.core_api:app
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter, FastAPI
from pydantic import EmailStr, Field
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from chapkit import Base, BaseManager, BaseRepository, Entity, EntityIn, EntityOut
from chapkit.api import CrudRouter, Feature, ServiceBuilder, ServiceInfo, provided
from chapkit.core.services import Services


class User(Entity):
    """A person who may sign in."""

    __tablename__ = "example_users"

    name: Mapped[str] = mapped_column(index=True)
    email: Mapped[str] = mapped_column(unique=True)
    active: Mapped[bool] = mapped_column(default=True)


class UserIn(EntityIn):
    """A user as a client sends it."""

    name: str = Field(min_length=1)
    email: EmailStr
    active: bool = True


class UserOut(EntityOut):
    """A user as the service tells of it."""

    name: str
    email: str
    active: bool


class UserManager(BaseManager[User, UserIn, UserOut]):
    """Manages users; an e-mail address is stored in lower case."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(BaseRepository(session, User), User, UserOut)

    async def pre_save(self, entity: User, data: UserIn) -> None:
        """Even out a new address."""
        entity.email = entity.email.lower()

    async def pre_update(self, entity: User, data: UserIn, old_values: dict[str, object]) -> None:
        """Even out a changed address."""
        entity.email = entity.email.lower()


@dataclass(frozen=True)
class UserFeature(Feature):
    """Stores users."""

    kind: ClassVar[str] = "user"

    prefix: str = "/api/v1/users"

    def models(self) -> Iterable[type[Base]]:
        """Return the table of users."""
        yield User

    def register(self, services: Services) -> None:
        """Bring a `UserManager` for each unit of work."""
        services.scoped(UserManager, lambda scope: UserManager(scope.session))

    def routers(self) -> Iterable[APIRouter]:
        """Return the generic routes."""
        yield CrudRouter.create(self.prefix, ["Users"], UserIn, UserOut, provided(UserManager))


async def seed(app: FastAPI) -> None:
    """Write the first user."""
    async with app.state.services.scope.write() as scope:
        users = scope.get(UserManager)
        if await users.count() == 0:
            await users.create(UserIn(name="Ada", email="Ada@example.org", tags=["seed"]))


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Users"), database_url="sqlite+aiosqlite:///data/core_api.db")
    .with_logging()
    .with_health()
    .with_feature(UserFeature())
    .on_startup(seed)
    .build()
)
