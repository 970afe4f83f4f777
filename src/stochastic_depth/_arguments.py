"""Arguments read by jsonargparse, and a sentence of ours for each kind of wrong one.

What jsonargparse says of a wrong argument is never shown, nor read: when it refuses, the
arguments are gone through again here, and the first that does not fit its type is named.
A recipe is gone through before it is parsed. Imported by what parses, not by the core.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from ._errors import InvalidArgument

CAUSAL_LM = "stochastic_depth.training.language_models.CausalLM"
NETWORK = "stochastic_depth.training.libraries.network"
BY_NAME = ("timm/", "torchvision/", "transformers/")
PHOTOGRAPHS = "photographs"
"""The recipe of a network that is named in its place."""


def new_parser(**settings: Any) -> ArgumentParser:
    """Return a parser that raises where others leave the program, and expands no prefixes."""
    return ArgumentParser(
        **{"exit_on_error": False, "allow_abbrev": False, "print_config": None} | settings
    )


def parse(
    parser: ArgumentParser, arguments: Sequence[str], base: Namespace | None = None
) -> Namespace:
    """Parse command-line arguments.

    Args:
        parser: from `new_parser`.
        arguments: of the command line.
        base: values that the arguments replace; the parser's defaults if None.

    Raises:
        InvalidArgument: an argument is unknown, missing or of the wrong type.
    """
    arguments = list(_spelled_out(_with_recipe(parser, arguments)))
    try:
        return parser.parse_args(list(arguments), namespace=base)
    except (ArgumentError, OverflowError, RecursionError) as error:
        own, words = _spoken_to(parser, arguments)
        known = base.as_dict() if base is not None else getattr(own, "recipe", {})
        _explain(own, words, known)
        raise InvalidArgument(
            f"The arguments of {own.prog} must fit together; got {' '.join(words)!r}. "
            f"See `{own.prog} --help all`."
        ) from error


def _with_recipe(parser: ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Return the arguments, a network that stands for a recipe as the recipe and `--model`."""
    own, words = _spoken_to(parser, arguments)
    if not (words and words[0].startswith(BY_NAME) and "--recipe" in own._option_string_actions):
        return list(arguments)
    recipe = [] if is_causal(words[0]) else [f"--recipe={PHOTOGRAPHS}"]
    before = list(arguments[: len(arguments) - len(words)])
    return [*before, *recipe, f"--model={words[0]}", *words[1:]]


def is_causal(name: str) -> bool:
    """Return whether `transformers/NAME` is a family of causal language models."""
    library, _, family = name.partition("/")
    if library != "transformers":
        return False
    try:
        from transformers.models.auto import modeling_auto
    except ImportError:
        return True  # refused where it is built, with what to install
    return family not in modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES


