"""Every provider that the package has is judged by the one suite."""

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

from notifications import providers
from notifications.providers.base import Provider

from .conformance import ProviderConformance


def shipped() -> set[type[Provider]]:
    names = [module.name for module in pkgutil.iter_modules(providers.__path__)]
    modules = [import_module(f"{providers.__name__}.{name}") for name in names]
    found = [value for module in modules for value in vars(module).values()]
    return {each for each in found if inspect.isclass(each) and issubclass(each, Provider)}


def judged() -> set[type[Provider]]:
    for path in Path(__file__).parent.glob("test_*.py"):
        import_module(f"{__package__}.{path.stem}")
    return {each.judged for each in ProviderConformance.__subclasses__()}


def test_no_provider_is_left_out() -> None:
    concrete = {each for each in shipped() if not inspect.isabstract(each)}
    assert concrete
    assert concrete <= judged()
