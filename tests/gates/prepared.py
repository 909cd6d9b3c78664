"""What the processes of `load` are forked from: it sets Django up, once for all of them."""

import django

django.setup()

from tests.gates import load  # noqa: E402, F401 - the gates need the settings
