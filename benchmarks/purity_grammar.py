"""Random programs: small residual models, written as source text by a grammar.

A program is drawn from its seed alone. Its source defines modules and a `Model`; whoever
wrote an addition knows its branch, and marks it: `self.gate(k, b)`. The plain source is the
same text without the marks, so that there is an independent reference for what a gate does.
"""

# ruff: noqa: E501  # lines of the grammar

import random
import re
from dataclasses import dataclass

PREAMBLE = '''
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

class Noise(nn.Module):
    """Dropout with one mask for all samples, the same in every call."""
    def __init__(self, salt):
        super().__init__()
        self.salt = salt
    def forward(self, h):
        if not self.training:
            return h
        noise = torch.Generator().manual_seed(self.salt)
        return h * (torch.rand(h.shape[1:], generator=noise) > 0.3) / 0.7

class Dropout(nn.Module):
    """Dropout from the global generator, seeded so that calls can be compared."""
    def __init__(self, salt):
        super().__init__()
        self.salt = salt
    def forward(self, h):
        torch.manual_seed(self.salt)
        return F.dropout(h, 0.3, self.training)

class Scale(nn.Module):
    """LayerScale as it is often written, in place."""
    def __init__(self, shape):
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(shape).abs() + 0.2)
    def forward(self, h):
        return h.mul_(self.gamma)

class Attend(nn.Module):
    """Attention over the last dimension but one, with or without its weights."""
    def __init__(self, width, both=False):
        super().__init__()
        self.qkv, self.out, self.both = nn.Linear(width, 3 * width), nn.Linear(width, width), both
    def forward(self, h):
        q, k, v = self.qkv(h).chunk(3, -1)
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return (self.out(weights @ v), weights) if self.both else self.out(weights @ v)

class Pair(nn.Module):
    """A child that returns a tuple, or a dictionary."""
    def __init__(self, f, named=False):
        super().__init__()
        self.f, self.named = f, named
    def forward(self, h):
        y = self.f(h)
        return {"out": y, "norm": y.square().mean()} if self.named else (y, y.detach().mean())

class Cache:
    """An object that collects what blocks give it."""
    def __init__(self):
        self.kept = []
    def update(self, h):
        self.kept.append(h)
'''

WIDTH = 6

