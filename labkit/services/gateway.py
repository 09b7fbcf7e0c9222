"""A JVM that Python tells what to run, through py4j: for systems without a program of their own."""

from __future__ import annotations

import logging
import re
from typing import Any

from labkit.services.running import HOST, Command, Service


class GatewayService(Service):
    """A service one of whose processes, ``name``, is such a JVM; its client is a gateway to it."""

    def gateway_command(self, heap_mb: int, flags: tuple[str, ...] = (), lead: str = "") -> Command:
        """The JVM, with the service's jars; only who knows its token is let in."""
        main = ("py4j.GatewayServer", "--enable-auth", str(self.port("gateway")))
        return self.java(*main, heap_mb=heap_mb, flags=flags, lead=lead)

    def client(self, callbacks: bool = False) -> Any:
        """A new py4j gateway; ``callbacks`` let Java call Python objects of this process."""
        from py4j.java_gateway import CallbackServerParameters, GatewayParameters, JavaGateway

        logging.getLogger("py4j").setLevel(logging.CRITICAL)
        # The system logs behind the token, and a restart says a new one.
        log = (self.folder / "logs" / f"{self.name}.log").read_text()
        token = re.findall(r"^[\w+/]{43}=$", log, re.MULTILINE)[-1]
        where = {"address": HOST, "port": self.port("gateway"), "auth_token": token}
        # Freeing objects of a JVM that is gone would be told on the page, one by one.
        where |= {"auto_convert": True, "enable_memory_management": False}
        back = CallbackServerParameters(address=HOST, port=0, daemonize=True)
        gateway = JavaGateway(
            gateway_parameters=GatewayParameters(**where),
            callback_server_parameters=back if callbacks else None,
        )
        if callbacks:
            port = gateway.get_callback_server().get_listening_port()
            server = gateway.java_gateway_server
            server.resetCallbackClient(server.getCallbackClient().getAddress(), port)
        return gateway
