"""The sample project's settings, with one bare view instead of the product's."""

from project.settings import *  # noqa: F403 - a settings module takes all of another

ROOT_URLCONF = "bench.bare"