LAYOUTS = {
    "vector": {"shape": "6", "linear": "nn.Linear(6, 6)", "norm": "nn.LayerNorm(6)",
               "batch": "nn.BatchNorm1d(6)", "bias": "6"},
    "tokens": {"shape": "3, 6", "linear": "nn.Linear(6, 6)", "norm": "nn.LayerNorm(6)",
               "batch": "nn.LayerNorm(6)", "bias": "6"},
    "image": {"shape": "6, 4, 4", "linear": "nn.Conv2d(6, 6, 3, padding=1)",
              "norm": "nn.GroupNorm(2, 6)", "batch": "nn.BatchNorm2d(6)", "bias": "6, 1, 1"},
}  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A program of the grammar.

    Attributes:
        seed: it was drawn from.
        marked: its source, with `self.gate(k, b)` around branches.
        shape: of one sample of its input.
        tags: what it contains.
    """

    seed: int
    marked: str
    shape: tuple[int, ...]
    tags: frozenset[str]

    @property
    def source(self) -> str:
        """The source of the model as a user would have written it."""
        return re.sub(r"self\.gate\(\d+, ([^()]+(?:\([^()]*\))?)\)", r"\1", self.marked)


def program(seed: int) -> Program:
    """Return the program of a seed."""
    return _Writer(random.Random(seed)).program(seed)  # noqa: S311  # programs, not secrets


class _Writer:
    """Writes one program."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.layout = dice.choice(list(LAYOUTS))
        self.parts = LAYOUTS[self.layout]
        self.tags = {self.layout}

    def chance(self, p: float, tag: str = "") -> bool:
        """Toss a coin; note what it decided to include."""
        heads = self.dice.random() < p
        if heads and tag:
            self.tags.add(tag)
        return heads

    def pick(self, *options: str) -> str:
        """Choose one of several spellings."""
        return self.dice.choice(options)

    def program(self, seed: int) -> Program:
        self.parent = self.chance(0.12, "parent adds")
        self.takes = {
            name for name, p in (("context", 0.12), ("scale", 0.12), ("flag", 0.1), ("cache", 0.12))
            if self.chance(p, f"argument {name}")
        }  # fmt: skip
        self.returns = self.dice.choices(
            ["tensor", "tuple", "extra", "dict", "product"], [10, 1, 2, 1, 1]
        )[0]
        if self.parent:
            self.returns = "tensor"
        if self.returns != "tensor":
            self.tags.add(f"returns {self.returns}")
        self.sites = self.chance(0.12, "drop sites")
        self.cache = self.pick("[]", "{}", "Cache()")
        kinds = self.dice.randint(1, 3)
        blocks = [_Block(self, f"Block{n}").write() for n in range(kinds)]
        model = self.model(kinds)
        shape = tuple(map(int, self.parts["shape"].split(", ")))
        used = [block for n, block in enumerate(blocks) if f"Block{n}(" in model]
        if not any("autocast" in block for block in used):
            self.tags.discard("autocast")  # it decides on the precision of the whole program
        return Program(seed, "\n".join([PREAMBLE, *used, model]), shape, frozenset(self.tags))

    def model(self, kinds: int) -> str:
        count = self.dice.randint(2, 4)
        members = [f"Block{self.dice.randrange(kinds)}({n})" for n in range(count)]
        lines = [
            "class Model(nn.Module):",
            "    def __init__(self):",
            "        super().__init__()",
            f"        self.stem = {self.parts['linear']}",
            f"        self.blocks = nn.ModuleList([{', '.join(members)}])",
        ]
        if not self.tags & {"writes", "batch on branch"} and self.chance(
            0.06, "one block used twice"
        ):
            lines.append("        self.blocks.append(self.blocks[0])")
        plain = self.layout != "image" and "writes child" not in self.tags
        if plain and self.chance(0.08, "child shared by blocks"):
            lines.append("        for block in self.blocks:")
            lines.append("            block.a0 = self.blocks[0].a0")
        lines += [
            "        self.head = nn.Linear(6, 2)",
            "        self.step_scale = 1.0",
            "    def forward(self, x):",
            f"        h = {'torch.relu(self.stem(x))' if self.chance(0.5) else 'self.stem(x)'}",
            *(["        context = h.roll(1, 1).tanh()"] if "context" in self.takes else []),
            *(["        extra = None"] if self.returns == "extra" else []),
            *([f"        cache = {self.cache}"] if "cache" in self.takes else []),
            "        total = 0.0",
            "        for n, block in enumerate(self.blocks):",
            *(f"            {line}" for line in self._call()),
            *(f"        {line}" for line in self._read_cache()),
            f"        h = h{'.mean((-1, -2))' if self.layout == 'image' else ''}"
            f"{'.mean(1)' if self.layout == 'tokens' else ''}",
            "        return self.head(h) + total",
        ]
        return "\n".join(lines)

    def _call(self) -> list[str]:
        given = ["h"]
        if "context" in self.takes:
            given.append(self.pick("context", "context=context"))
        if "scale" in self.takes:
            given.append("scale=self.step_scale")
        if "flag" in self.takes:
            given.append(self.pick("flag=n % 2 == 0", "flag=True", "flag=self.training"))
        if "cache" in self.takes:
            given.append("cache=cache")
        if self.returns == "extra":
            given.append("extra=extra")
        call = f"block({', '.join(given)})"
        if self.parent:
            return [self.pick(f"h = h + {call}", f"h = {call} + h", f"h = h.add({call})")]
        lines = {
            "tensor": [f"h = {call}"],
            "tuple": [f"h, _ = {call}"],
            "extra": [f"h, extra = {call}"],
            "dict": [f'h = {call}["out"]'],
            "product": [f"h, product = {call}", "total = total + 0.1 * product"],
        }[self.returns]
        if self.returns == "tensor" and self.chance(0.12, "in place after block"):
            lines.append(self.pick("h = h.mul_(0.9)", "h += 0.1", "h = F.relu(h, inplace=True)"))
        return lines

    def _read_cache(self) -> list[str]:
        if "cache" not in self.takes:
            return []
        kept = {"[]": "cache", "{}": "cache.values()", "Cache()": "cache.kept"}[self.cache]
        return [f"total = total + sum(0.1 * k.mean() for k in {kept})"]


