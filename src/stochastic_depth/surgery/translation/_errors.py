"""Why a module has no translation; `surgery` turns these into errors of the library."""


class CannotTranslate(Exception):
    """A module is not a block that can be translated; the message says why."""


class NotResidual(CannotTranslate):
    """A module has no residual addition at all."""
