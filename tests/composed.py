"""What docker-compose.yml, Dockerfile and .dockerignore say, and a folder with what the image would hold."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parent.parent
COMPOSE = PROJECT / "docker-compose.yml"
OURS = ("migrate", "web", "worker")
"""The services that run our image."""
_SET = re.compile(r"\$\{(\w+):-([^}]*)\}")


# ---- docker-compose.yml


def resolved(value: Any, **variables: str) -> Any:
    """A value of the file as compose reads it: `${NAME:-default}` is the variable or the default, and `$$` a dollar."""
    if isinstance(value, dict):
        return {key: resolved(one, **variables) for key, one in value.items()}
    if isinstance(value, list):
        return [resolved(one, **variables) for one in value]
    if isinstance(value, str):
        return _SET.sub(lambda match: variables.get(match[1]) or match[2], value).replace("$$", "$")
    return value


@functools.cache
def compose() -> dict[str, Any]:
    """The whole file, with its defaults."""
    read = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    assert isinstance(read, dict)
    return dict(resolved(read))


def service(name: str) -> dict[str, Any]:
    """One service."""
    return dict(compose()["services"][name])


def environment_of(name: str) -> dict[str, str]:
    """The variables of a service, and under them those of the image where it is ours."""
    own = {key: str(value) for key, value in service(name).get("environment", {}).items()}
    return {**image_variables(), **own} if name in OURS else own


def health_of(name: str) -> list[str]:
    """The command that asks a service whether it is well, as words."""
    kind, *words = service(name)["healthcheck"]["test"]
    return ["sh", "-c", *words] if kind == "CMD-SHELL" else words


def seconds(text: str) -> int:
    """A time of the file: `45s`, `1m`."""
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


# ---- Dockerfile


@dataclasses.dataclass(frozen=True)
class Step:
    """One instruction: its word, in capitals, and the rest of it in one line."""

    word: str
    text: str


@functools.cache
def stages() -> list[list[Step]]:
    """The instructions of each stage; what stands before the first FROM is left out."""
    lines = [line for line in (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    found: list[list[Step]] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        word, _, text = line.strip().partition(" ")
        if word == "FROM":
            found.append([])
        if word and found:
            found[-1].append(Step(word, " ".join(text.split())))
    return found


def last(word: str) -> str:
    """The last instruction of a kind in the stage that becomes the image."""
    return [step.text for step in stages()[-1] if step.word == word][-1]


def image_command(word: str) -> list[str]:
    """CMD of the image, or of its HEALTHCHECK, as words."""
    read: list[str] = json.loads(last(word).partition("CMD ")[2] if word == "HEALTHCHECK" else last(word))
    return read


def image_variables() -> dict[str, str]:
    """ENV of the image."""
    texts = [step.text for step in stages()[-1] if step.word == "ENV"]
    return dict(pair.split("=", 1) for text in texts for pair in shlex.split(text))


def copied() -> list[tuple[list[str], str]]:
    """What the stage that holds the project takes from the checkout, and where it puts it."""
    (stage,) = [stage for stage in stages() if any(step.text.startswith("manage.py") for step in stage)]
    words = [shlex.split(step.text) for step in stage if step.word == "COPY"]
    return [(each[:-1], each[-1]) for each in words]


# ---- .dockerignore, and what comes through


def is_sent(path: Path) -> bool:
    """Whether a file of the checkout reaches the build: the last line that names it, or a folder around it, decides."""
    name = path.relative_to(PROJECT).as_posix()
    around = [name, *(parent.as_posix() for parent in Path(name).parents if parent != Path())]
    is_out = False
    for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, excludes = line.removeprefix("!"), not line.startswith("!")
        patterns = [pattern, pattern.removeprefix("**/")] if pattern.startswith("**/") else [pattern]
        if any(fnmatch.fnmatch(one, pattern) or Path(one).match(pattern) for one in around for pattern in patterns):
            is_out = excludes
    return not is_out


def fill(folder: Path) -> None:
    """Put into a folder what the image has in its own."""
    for sources, target in copied():
        for source in sources:
            found = PROJECT / source
            inside = folder / target / found.name if target.endswith("/") else folder / target
            for path in [found] if found.is_file() else sorted(one for one in found.rglob("*") if one.is_file()):
                if is_sent(path):
                    place = inside / path.relative_to(found) if found.is_dir() else inside
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, place)
