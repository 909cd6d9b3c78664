"""The sample project with several providers, all simulated, so that there is something to see."""

from project.settings import *  # noqa: F403 - a settings module takes all of another

SIMULATED = "notifications.providers.simulated.SimulatedProvider"
CIRCUIT = {"FAILURE_RATIO": 0.5, "MIN_CALLS": 10, "WINDOW": 60, "OPEN_FOR": 30}

NOTIFICATIONS = {
    "CHANNELS": {
        "email": {"PROVIDERS": ["ses", "smtp"], "RATE_LIMIT": "50/s"},
        "sms": {"PROVIDERS": ["twilio"]},
        "webhook": {"PROVIDERS": ["webhook"]},
    },
    "PROVIDERS": {
        "ses": {"BACKEND": SIMULATED, "RATE_LIMIT": "14/s", "CIRCUIT": CIRCUIT},
        "smtp": {"BACKEND": SIMULATED, "CIRCUIT": CIRCUIT},
        "twilio": {"BACKEND": SIMULATED, "RATE_LIMIT": "10/s, 5000/d", "CIRCUIT": CIRCUIT},
        "webhook": {"BACKEND": SIMULATED},
    },
}
