"""`check`: tries the settings, and says what is wrong and how to mend it."""

import asyncio
from collections.abc import Awaitable, Callable

from rtserver.app.check import check_database
from rtserver.app.parts import make_model, make_validator, token_verifier
from rtserver.audit.archive.directory import try_out
from rtserver.auth.tokens import KeyConfigurationError
from rtserver.cli.token import SECRET_FILE
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError


async def check(settings: Settings) -> int:
    """Print a line for each part; 0 where all is well, else 1."""
    parts: list[tuple[str, Callable[[Settings], Awaitable[list[str]]]]] = [
        ("settings", _check_settings),
        ("tokens", _check_tokens),
        ("MongoDB", check_database),
        ("validator", _check_validator),
        ("LLM", _check_llm),
        ("audit archive", _check_archive),
    ]
    failed = False
    for name, part in parts:
        try:
            problems = await part(settings)
        except OperatorError as error:
            problems = [str(error)]
        failed = failed or bool(problems)
        print(f"{name}: {'ok' if not problems else ''}".rstrip())
        for problem in problems:
            print(f"  - {problem}")
    return 1 if failed else 0


async def _check_settings(settings: Settings) -> list[str]:
    return [str(variable) for variable in settings.unknown_environment]


async def _check_tokens(settings: Settings) -> list[str]:
    secret = settings.jwt_secret
    path = settings.data_dir / SECRET_FILE
    if secret is None and not settings.jwt_public_key and not settings.jwt_jwks_url:
        if path.is_file():
            secret = path.read_text().strip()
        else:
            return [
                "no key: set RT_JWT_SECRET, RT_JWT_PUBLIC_KEY or RT_JWT_JWKS_URL "
                "(only `serve --demo` starts without)"
            ]
    try:
        _, jwks = await token_verifier(settings, secret)
    except KeyConfigurationError as error:
        return [str(error)]
    if jwks is not None:
        await jwks.close()
    return []


async def _check_validator(settings: Settings) -> list[str]:
    return make_validator(settings).check()


async def _check_archive(settings: Settings) -> list[str]:
    if settings.audit_archive_dir is None:
        return []
    problem = await asyncio.to_thread(try_out, settings.audit_archive_dir)
    return [] if problem is None else [f"{problem}. See RT_AUDIT_ARCHIVE_DIR"]


async def _check_llm(settings: Settings) -> list[str]:
    if settings.llm_base_url is None:
        return []
    if settings.llm_model is None:
        return ["RT_LLM_BASE_URL is set, RT_LLM_MODEL is not: name the model to ask for"]
    model = make_model(settings, settings.llm_base_url, settings.llm_model)
    try:
        problem = await model.try_out()
    finally:
        await model.close()
    if problem is None:
        return []
    return [f"{problem}. See RT_LLM_BASE_URL, RT_LLM_MODEL and RT_LLM_API_KEY"]
