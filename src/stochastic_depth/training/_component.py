"""Something given by its import path: a model, an optimizer, a logger."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Self

from .._checks import fail, nearest
from .._errors import StochasticDepthError
from .._fields import made_by
from .._trust import require_trusted


@dataclass(frozen=True)
class Component:
    """An import path and the arguments to call it with.

    Args:
        class_path: dotted path of a class or function.
        init_args: keyword arguments that its signature names.
        dict_kwargs: those that it takes by `**kwargs`, such as of `timm.create_model`.

    Raises:
        InvalidArgument: nothing can be imported from `class_path`, or the arguments are no
            mappings.

    Example:
        >>> Component("torch.nn.Linear", {"in_features": 2}).build(out_features=3)
        Linear(in_features=2, out_features=3, bias=True)
    """

    class_path: str
    init_args: Mapping[str, Any] = field(default_factory=dict)
    dict_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.class_path, str):
            raise fail("class_path", "an import path", repr(self.class_path))
        for name in ("init_args", "dict_kwargs"):
            if not isinstance(getattr(self, name), Mapping):
                raise fail(name, "a mapping of arguments", repr(getattr(self, name)))
        for name, value in {**self.init_args, **self.dict_kwargs}.items():
            if isinstance(value, float) and math.isnan(value):  # no class means it
                raise fail(f"{name} of {self.class_path}", "a number", "NaN")
        self.target  # noqa: B018  # a path that leads nowhere is refused at birth

    @property
    def target(self) -> Any:
        """What `class_path` names."""
        require_trusted("class_path", self.class_path)
        module_path, _, name = self.class_path.rpartition(".")
        try:
            module = import_module(module_path)
        except (ImportError, ValueError) as error:
            raise fail("class_path", "an import path", repr(self.class_path), str(error)) from error
        if not hasattr(module, name):
            remedy = nearest(name, dir(module))
            raise fail("class_path", f"a name in {module_path}", repr(name), remedy)
        return getattr(module, name)

    def require(self, field: str, kind: Any, requirement: str) -> Self:
        """Refuse, before it is called, what does not make a `kind`.

        Classes must derive from it, and functions say in their annotation that they return
        one.

        Raises:
            InvalidArgument: naming `field`.
        """
        made = made_by(self.target)
        if made is None or not issubclass(made, kind):
            raise fail(field, f"the import path of {requirement}", repr(self.class_path))
        return self

    def build(self, *arguments: Any, **derived: Any) -> Any:
        """Call the target.

        Args:
            arguments: positional arguments.
            derived: keyword arguments, unless the component itself gives them.

        Returns:
            What the target returns.

        Raises:
            InvalidArgument: the target does not take these arguments.
        """
        keywords = {**derived, **self.init_args, **self.dict_kwargs}
        try:
            inspect.signature(self.target).bind(*arguments, **keywords)
            return self.target(*arguments, **keywords)
        except StochasticDepthError:
            raise
        except (TypeError, ValueError) as error:
            requirement = "called with arguments it accepts"
            raise fail(self.class_path, requirement, keywords, str(error)) from error

    def accepts(self, name: str, *, by_name: bool = False) -> bool:
        """Return whether the target takes the keyword argument `name`.

        Args:
            name: of the argument.
            by_name: count only a parameter of that name, not `**kwargs`.
        """
        parameters = inspect.signature(self.target).parameters
        kinds = [parameter.kind for parameter in parameters.values()]
        return name in parameters or (not by_name and inspect.Parameter.VAR_KEYWORD in kinds)
