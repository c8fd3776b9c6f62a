"""Tries each part that the settings name, and says what is wrong with it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from rtserver.app.folders import make_data_folder, validator_of
from rtserver.app.language_model import language_model
from rtserver.app.logs import log_sizes
from rtserver.app.mongo import NO_REPLICA_SET, MongoAccess
from rtserver.app.tokens import kept_secret, key_set, signing_secret, token_verifier
from rtserver.audit.archive.directory import try_out
from rtserver.audit.checkpoints.key_file import read_key_file
from rtserver.audit.checkpoints.outside import try_directory
from rtserver.auth.tokens import ASYMMETRIC, KeyConfigurationError
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from store.base.client import DatabaseError, is_replica_set, server_version
from store.base.mending import lack_problem, what_to_mend
from store.base.outage import require_majority
from store.base.rights import what_is_not_allowed
from store.log.collection import log_problem
from store.watch.check import watch_problems
from store.watch.places import MongoWatchPlaces

MONGODB_AT_LEAST = (5, 0)
WATCH_STALLED_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of trying one part.

    Attributes:
        problems: what is wrong and how to mend it; empty where all is well.
        notes: what is worth knowing of a part that works.
    """

    problems: Sequence[str] = ()
    notes: Sequence[str] = ()


async def findings(settings: Settings) -> AsyncIterator[tuple[str, Finding]]:
    """Each part in turn, and what came of trying it."""
    tries = {
        "settings": _check_settings,
        "tokens": _check_tokens,
        "MongoDB": _check_mongodb,
        "validator": _check_validator,
        "LLM": _check_language_model,
        "audit archive": _check_archive,
        "audit checkpoints": _check_checkpoints,
    }
    for part, check in tries.items():
        try:
            found = await check(settings)
        except OperatorError as error:
            found = Finding([str(error)])
        yield part, found


async def _check_settings(settings: Settings) -> Finding:
    make_data_folder(settings)
    return Finding([str(variable) for variable in settings.unknown_environment])


async def _check_tokens(settings: Settings) -> Finding:
    secret = kept_secret(settings)
    if secret is None:
        try:
            signing_secret(settings, demo=False)
        except KeyConfigurationError as error:
            return Finding([str(error)])
    try:
        keys = key_set(settings)
    except KeyConfigurationError as error:
        return Finding([f"{error}. See RT_JWT_JWKS_URL"])
    try:
        verifier = token_verifier(settings, secret, keys)
        problem = None if keys is None else await keys.try_out(verifier.algorithms & ASYMMETRIC)
    except KeyConfigurationError as error:
        return Finding([str(error)])
    finally:
        if keys is not None:
            await keys.close()
    if problem is None:
        return Finding()
    return Finding(
        [
            f"the key set at RT_JWT_JWKS_URL can't be used: {problem}. See whether the issuer is "
            "up and the address its own (`jwks_uri` of its OpenID configuration)"
        ]
    )


async def _check_mongodb(settings: Settings) -> Finding:
    mongo = MongoAccess(settings)
    try:
        database = await mongo.open(beside=True)
        if not await is_replica_set(database):
            return Finding([NO_REPLICA_SET])
        lack = await what_is_not_allowed(database)
        problems = []
        notes = []
        if lack is not None:
            said = lack_problem(lack, database.name)
            if lack.stops_start:
                return Finding([said])
            notes.append(said)
        await require_majority(database)
        major, minor = await server_version(database)
        if (major, minor) < MONGODB_AT_LEAST:
            problems.append(
                f"MongoDB is {major}.{minor}; rtserver needs {'.'.join(map(str, MONGODB_AT_LEAST))}"
            )
        for name, wanted_bytes in log_sizes(settings).items():
            problem = await log_problem(database, name, wanted_bytes)
            problems += [] if problem is None else [problem]
        for watch in settings.watches:
            problems += await watch_problems(database.client, watch)
        places = MongoWatchPlaces(database, lease_s=settings.lease_s)
        for watch in settings.watches:
            stalled = await places.stalled(watch.name, WATCH_STALLED_S)
            if stalled is not None:
                for_s, why = stalled
                problems.append(
                    f"RT_WATCH {watch.name}: it has failed for {for_s:.0f} s and not moved: {why}"
                )
    except DatabaseError as error:
        return Finding([what_to_mend(error)])
    else:
        return Finding(problems, notes)
    finally:
        await mongo.close()


async def _check_validator(settings: Settings) -> Finding:
    return Finding(await validator_of(settings).check())


async def _check_language_model(settings: Settings) -> Finding:
    if settings.llm_base_url is None:
        return Finding()
    if settings.llm_model is None:
        return Finding(["RT_LLM_BASE_URL is set, RT_LLM_MODEL is not: name the model to ask for"])
    model = language_model(settings, settings.llm_base_url, settings.llm_model)
    try:
        trial = await model.try_out()
    finally:
        await model.close()
    if trial.problem is None:
        return Finding(notes=trial.notes)
    return Finding(
        [f"{trial.problem}. See RT_LLM_BASE_URL, RT_LLM_MODEL and RT_LLM_API_KEY"], trial.notes
    )


async def _check_archive(settings: Settings) -> Finding:
    if settings.audit_archive_dir is None:
        return Finding()
    problem = await asyncio.to_thread(try_out, settings.audit_archive_dir)
    return Finding() if problem is None else Finding([f"{problem}. See RT_AUDIT_ARCHIVE_DIR"])


async def _check_checkpoints(settings: Settings) -> Finding:
    if settings.audit_signing_key_file is None:
        unused = {
            "RT_AUDIT_CHECKPOINTS_DIR": settings.audit_checkpoints_dir,
            "RT_AUDIT_WITNESS_URL": settings.audit_witness_url,
        }
        return Finding(
            [
                f"{name} is set, and nothing is signed: see RT_AUDIT_SIGNING_KEY_FILE"
                for name, value in unused.items()
                if value is not None
            ]
        )
    key = read_key_file(settings.audit_signing_key_file)
    directory = settings.audit_checkpoints_dir
    problem = None if directory is None else await asyncio.to_thread(try_directory, directory)
    notes = [f"public key {key.public}"]
    return Finding([] if problem is None else [f"{problem}. See RT_AUDIT_CHECKPOINTS_DIR"], notes)
