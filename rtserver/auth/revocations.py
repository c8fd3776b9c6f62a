"""Users whose tokens of before some moment prove nothing any more."""

from rtserver.model.identity import Identity


class Revocations:
    """What one worker knows of them. `rtserver.sessions.revocation` keeps it up to date."""

    def __init__(self) -> None:
        self._before_s: dict[str, float] = {}

    def learn(self, user_id: str, before_s: float) -> bool:
        """Refuse a user's tokens that were issued before a moment (Unix time).

        Returns:
            Whether that is news: a later moment than what was known.
        """
        is_news = before_s > self._before_s.get(user_id, 0.0)
        if is_news:
            self._before_s[user_id] = before_s
        return is_news

    def refuses(self, identity: Identity) -> bool:
        """Whether the token of an identity is refused.

        One that does not say when it was issued is refused too, from a revocation of its user on:
        nobody can tell that it is a new one.
        """
        before_s = self._before_s.get(identity.user_id)
        if before_s is None:
            return False
        return identity.issued_at is None or identity.issued_at < before_s
