"""RabbitMQ from the PATH, as a node of its own beside any other on the machine."""

import os
import shutil
import subprocess
from pathlib import Path

from kombu import Connection

from .base import Server, answers, free_port


class RabbitMQ(Server):
    name = "rabbitmq"

    def __init__(self) -> None:
        super().__init__()
        self._distribution_port, self._epmd_port = free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self) -> list[str]:
        return [_binary()]

    def environment(self) -> dict[str, str]:
        here = str(self.directory)
        return {
            **os.environ,
            "HOME": here,  # the node's cookie stands there
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"notifications{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/logs",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/none",
            "RABBITMQ_CONFIG_FILE": f"{here}/none",
        }

    def start(self) -> None:
        # Erlang would leave its name server running for ever behind us.
        if self._epmd is None:
            self._epmd = subprocess.Popen(
                ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        super().start()

    def forget(self) -> None:
        """Kill it and remove all that it has kept."""
        self.kill()
        shutil.rmtree(self.directory / "mnesia")

    def close(self) -> None:
        super().close()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(timeout=10)
            self._epmd = None

    def is_ready(self) -> bool:
        return answers(self.connect, OSError)

    def connect(self) -> None:
        with Connection(self.url, connect_timeout=5) as connection:
            connection.connect()


def is_installed() -> bool:
    return shutil.which("rabbitmq-server") is not None


def _binary() -> str:
    """The server itself: Debian puts a script before it that insists on its own user and place."""
    found = Path(str(shutil.which("rabbitmq-server"))).resolve()
    return str(found.with_name("rabbitmq-server"))
