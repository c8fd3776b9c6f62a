"""`check`: tries the settings, and says what is wrong and how to mend it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from rtserver.app.check import check_database
from rtserver.app.parts import make_model, make_validator, token_verifier
from rtserver.audit.archive.directory import try_out
from rtserver.auth.tokens import KeyConfigurationError
from rtserver.cli.token import SECRET_FILE
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of trying one part.

    Attributes:
        problems: what is wrong and how to mend it; empty where all is well.
        notes: what is worth knowing of a part that works.
    """

    problems: Sequence[str] = ()
    notes: Sequence[str] = ()


async def check(settings: Settings) -> int:
    """Print a line for each part; 0 where all is well, else 1."""
    parts: list[tuple[str, Callable[[Settings], Awaitable[Finding]]]] = [
        ("settings", _check_settings),
        ("tokens", _check_tokens),
        ("MongoDB", _check_mongodb),
        ("validator", _check_validator),
        ("LLM", _check_llm),
        ("audit archive", _check_archive),
    ]
    failed = False
    for name, part in parts:
        try:
            found = await part(settings)
        except OperatorError as error:
            found = Finding([str(error)])
        failed = failed or bool(found.problems)
        notes = f" ({'; '.join(found.notes)})" if found.notes else ""
        print(f"{name}: {'' if found.problems else 'ok'}{notes}".rstrip())
        for problem in found.problems:
            print(f"  - {problem}")
    return 1 if failed else 0


async def _check_settings(settings: Settings) -> Finding:
    return Finding([str(variable) for variable in settings.unknown_environment])


async def _check_tokens(settings: Settings) -> Finding:
    secret = settings.jwt_secret
    path = settings.data_dir / SECRET_FILE
    if secret is None and not settings.jwt_public_key and not settings.jwt_jwks_url:
        if path.is_file():
            secret = path.read_text().strip()
        else:
            return Finding(
                [
                    "no key: set RT_JWT_SECRET, RT_JWT_PUBLIC_KEY or RT_JWT_JWKS_URL "
                    "(only `serve --demo` starts without)"
                ]
            )
    try:
        _, jwks = await token_verifier(settings, secret)
    except KeyConfigurationError as error:
        return Finding([str(error)])
    if jwks is not None:
        await jwks.close()
    return Finding()


async def _check_mongodb(settings: Settings) -> Finding:
    return Finding(await check_database(settings))


async def _check_validator(settings: Settings) -> Finding:
    return Finding(make_validator(settings).check())


async def _check_archive(settings: Settings) -> Finding:
    if settings.audit_archive_dir is None:
        return Finding()
    problem = await asyncio.to_thread(try_out, settings.audit_archive_dir)
    return Finding() if problem is None else Finding([f"{problem}. See RT_AUDIT_ARCHIVE_DIR"])


async def _check_llm(settings: Settings) -> Finding:
    if settings.llm_base_url is None:
        return Finding()
    if settings.llm_model is None:
        return Finding(["RT_LLM_BASE_URL is set, RT_LLM_MODEL is not: name the model to ask for"])
    model = make_model(settings, settings.llm_base_url, settings.llm_model)
    try:
        trial = await model.try_out()
    finally:
        await model.close()
    if trial.problem is None:
        return Finding(notes=trial.notes)
    return Finding(
        [f"{trial.problem}. See RT_LLM_BASE_URL, RT_LLM_MODEL and RT_LLM_API_KEY"], trial.notes
    )