def _spelled_out(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments, `--model LIBRARY/NAME` as import path and name."""
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--model":
            value = value if equals else next(words, "")
        if option == "--model" and value.startswith(BY_NAME):
            yield f"--model={CAUSAL_LM if is_causal(value) else NETWORK}"
            yield f"--model.init_args.name={value}"
        elif option == "--model" and not equals:
            yield from filter(None, (word, value))
        else:
            yield word


def check_fields(parser: ArgumentParser, values: Mapping[Any, Any], within: str = "") -> None:
    """Refuse a mapping of fields, such as a recipe, whose names or types are wrong.

    Raises:
        InvalidArgument: naming the field, what it must be and what it is.
    """
    from ._checks import fail
    from ._fields import base_of, check_field, in_yaml

    actions = _actions(parser)
    for key, value in values.items():
        field = f"{within}{key}"
        kind = _kind(actions.get(field))
        if any(name.startswith(f"{field}.") for name in actions) and base_of(kind) is None:
            if not isinstance(value, Mapping):
                raise fail(field, "a mapping of its fields", in_yaml(value))
            check_fields(parser, value, f"{field}.")
        elif field not in actions:
            raise _unaccepted(parser, field)
        else:
            check_field(field, kind, value)


def _explain(parser: ArgumentParser, words: Sequence[str], known: Mapping[str, Any]) -> None:
    """Raise for the first word of a command line that is wrong, or for what is missing."""
    subcommands: Any = getattr(parser, "_subcommands_action", None)
    if subcommands is not None:
        raise _of_wrong_verb(parser, list(subcommands.choices), words)
    given = set(known)
    for name, action, text in _options(parser, words):
        given.add(action.dest)
        _check_text(parser, name, action, text, known)
    for field in [action.dest for action in parser._actions if _is_due(action)]:
        if field not in given:
            raise _missing(parser, field)
    _require_known_names(parser, words, known)


def _require_known_names(
    parser: ArgumentParser, words: Sequence[str], known: Mapping[str, Any]
) -> None:
    """Refuse a class that is named without its module, and that jsonargparse has not found."""
    from ._checks import fail

    named = {name: text for name, _, text in _options(parser, words)}
    for field, value in {**known, **named}.items():
        action = _actions(parser).get(field)
        name = value.get("class_path") if isinstance(value, Mapping) else value
        if _is_object(action) and isinstance(name, str) and "." not in name:
            requirement = "an import path, or a mapping of class_path and init_args"
            raise fail(field, requirement, repr(name))


def _is_object(action: Any) -> bool:
    from ._fields import base_of

    return base_of(_kind(action)) is not None


def _is_due(action: Any) -> bool:
    """Return whether a field has no default; that of an object is not None."""
    return action.required or (_is_object(action) and action.default is None)


def _options(parser: ArgumentParser, words: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """Yield name, action and value of each option; refuse unknown ones and stray words."""
    places = [action for action in parser._actions if not action.option_strings]
    waiting = iter(words)
    for word in waiting:
        if not word.startswith("-"):
            if not places:
                raise InvalidArgument(
                    f"{word!r} is one word too many. Quote it, or name its option."
                )
            yield places[0].dest, places[0], word
            places = places if places[0].nargs == "+" else places[1:]
            continue
        name, equals, text = word.partition("=")
        action = parser._option_string_actions.get(name) or _component_of(parser, name)
        if action is None:
            raise _unknown(parser, name)
        if action.nargs == 0:
            continue
        text = text if equals else next(waiting, "--")
        if not equals and text.startswith("--"):
            raise InvalidArgument(f"{name} must be followed by a value; got none.")
        yield name.lstrip("-"), action, text


def _check_text(
    parser: ArgumentParser, name: str, action: Any, text: str, known: Mapping[str, Any]
) -> None:
    """Refuse the text of an option that does not fit the type of its field."""
    from ._checks import fail
    from ._fields import base_of, check_field, fits

    kind = _kind(action)
    if name.startswith(f"{action.dest}.") and base_of(kind):
        return _check_part(name, action.dest, text, known)
    if type(action).__name__ == "_ActionConfigLoad":
        values = _read(text)
        if not isinstance(values, Mapping) and not Path(text).is_file():
            raise fail(action.dest, "a mapping of its fields, or a file of them", repr(text))
        return check_fields(
            parser, values if isinstance(values, Mapping) else {}, f"{action.dest}."
        )
    plain = base_of(kind) is None and fits(kind, text)
    check_field(action.dest, kind, text if plain else _read(text), repr(text))
    return None


def _check_part(name: str, dest: str, text: str, known: Mapping[str, Any]) -> None:
    """Refuse an option such as `--model.init_args.depth` that its class does not take."""
    from ._fields import PARTS, check_argument

    component = known.get(dest)
    path = component.get("class_path") if isinstance(component, Mapping) else component
    part, _, argument = name.removeprefix(f"{dest}.").partition(".")
    argument = argument if part == "init_args" else "" if part in PARTS else part
    if isinstance(path, str) and argument:
        check_argument(f"{dest}.init_args.{argument}", path, argument, _read(text), repr(text))


def _read(text: str) -> Any:
    """Return what a word says, as YAML; the word itself where it is none."""
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def _spoken_to(
    parser: ArgumentParser, arguments: Sequence[str]
) -> tuple[ArgumentParser, list[str]]:
    """Return the parser of the verb in the arguments, if there is one, and its words."""
    subcommands: Any = getattr(parser, "_subcommands_action", None)
    verbs = subcommands.choices if subcommands else {}
    for place, word in enumerate(arguments):
        if word in verbs:
            return verbs[word], list(arguments[place + 1 :])
    return parser, list(arguments)


def _kind(action: Any) -> Any:
    """Return the annotation of a field; words without one are text."""
    return getattr(action, "_typehint", str)


def _component_of(parser: ArgumentParser, name: str) -> Any:
    """Return the action of `--model` for an option such as `--model.init_args.depth`."""
    first = name.lstrip("-").partition(".")[0]
    action = _actions(parser).get(first)
    return action if "." in name and _is_object(action) else None


def _unknown(parser: ArgumentParser, name: str) -> InvalidArgument:
    from ._checks import nearest

    remedy = nearest(name.lstrip("-"), _known(parser)) or f"See `{parser.prog} --help all`."
    return InvalidArgument(f"{name} is not an option of {parser.prog}. {remedy}")


def _unaccepted(parser: ArgumentParser, name: str) -> InvalidArgument:
    from ._checks import nearest

    return InvalidArgument(f"{name} is not a field. {nearest(name, _known(parser))}".strip())


def _missing(parser: ArgumentParser, field: str) -> InvalidArgument:
    action = _actions(parser).get(field)
    said = f"--{field}" if action is None or action.option_strings else field.upper()
    return InvalidArgument(f"{field} must be given; got nothing. Pass {said}.")


def _of_wrong_verb(
    parser: ArgumentParser, verbs: Sequence[str], words: Sequence[str]
) -> InvalidArgument:
    from ._checks import fail, nearest

    for word in words:
        if not word.startswith("-"):
            return fail("verb", "one of " + ", ".join(verbs), repr(word), nearest(word, verbs))
        if word.partition("=")[0] not in parser._option_string_actions:
            return _unknown(parser, word.partition("=")[0])
    return InvalidArgument(f"verb must be given; got nothing. See `{parser.prog} --help`.")


def _actions(parser: ArgumentParser) -> dict[str, Any]:
    return {action.dest: action for action in reversed(parser._actions)}


def _known(parser: ArgumentParser) -> Collection[str]:
    """Return the names of all options, and those of fields also without their group."""
    names = [name.lstrip("-") for name in parser._option_string_actions]
    return names + [name.rpartition(".")[2] for name in names if "." in name]