class _Block:
    """Writes one class of blocks."""

    def __init__(self, writer: _Writer, name: str) -> None:
        self.w, self.name, self.parts = writer, name, writer.parts
        self.init: list[str] = ["self.index = index", 'self.config = {"gain": 0.5}']
        self.body: list[str] = []
        self.before: list[str] = []
        self.after: list[str] = []
        self.count = 0
        self.branches = 0
        self.indent = ""

    def line(self, text: str) -> None:
        self.body.append(self.indent + text)

    def child(self, expression: str) -> str:
        name = f"a{self.count}"
        self.count += 1
        self.init.append(f"self.{name} = {expression}")
        return f"self.{name}"

    def parameter(self, name: str, value: str) -> str:
        return self.child_named(name, f"nn.Parameter({value})")

    def child_named(self, name: str, expression: str) -> str:
        """Return an attribute of this name, used again if there is one already."""
        line = f"self.{name} = {expression}"
        if line not in self.init:
            self.init.append(line)
        return f"self.{name}"

    def gamma(self) -> str:
        """Return a learned gain."""
        return self.parameter("gamma", f"torch.rand({self.parts['bias']}) + 0.5")

    def bias(self) -> str:
        """Return a learned bias."""
        return self.parameter("bias", f"torch.randn({self.parts['bias']}) * 0.3")

    def write(self) -> str:
        """Return the class."""
        w = self.w
        self.child(self.parts["linear"] if w.layout != "image" else "nn.Conv2d(6, 6, 1)")
        self._forward()
        arguments = ["self", "x", *(["context=None"] if "context" in w.takes else [])]
        arguments += [f"{name}={value}" for name, value in
                      (("scale", "1.0"), ("flag", "False"), ("cache", "None")) if name in w.takes]  # fmt: skip
        arguments += ["extra=None"] if w.returns == "extra" else []
        return "\n".join(
            [
                f"class {self.name}(nn.Module):",
                "    def __init__(self, index):",
                "        super().__init__()",
                *(f"        {line}" for line in self.init),
                f"    def forward({', '.join(arguments)}):",
                *(f"        {line}" for line in self.body),
            ]
        )

    def _forward(self) -> None:
        w = self.w
        self._writes_before()
        if w.parent:
            self._chain("h", "x")
            self._writes_after("h")
            self.line("return self.gate(0, h)")
            return
        source = self._shortcut()
        arrangement = w.pick("one", "one", "one", "two", "two", "parallel", "shared norm")
        w.tags.add(arrangement)
        if arrangement == "one":
            self._residual("y", source, source)
        elif arrangement == "two":
            self._residual("y", source, source)
            self._residual("y", "y", "y")
        else:
            start = source if arrangement == "parallel" else "n"
            if arrangement == "shared norm":
                self.line(f"n = {self.child(self.parts['norm'])}({source})")
            self._chain("g", start)
            self._chain("h", start)
            first, second = self._gate("g"), self._gate("h")
            self.line(
                f"y = {w.pick(f'{source} + {first} + {second}', f'{first} + {source} + {second}')}"
            )
        self._writes_after("y" if w.chance(0.3) else source)
        self._post()
        self._return(source)

    def _shortcut(self) -> str:
        """Write what stands beside the branch; usually nothing."""
        w = self.w
        kind = w.dice.choices(
            ["identity", "projection", "scale", "normed", "argument", "config", "training"],
            [14, 2, 1, 1, 1 if "scale" in w.takes else 0, 0.5, 0.5],
        )[0]
        if kind == "identity":
            return "x"
        w.tags.add(f"shortcut {kind}")
        projection = "nn.Conv2d(6, 6, 1)" if w.layout == "image" else "nn.Linear(6, 6, bias=False)"
        if kind == "projection" and w.chance(0.4, "shortcut projection with norm"):
            projection = f"nn.Sequential({projection}, {self.parts['norm']})"
        self.line(
            {
                "projection": f"s = {self.child(projection)}(x)" if kind == "projection" else "",
                "scale": f"s = x * {self.parameter('lam', 'torch.tensor(0.8)')}"
                if kind == "scale"
                else "",
                "normed": f"s = F.gelu({self.child(self.parts['norm'])}(x))"
                if kind == "normed"
                else "",
                "argument": "s = x * scale",
                "config": 's = x * self.config["gain"]',
                "training": "s = x * 1.5 if self.training else x",
            }[kind]
        )
        return "s"

    def _residual(self, target: str, source: str, start: str) -> None:
        """Write a branch and its addition, in one of its spellings."""
        w = self.w
        self._chain("h", start)
        b = self._gate("h")
        plain = [
            f"{source} + {b}", f"{b} + {source}", f"{source}.add({b})", f"torch.add({source}, {b})",
            f"torch.add({b}, {source})", f"{b}.clone().add_({source})", f"{source} - {b}",
        ]  # fmt: skip
        rare = [
            f"torch.add({source}, {b}, alpha=0.5)", f"torch.add({b}, {source}, alpha=0.5)",
            f"torch.addcmul({source}, {self.gamma()}, {b})",
            f"sum([{source}, {b}])",
            f"{source}.clone().add_({b}, alpha=2.0)",
        ]  # fmt: skip
        unusual = w.chance(0.15, "rare spelling")
        self.line(f"{target} = {w.pick(*rare) if unusual else w.pick(*plain)}")

    def _gate(self, name: str) -> str:
        self.branches += 1
        return f"self.gate({self.branches - 1}, {name})"

    # Branches

    def _chain(self, name: str, start: str) -> None:
        """Write a branch: `name = f(start)`."""
        w = self.w
        self.line(f"{name} = {start}")
        self.fresh = False  # whether `name` may be changed in place
        self.learned = False
        length = w.dice.randint(1, 4)
        context = w.chance(0.18) and w.dice.randrange(length)
        for position in range(length):
            if context is not False and position == context:
                self._in_context(name)
            else:
                self._operation(name)
        self._leave(name)

    def _in_context(self, name: str) -> None:
        w = self.w
        kind = w.pick("no_grad", "autocast", "enable_grad", "inference")
        w.tags.add(kind)
        if kind == "inference":
            self.line("with torch.inference_mode():")
            self.line(f"    c = {name}.abs().mean(-1, keepdim=True) + 0.5")
            self.line(f"{name} = {name} / c.clone()")
            self.fresh = True
            return
        opened = {
            "no_grad": "torch.no_grad()", "enable_grad": "torch.enable_grad()",
            "autocast": 'torch.autocast("cpu", dtype=torch.bfloat16)',
        }  # fmt: skip
        self.line(f"with {opened[kind]}:")
        self.indent = "    "
        self._operation(name)
        self.indent = ""
        if kind == "autocast":
            self.line(f"{name} = {name}.to(x.dtype)")
            self.fresh = False

    def _operation(self, name: str) -> None:
        """Write one step of a branch."""
        w, p = self.w, self.parts
        kind = w.dice.choices(
            ["linear", "norm", "act", "mlp", "functional", "batch", "noise", "dropout", "attend",
             "shared", "pair", "in place", "nested", "checkpoint", "mode", "argument", "inner residual"],
            [6, 4, 4, 3, 1, 1, 1, 0.7, 3 if w.layout == "tokens" else 0, 1, 1, 2, 1, 0.5, 0.5, 1, 0.4],
        )[0]  # fmt: skip
        if kind in (
            "batch",
            "dropout",
            "shared",
            "pair",
            "nested",
            "checkpoint",
            "mode",
            "inner residual",
        ):
            w.tags.add(f"{kind} on branch")
        getattr(self, f"_{kind.replace(' ', '_')}")(name, p)

    def _apply(self, name: str, child: str, *, fresh: bool = True) -> None:
        self.line(f"{name} = {child}({name})")
        self.fresh = fresh

    def _linear(self, name: str, p: dict[str, str]) -> None:
        self.learned = True
        self._apply(name, self.child(p["linear"]))

    def _norm(self, name: str, p: dict[str, str]) -> None:
        self._apply(name, self.child(p["norm"]))

    def _batch(self, name: str, p: dict[str, str]) -> None:
        self._apply(name, self.child(p["batch"]))

    def _act(self, name: str, p: dict[str, str]) -> None:
        act = self.w.pick("self", "F.silu", "torch.tanh", "F.gelu")
        self._apply(name, self.child("nn.ReLU()") if act == "self" else act, fresh=False)

    def _mlp(self, name: str, p: dict[str, str]) -> None:
        act = self.w.pick("nn.GELU()", "nn.ReLU(inplace=True)", "nn.Tanh()")
        self._apply(name, self.child(f"nn.Sequential({p['linear']}, {act}, {p['linear']})"))

    def _functional(self, name: str, p: dict[str, str]) -> None:
        weight = self.parameter("w", "torch.randn(6, 6, 1, 1) / 2.4" if self.w.layout == "image"
                                else "torch.randn(6, 6) / 2.4")  # fmt: skip
        self._apply_text(
            name, f"F.{'conv2d' if self.w.layout == 'image' else 'linear'}({name}, {weight})"
        )

    def _apply_text(self, name: str, text: str) -> None:
        self.line(f"{name} = {text}")
        self.fresh = True

    def _noise(self, name: str, p: dict[str, str]) -> None:
        self._apply(name, self.child(f"Noise({self.w.dice.randrange(1000)})"), fresh=False)

    def _dropout(self, name: str, p: dict[str, str]) -> None:
        self._apply(name, self.child(f"Dropout({self.w.dice.randrange(1000)})"), fresh=False)

    def _attend(self, name: str, p: dict[str, str]) -> None:
        if self.w.chance(0.4, "attention with weights"):
            self._apply_text(name, f"{self.child('Attend(6, True)')}({name})[0]")
        else:
            self._apply(name, self.child("Attend(6)"))

    def _shared(self, name: str, p: dict[str, str]) -> None:
        self._apply(name, "self.a0")

    def _pair(self, name: str, p: dict[str, str]) -> None:
        named = self.w.chance(0.5)
        child = self.child(f"Pair({p['linear']}, {named})")
        self._apply_text(name, f"{child}({name})" + ('["out"]' if named else "[0]"))

    def _in_place(self, name: str, p: dict[str, str]) -> None:
        if not self.fresh:
            return self._linear(name, p)
        self.w.tags.add("in place on branch")
        bias, gamma = self.bias(), self.gamma()
        self.line(self.w.pick(f"{name}.mul_({gamma})", f"{name} += {bias}", f"{name}.relu_()",
                              f"{name} = {name}.mul_({gamma})", f"{name}.clamp_(-1.0, 1.0)"))  # fmt: skip
        self.fresh = False
        return None

    def _nested(self, name: str, p: dict[str, str]) -> None:
        self._apply(
            name, self.child(f"nn.Sequential({p['norm']}, nn.Sequential({p['linear']}, nn.GELU()))")
        )

    def _checkpoint(self, name: str, p: dict[str, str]) -> None:
        child = self.child(f"nn.Sequential({p['linear']}, nn.Tanh(), {p['linear']})")
        self._apply_text(name, f"checkpoint({child}, {name}, use_reentrant=False)")

    def _mode(self, name: str, p: dict[str, str]) -> None:
        self.line(f"{name} = {name} * 1.3 if self.training else {name}")

    def _argument(self, name: str, p: dict[str, str]) -> None:
        takes = sorted(self.w.takes & {"context", "scale", "flag"})
        if not takes:
            return self._linear(name, p)
        self.line(
            {
                "context": f"{name} = {name} + context",
                "scale": f"{name} = {name} * scale",
                "flag": f"{name} = {name} * 0.7 if flag else {name}",
            }[self.w.pick(*takes)]
        )
        self.fresh = False
        return None

    def _inner_residual(self, name: str, p: dict[str, str]) -> None:
        if self.w.parent or self.w.sites:
            return self._linear(name, p)
        self.line(f"i = {self.child(p['linear'])}({name})")
        self.line(f"{name} = {name} + i")
        self.fresh = False
        return None

    def _leave(self, name: str) -> None:
        """Write how a branch ends."""
        w, p = self.w, self.parts
        kind = w.dice.choices(
            ["child", "as it is", "scale", "scale in place", "gamma", "constant", "bias"],
            [8, 2, 1, 1, 1.5, 1, 0.7],
        )[0]
        if kind != "as it is" or not self.learned:
            self._linear(name, p)
        w.tags.add(f"leaves by {kind}")
        if kind in ("scale", "scale in place"):
            child = self.child(f"Scale(({p['bias']},))") if kind == "scale" else ""
            self.line(f"{name} = {child}({name})" if child else f"{name}.mul_({self.gamma()})")
        elif kind == "gamma":
            self.line(f"{name} = {self.gamma()} * {name}")
        elif kind == "constant":
            self.line(f"{name} = {w.pick(f'{name} * 0.5', f'-{name}', f'{name} / 3.0')}")
        elif kind == "bias":
            self.line(f"{name} = {name} + {self.bias()}")
        if w.sites:
            self._apply(name, self.child_named("drop_path", "nn.Identity()"))

    # What is beside the stream

    def _writes_before(self) -> None:
        w = self.w
        if not w.chance(0.25, "writes"):
            return
        kind = w.pick("counter", "buffer counter", "mean", "last", "log", "config", "child")
        w.tags.add(f"writes {kind}")
        mean = {"vector": "0", "tokens": "(0, 1)", "image": "(0, 2, 3)"}[w.layout]
        setup, write = {
            "counter": ("self.calls = 0", "self.calls += 1"),
            "buffer counter": ('self.register_buffer("steps", torch.zeros(()))', "self.steps += 1"),
            "mean": ('self.register_buffer("mean", torch.zeros(6))',
                     f"self.mean.mul_(0.9).add_(0.1 * x.detach().mean({mean}))"),
            "last": ("self.last = None", "self.last = x.detach()"),
            "log": ("self.log = []", "self.log.append(float(x.detach().sum()) > 0)"),
            "config": ("pass", 'self.config["calls"] = self.config.get("calls", 0) + 1'),
            "child": ("pass", "self.a0.calls = getattr(self.a0, 'calls', 0) + 1"),
        }[kind]  # fmt: skip
        self.init.append(setup)
        self.line(write)

    def _writes_after(self, value: str) -> None:
        w = self.w
        if "cache" in w.takes:
            kept = f"{value}{'.detach()' if w.chance(0.5) else ''}.clone()"
            self.line({"[]": f"cache.append({kept})", "{}": f"cache[self.index] = {kept}",
                       "Cache()": f"cache.update({kept})"}[w.cache])  # fmt: skip
        if w.chance(0.08, "writes"):
            kind = w.pick("auxiliary", "branch", "output")
            w.tags.add(f"writes {kind}")
            branch = "h" if "h" in "".join(self.body) else value
            self.line(
                {
                    "auxiliary": f"self.aux = ({branch} ** 2).mean()",
                    "branch": f"self.kept = {branch}.detach().clone()",
                    "output": f"self.kept = {value}.detach().clone()",
                }[kind]
            )

    def _post(self) -> None:
        w = self.w
        kind = w.dice.choices(
            ["none", "relu", "gelu", "norm", "relu in place", "constant"], [12, 1, 1, 1, 1, 0.5]
        )[0]
        if kind == "none":
            return
        w.tags.add(f"post {kind}")
        self.line(
            {
                "relu": f"y = {w.pick('torch.relu(y)', 'F.relu(y)')}",
                "gelu": "y = F.gelu(y)",
                "norm": f"y = {self.child(self.parts['norm'])}(y)" if kind == "norm" else "",
                "relu in place": "y = F.relu(y.clone(), inplace=True)",
                "constant": "y = y * 0.7",
            }[kind]
        )

    def _return(self, source: str) -> None:
        w = self.w
        if w.returns == "extra":
            kind = w.pick("input", "side", "given", "branch")
            w.tags.add(f"extra {kind}")
            if kind == "side":
                self.line(f"e = {self.child('nn.Linear(6, 6)')}(x.mean(0, keepdim=True))"
                          if w.layout != "image" else "e = x.mean(0, keepdim=True)")  # fmt: skip
            value = {"input": f"{source}.tanh()", "side": "e", "given": "extra", "branch": "h"}[
                kind
            ]
            self.line(f"return y, {value}")
            return
        self.line(
            {
                "tensor": "return y",
                "tuple": "return (y, None)",
                "dict": 'return {"out": y}',
                "product": f"return y, {w.pick('h.mean()', f'{source}.mean()', 'y.mean()')}",
            }[w.returns]
        )
