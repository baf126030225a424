"""Put files on a host with fabric: HOST PORT USER KEY KNOWN_HOSTS TARGET FILE…"""

from __future__ import annotations

import sys

import paramiko
from fabric import Config, Connection

host, port, user, key, known_hosts, target, *files = sys.argv[1:]
connection = Connection(
    host,
    user=user,
    port=int(port),
    connect_kwargs={"key_filename": key, "look_for_keys": False, "allow_agent": False},
    config=Config(overrides={"load_ssh_configs": False}),
)
connection.client.load_host_keys(known_hosts)
connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
with connection:
    connection.run(f"mkdir -p {target}", hide=True)
    for file in files:
        connection.put(file, f"{target}/")
