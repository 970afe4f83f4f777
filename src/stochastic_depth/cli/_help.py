"""Help that fits on a page: what people use most, the rest by topic."""

import argparse
import shutil
import textwrap
from dataclasses import fields
from typing import Any

from jsonargparse import ArgumentParser, Namespace

# Of the hundred fields of a run.
COMMON = (
    "data.name", "data.data_dir", "epochs", "batch_size", "seed",
    "depth.enabled", "depth.schedule", "depth.last", "depth.budget",
)  # fmt: skip

TOPICS = {
    "data": "which images, how many, and what is done to them",
    "depth": "schedule, curriculum, law and execution of stochastic depth",
    "learning_rate": "the rate of every step",
    "model": "the network and its arguments",
    "optimizer": "the optimizer and the loggers",
    "run": "length, batches, precision, evaluations, checkpoints, processes",
}


class Formatter(argparse.HelpFormatter):
    """The default behind the help of an option, and an empty line between paragraphs."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, 100) - 2
        super().__init__(prog, max_help_position=28, width=width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (" ".join(lines.split()) for lines in text.strip().split("\n\n"))
        return "\n\n".join(textwrap.fill(p, width, break_on_hyphens=False) for p in paragraphs)

    def _expand_help(self, action: argparse.Action) -> str:
        default: Any = action.default
        if action.required or isinstance(default, (bool, dict, list, tuple, Namespace, type(None))):
            default = "true" if default is True else argparse.SUPPRESS
        shown = "" if default in (argparse.SUPPRESS, "") else f" [{default}]"
        return f"{action.help or ''}{shown}"

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return action.dest.rpartition(".")[2].upper()


def usage(parser: ArgumentParser) -> str:
    """Return what must be said, in place of a list of everything that may be."""
    words = ["%(prog)s"]
    for action in parser._actions:
        name = str(action.metavar or action.dest.upper())
        if not action.option_strings:
            name = f"{name} ..." if action.nargs == "+" else name
            words.append(f"[{name}]" if action.nargs == "?" else name)
        elif action.required:
            words.append(f"{action.option_strings[0]} {action.dest.upper()}")
    return " ".join([*words, "[options]"])


class Help(argparse._HelpAction):
    """Show what people use most, or, given a topic, all options of it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.nargs = "?"
        self.metavar = "TOPIC"

    def __call__(self, parser: Any, namespace: Any, topic: Any, option: Any = None) -> None:
        """Print the page and leave the program."""
        from .._checks import one_of

        sections = _sections(parser)
        topics = [name for name in sections if name]
        if topic is not None:
            one_of("topic of --help", topic, ["all", *topics])
        formatter = Formatter(parser.prog)
        formatter.add_usage(parser.usage, [], [])
        if topic is None:
            formatter.add_text(parser.description)
            _add(formatter, "options", sections[""] + (_common(parser) if topics else []))
            formatter.add_text(_pointer(parser, topics))
        for name in topics if topic == "all" else [topic] if topic else []:
            _add(formatter, f"{name}: {TOPICS[name]}", sections[name])
        print(formatter.format_help().rstrip())
        parser.exit()


def _sections(parser: ArgumentParser) -> dict[str, list[argparse.Action]]:
    """Return the options by topic; those of the verb itself are under the empty name."""
    reachable = [
        action
        for action in parser._actions
        if all(parser._option_string_actions[name] is action for name in action.option_strings)
    ]
    if "--recipe" not in parser._option_string_actions:
        return {"": reachable}
    from ..training import RunConfig

    run = {field.name for field in fields(RunConfig)}
    sections: dict[str, list[argparse.Action]] = {"": [], **{topic: [] for topic in TOPICS}}
    for action in reachable:
        first = action.dest.partition(".")[0].replace("loggers", "optimizer")
        topic = first if first in TOPICS else "run" if first in run else ""
        sections[topic].append(action)
    return sections


def _common(parser: ArgumentParser) -> list[argparse.Action]:
    by_field = {action.dest: action for action in reversed(parser._actions)}
    return [by_field[field] for field in COMMON if field in by_field]


def _add(formatter: Formatter, title: str, actions: list[argparse.Action]) -> None:
    formatter.start_section(title)
    formatter.add_arguments(actions)
    formatter.end_section()


def _pointer(parser: ArgumentParser, topics: list[str]) -> str | None:
    if not topics:
        return None
    names = ", ".join(topics)
    return f"`{parser.prog} --help TOPIC` lists the other fields of a run: {names}, or all."
