"""The client of one server."""

from types import TracebackType
from typing import Self

from rtserver_client.api import Api
from rtserver_client.positions import MemoryPositions, PositionStore
from rtserver_client.project import Project
from rtserver_client.tokens import Tokens, TokenSource


class Client:
    """The client of one server, as one user.

    ```python
    async with Client("https://rt.example.com", token) as client:
        project = client.project("demo", positions=FilePositions("demo.json"))
        async for event in project.events():
            print(event)
    ```
    """

    def __init__(self, base_url: str, token: TokenSource) -> None:
        """Make a client; nothing is sent yet.

        Args:
            base_url: of the server, with `http://` or `https://`.
            token: a JWT, or what gives one whenever another is needed.

        Raises:
            ValueError: the address is none.
        """
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"{base_url!r} must begin with http:// or https://")
        self._base_url = base_url
        self._tokens = Tokens(token)
        self._api = Api(base_url, self._tokens)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._api.__aexit__(kind, error, traceback)

    def project(self, project_id: str, *, positions: PositionStore | None = None) -> Project:
        """A project.

        Args:
            project_id: its id.
            positions: where the position is kept; in memory unless given.
        """
        kept = positions or MemoryPositions()
        return Project(self._base_url, self._api, self._tokens, project_id, kept)
