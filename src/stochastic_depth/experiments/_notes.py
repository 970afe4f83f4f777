"""What is known about a recipe beyond the runs at hand, and how far the runs depart from it."""

from importlib.resources import files
from typing import Any

from ..training import RunConfig, load, recipes
from ._configuration import differing_fields

# Fields that decide where and how fast a run happens, not what it finds.
CIRCUMSTANCES = {"accelerator", "checkpoint_every", "checkpoint_every_steps", "threads"} | {
    "processes",
    "data.cache_dir",
    "data.data_dir",
}


def notes_on(config: RunConfig) -> str:
    """Return the notes that stand beside the recipe, in Markdown, or nothing."""
    page = files("stochastic_depth.training") / "recipes" / f"{config.name}.md"
    return page.read_text(encoding="utf-8") if page.is_file() else ""


def changes_to_recipe(config: RunConfig) -> dict[str, Any]:
    """Return the fields in which `config` departs from the recipe it is named after."""
    if config.name not in recipes():
        return {}
    recipe = load(config.name).to_mapping()
    differing = differing_fields(recipe, config.to_mapping())
    return {name: now for name, (_, now) in differing.items() if name not in CIRCUMSTANCES}
